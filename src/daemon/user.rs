//! Commands that makers define, joined to the programs that do them.

use std::sync::Arc;

use crate::{
    config::UserDefine,
    device::{self, CustomCommands},
    http::CommandWebhook,
};

/// Commands of `user_define` that are done, each with the program that does it.
pub(super) fn custom_commands(config: UserDefine) -> CustomCommands {
    let handlers = config.handlers.into_iter().map(|handler| {
        let program: Arc<dyn device::CustomHandler> =
            Arc::new(CommandWebhook::new(handler.address, handler.timeout));
        (handler.name, program)
    });
    CustomCommands {
        handlers: handlers.collect(),
        allowed: config.allow,
    }
}
