use std::path::Path;

use super::CliError;
use crate::{
    access::{DataDir, SecretStore},
    config::Config,
};

/// The device that a command is about.
pub(super) struct Device {
    pub(super) config: Config,
    /// Option that names it on a command line, as in advice: empty, or ` --config FILE`.
    pub(super) option: String,
}

impl Device {
    pub(super) fn load(path: Option<&Path>) -> Result<Self, CliError> {
        let option = path.map(|path| format!(" --config {}", path.display()));
        Ok(Self {
            config: super::load(path)?,
            option: option.unwrap_or_default(),
        })
    }

    /// Its secrets. A device that has none yet gets them if its configuration was named, or if it
    /// `may_be_new`: whoever forgot `--config` must not get a second device.
    pub(super) fn open(&self, may_be_new: bool) -> Result<(DataDir, SecretStore), CliError> {
        let data_dir = &self.config.data_dir;
        let may_be_made = may_be_new || !self.option.is_empty();
        if SecretStore::is_there(data_dir) || !may_be_made {
            return self.existing();
        }
        let data_dir = DataDir::open(data_dir)?;
        let store = SecretStore::open(data_dir.path())?;
        eprintln!(
            "peercam: a new device was made in {}; it runs with: peercam{}",
            data_dir.path().display(),
            self.option
        );
        Ok((data_dir, store))
    }

    /// Its secrets, if there is such a device.
    pub(super) fn existing(&self) -> Result<(DataDir, SecretStore), CliError> {
        let data_dir = &self.config.data_dir;
        if !SecretStore::is_there(data_dir) {
            return Err(CliError::NoDevice {
                data_dir: data_dir.clone(),
                option: self.option.clone(),
            });
        }
        let store = SecretStore::existing(data_dir)?;
        Ok((DataDir::open(data_dir)?, store))
    }
}
