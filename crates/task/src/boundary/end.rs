use std::{
    process,
    sync::{OnceLock, mpsc},
    time::Duration,
};

/// Timeout of the last words: the log may be what is stuck.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Reason, and exit status, with which the process ends itself, so that whoever started it starts
/// it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Panic with a [`Vital`](super::Vital) held, which decides who is let in.
    Untrusted = 70,
    /// Its runtime stood still.
    Stalled = 71,
}

/// Flush behind the last words, so that they get out.
static FLUSH: OnceLock<Box<dyn Fn() + Send + Sync>> = OnceLock::new();

/// Has `flush` bring out what was logged before the process ends itself. For programs, once.
pub fn before_end(flush: impl Fn() + Send + Sync + 'static) {
    // The first one is the program's.
    let _ = FLUSH.set(Box::new(flush));
}

/// Ends the process where it stands, after `last_words`, for which there is a second.
pub(crate) fn end_process(exit: Exit, last_words: impl FnOnce() + Send + 'static) -> ! {
    let (done, is_done) = mpsc::channel();
    let speaker = std::thread::Builder::new().spawn(move || {
        last_words();
        if let Some(flush) = FLUSH.get() {
            flush();
        }
        // Who does not wait any more has ended the process.
        let _ = done.send(());
    });
    if speaker.is_ok() {
        let _ = is_done.recv_timeout(LAST_WORDS);
    }
    process::exit(exit as i32)
}
