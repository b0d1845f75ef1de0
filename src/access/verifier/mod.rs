//! Authentication of requests on one connection: token syntax, MAC, replay, and keys.
//!
//! Invariants: claims are read, and keys derived for the connection, only of a token whose MAC held
//! and whose counter is new; an unknown issuer and a wrong MAC look the same and take the same
//! time. Whether a credential is good *now* is not asked here but of [`Authority::admit`].

mod counter;

use std::sync::Arc;

use counter::Counter;
use peercam_proto::{
    credential::{
        BodyKind, Claims, ClaimsError, Credential, EXPORTER_LABEL, EndpointId, Secret, Signed,
        Target, Token, Transport,
    },
    encoding::base64,
    sealed::{Exchange, Keys},
};
use peercam_task::boundary::{Vital, VitalGuard};
use zeroize::Zeroizing;

use super::{
    authority::Authority,
    holder::Holder,
    store::{StoreError, random},
};

/// Failed authentications of a connection after which it is not answered any more.
const MAX_TRIES: u32 = 4;

/// A connection that is secure by itself, both ends of which are known: QUIC or TLS 1.3 after its
/// *completed* handshake, so that early data cannot have an exporter.
pub trait SecureChannel {
    /// The other end's key.
    fn peer(&self) -> EndpointId;

    /// Keying material of this very connection (RFC 8446 §7.5).
    ///
    /// # Errors
    /// [`ExportError`] if the connection has none.
    fn export(&self, label: &[u8], context: &[u8]) -> Result<[u8; 32], ExportError>;
}

/// The connection gives no keying material.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection has no keying material to bind tokens to")]
pub struct ExportError;

/// Authenticator of one connection: lets requests through to the router that prove themselves.
///
/// What a proof is bound to lives and dies with the connection, so a token cannot be used on
/// another one, nor twice on this one, and no clock and no memory of old tokens is needed.
pub struct TokenVerifier {
    authority: Arc<Authority>,
    binding: Binding,
    state: Vital<State>,
}

/// Channel binding: the value `B` that ties tokens to this connection, and over P2P the peer's key.
enum Binding {
    Tcp {
        fresh: [u8; 32],
        exchange: Exchange,
    },
    P2p {
        exported: [u8; 32],
        peer: EndpointId,
    },
}

struct State {
    counter: Counter,
    /// The credential that this connection belongs to.
    credential: Option<String>,
    /// TCP: the viewer's key and what it and ours give.
    agreed: Option<([u8; 32], Zeroizing<[u8; 32]>)>,
    tries: u32,
}

/// The parts of a request that its token covers, as received.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The target in origin form, with its token.
    pub target: &'a str,
    /// The values of its `Range` headers.
    pub range: Option<&'a [u8]>,
    /// Form of its body.
    pub body: BodyKind,
}

/// A request that proved itself.
pub struct Verified<'a> {
    /// The credential's holder; an error if its claims are not in order, whoever minted them.
    pub holder: Result<Holder, ClaimsError>,
    /// Path and parameters: the bytes that were signed.
    pub target: Target<'a>,
    /// The keys of request and answer; over P2P there are none.
    pub keys: Option<Keys>,
}

/// An unauthenticated request. Why is nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unauthenticated;

impl TokenVerifier {
    /// The verifier of a new TCP connection.
    ///
    /// # Errors
    /// [`StoreError::Random`].
    pub fn on_tcp(authority: Arc<Authority>) -> Result<Self, StoreError> {
        Ok(Self::with_random(authority, random()?, random()?))
    }

    /// The verifier of [`TokenVerifier::on_tcp`], with `B` and the secret half of `D` given.
    pub(super) fn with_random(
        authority: Arc<Authority>,
        fresh: [u8; 32],
        secret: [u8; 32],
    ) -> Self {
        let exchange = Exchange::new(secret);
        Self::new(
            authority,
            Binding::Tcp { fresh, exchange },
            Counter::Rising { last: 0 },
        )
    }

    /// The verifier of a new P2P connection.
    ///
    /// # Errors
    /// [`ExportError`] if the connection has nothing to bind tokens to.
    pub fn on_p2p(
        authority: Arc<Authority>,
        channel: &dyn SecureChannel,
    ) -> Result<Self, ExportError> {
        let binding = Binding::P2p {
            exported: channel.export(EXPORTER_LABEL, b"")?,
            peer: channel.peer(),
        };
        Ok(Self::new(
            authority,
            binding,
            Counter::Window {
                highest: 0,
                seen: 0,
            },
        ))
    }

    fn new(authority: Arc<Authority>, binding: Binding, counter: Counter) -> Self {
        let state = State {
            counter,
            credential: None,
            agreed: None,
            tries: 0,
        };
        Self {
            authority,
            binding,
            state: Vital::new(state),
        }
    }

    /// The viewer's endpoint; over TCP it has none.
    pub fn peer(&self) -> Option<EndpointId> {
        match self.binding {
            Binding::Tcp { .. } => None,
            Binding::P2p { peer, .. } => Some(peer),
        }
    }

    /// Counts a request that proved nothing and gives the challenge to answer it with; `None` if
    /// it is not to be answered any more. Over P2P the challenge is empty.
    pub fn challenge(&self) -> Option<String> {
        let mut state = self.state();
        state.tries += 1;
        if state.tries > MAX_TRIES {
            return None;
        }
        Some(match &self.binding {
            Binding::P2p { .. } => "Peercam v=\"1\"".to_owned(),
            Binding::Tcp { fresh, exchange } => {
                let [b, d] = [*fresh, exchange.public()].map(|key| base64(&key));
                format!("Peercam v=\"1\", b=\"{b}\", d=\"{d}\"")
            }
        })
    }

    /// Checks a request's token: syntax, then MAC, then counter. Nothing is derived from it before
    /// all of that holds.
    ///
    /// # Errors
    /// [`Unauthenticated`], whatever was wrong.
    pub fn prove<'a>(&self, asked: &SignedRequest<'a>) -> Result<Verified<'a>, Unauthenticated> {
        let target = Target::split(asked.target).ok_or(Unauthenticated)?;
        let token = Token::parse(target.token).ok_or(Unauthenticated)?;
        let (transport, binding, viewer, device_key) = match &self.binding {
            Binding::Tcp { fresh, exchange } => {
                (Transport::Tcp, *fresh, None, Some(exchange.public()))
            }
            Binding::P2p { exported, peer } => (Transport::P2p, *exported, Some(*peer), None),
        };
        // Over TCP a token brings its side of the key exchange; over QUIC there are keys already.
        // One of the other form is refused before anything is computed for it.
        if token.viewer_key.is_some() != device_key.is_some() {
            return Err(Unauthenticated);
        }
        let signed_target = target.signed();
        let signed = Signed {
            transport,
            device: self.authority.device(),
            viewer,
            binding,
            device_key,
            viewer_key: token.viewer_key,
            counter: token.counter,
            method: asked.method,
            target: &signed_target,
            range: asked.range.unwrap_or_default(),
            body: asked.body,
            credential: token.credential,
        };
        // The counter comes last: a token that somebody on the way has made up or spoilt uses up no
        // number that the viewer's own next one needs.
        let key = self.verify(&token, &signed).ok_or(Unauthenticated)?;
        let mut state = self.state();
        let shared = match token.viewer_key {
            None => None,
            Some(viewer_key) => Some(self.agree(&mut state, viewer_key)?.clone()),
        };
        state.accept(&token)?;
        drop(state);
        self.authority.metrics.proven.inc();
        let keys = shared.map(|shared| {
            let session = Credential::session_key_of(&key);
            Keys::derive(&session, &shared, &signed.transcript())
        });
        let holder = Claims::parse(&token.claims).map(|claims| Holder {
            issuer: token.issuer.to_owned(),
            epoch: token.epoch,
            rights: claims.rights(),
            claims,
        });
        Ok(Verified {
            holder,
            target,
            keys,
        })
    }

    /// The credential's key if its MAC holds. One MAC is computed in any case.
    fn verify(&self, token: &Token<'_>, signed: &Signed<'_>) -> Option<Secret> {
        self.authority.metrics.macs.inc();
        let access = self.authority.access();
        let mint_key = access.mint_key(token.issuer, token.epoch);
        let key = mint_key
            .unwrap_or(&self.authority.nobody)
            .key_of(&token.claims);
        let holds = signed.verifies(&key, &token.mac);
        (holds && mint_key.is_some()).then_some(key)
    }

    /// The secret shared with the viewer: made with its first proof, and the same key must come
    /// with every other.
    fn agree<'s>(
        &self,
        state: &'s mut State,
        viewer_key: [u8; 32],
    ) -> Result<&'s Zeroizing<[u8; 32]>, Unauthenticated> {
        let Binding::Tcp { exchange, .. } = &self.binding else {
            return Err(Unauthenticated);
        };
        if state.agreed.is_none() {
            let shared = exchange.agree(viewer_key).ok_or(Unauthenticated)?;
            state.agreed = Some((viewer_key, shared));
        }
        // One exchange for the connection, from which the keys of all its requests derive.
        match &state.agreed {
            Some((known, shared)) if *known == viewer_key => Ok(shared),
            _ => Err(Unauthenticated),
        }
    }

    fn state(&self) -> VitalGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    /// Takes the token's counter, and the connection for its credential.
    fn accept(&mut self, token: &Token<'_>) -> Result<(), Unauthenticated> {
        let is_other = |known: &String| known != token.credential;
        if self.credential.as_ref().is_some_and(is_other) || !self.counter.accept(token.counter) {
            return Err(Unauthenticated);
        }
        if self.credential.is_none() {
            self.credential = Some(token.credential.to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod forgeries;
#[cfg(test)]
mod tests;
