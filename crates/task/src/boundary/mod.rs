//! The boundary at which a panic ends: every task and every thread is started here.
//!
//! A part that panics is ended, and the others go on: what it held is freed by unwinding, the log
//! says in one line which part it was and where in the code, and `peercam_panics_total` counts it.
//! What the panic says is never shown: it may have in it what was being read. Whoever owns the
//! part decides what follows: a camera is tried again, a connection is closed, a service begins
//! anew.
//!
//! Not caught, because nothing can be done after it: an overflowing stack, memory that cannot be
//! had, and a panic while another one unwinds. They end the process.

mod contain;
mod end;
mod hook;
mod listen;
mod lock;
mod metrics;
mod restart;
mod work;

use std::{
    fmt::Display,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    thread::JoinHandle,
};

use tokio_util::task::AbortOnDropHandle;

pub use self::{
    contain::{Contained, Panicked, contain, run},
    end::{Exit, before_end},
    hook::{install, library_panicked, library_panics, note_library_panic},
    listen::{PanicListener, on_panic},
    lock::{Guarded, Vital, VitalGuard},
    metrics::register,
    restart::{Backoff, RestartDelay, restarting},
};
pub(crate) use self::{end::end_process, work::at_work};

/// Sort of a part, for log and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Reader of a camera, or a request to one of its parts.
    Camera,
    /// A viewer's or a program's connection.
    Connection,
    /// A request that has a stream of its own.
    Request,
    /// Player of recordings to a viewer.
    Player,
    /// Writer and readers of the SD card.
    Recorder,
    /// Service of the daemon to itself.
    Service,
    /// A task that a library has started, outside of every part.
    Library,
}

impl Part {
    const ALL: [Self; 7] = [
        Self::Camera,
        Self::Connection,
        Self::Request,
        Self::Player,
        Self::Recorder,
        Self::Service,
        Self::Library,
    ];

    /// Its word in log, metrics and events.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Camera => "camera",
            Self::Connection => "connection",
            Self::Request => "request",
            Self::Player => "player",
            Self::Recorder => "recorder",
            Self::Service => "service",
            Self::Library => "library",
        }
    }
}

/// A task that is aborted when its owner drops this.
pub type Task<T = ()> = AbortOnDropHandle<Result<T, Panicked>>;

/// Starts a task of the runtime; `name` tells it from others of its sort in the log.
#[must_use = "a task that nobody owns ends at once"]
pub fn spawn<F>(part: Part, name: impl Display + Send + 'static, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    AbortOnDropHandle::new(tokio::spawn(contain(part, name, future)))
}

/// Work that is under way where it may wait for files. Not waited for, it still is done.
#[derive(Debug)]
pub struct Blocking<T>(tokio::task::JoinHandle<Result<T, Panicked>>);

/// Has `work` done where it may wait for files.
pub fn blocking<T: Send + 'static>(
    part: Part,
    name: impl Display + Send + 'static,
    work: impl FnOnce() -> T + Send + 'static,
) -> Blocking<T> {
    Blocking(tokio::task::spawn_blocking(move || run(part, name, work)))
}

impl<T> Future for Blocking<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let done = ready!(Pin::new(&mut self.0).poll(context));
        // A runtime that ends does no more of it.
        Poll::Ready(done.unwrap_or(Err(Panicked)))
    }
}

/// Starts a thread of this name.
///
/// # Errors
/// If the system gives none.
pub fn thread<T: Send + 'static>(
    part: Part,
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<Result<T, Panicked>>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || run(part, name, work))
}
