use std::{
    fmt::Display,
    io::{self, Write},
};

use peercam_proto::text::Printable;

use crate::cli::CliError;

/// Findings, printed line by line as they come. Warnings leave the exit status at 0.
#[derive(Default)]
pub(super) struct Report {
    failures: usize,
}

/// Something that was found. What does not work has a sentence on what to do behind its reason.
pub(super) enum Finding {
    /// Sentence on a thing that works.
    Good(String),
    /// Sentence on one that works, and hardly as it was meant, or that cannot be known from here.
    Doubt(String),
    /// Sentence on one that does not work, with what to do.
    Failure(String),
}

impl Finding {
    /// Something that does not work, for this reason, and what can be done.
    pub(super) fn failure(what: impl Display, reason: impl Display, remedy: &str) -> Self {
        Self::Failure(format!("{what}: {reason}; {remedy}"))
    }
}

impl Report {
    fn say(mark: &str, text: &dyn Display) {
        // Nobody reading it is no reason not to look on.
        let _ = writeln!(io::stdout(), "{mark:4}  {}", Printable(text));
    }

    pub(super) fn good(&self, text: impl Display) {
        Self::say("ok", &text);
    }

    pub(super) fn warn(&self, text: impl Display) {
        Self::say("warn", &text);
    }

    pub(super) fn fail(&mut self, text: impl Display) {
        self.failures += 1;
        Self::say("FAIL", &text);
    }

    pub(super) fn add(&mut self, finding: Finding) {
        match finding {
            Finding::Good(text) => self.good(text),
            Finding::Doubt(text) => self.warn(text),
            Finding::Failure(text) => self.fail(text),
        }
    }

    /// Result of the command: an error if something has to be done.
    pub(super) fn verdict(self) -> Result<(), CliError> {
        match self.failures {
            0 => Ok(()),
            1 => Err(CliError::Usage("one thing does not work".to_owned())),
            count => Err(CliError::Usage(format!("{count} things do not work"))),
        }
    }
}
