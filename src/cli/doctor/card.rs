use super::{Finding, Report, daemon::Running};
use crate::{config::Config, record};

/// Looks at the card that recordings go to.
pub(super) fn look(config: &Config, running: Option<&Running>, report: &mut Report) {
    let Some(record) = &config.record else {
        return;
    };
    let path = record.config.path.display();
    if let Some(running) = running
        && let Some(status) = &running.status
    {
        let problems = running.problems().into_iter();
        let its: Vec<_> = problems.filter(|problem| problem.part == "card").collect();
        let card = &status["card"];
        if card.is_null() {
            report.warn("card: the daemon records nothing: it was started with --no-record, or before [record] was added; restart it to record");
        } else if its.is_empty() {
            report.good(format_args!(
                "card: the daemon writes to {path}: {} files, {} MiB",
                card["files"],
                card["bytes"].as_u64().unwrap_or_default() >> 20
            ));
        }
        its.into_iter()
            .for_each(|problem| report.add(problem.into()));
        return;
    }
    match record::free_space(&record.config) {
        Ok(free) => report.good(format_args!(
            "card: {path} can be written to, {} MiB are free",
            free >> 20
        )),
        Err(error) => report.add(Finding::failure(
            format_args!("card: {path}"),
            error,
            "insert and mount the card, or see that the user of the daemon may write there",
        )),
    }
}
