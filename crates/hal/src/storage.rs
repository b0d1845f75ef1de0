use super::HalError;

/// The card or disk that recordings go to, as far as hardware has a say in it.
pub trait Storage: Send + Sync {
    /// What is known about it now.
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
    /// Nothing is plugged in.
    Missing,
    /// It can be read but not written.
    ReadOnly,
    /// It can be written.
    Ready {
        /// Size, in bytes.
        total: u64,
        /// Of it free, in bytes.
        free: u64,
    },
}
