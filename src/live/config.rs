//! `[live]`: the keys that are the live path's own.

use super::Config;
use crate::document::Table;

impl Config {
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        let memory = table.get("memory").size(1 << 20..=1 << 30);
        self.memory = memory.unwrap_or(self.memory);
    }
}
