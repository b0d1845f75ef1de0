use tokio::signal::unix::{Signal, SignalKind, signal};

use super::CliError;

/// SIGINT and SIGTERM.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn listen() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(CliError::io("signals cannot be listened to"));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for the next of them.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// SIGHUP, by which the daemon is told to read its configuration again. SIGUSR1 and SIGUSR2, which end
/// a program that knows nothing of them, do nothing from then on.
pub struct Hangups {
    hangup: Signal,
    _ignored: [Signal; 2],
}

impl Hangups {
    /// Listens from now on.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn listen() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(CliError::io("signals cannot be listened to"));
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            _ignored: [
                listen(SignalKind::user_defined1())?,
                listen(SignalKind::user_defined2())?,
            ],
        })
    }

    /// Waits for the next one. Those that come meanwhile are one.
    pub async fn next(&mut self) {
        self.hangup.recv().await;
    }
}

/// Does something until it is done or somebody ends it, so that there is time to take leave: a
/// viewer that is cut off keeps its place until the device has noticed.
pub(super) async fn until_interrupted<T>(
    work: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    let mut signals = Signals::listen()?;
    tokio::select! {
        done = work => done,
        () = signals.next() => Err(CliError::Interrupted),
    }
}
