//! Bounded queue between whoever logs and the thread that writes. Pushing a line never waits; a line
//! without room is lost, and the log says how many were. The form of lines is made in `lines`.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use peercam_task::boundary::{self, Part};
use tracing_subscriber::fmt::{
    format::Writer,
    time::{FormatTime, SystemTime},
};

/// Bytes that may wait to be written.
const QUEUE_BYTES: usize = 64 << 10;
/// Bytes that a line takes beside its own.
const COST: usize = 64;
/// Interval at which a flush looks whether all is written.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Lines that were lost since the process started, for its metrics.
static LOST: AtomicUsize = AtomicUsize::new(0);

pub(super) fn lost() -> usize {
    LOST.load(Ordering::Relaxed)
}

/// Lines of the log on their way to whoever reads it. Nobody waits who has one to write.
///
/// Bound: 64 KiB, a line with its bytes and 64 more. A line for which there is no room is lost, and
/// where lines were lost the log says how many.
#[derive(Debug)]
pub struct Queue {
    lines: Sender<Line>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes that are not written yet.
    waiting: AtomicUsize,
    /// Lines that were lost, and nobody has said so yet.
    lost: AtomicUsize,
}

struct Line {
    lost_before: usize,
    text: Box<[u8]>,
}

impl Line {
    fn size(text: &[u8]) -> usize {
        text.len() + COST
    }
}

impl Queue {
    /// Starts the thread that writes.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<Arc<Self>> {
        let (sender, lines) = channel();
        let state = Arc::new(State::default());
        let queue = Self {
            lines: sender,
            state: Arc::clone(&state),
        };
        boundary::thread(Part::Service, "log", move || write(&lines, &state, out))?;
        Ok(Arc::new(queue))
    }

    /// Has a line written, if there is room for it.
    pub(super) fn push(&self, text: &[u8]) {
        let State { waiting, lost } = &*self.state;
        let size = Line::size(text);
        let has_room = waiting.fetch_add(size, Ordering::AcqRel) + size <= QUEUE_BYTES;
        if has_room {
            let line = Line {
                lost_before: lost.swap(0, Ordering::AcqRel),
                text: text.into(),
            };
            let Err(unsent) = self.lines.send(line) else {
                return;
            };
            // The thread is no more.
            lost.fetch_add(unsent.0.lost_before, Ordering::AcqRel);
        }
        lost.fetch_add(1, Ordering::AcqRel);
        LOST.fetch_add(1, Ordering::Relaxed);
        waiting.fetch_sub(size, Ordering::AcqRel);
    }

    /// Waits until everything is written, or so long.
    pub(super) fn flush(&self, time: Duration) {
        let began = Instant::now();
        while self.state.waiting.load(Ordering::Acquire) > 0 && began.elapsed() < time {
            thread::sleep(POLL_INTERVAL);
        }
    }
}

fn write(lines: &Receiver<Line>, State { waiting, lost }: &State, mut out: impl Write) {
    while let Ok(Line { lost_before, text }) = lines.recv() {
        say_lost(&mut out, lost_before);
        // What cannot be written is nobody's to read: it was closed.
        let _ = out.write_all(&text);
        let size = Line::size(&text);
        if waiting.load(Ordering::Acquire) == size {
            // The next line may be long in coming.
            say_lost(&mut out, lost.swap(0, Ordering::AcqRel));
        }
        waiting.fetch_sub(size, Ordering::AcqRel);
    }
}

/// Says that lines were lost here, in a line as the others are.
fn say_lost(out: &mut impl Write, lines: usize) {
    if lines == 0 {
        return;
    }
    let mut time = String::new();
    // It writes into a string.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    let what = "the log was not read fast enough, and lines of it were lost";
    let line = format!("{time}  WARN {}: {what} lines={lines}\n", module_path!());
    let _ = out.write_all(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::SyncSender;

    use super::*;

    /// Takes each piece when it is taken from it.
    struct Slow(SyncSender<String>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8_lossy(bytes).into_owned();
            self.0.send(text).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Arc<Queue>, Receiver<String>) {
        let (sender, read) = std::sync::mpsc::sync_channel(0);
        (Queue::start(Slow(sender)).unwrap(), read)
    }

    #[test]
    fn nobody_waits_for_who_reads_the_log_and_what_is_lost_is_said() {
        let (queue, read) = slow();
        let line = [b'x'; 1000 - COST];
        let before = lost();
        // As many as there is room for, and ten.
        for _ in 0..QUEUE_BYTES / 1000 + 10 {
            queue.push(&line);
        }
        queue.flush(Duration::ZERO);
        assert!(lost() - before >= 10);
        let texts: Vec<_> = (0..QUEUE_BYTES / 1000)
            .map(|_| read.recv().unwrap())
            .collect();
        let said = read.recv().unwrap();
        assert!(
            said.contains(" WARN ") && said.ends_with("were lost lines=10\n"),
            "{said}"
        );
        assert!(texts.iter().all(|text| text.as_bytes() == line));
        queue.flush(Duration::MAX);
        queue.push(b"the next\n");
        assert_eq!(read.recv().unwrap(), "the next\n");
    }

    #[test]
    fn what_is_lost_is_said_where_it_was() {
        let (queue, read) = slow();
        queue.push(b"first\n");
        queue.push(&[b'x'; QUEUE_BYTES]);
        queue.push(b"last\n");
        let [first, lost, last] = [(); 3].map(|()| read.recv().unwrap());
        assert_eq!((&*first, &*last), ("first\n", "last\n"));
        assert!(lost.ends_with("lines=1\n"), "{lost}");
    }
}
