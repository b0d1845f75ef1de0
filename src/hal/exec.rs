//! A speaker that is another program: PCM goes to its standard input.

use std::{
    collections::VecDeque,
    io::{self, Write},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{OFlags, fcntl_setfl},
    process::{Pid, Signal, kill_process_group},
};

use super::{Camera, HalError, MediaInput, Parts, TalkSink, Talkback};
use crate::media::{Quality, SoundCoding, SoundFormat};

/// Sound that waits for the program, at most so long; the oldest is lost.
const ROOM: Duration = Duration::from_millis(500);
/// A program that ends is started again after so long, twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often a program is looked at.
const STEP: Duration = Duration::from_millis(20);
/// How long the program may go on after the talk, to play what it has.
const GRACE: Duration = Duration::from_secs(2);

/// The command line is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the command of a speaker names a program and its arguments")]
pub struct ExecError;

/// A speaker that runs a program for each talk, such as `aplay`. The program and its arguments are
/// those of the configuration; `{rate}` and `{channels}` in them stand for what is talked.
pub struct ExecSpeaker {
    command: Arc<[String]>,
    held: Arc<AtomicBool>,
    /// Held while a program runs: the next one starts when the last one has played what it had.
    playing: Arc<Mutex<()>>,
}

impl ExecSpeaker {
    /// A speaker of this program and these arguments.
    ///
    /// # Errors
    /// [`ExecError`] if there is no program.
    pub fn new(command: &[String]) -> Result<Self, ExecError> {
        match command.first() {
            Some(program) if !program.is_empty() => Ok(Self {
                command: command.into(),
                held: Arc::default(),
                playing: Arc::default(),
            }),
            _ => Err(ExecError),
        }
    }
}

impl Talkback for ExecSpeaker {
    fn open(&self, format: &SoundFormat) -> Result<Box<dyn TalkSink>, HalError> {
        if format.coding != SoundCoding::Pcm {
            return Err(HalError::Unsupported(format.coding.as_str().to_owned()));
        }
        if self.held.swap(true, Ordering::AcqRel) {
            return Err(HalError::Busy);
        }
        let held = Held(Arc::clone(&self.held));
        let fill = |text: &String| {
            let text = text.replace("{rate}", &format.sample_rate.to_string());
            text.replace("{channels}", &format.channels.to_string())
        };
        let command: Vec<String> = self.command.iter().map(fill).collect();
        let frame = 2 * usize::from(format.channels);
        let room = format.sample_rate as usize * frame * ROOM.as_millis() as usize / 1000;
        let queue = Arc::new(Queue::new(room, frame));
        let feeder = Feeder {
            command,
            queue: Arc::clone(&queue),
            playing: Arc::clone(&self.playing),
        };
        thread::Builder::new()
            .name("speaker".to_owned())
            .spawn(move || feeder.run())
            .map_err(|error| HalError::Failed(format!("the speaker's thread: {error}")))?;
        Ok(Box::new(Sink { queue, _held: held }))
    }
}

/// Free again when the talk has ended.
struct Held(Arc<AtomicBool>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Sound on its way to the thread. Bound: `room` bytes; the oldest are lost.
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    room: usize,
    frame: usize,
}

#[derive(Default)]
struct Waiting {
    bytes: VecDeque<u8>,
    has_ended: bool,
}

impl Queue {
    fn new(room: usize, frame: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            room,
            frame,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, block: &[u8]) {
        let mut waiting = self.lock();
        waiting.bytes.extend(block);
        let length = waiting.bytes.len();
        let over = length.saturating_sub(self.room);
        let lost = over.next_multiple_of(self.frame).min(length);
        waiting.bytes.drain(..lost);
        self.changed.notify_one();
    }

    fn finish(&self) {
        self.lock().has_ended = true;
        self.changed.notify_one();
    }

    /// What waits; `None` at the end.
    fn take(&self) -> Option<Vec<u8>> {
        let idle = |waiting: &mut Waiting| waiting.bytes.is_empty() && !waiting.has_ended;
        let waiting = self.changed.wait_while(self.lock(), idle);
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = waiting.bytes.drain(..).collect();
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Waits for so long, or until the talk has ended; whether it has.
    fn pause(&self, length: Duration) -> bool {
        let going = |waiting: &mut Waiting| !waiting.has_ended;
        let waited = self.changed.wait_timeout_while(self.lock(), length, going);
        waited.unwrap_or_else(PoisonError::into_inner).0.has_ended
    }
}

struct Sink {
    queue: Arc<Queue>,
    _held: Held,
}

impl TalkSink for Sink {
    fn push(&mut self, block: &[u8]) {
        self.queue.push(block);
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.queue.finish();
    }
}

/// Runs the program, and gives it what is talked.
struct Feeder {
    command: Vec<String>,
    queue: Arc<Queue>,
    playing: Arc<Mutex<()>>,
}

impl Feeder {
    fn run(&self) {
        let _playing = self.playing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            match self.start() {
                Ok(mut child) => {
                    let whole = self.feed(&mut child);
                    let status = end(&mut child, &self.command[0]);
                    if whole {
                        return;
                    }
                    tracing::warn!(
                        program = self.command[0],
                        status,
                        "the speaker's program ended; it is started again"
                    );
                }
                Err(error) => {
                    tracing::warn!(program = self.command[0], %error, "the speaker's program does not start; it is tried again");
                }
            }
            if began.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            if self.queue.pause(pause) {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn start(&self) -> io::Result<Child> {
        Command::new(&self.command[0])
            .args(&self.command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // What it has to complain about stands in the log's place.
            .stderr(Stdio::inherit())
            // A group, so that what it starts can be ended with it.
            .process_group(0)
            .spawn()
    }

    /// Feeds it to the end of the talk; `false` if it took no more.
    fn feed(&self, child: &mut Child) -> bool {
        let Some(mut input) = child.stdin.take() else {
            return false;
        };
        // A program that takes nothing must not keep the speaker.
        if fcntl_setfl(&input, OFlags::NONBLOCK).is_err() {
            return false;
        }
        while let Some(bytes) = self.queue.take() {
            match self.write(&mut input, &bytes) {
                Ok(()) => {}
                Err(error) => return error.kind() == io::ErrorKind::TimedOut,
            }
        }
        true
    }

    /// Writes all; a program that takes nothing for a while after the talk is given up.
    fn write(&self, input: &mut ChildStdin, mut bytes: &[u8]) -> io::Result<()> {
        let mut given_up = None;
        while !bytes.is_empty() {
            match input.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.queue.pause(STEP) {
                        let until = *given_up.get_or_insert_with(|| Instant::now() + GRACE);
                        if Instant::now() >= until {
                            return Err(io::ErrorKind::TimedOut.into());
                        }
                        thread::sleep(STEP);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Waits for the program to play what it has; one that does not end is ended.
fn end(child: &mut Child, program: &str) -> String {
    let until = Instant::now() + GRACE;
    while Instant::now() < until {
        match child.try_wait() {
            Ok(None) => thread::sleep(STEP),
            Ok(Some(status)) => return status.to_string(),
            Err(error) => return error.to_string(),
        }
    }
    tracing::warn!(program, "the speaker's program does not end; it is killed");
    // It may have ended by now. Not waited for yet, its number is still its own.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.wait();
    "killed".to_owned()
}

/// A camera with another speaker than its own.
pub struct WithSpeaker {
    camera: Arc<dyn Camera>,
    speaker: Arc<dyn Talkback>,
}

impl WithSpeaker {
    /// `camera` with `speaker`.
    pub fn new(camera: Arc<dyn Camera>, speaker: Arc<dyn Talkback>) -> Self {
        Self { camera, speaker }
    }
}

impl Camera for WithSpeaker {
    fn open(&self, quality: Quality) -> Result<MediaInput, HalError> {
        self.camera.open(quality)
    }

    fn parts(&self) -> Parts {
        Parts {
            talkback: Some(Arc::clone(&self.speaker)),
            ..self.camera.parts()
        }
    }

    fn offline(&self) -> Option<String> {
        self.camera.offline()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pcm() -> SoundFormat {
        SoundFormat {
            coding: SoundCoding::Pcm,
            sample_rate: 8_000,
            channels: 1,
        }
    }

    fn shell(script: &str) -> ExecSpeaker {
        let command = ["sh", "-c", script].map(str::to_owned);
        ExecSpeaker::new(&command).expect("a command")
    }

    /// Waits until the programs of all talks have ended.
    fn wait(speaker: &ExecSpeaker) {
        let until = Instant::now() + Duration::from_secs(20);
        while Arc::strong_count(&speaker.playing) > 1 {
            assert!(Instant::now() < until, "a program never ends");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn the_program_gets_what_is_talked() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("heard");
        let script = format!(
            "echo {{rate}} {{channels}} > {0}; cat >> {0}",
            path.display()
        );
        let speaker = shell(&script);
        let mut sink = speaker.open(&pcm()).expect("free");
        assert_eq!(speaker.open(&pcm()).err(), Some(HalError::Busy));
        sink.push(b"abcd");
        sink.push(b"efgh");
        drop(sink);
        wait(&speaker);
        assert_eq!(std::fs::read(&path).expect("a file"), b"8000 1\nabcdefgh");
    }

    #[test]
    fn a_program_that_takes_nothing_keeps_nobody_waiting() {
        let speaker = shell("exec sleep 1000");
        for _ in 0..2 {
            let mut sink = speaker.open(&pcm()).expect("free");
            for _ in 0..20 {
                sink.push(&[1; 8000]);
                thread::sleep(Duration::from_millis(5));
            }
        }
        wait(&speaker);
    }

    #[test]
    fn what_a_program_started_is_killed_with_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("child");
        let script = format!("sleep 1000 & echo $! > {}; wait", path.display());
        let speaker = shell(&script);
        drop(speaker.open(&pcm()).expect("free"));
        wait(&speaker);
        let child = std::fs::read_to_string(&path).expect("a file");
        let stat = format!("/proc/{}/stat", child.trim());
        let until = Instant::now() + Duration::from_secs(20);
        // Whoever inherits it may not have waited for it yet.
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(Instant::now() < until, "it lives on");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_program_that_ends_is_started_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("starts");
        let speaker = shell(&format!(
            "echo x >> {}; head -c 2 > /dev/null",
            path.display()
        ));
        let mut sink = speaker.open(&pcm()).expect("free");
        let until = Instant::now() + Duration::from_secs(20);
        while std::fs::read(&path).map_or(0, |starts| starts.len()) < 3 * 2 {
            assert!(Instant::now() < until, "it is not started again");
            sink.push(&[0; 64]);
            thread::sleep(Duration::from_millis(5));
        }
        drop(sink);
        wait(&speaker);
    }

    #[test]
    fn what_has_no_room_is_lost_in_whole_samples() {
        let queue = Queue::new(8, 4);
        queue.push(b"aaaabbbb");
        queue.push(b"cccc");
        assert_eq!(queue.take().as_deref(), Some(b"bbbbcccc".as_slice()));
        queue.finish();
        assert_eq!(queue.take(), None);
    }

    #[test]
    fn a_program_that_is_not_there_is_no_reason_to_hang() {
        let speaker = ExecSpeaker::new(&["/nowhere/player".to_owned()]).expect("a command");
        let sink = speaker.open(&pcm()).expect("free");
        drop(sink);
        wait(&speaker);
        assert!(ExecSpeaker::new(&[]).is_err());
    }
}
