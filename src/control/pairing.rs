//! Pairing and revoking at the running daemon, which knows of it at once.

use http::{Response, StatusCode};
use peercam_proto::{
    credential::{Claims, CredentialId, Issuer, PairingUri},
    error::{Error, ErrorKind},
    text::Printable,
};
use peercam_task::boundary::{self, Part};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    body::{Body, Form},
    router::Control,
};
use crate::access::{PairError, Revocation, Revoked, SecretStore, random};

/// Target of a `POST /revoke`: one of the three, and with `id` and `all` an issuer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    name: Option<String>,
    id: Option<String>,
    #[serde(default)]
    all: bool,
    issuer: Option<String>,
}

impl Control {
    /// Pairs the viewer that a body describes. The answer is a secret, and the only place where it is.
    pub(super) async fn pair(&self, body: &[u8]) -> Result<Response<Body>, Error> {
        let claims = claims(body)?;
        let now = self.app.clock.date();
        let paired = claims.clone();
        let change = move |store: &SecretStore| store.pair(&paired, now);
        let (credential, _) = self.change(change).await?;
        tracing::info!(
            viewer = %Printable(&claims.name), credential = %claims.id, scopes = %claims.scopes,
            "a viewer was paired"
        );
        let reach = self.reach.borrow().clone();
        let uri = PairingUri {
            credential,
            device: self.authority.device(),
            relays: reach.relays,
            relay_token: self.relay_token.clone(),
            udp: reach.udp,
            lan: reach.lan,
        };
        let text = json!({ "uri": uri.expose() }).to_string() + "\n";
        Ok(Form::Json.answer(StatusCode::OK, text))
    }

    /// Revokes what a body names, and ends the sessions that this ends.
    pub(super) async fn revoke(&self, body: &[u8]) -> Result<Response<Body>, Error> {
        let (whom, now) = (target(body)?, self.app.clock.date());
        let change = move |store: &SecretStore| store.revoke(&whom, now);
        let (Revocation { paired, after_loss }, sessions) = self.change(change).await?;
        tracing::info!(paired, sessions, "access was revoked");
        let text = json!({ "paired": paired, "sessions": sessions, "after_loss": after_loss });
        Ok(Form::Json.answer(StatusCode::OK, text.to_string() + "\n"))
    }

    /// Changes the lists of who is let in, and has the daemon learn of it; gives the number of sessions
    /// that this has ended too.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&SecretStore) -> Result<T, PairError> + Send + 'static,
    ) -> Result<(T, usize), Error> {
        let (store, authority) = (self.store.clone(), self.authority.clone());
        let work = move || {
            let changed = change(&store)?;
            Ok((changed, authority.refresh_changed(&store)?))
        };
        let done = boundary::blocking(Part::Service, "pairing", work).await;
        let done = done.map_err(|fault| Error::new(ErrorKind::Unavailable, fault.to_string()))?;
        done.map_err(|error: PairError| {
            let kind = match &error {
                PairError::NameTaken(_) => ErrorKind::Conflict,
                PairError::UnknownName(_) => ErrorKind::NotFound,
                PairError::TooLong | PairError::Ended | PairError::NoClock => ErrorKind::BadRequest,
                PairError::Full | PairError::Revocations(_) => ErrorKind::Conflict,
                PairError::Store(_) => ErrorKind::Unavailable,
            };
            Error::new(kind, error.to_string())
        })
    }
}

/// Claims of a viewer, as a body has them: those of `protocol.md` without `v` and `id`, which the
/// device gives. Without `ch` they are for all channels, without `exp` for ever.
fn claims(body: &[u8]) -> Result<Claims, Error> {
    let bad = |error: &dyn std::fmt::Display| Error::bad_request(error.to_string());
    let mut fields: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| bad(&error))?;
    let id = random().map_err(|error| Error::new(ErrorKind::Unavailable, error.to_string()))?;
    for (key, value) in [
        ("v", json!(1)),
        ("id", json!(CredentialId::new(id).to_string())),
    ] {
        if fields.insert(key.to_owned(), value).is_some() {
            return Err(Error::bad_request(format!("{key} is the device's to give")));
        }
    }
    fields.entry("ch").or_insert_with(|| json!("*"));
    fields.entry("exp").or_insert_with(|| json!(0));
    let text = Value::Object(fields).to_string();
    Claims::parse(text.as_bytes()).map_err(|error| bad(&error))
}

/// Target of a revocation, as a body names it.
fn target(body: &[u8]) -> Result<Revoked, Error> {
    let target: Target =
        serde_json::from_slice(body).map_err(|error| Error::bad_request(error.to_string()))?;
    let issuer = target
        .issuer
        .map(|issuer| issuer.parse::<Issuer>())
        .transpose();
    let issuer = issuer.map_err(Error::bad_request)?;
    match (target.name, target.id, target.all) {
        (Some(name), None, false) if issuer.is_none() => Ok(Revoked::Name(name)),
        (None, Some(id), false) => {
            let id = id.parse();
            let id = id.map_err(Error::bad_request)?;
            Ok(Revoked::Id(id, issuer))
        }
        (None, None, true) => Ok(Revoked::All(issuer)),
        _ => Err(Error::bad_request(
            "name one of: name; id, with its issuer or without; all true, with an issuer or without",
        )),
    }
}

#[cfg(test)]
mod tests {
    use peercam_proto::credential::{Channels, Scope, Scopes};

    use super::*;

    #[test]
    fn the_device_gives_each_viewer_an_id_of_its_own() {
        let body = br#"{"name":"phone","scopes":["live"]}"#;
        let (one, other) = (
            claims(body).expect("in order"),
            claims(body).expect("in order"),
        );
        assert_ne!(one.id, other.id);
        assert_eq!(one.scopes, Scopes::from_iter([Scope::Live]));
        assert_eq!((one.channels, one.expires), (Channels::All, None));
        for bad in [
            "",
            "[]",
            r#"{"name":"phone"}"#,
            r#"{"scopes":["live"]}"#,
            r#"{"name":"phone","scopes":["live"],"id":"AAAAAAAAAAAAAAAAAAAAAA"}"#,
            r#"{"name":"phone","scopes":["fly"]}"#,
            r#"{"name":"phone","scopes":["live"],"more":1}"#,
            "{\"name\":\"a\\nb\",\"scopes\":[\"live\"]}",
        ] {
            assert!(claims(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn whom_a_revocation_is_for_is_named_once() {
        let read = |text: &str| target(text.as_bytes());
        assert_eq!(
            read(r#"{"name":"phone"}"#).expect("a name"),
            Revoked::Name("phone".to_owned())
        );
        let all = read(r#"{"all":true,"issuer":"local"}"#).expect("an issuer");
        assert_eq!(all, Revoked::All(Some(Issuer::local())));
        for bad in [
            "{}",
            r#"{"all":false}"#,
            r#"{"name":"phone","all":true}"#,
            r#"{"name":"phone","issuer":"local"}"#,
            r#"{"id":"x"}"#,
            r#"{"all":true,"issuer":"No Name"}"#,
            r#"{"nmae":"phone"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
