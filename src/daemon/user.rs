//! Commands that makers define, joined to the programs that do them.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    config::UserDefine,
    device::{self, CustomCommands},
    http::CommandWebhook,
};

/// Programs that do commands, by the names of these.
pub(super) type Programs = BTreeMap<String, Arc<CommandWebhook>>;

/// Commands of `user_define` that are done, and the programs that do them.
pub(super) fn custom_commands(config: &UserDefine) -> (CustomCommands, Programs) {
    let programs = config.handlers.iter().cloned().map(|handler| {
        let program = CommandWebhook::new(handler.address, handler.timeout);
        (handler.name, Arc::new(program))
    });
    let programs: Programs = programs.collect();
    let handlers = programs.iter().map(|(name, program)| {
        let program: Arc<dyn device::CustomHandler> = Arc::clone(program) as _;
        (name.clone(), program)
    });
    let commands = CustomCommands {
        handlers: handlers.collect(),
        allowed: config.allow.clone(),
    };
    (commands, programs)
}
