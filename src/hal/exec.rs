//! A speaker that is another program: PCM goes to its standard input.

use std::{
    collections::VecDeque,
    io::{self, Write},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
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
/// How long the program may go on after the talk, to play what it has. Nobody else talks meanwhile.
const GRACE: Duration = Duration::from_secs(2);
/// To kill the program when the speaker is no more.
const FAREWELL: Duration = Duration::from_millis(500);

/// The command line is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the command of a speaker names a program and its arguments")]
pub struct ExecError;

/// A speaker that runs a program for each talk, such as `aplay`. The program and its arguments are
/// those of the configuration; `{rate}` and `{channels}` in them stand for what is talked.
///
/// One talk has it, from its beginning until the program has played what it was given, and one
/// thread serves it meanwhile. Dropping the speaker ends both.
pub struct ExecSpeaker {
    command: Arc<[String]>,
    line: Arc<Line>,
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
                line: Arc::default(),
            }),
            _ => Err(ExecError),
        }
    }
}

impl Talkback for ExecSpeaker {
    fn check(&self) -> Result<(), HalError> {
        match self.line.state().is_free() {
            true => Ok(()),
            false => Err(HalError::Busy),
        }
    }

    fn open(&self, format: &SoundFormat) -> Result<Box<dyn TalkSink>, HalError> {
        check_format(format)?;
        let mut state = self.line.state();
        if !state.is_free() {
            return Err(HalError::Busy);
        }
        let key = state.append(format);
        if !std::mem::replace(&mut state.is_served, true) {
            let worker = Worker {
                command: Arc::clone(&self.command),
                line: Arc::clone(&self.line),
            };
            let spawned = thread::Builder::new()
                .name("speaker".to_owned())
                .spawn(move || worker.run());
            if let Err(error) = spawned {
                state.clear();
                return Err(HalError::Failed(format!("the speaker's thread: {error}")));
            }
        }
        Ok(Box::new(Sink {
            line: Arc::clone(&self.line),
            key,
        }))
    }
}

impl Drop for ExecSpeaker {
    fn drop(&mut self) {
        let mut state = self.line.state();
        state.is_closed = true;
        self.line.changed.notify_all();
        // Its program is killed; one that cannot be is not waited for.
        let serves = |state: &mut State| state.is_served;
        let waited = self
            .line
            .changed
            .wait_timeout_while(state, FAREWELL, serves);
        drop(waited);
    }
}

fn check_format(format: &SoundFormat) -> Result<(), HalError> {
    match format.coding {
        SoundCoding::Pcm => Ok(()),
        _ => Err(HalError::Unsupported(format.coding.as_str().to_owned())),
    }
}

/// Sound on its way to the thread, and where the thread is.
#[derive(Default)]
struct Line {
    state: Mutex<State>,
    changed: Condvar,
}

/// What is played and what follows, at most one part each. Bound: [`ROOM`] of sound in each part;
/// the oldest is lost.
#[derive(Default)]
struct State {
    now: Option<Part>,
    next: Option<Part>,
    last_key: u64,
    /// A thread serves it.
    is_served: bool,
    /// The speaker is no more.
    is_closed: bool,
}

/// Sound of one format: a talk, mostly.
struct Part {
    key: u64,
    sample_rate: u32,
    channels: u8,
    bytes: VecDeque<u8>,
    /// Nothing is added any more, since then.
    ended: Option<Instant>,
    /// It is not to be heard to its end.
    is_cut: bool,
}

impl Part {
    fn push(&mut self, block: &[u8]) {
        let frame = 2 * usize::from(self.channels.max(1));
        let room = self.sample_rate as usize * frame * ROOM.as_millis() as usize / 1000;
        self.bytes.extend(block);
        let length = self.bytes.len();
        let over = length.saturating_sub(room);
        let lost = over.next_multiple_of(frame).min(length);
        self.bytes.drain(..lost);
    }
}

impl State {
    /// Whether a talk may begin: none is played, or only one that was cut off.
    fn is_free(&self) -> bool {
        let newest = self.next.as_ref().or(self.now.as_ref());
        !self.is_closed && newest.is_none_or(|part| part.is_cut)
    }

    /// Begins a part behind the one that is played; its key.
    fn append(&mut self, format: &SoundFormat) -> u64 {
        self.last_key += 1;
        let part = Part {
            key: self.last_key,
            sample_rate: format.sample_rate,
            channels: format.channels,
            bytes: VecDeque::new(),
            ended: None,
            is_cut: false,
        };
        match self.now {
            None => self.now = Some(part),
            // What has waited in vain is lost.
            Some(_) => self.next = Some(part),
        }
        self.last_key
    }

    fn part(&mut self, key: u64) -> Option<&mut Part> {
        let parts = [&mut self.now, &mut self.next];
        parts.into_iter().flatten().find(|part| part.key == key)
    }

    fn end(&mut self, key: u64) {
        if let Some(part) = self.part(key) {
            part.ended.get_or_insert_with(Instant::now);
        }
    }

    /// Nobody plays it any more.
    fn clear(&mut self) {
        (self.now, self.next) = (None, None);
        self.is_served = false;
    }

    /// Whether what is played is to go on; not if it was cut off.
    fn goes_on(&self) -> bool {
        !self.is_closed && self.now.as_ref().is_some_and(|part| !part.is_cut)
    }

    fn ended(&self) -> Option<Instant> {
        self.now.as_ref().and_then(|part| part.ended)
    }

    /// When the program is given up: some time after the talk.
    fn deadline(&self) -> Option<Instant> {
        self.ended().map(|ended| ended + GRACE)
    }
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits to be played; `None` at the end.
    fn take(&self) -> Option<Vec<u8>> {
        let idle = |state: &mut State| {
            let now = state.now.as_ref();
            let has_some = now.is_none_or(|now| !now.bytes.is_empty() || now.ended.is_some());
            state.goes_on() && !has_some
        };
        let state = self.changed.wait_while(self.state(), idle);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if !state.goes_on() {
            return None;
        }
        let bytes: Vec<u8> = state.now.as_mut()?.bytes.drain(..).collect();
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Waits for so long, or until what is played has ended or is cut off; whether it has.
    fn pause(&self, length: Duration) -> bool {
        let going = |state: &mut State| state.goes_on() && state.ended().is_none();
        let waited = self.changed.wait_timeout_while(self.state(), length, going);
        !going(&mut waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Waits for so long, or until what is played is cut off; whether it was, or has had its time.
    fn is_over(&self, length: Duration, deadline: Option<Instant>) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.state(), length, |state| state.goes_on());
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let deadline = deadline.or(state.deadline());
        !state.goes_on() || deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

struct Sink {
    line: Arc<Line>,
    /// Of the part that is being pushed.
    key: u64,
}

impl TalkSink for Sink {
    fn push(&mut self, block: &[u8]) {
        if let Some(part) = self.line.state().part(self.key) {
            part.push(block);
        }
        self.line.changed.notify_all();
    }

    fn change(&mut self, format: &SoundFormat) -> Result<bool, HalError> {
        check_format(format)?;
        let mut state = self.line.state();
        if state.part(self.key).is_none() {
            return Ok(false);
        }
        state.end(self.key);
        self.key = state.append(format);
        self.line.changed.notify_all();
        Ok(true)
    }

    fn cut(&mut self) {
        let mut state = self.line.state();
        let State { now, next, .. } = &mut *state;
        for part in [now, next].into_iter().flatten() {
            // Parts of one talk only wait for each other.
            part.is_cut |= part.key <= self.key;
        }
        self.line.changed.notify_all();
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.line.state().end(self.key);
        self.line.changed.notify_all();
    }
}

/// Runs the program of one part after the other, and gives it what is talked.
struct Worker {
    command: Arc<[String]>,
    line: Arc<Line>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if thread::panicking() {
            self.line.state().clear();
        }
        self.line.changed.notify_all();
    }
}

impl Worker {
    fn run(self) {
        loop {
            let format = {
                let mut state = self.line.state();
                let Some(part) = state.now.as_ref().filter(|_| !state.is_closed) else {
                    // Within the lock: whoever opens it now needs another thread.
                    state.clear();
                    return;
                };
                (part.sample_rate, part.channels)
            };
            self.play(format);
            let mut state = self.line.state();
            state.now = state.next.take();
        }
    }

    /// Plays what is played now to its end.
    fn play(&self, (rate, channels): (u32, u8)) {
        let fill = |text: &String| {
            let text = text.replace("{rate}", &rate.to_string());
            text.replace("{channels}", &channels.to_string())
        };
        let command: Vec<String> = self.command.iter().map(fill).collect();
        let program = command[0].as_str();
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            match start(&command) {
                Ok(mut child) => {
                    let whole = self.feed(&mut child);
                    let status = self.end(&mut child, program);
                    if whole {
                        return;
                    }
                    tracing::warn!(
                        program,
                        status,
                        "the speaker's program ended; it is started again"
                    );
                }
                Err(error) => {
                    tracing::warn!(program, %error, "the speaker's program does not start; it is tried again");
                }
            }
            if began.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            if self.line.pause(pause) {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
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
        while let Some(bytes) = self.line.take() {
            match self.write(&mut input, &bytes) {
                Ok(()) => {}
                Err(error) => return error.kind() == io::ErrorKind::TimedOut,
            }
        }
        true
    }

    /// Writes all; a program that takes nothing for a while after the talk is given up.
    fn write(&self, input: &mut ChildStdin, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match input.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.line.is_over(STEP, None) {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits for the program to play what it has; one that does not end is ended.
    fn end(&self, child: &mut Child, program: &str) -> String {
        let deadline = match self.line.state().deadline() {
            Some(deadline) => deadline,
            None => Instant::now() + GRACE,
        };
        loop {
            match child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => return status.to_string(),
                Err(error) => return error.to_string(),
            }
            if self.line.is_over(STEP, Some(deadline)) {
                break;
            }
        }
        if self.line.state().goes_on() {
            tracing::warn!(program, "the speaker's program does not end; it is killed");
        }
        // It may have ended by now. Not waited for yet, its number is still its own.
        let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
        let _ = child.wait();
        "killed".to_owned()
    }
}

fn start(command: &[String]) -> io::Result<Child> {
    Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        // What it has to complain about stands in the log's place.
        .stderr(Stdio::inherit())
        // A group, so that what it starts can be ended with it.
        .process_group(0)
        .spawn()
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
        while speaker.line.state().is_served {
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
            drop(sink);
            wait(&speaker);
        }
    }

    #[test]
    fn however_many_talk_one_program_runs_at_a_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("starts");
        let speaker = shell(&format!("echo x >> {}; cat; sleep 1", path.display()));
        let sink = speaker.open(&pcm()).expect("free");
        for _ in 0..1000 {
            assert_eq!(speaker.open(&pcm()).err(), Some(HalError::Busy));
        }
        drop(sink);
        // Its program still plays.
        assert_eq!(speaker.check(), Err(HalError::Busy));
        assert_eq!(speaker.open(&pcm()).err(), Some(HalError::Busy));
        wait(&speaker);
        assert_eq!(speaker.check(), Ok(()));
        assert_eq!(std::fs::read(&path).expect("a file"), b"x\n");
    }

    #[test]
    fn a_talk_whose_format_changes_is_played_by_one_program_after_the_other() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("heard");
        let speaker = shell(&format!(
            "echo {{rate}} >> {0}; cat >> {0}; echo >> {0}",
            path.display()
        ));
        let faster = SoundFormat {
            sample_rate: 16_000,
            ..pcm()
        };
        let mut sink = speaker.open(&pcm()).expect("free");
        sink.push(b"slow");
        for _ in 0..100 {
            // All but the last wait in vain.
            assert_eq!(sink.change(&faster), Ok(true));
            sink.push(b"lost");
        }
        assert_eq!(sink.change(&faster), Ok(true));
        sink.push(b"fast");
        assert_eq!(speaker.open(&pcm()).err(), Some(HalError::Busy));
        drop(sink);
        wait(&speaker);
        let heard = std::fs::read_to_string(&path).expect("a file");
        assert!(heard.starts_with("8000\nslow\n"), "{heard}");
        assert!(heard.ends_with("16000\nfast\n"), "{heard}");
    }

    #[test]
    fn a_talk_that_is_cut_off_makes_room_at_once() {
        let speaker = shell("exec sleep 1000");
        for _ in 0..3 {
            let mut sink = speaker.open(&pcm()).expect("free");
            sink.push(&[1; 8000]);
            sink.cut();
            assert_eq!(speaker.check(), Ok(()));
        }
        let began = Instant::now();
        wait(&speaker);
        assert!(began.elapsed() < GRACE, "it was not killed");
    }

    #[test]
    fn a_speaker_that_is_no_more_leaves_no_program() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("program");
        let speaker = shell(&format!("echo $$ > {}; exec sleep 1000", path.display()));
        let sink = speaker.open(&pcm()).expect("free");
        let until = Instant::now() + Duration::from_secs(20);
        while std::fs::read(&path).map_or(0, |text| text.len()) == 0 {
            assert!(Instant::now() < until, "it does not start");
            thread::sleep(Duration::from_millis(5));
        }
        drop(speaker);
        let program = std::fs::read_to_string(&path).expect("a file");
        assert!(!std::path::Path::new(&format!("/proc/{}", program.trim())).exists());
        drop(sink);
    }

    #[test]
    fn a_worker_that_panics_frees_the_speaker() {
        let speaker = shell("cat");
        let line = Arc::clone(&speaker.line);
        line.state().append(&pcm());
        line.state().is_served = true;
        let worker = Worker {
            // There is no program to start.
            command: Arc::new([]),
            line,
        };
        assert!(thread::spawn(move || worker.run()).join().is_err());
        assert_eq!(speaker.check(), Ok(()));
        drop(speaker.open(&pcm()).expect("free"));
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
        let line = Line::default();
        let stereo = SoundFormat {
            sample_rate: 4,
            channels: 2,
            ..pcm()
        };
        let key = line.state().append(&stereo);
        for block in [&b"aaaabbbb"[..], b"cccc"] {
            line.state().part(key).expect("it is there").push(block);
        }
        assert_eq!(line.take().as_deref(), Some(b"bbbbcccc".as_slice()));
        line.state().end(key);
        assert_eq!(line.take(), None);
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
