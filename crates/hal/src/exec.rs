//! A speaker that is another program: PCM goes to its standard input.

mod line;

use std::{
    io::{self, Write},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use peercam_proto::media::{AudioCoding, AudioFormat, Quality};
use peercam_task::boundary::{self, Part};
use rustix::{
    fs::{OFlags, fcntl_setfl},
    process::{Pid, Signal, kill_process_group},
};

use self::line::{Line, State};
use super::{Camera, Capabilities, HalError, MediaInput, TalkSink, Talkback};

/// A program that ends is started again after so long, twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Interval at which a program is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Time that the program has after the talk, to play what it was given. Nobody else talks meanwhile.
const GRACE_PERIOD: Duration = Duration::from_secs(2);
/// Time that the thread has to kill the program when the speaker is dropped.
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
        if self.line.state().is_free() {
            Ok(())
        } else {
            Err(HalError::Busy)
        }
    }

    fn open(&self, format: &AudioFormat) -> Result<Box<dyn TalkSink>, HalError> {
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
            let spawned = boundary::thread(Part::Service, "speaker", move || worker.run());
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

fn check_format(format: &AudioFormat) -> Result<(), HalError> {
    match format.coding {
        AudioCoding::Pcm => Ok(()),
        _ => Err(HalError::Unsupported(format.coding.as_str().to_owned())),
    }
}

struct Sink {
    line: Arc<Line>,
    /// Number of the part that is being pushed.
    key: u64,
}

impl TalkSink for Sink {
    fn push(&mut self, block: &[u8]) {
        if let Some(part) = self.line.state().part(self.key) {
            part.push(block);
        }
        self.line.changed.notify_all();
    }

    fn change(&mut self, format: &AudioFormat) -> Result<bool, HalError> {
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
            let (rate, channels) = {
                let mut state = self.line.state();
                let Some(part) = state.now.as_ref().filter(|_| !state.is_closed) else {
                    // Within the lock: whoever opens it now needs another thread.
                    state.clear();
                    return;
                };
                (part.sample_rate, part.channels)
            };
            self.play(rate, channels);
            let mut state = self.line.state();
            state.now = state.next.take();
        }
    }

    /// Plays what is played now to its end.
    fn play(&self, rate: u32, channels: u8) {
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
                    if self.line.is_over(POLL_INTERVAL, None) {
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
            None => Instant::now() + GRACE_PERIOD,
        };
        loop {
            match child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => return status.to_string(),
                Err(error) => return error.to_string(),
            }
            if self.line.is_over(POLL_INTERVAL, Some(deadline)) {
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

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            talkback: Some(Arc::clone(&self.speaker)),
            ..self.camera.capabilities()
        }
    }

    fn offline(&self) -> Option<String> {
        self.camera.offline()
    }

    fn remedy(&self) -> &'static str {
        self.camera.remedy()
    }
}

#[cfg(test)]
mod tests;
