//! A file played in a loop, in real time.
//!
//! A thread of its own reads ahead, so that a slow disk blocks nobody; times go on growing from one
//! round to the next.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use peercam_proto::media::{Frame, MediaTime, Tracks};
use peercam_task::boundary::{self, Part};
use tokio::sync::mpsc;

use super::{Extent, FileError, Movie};
use crate::{BoxFuture, MediaSource, SourceEvent, clock::Clock};

/// Number of access units that the reading thread is ahead. When they are read, it waits.
const READ_AHEAD: usize = 16;
/// A source that is later than this does not make up for it.
const LATE_MICROS: i64 = 1_000_000;
/// Pause before a file that failed is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// A looping file being read.
pub(super) struct FileSource {
    clock: Clock,
    path: PathBuf,
    extent: Extent,
    state: State,
    /// Read, but not due yet.
    pending: Option<Frame>,
}

enum State {
    /// Not open; to be opened after a pause if it failed before.
    Closed { failed: bool },
    Open {
        samples: mpsc::Receiver<Item>,
        start: MediaTime,
    },
}

enum Item {
    Online(Tracks),
    /// A frame, its time counted from the start of the first loop.
    Frame(Frame),
    Failed(FileError),
}

impl FileSource {
    pub(super) fn new(clock: Clock, path: PathBuf, extent: Extent) -> Self {
        Self {
            clock,
            path,
            extent,
            state: State::Closed { failed: false },
            pending: None,
        }
    }

    async fn next_event(&mut self) -> SourceEvent {
        loop {
            if let Some(frame) = &self.pending {
                tokio::time::sleep(frame.time.duration_from(self.clock.now())).await;
                if let Some(frame) = self.pending.take() {
                    return SourceEvent::Frame(frame);
                }
            }
            match &mut self.state {
                State::Closed { failed } => {
                    if *failed {
                        tokio::time::sleep(RETRY).await;
                    }
                    let (sender, samples) = mpsc::channel(READ_AHEAD);
                    let (path, extent) = (self.path.clone(), self.extent);
                    let reading = move || read(&path, extent, &sender);
                    let spawned = boundary::thread(Part::Camera, "file-camera", reading);
                    if let Err(error) = spawned {
                        self.state = State::Closed { failed: true };
                        return SourceEvent::Offline(format!(
                            "the reading thread does not start: {error}"
                        ));
                    }
                    self.state = State::Open {
                        samples,
                        start: self.clock.now(),
                    };
                }
                State::Open { samples, start } => match samples.recv().await {
                    Some(Item::Online(tracks)) => {
                        *start = self.clock.now();
                        return SourceEvent::Online(tracks);
                    }
                    Some(Item::Frame(mut frame)) => {
                        let due = start.plus_micros(frame.time.as_micros());
                        let late = self.clock.now().micros_since(due);
                        // After a pause of the whole machine, play on from here instead of
                        // making up for it.
                        let shift = if late > LATE_MICROS { late } else { 0 };
                        *start = start.plus_micros(shift);
                        frame.time = due.plus_micros(shift);
                        self.pending = Some(frame);
                    }
                    Some(Item::Failed(error)) => {
                        self.state = State::Closed { failed: true };
                        return SourceEvent::Offline(error.to_string());
                    }
                    None => {
                        self.state = State::Closed { failed: true };
                        return SourceEvent::Offline("reading it has broken off".to_owned());
                    }
                },
            }
        }
    }
}

impl MediaSource for FileSource {
    fn next(&mut self) -> BoxFuture<'_, SourceEvent> {
        Box::pin(self.next_event())
    }
}

/// The reading thread: ends when the file fails or nobody reads any more.
fn read(path: &Path, extent: Extent, sender: &mpsc::Sender<Item>) {
    if let Err(error) = Movie::open(path, Some(extent)).and_then(|movie| play(movie, path, sender))
    {
        // Nobody to tell is as good as told.
        let _ = sender.blocking_send(Item::Failed(error));
    }
}

fn play(mut movie: Movie, path: &Path, sender: &mpsc::Sender<Item>) -> Result<(), FileError> {
    let failed = |problem| FileError {
        path: path.to_owned(),
        problem,
    };
    if sender
        .blocking_send(Item::Online(movie.tracks.clone()))
        .is_err()
    {
        return Ok(());
    }
    let mut loop_start = -movie.extent.start_micros;
    while !sender.is_closed() {
        while let Some(mut frame) = movie.frames.next().map_err(failed)? {
            frame.time = frame.time.plus_micros(loop_start);
            if sender.blocking_send(Item::Frame(frame)).is_err() {
                return Ok(());
            }
        }
        movie.frames.rewind().map_err(failed)?;
        loop_start += movie.extent.length_micros;
    }
    Ok(())
}
