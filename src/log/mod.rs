//! The way out of the log: its levels, lines that hold nothing but what is seen, and a thread that
//! writes them, so that nobody else waits for whoever reads the log.
//!
//! Belongs here: which lines get out, and how. Does not belong here: what is worth a line, which is
//! `tracing`'s and its callers' to say.

pub mod levels;
mod lines;
mod queue;

use std::{
    fmt,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use peercam_task::boundary;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter},
    registry::Registry,
};

pub use self::lines::LogLines;
use self::queue::Queue;

/// Timeout for writing the last lines.
const LAST: Duration = Duration::from_secs(1);

/// Standard error, as a program writes its log to it.
#[derive(Clone, Debug)]
pub enum Log {
    /// Straight away: a command ends when it has said everything.
    Direct,
    /// Through a thread of its own: a daemon waits for nobody who reads it.
    Queued(Arc<Queue>),
}

impl Log {
    /// The log of a daemon. It is also written out before the process is ended
    /// ([`boundary::before_end`]).
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn queued() -> io::Result<Self> {
        let queue = Queue::start(io::stderr())?;
        let last = Arc::clone(&queue);
        boundary::before_end(move || last.flush(LAST));
        Ok(Self::Queued(queue))
    }

    /// Waits until all that was logged is written, for a second at most.
    pub fn flush(&self) {
        self.flush_within(LAST);
    }

    /// The same, for somebody who has less time.
    pub fn flush_within(&self, time: Duration) {
        if let Self::Queued(queue) = self {
            queue.flush(time);
        }
    }

    /// Says, behind all that was logged, why the program ends.
    pub fn last_words(&self, text: &str) {
        self.flush();
        // Nobody reading it changes nothing.
        let _ = self.clone().write_all(text.as_bytes());
        self.flush();
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self {
            Self::Direct => io::stderr().write(line),
            Self::Queued(queue) => {
                queue.push(line);
                Ok(line.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Names the counter of lines that were lost.
pub fn register(registry: &mut Registry) {
    registry.register_collector(Box::new(Lost));
}

#[derive(Debug)]
struct Lost;

impl Collector for Lost {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Lines of the log that were lost, because it was not read fast enough";
        let name = "log_lines_lost";
        let descriptor = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(queue::lost() as u64).encode(descriptor)
    }
}
