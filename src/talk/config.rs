//! `[talkback]`

use std::time::Duration;

use super::Config;
use crate::document::Table;

impl Config {
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        let jitter = Duration::from_millis(40)..=Duration::from_secs(2);
        self.jitter = table.get("jitter").duration(jitter).unwrap_or(self.jitter);
        let rate = table.get("sample_rate").number(8_000..=48_000);
        self.sample_rate = rate.unwrap_or(self.sample_rate);
        let idle = Duration::from_secs(1)..=Duration::from_mins(5);
        self.idle = table.get("idle").duration(idle).unwrap_or(self.idle);
    }
}
