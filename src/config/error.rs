use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::document::Mistake;

/// Every mistake of a configuration, each in one line: `FILE:LINE: KEY: what is wrong and allowed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    path: PathBuf,
    mistakes: Vec<Mistake>,
}

impl ConfigError {
    pub(super) fn new(path: &Path, mistakes: Vec<Mistake>) -> Self {
        let path = path.to_owned();
        Self { path, mistakes }
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        if let [mistake] = &self.mistakes[..] {
            return write!(f, "{path}{mistake}");
        }
        write!(f, "{path}: {} mistakes", self.mistakes.len())?;
        for mistake in &self.mistakes {
            write!(f, "\n{path}{mistake}")?;
        }
        Ok(())
    }
}
