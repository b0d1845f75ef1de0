//! `peercam mint-key`: lets a back end pair viewers by itself, within bounds.

use std::io::{self, Write};

use clap::Args;
use peercam_proto::credential::{Ceiling, Channels, Issuer, Scopes};

use super::{
    CliError,
    device::Device,
    pairing::{ChannelsArgument, USUAL_SCOPES, channels, scopes},
};
use crate::{access::PairError, config::duration};

/// Options of `peercam mint-key`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(after_help = "\
Examples:
  A new back end:
    peercam mint-key shop -c camera.toml
  Its viewers may only watch, for 30 days at most:
    peercam mint-key shop -c camera.toml --scope live --expires-within 30d")]
pub struct MintKeyOptions {
    /// Name of the back end: 1 to 16 lower-case letters, digits and -
    #[arg(value_name = "NAME")]
    issuer: Issuer,
    /// Scopes that its viewers have at most, as for pair
    ///
    /// For a new name: all but metrics and admin.
    #[arg(long, value_name = "SCOPE,…", value_parser = scopes)]
    scope: Option<Scopes>,
    /// Channels that its viewers see at most: numbers with commas, or all
    ///
    /// For a new name: all.
    #[arg(long, value_name = "NUMBER,…", value_parser = channels)]
    channel: Option<ChannelsArgument>,
    /// Longest access of its viewers: 12h or 30d; or never, for no limit
    ///
    /// With a limit, each of its credentials must have an end. For a new name: never.
    #[arg(long, value_name = "SPAN", value_parser = longest)]
    expires_within: Option<Longest>,
}

/// Longest life of a back end's credentials, in seconds; `None`: as they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Longest(Option<u64>);

fn longest(text: &str) -> Result<Longest, &'static str> {
    if text == "never" {
        return Ok(Longest(None));
    }
    let span = duration(text).filter(|span| span.as_secs() > 0);
    span.map(|span| Longest(Some(span.as_secs())))
        .ok_or("a span such as 12h or 30d, or never")
}

impl MintKeyOptions {
    pub(super) fn perform(self, device: &Device) -> Result<(), CliError> {
        if self.issuer == Issuer::local() {
            return Err(CliError::Usage(
                "local is this device itself; choose another name for a back end".to_owned(),
            ));
        }
        let (data_dir, store) = device.open(false)?;
        let secrets = store.secrets()?;
        let (epoch, ceiling) = store.update(|revocations, _| {
            let is_new = revocations.epoch(&self.issuer).is_none();
            let epoch = revocations
                .admit_issuer(&self.issuer)
                .map_err(PairError::from)?;
            let known = revocations.ceiling(self.issuer.as_str()).cloned();
            let ceiling = self.ceiling(known, is_new);
            if let Some(ceiling) = &ceiling {
                revocations.set_ceiling(&self.issuer, ceiling.clone());
            }
            Ok::<_, CliError>((epoch, ceiling))
        })?;
        eprintln!(
            "peercam: whoever has this key can pair viewers of the device in {}: {}. --scope, --channel and --expires-within change that, within a second, also for those it has paired. End it, and all of them, with: peercam revoke{} --all --issuer {}",
            data_dir.path().display(),
            at_most(ceiling.as_ref()),
            device.option,
            self.issuer
        );
        let key = secrets.mint_key(self.issuer, epoch).expose();
        writeln!(io::stdout(), "{key}").map_err(CliError::io("the key cannot be written"))
    }

    /// Ceiling of the back end from now on: as it is said, and for the rest as it was before.
    /// `None` if its key is older than ceilings, and nothing is said.
    fn ceiling(&self, known: Option<Ceiling>, is_new: bool) -> Option<Ceiling> {
        let is_silent =
            self.scope.is_none() && self.channel.is_none() && self.expires_within.is_none();
        if is_silent && !is_new {
            return known;
        }
        let usual = if is_new {
            scopes(USUAL_SCOPES).expect("they are scopes")
        } else {
            Scopes::ALL
        };
        let before = known.unwrap_or(Ceiling {
            scopes: usual,
            channels: Channels::All,
            longest: None,
        });
        let channels = self.channel.as_ref().map(|channels| channels.0.clone());
        Some(Ceiling {
            scopes: self.scope.unwrap_or(before.scopes),
            channels: channels.unwrap_or(before.channels),
            longest: self.expires_within.map_or(before.longest, |span| span.0),
        })
    }
}

/// A back end's ceiling as text for people.
pub(super) fn at_most(ceiling: Option<&Ceiling>) -> String {
    match ceiling {
        Some(ceiling) => ceiling.to_string(),
        None => format!(
            "scopes {}  channels all  ends as they say (its key is older than --scope, which bounds it)",
            Scopes::ALL
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peercam_proto::credential::Scope;

    #[test]
    fn what_is_not_said_of_a_back_end_stays_and_a_new_one_is_no_admin() {
        let options = |scope: Option<&str>, channel: Option<&str>, span: Option<&str>| {
            let options = MintKeyOptions {
                issuer: "shop".parse().expect("a name"),
                scope: scope.map(|text| scopes(text).expect("scopes")),
                channel: channel.map(|text| channels(text).expect("channels")),
                expires_within: span.map(|text| longest(text).expect("a span")),
            };
            move |known, is_new| options.ceiling(known, is_new).map(|it| it.to_string())
        };
        let silent = options(None, None, None);
        let new = format!("scopes {USUAL_SCOPES}  channels all  ends as they say");
        assert_eq!(silent(None, true), Some(new));
        assert_eq!(silent(None, false), None, "an old key keeps what it has");
        let known = Some(Ceiling {
            scopes: Scopes::from_iter([Scope::Live]),
            channels: Channels::All,
            longest: Some(86_400),
        });
        let kept = "scopes live  channels all  ends within 1d";
        assert_eq!(silent(known.clone(), false).as_deref(), Some(kept));
        let changed = options(Some("live,admin"), Some("1,0"), Some("never"));
        let expected = "scopes live,admin  channels 0,1  ends as they say";
        assert_eq!(changed(known.clone(), false).as_deref(), Some(expected));
        let narrowed = options(None, None, Some("90m"));
        let expected = "scopes live  channels all  ends within 5400s";
        assert_eq!(narrowed(known, false).as_deref(), Some(expected));
        for text in ["", "0s", "soon", "2027-01-31"] {
            assert!(longest(text).is_err(), "{text}");
        }
    }
}
