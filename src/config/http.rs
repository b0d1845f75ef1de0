//! `[http]`

use std::time::Duration;

use peercam_net::Timeouts;

use crate::{document::Table, http::BODY_TIMEOUT};

/// `[http]`: bounds of the HTTP surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http {
    /// `max_connections`: open at a time, over all listeners. Default: 256.
    pub max_connections: usize,
    /// `max_viewers`: media responses at a time. Default: 32.
    pub max_viewers: usize,
    /// `header_timeout`, `idle_timeout`, `write_timeout`.
    pub timeouts: Timeouts,
    /// `body_timeout`: to send a request body. Default: 10 s.
    pub body_timeout: Duration,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            max_connections: 256,
            max_viewers: 32,
            timeouts: Timeouts::default(),
            body_timeout: BODY_TIMEOUT,
        }
    }
}

/// Connections where there is a listener with access control.
const MIN_CONNECTIONS: usize = 16;

impl Http {
    pub(super) fn read(&mut self, table: &mut Table<'_>, has_token: bool) {
        let connections = table.get("max_connections");
        let max = connections.number(1..=100_000);
        self.max_connections = max.unwrap_or(self.max_connections);
        if has_token && self.max_connections < MIN_CONNECTIONS {
            connections.refuse(format!(
                "{MIN_CONNECTIONS} at least are needed where viewers prove themselves: with fewer, guests could shut the owner out"
            ));
        }
        let viewers = table.get("max_viewers").number(1..=100_000);
        self.max_viewers = viewers.unwrap_or(self.max_viewers);
        for (key, target) in [
            ("header_timeout", &mut self.timeouts.header),
            ("idle_timeout", &mut self.timeouts.idle),
            ("write_timeout", &mut self.timeouts.write),
            ("body_timeout", &mut self.body_timeout),
        ] {
            let bounds = Duration::from_secs(1)..=Duration::from_hours(1);
            *target = table.get(key).duration(bounds).unwrap_or(*target);
        }
    }
}
