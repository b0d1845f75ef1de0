use super::{
    Report,
    daemon::{Problem, Running},
};
use crate::{config::Config, device::CustomHandler, http::CommandWebhook};

/// Looks whether the programs are there that do commands, without connecting to them. What commands
/// found out is known to a running daemon only.
pub(super) async fn look(config: &Config, running: Option<&Running>, report: &mut Report) {
    let problems = running.map(Running::problems).unwrap_or_default();
    let is_handler = |problem: &Problem| problem.part == "handler";
    let problems: Vec<_> = problems.into_iter().filter(is_handler).collect();
    for handler in &config.user.handlers {
        let (name, place) = (&handler.name, &handler.address);
        let is_told = |problem: &Problem| problem.name.as_ref() == Some(name);
        if problems.iter().any(is_told) {
            continue;
        }
        let program = CommandWebhook::new(place.clone(), handler.timeout);
        program.check().await;
        match program.failure() {
            None => report.good(format_args!(
                "handler {name}: {place} is there; doctor looks without connecting"
            )),
            Some(failure) => report.fail(format_args!(
                "handler {name}: {}: {}; start it, or mend the url of its [[user_define.handler]]",
                failure.what, failure.place
            )),
        }
    }
    for problem in problems {
        report.add(problem.into());
    }
}
