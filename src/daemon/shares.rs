//! Limits of the configuration, shared out so that nobody has all of anything.

use std::sync::Arc;

use peercam_net::{
    Connections, Metrics, Timeouts, UnauthenticatedLimiter, UnauthenticatedLimits, tcp::Listener,
};
use peercam_proto::origin_policy::Allowed;
use tokio::sync::watch;

use crate::{
    access::Authority,
    budget::{Budget, LOCAL, RESERVED, STRANGERS, sealed_connections},
    config::{Config, ListenAccess},
    http::{Listening, LocalPermits},
};

/// Media responses of one credential, however few there are for each.
const MIN_MEDIA: usize = 6;
/// Connections of one source that have proved nothing.
const MAX_UNAUTHENTICATED_OF_SOURCE: usize = 32;

/// Places of each part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    /// Media responses of one credential.
    pub(super) media: usize,
    /// Connections to listeners with access control.
    pub(super) token: usize,
    /// Places among these for peers that have proved nothing yet.
    pub(super) unauthenticated: UnauthenticatedLimits,
    /// Connections to listeners without.
    pub(super) open: usize,
}

impl Shares {
    pub(super) fn from_config(config: &Config, budget: &Budget) -> Self {
        let is_token = |access: &ListenAccess| matches!(access, ListenAccess::Token { .. });
        let listen = || config.listen.iter().map(|listen| is_token(&listen.access));
        let kinds = (
            listen().any(|is_token| is_token),
            listen().any(|is_token| !is_token),
        );
        let sessions = config.access.max_sessions;
        let (token, open) = connections(budget.connections, sessions, kinds);
        Self {
            media: media(budget.viewers, sessions),
            token,
            unauthenticated: UnauthenticatedLimits {
                max: STRANGERS.1.min(token),
                of_source: MAX_UNAUTHENTICATED_OF_SOURCE.min(token.div_ceil(2)),
                reserved: RESERVED.min(token / 2),
            },
            open,
        }
    }
}

/// Places of both kinds of listeners, so that neither takes the other's.
pub(super) struct ByKind {
    /// Connections on which requests prove themselves.
    pub(super) sealed: Connections,
    /// Connections on which they need not.
    pub(super) open: Connections,
    /// Requests on the open ones.
    local: LocalPermits,
}

impl ByKind {
    pub(super) fn new(shares: &Shares, timeouts: Timeouts, metrics: &Metrics) -> Self {
        let places = |max| Connections::new(max, timeouts, metrics.clone());
        Self {
            sealed: places(shares.token).with_unauthenticated(shares.unauthenticated),
            open: places(shares.open),
            local: LocalPermits::new(shares.open, LOCAL.min(shares.open / 4)),
        }
    }

    /// Access rules for a listener's requests, and the places for its connections.
    pub(super) fn of(
        &self,
        listener: &Listener,
        access: &ListenAccess,
        allowed: watch::Receiver<Arc<Allowed>>,
        authority: &Arc<Authority>,
        entrance: &UnauthenticatedLimiter,
    ) -> (Listening, Connections) {
        match access {
            ListenAccess::Open { .. } => {
                let listening = Listening::Open {
                    allowed,
                    is_local: listener.address().ip().to_canonical().is_loopback(),
                    permits: self.local.clone(),
                };
                (listening, self.open.clone())
            }
            ListenAccess::Token { allow_clear_media } => {
                let listening = Listening::Token {
                    authority: Arc::clone(authority),
                    allow_clear_media: *allow_clear_media,
                    entrance: entrance.clone(),
                };
                (listening, self.sealed.clone())
            }
        }
    }
}

/// Origins and hosts that a listener lets in.
pub(super) fn allowed(access: &ListenAccess) -> Arc<Allowed> {
    Arc::new(match access {
        ListenAccess::Open {
            allow_origins,
            allow_placeholder_hosts,
            ..
        } => Allowed {
            origins: allow_origins.clone(),
            placeholder_hosts: *allow_placeholder_hosts,
        },
        ListenAccess::Token { .. } => Allowed::default(),
    })
}

/// Connections of both kinds of listeners: those with access control have what they need, and not
/// more than half where there are others too.
fn connections(max: usize, sessions: usize, kinds: (bool, bool)) -> (usize, usize) {
    match kinds {
        (true, true) => {
            let token = sealed_connections(sessions).min(max / 2);
            (token, max - token)
        }
        (true, false) => (max, 0),
        (false, _) => (0, max),
    }
}

/// Two guests never have all places, where there are three or more.
fn media(viewers: usize, sessions: usize) -> usize {
    match sessions {
        1 => viewers,
        _ => (viewers / sessions)
            .max(MIN_MEDIA)
            .min((viewers - 1) / 2)
            .max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_guests_never_have_all_media() {
        assert_eq!((media(32, 4), media(300, 4), media(8, 1)), (8, 75, 8));
        for viewers in 3..100 {
            for sessions in 2..20 {
                let share = media(viewers, sessions);
                assert!((1..viewers.div_ceil(2)).contains(&share), "{viewers}");
            }
        }
        assert_eq!((media(1, 4), media(2, 4)), (1, 1));
    }

    #[test]
    fn both_kinds_of_listeners_have_connections() {
        assert_eq!(connections(256, 4, (true, true)), (124, 132));
        assert_eq!(connections(400, 4, (true, true)), (124, 276));
        assert_eq!(connections(16, 4, (true, true)), (8, 8));
        assert_eq!(connections(256, 4, (true, false)), (256, 0));
        assert_eq!(connections(2, 4, (false, true)), (0, 2));
    }
}
