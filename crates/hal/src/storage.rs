use super::HalError;

/// The card or disk that recordings go to, as far as hardware has a say in it.
pub trait Storage: Send + Sync {
    /// Returns the state as far as it is known now.
    fn state(&self) -> StorageState;

    /// Asks whether `bytes` more may be written. **May block** the calling thread for as long as
    /// a busy card would; called by the recorder's own thread only.
    ///
    /// # Errors
    /// [`HalError::Missing`], [`HalError::Full`] or [`HalError::ReadOnly`].
    fn admit(&self, bytes: u64) -> Result<(), HalError>;
}

/// State of a card or disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageState {
    /// No medium is plugged in.
    Missing,
    /// The medium can be read but not written.
    ReadOnly,
    /// The medium can be written.
    Ready {
        /// Size, in bytes.
        total: u64,
        /// Free space, in bytes.
        free: u64,
    },
}
