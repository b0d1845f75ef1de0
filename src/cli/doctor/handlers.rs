use std::time::Duration;

use peercam_net::{Address, dial};
use tokio::time::Instant;

use super::Report;
use crate::{config::Config, http::WebhookAddress};

/// Timeout of a connection to a program on this machine.
const CONNECT_TIME: Duration = Duration::from_secs(1);

/// Looks whether the programs are there that do commands.
pub(super) async fn look(config: &Config, report: &mut Report) {
    for handler in &config.user.handlers {
        let (name, place) = (&handler.name, &handler.address);
        let address = match place {
            WebhookAddress::Http(address, _) => Address::from(*address),
            WebhookAddress::Unix(path) => Address::Unix(path.clone()),
        };
        match dial(&address, Instant::now() + CONNECT_TIME).await {
            Ok(_) => report.good(format_args!("handler {name}: a program listens at {place}")),
            Err(error) => report.fail(format_args!(
                "handler {name}: no program listens at {place}: {error}; start it, or mend the url of its [[user_define.handler]]"
            )),
        }
    }
}
