//! The registry of metrics, before any part has added its own.

use prometheus_client::{metrics::info::Info, registry::Registry};

use crate::config::Config;

/// Registry of metrics with the daemon's own description, to which the parts add theirs.
pub(super) fn registry(config: &Config) -> Registry {
    let mut registry = Registry::with_prefix("peercam");
    let labels = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("product_id", config.device.product_id.clone()),
        ("device_name", config.device.device_name.clone()),
    ];
    registry.register("device", "What runs here", Info::new(labels));
    registry
}
