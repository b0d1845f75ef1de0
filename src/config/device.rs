//! `[device]`

use jiff::tz::TimeZone;

use crate::document::{Table, Value};

/// `[device]`: who the device is. Names only; neither is a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// `product_id`: letters, digits and underscore, at most 10. Default: `PEERCAMSIM`.
    pub product_id: String,
    /// `device_name`: letters, digits, `_` and `-`, at most 48. Default: `sim_0001`.
    pub device_name: String,
    /// `timezone`: whose days and months recordings are listed by. Default: the system's.
    pub timezone: TimeZone,
}

impl Default for Device {
    fn default() -> Self {
        Self {
            product_id: "PEERCAMSIM".to_owned(),
            device_name: "sim_0001".to_owned(),
            timezone: TimeZone::try_system().unwrap_or(TimeZone::UTC),
        }
    }
}

impl Device {
    pub(super) fn read(&mut self, table: &mut Table<'_>) {
        if let Some(id) = name(table.get("product_id"), 10, "_", "letters, digits and _") {
            self.product_id = id;
        }
        let allowed = "letters, digits, _ and -";
        if let Some(name) = name(table.get("device_name"), 48, "_-", allowed) {
            self.device_name = name;
        }
        if let Some(zone) = zone(table.get("timezone")) {
            self.timezone = zone;
        }
    }
}

fn name(value: Value<'_>, max: usize, extra: &str, allowed: &str) -> Option<String> {
    let text = value.string()?;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || extra.contains(c);
    let is_name = (1..=max).contains(&text.len()) && text.chars().all(is_allowed);
    let message = || format!("1 to {max} characters are allowed, of {allowed}");
    value.accept(is_name.then(|| text.to_owned()).ok_or_else(message))
}

fn zone(value: Value<'_>) -> Option<TimeZone> {
    const NEEDED: &str = "a zone that this system knows is needed, such as \"Asia/Shanghai\", or one in POSIX form, such as \"CST-8\"";
    let text = value.string()?;
    let zone = TimeZone::get(text).or_else(|_| TimeZone::posix(text));
    value.accept(zone.map_err(|_| NEEDED))
}
