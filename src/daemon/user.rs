//! Commands that makers define, joined to the programs that do them.

use std::sync::Arc;

use crate::{
    config::UserDefine,
    device::{self, UserCommands},
    http::LocalHandler,
};

/// Commands of `user_define` that are done, each with the program that does it.
pub(super) fn user_commands(config: UserDefine) -> UserCommands {
    let handlers = config.handlers.into_iter().map(|handler| {
        let program: Arc<dyn device::UserHandler> =
            Arc::new(LocalHandler::new(handler.address, handler.timeout));
        (handler.name, program)
    });
    UserCommands {
        handlers: handlers.collect(),
        allowed: config.allow,
    }
}
