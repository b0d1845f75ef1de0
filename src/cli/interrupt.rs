use tokio::signal::unix::{SignalKind, signal};

use super::CliError;

/// Does something until it is done or somebody ends it, so that there is time to take leave: a
/// viewer that is cut off keeps its place until the device has noticed.
pub(super) async fn until_interrupted<T>(
    work: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    let listen = |kind| signal(kind).map_err(CliError::io("signals cannot be listened to"));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    tokio::select! {
        done = work => done,
        _ = interrupt.recv() => Err(CliError::Interrupted),
        _ = terminate.recv() => Err(CliError::Interrupted),
    }
}
