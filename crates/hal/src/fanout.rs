//! The way from whatever delivers pictures all the time to those who read them now and then.
//!
//! Keeps: whoever pushes never waits for who reads; a reader that comes begins with the newest key
//! frame, and one that falls behind goes on with the next.

use std::{
    collections::VecDeque,
    fmt::Display,
    future::poll_fn,
    sync::{Arc, MutexGuard},
    task::{Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use peercam_proto::{
    media::{Frame, MediaTime, TrackKind, Tracks, VideoCodec},
    nal::{Framing, Picture, Pictures},
    text,
};
use peercam_task::boundary::{self, Backoff, Guarded, Part};
use tokio::sync::watch;

use super::{BoxFuture, MediaSource, SourceEvent, clock::Clock};

/// Events that wait for one reader. When it is this far behind, its frames are lost up to the
/// next key frame.
const QUEUE: usize = 128;

/// Interval at which an encoder's thread that waits looks whether its camera is still there.
const RETRY_STEP: Duration = Duration::from_millis(100);

/// The longest reason that is told of a camera, in characters.
const MAX_REASON: usize = 300;

/// Players want times that differ, and they count in milliseconds.
const STEP_MICROS: i64 = 1_000;

/// One picture of a camera, handed to any number of readers.
///
/// Bound: the GOP that is kept weighs at most `kept` bytes. Each reader's queue has 128 events
/// beside what was kept when it came, and its frames weigh at most `kept` beside that, or are one;
/// when it is full, the frames in it are lost and it goes on with the next key frame. Nothing that is
/// pushed ever waits.
pub struct FrameFanout {
    /// Weight in bytes, by [`Frame::weight`].
    kept: usize,
    state: Guarded<State>,
    readers: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    source_state: SourceState,
    onlines: u64,
    gop: Gop,
    queues: Vec<(u64, Queue)>,
    opened: u64,
    lost: u64,
    last_times: [Option<MediaTime>; 2],
}

/// State of the camera.
#[derive(Clone, Debug, Default, PartialEq)]
enum SourceState {
    /// Not known yet.
    #[default]
    Unknown,
    Online(Tracks),
    /// The camera does not deliver, for this reason.
    Offline(String),
}

/// Frames since the newest key frame.
#[derive(Default)]
struct Gop {
    frames: Vec<Frame>,
    weight: usize,
}

/// Events that one reader has not taken yet.
#[derive(Default)]
struct Queue {
    events: VecDeque<SourceEvent>,
    /// Weight of its frames.
    weight: usize,
    /// Events and weight of what was kept when it came, beside which there is room.
    kept: (usize, usize),
    waker: Option<Waker>,
    awaits_key: bool,
}

impl FrameFanout {
    /// One that keeps a GOP of at most this weight.
    pub fn new(kept: usize) -> Arc<Self> {
        Arc::new(Self {
            kept,
            state: Guarded::new(State::default(), State::mend),
            readers: watch::Sender::new(0),
        })
    }

    /// The same for an encoder that blocks: a thread of this name runs `deliver`, which pushes
    /// pictures for as long as [`FrameFanout::is_held`].
    ///
    /// When that fails or ends before, the camera is off for this reason, and it runs again after a
    /// second; after twice as long each time, up to a minute.
    pub fn fed_by<E: Display>(
        name: &'static str,
        kept: usize,
        mut deliver: impl FnMut(&Arc<Self>) -> Result<(), E> + Send + 'static,
    ) -> Arc<Self> {
        let fanout = Self::new(kept);
        let fed = Arc::clone(&fanout);
        let feed = move || {
            let mut pause = Backoff::default();
            while fed.is_held() {
                let began = Instant::now();
                match boundary::run(Part::Camera, name, || deliver(&fed)) {
                    Ok(Ok(())) => fed.offline("its encoder has ended"),
                    Ok(Err(reason)) => fed.offline(&reason.to_string()),
                    Err(panicked) => fed.offline(&panicked.to_string()),
                }
                let until = Instant::now() + pause.after(began.elapsed());
                // In steps, so that an encoder is not kept for long from a camera that is made anew.
                while fed.is_held() && Instant::now() < until {
                    thread::sleep(RETRY_STEP);
                }
            }
        };
        if let Err(error) = boundary::thread(Part::Camera, name, feed) {
            fanout.offline(&format!("it has no thread: {error}"));
        }
        fanout
    }

    /// The same for an encoder of which `next` waits for the next access unit, in Annex B
    /// (`HI_MPI_VENC_GetStream`, `IMP_Encoder_GetStream`). Each has the time at which it came; an
    /// encoder that knows better is for [`FrameFanout::fed_by`].
    pub fn of_encoder<U: AsRef<[u8]>, E: Display>(
        name: &'static str,
        kept: usize,
        clock: Clock,
        codec: VideoCodec,
        frame_rate: f64,
        mut next: impl FnMut() -> Result<U, E> + Send + 'static,
    ) -> Arc<Self> {
        Self::fed_by(name, kept, move |fanout| {
            let mut pictures = Pictures::new(codec, frame_rate);
            while fanout.is_held() {
                let unit = next().map_err(|error| error.to_string())?;
                let time = clock.now();
                let picture = pictures.read(Framing::AnnexB, unit.as_ref());
                if let Some(picture) = picture.map_err(|error| error.to_string())? {
                    fanout.picture(picture, time);
                }
            }
            Ok::<(), String>(())
        })
    }

    /// Returns whether anybody has it but the caller: its camera, or a reader.
    pub fn is_held(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Number of readers.
    pub fn readers(&self) -> watch::Receiver<usize> {
        self.readers.subscribe()
    }

    /// Returns whether somebody reads it, or looks after the camera still.
    #[cfg(feature = "rtsp")]
    pub(super) fn is_in_use(&self) -> bool {
        let state = self.state();
        !state.queues.is_empty() || state.source_state != SourceState::Unknown
    }

    /// Number of times that the camera was said to deliver.
    #[cfg(feature = "rtsp")]
    pub(super) fn onlines(&self) -> u64 {
        self.state().onlines
    }

    /// State of the camera.
    #[cfg(any(feature = "socket", feature = "rtsp", test))]
    fn source_state(&self) -> SourceState {
        self.state().source_state.clone()
    }

    /// Frames that readers were too slow for.
    pub fn lost(&self) -> u64 {
        self.state().lost
    }

    /// A reader, who begins with what is known and with the newest key frame.
    pub fn open(self: &Arc<Self>) -> FanoutSource {
        let mut state = self.state();
        let mut queue = Queue::default();
        match &state.source_state {
            SourceState::Unknown => {}
            SourceState::Offline(reason) => queue.push(SourceEvent::Offline(reason.clone())),
            SourceState::Online(tracks) => {
                queue.push(SourceEvent::Online(tracks.clone()));
                queue.awaits_key = tracks.video.is_some() && state.gop.frames.is_empty();
                let kept = state.gop.frames.iter().cloned();
                queue.events.extend(kept.map(SourceEvent::Frame));
                queue.weight = state.gop.weight;
                queue.kept = (state.gop.frames.len(), state.gop.weight);
            }
        }
        state.opened += 1;
        let number = state.opened;
        state.queues.push((number, queue));
        self.readers.send_replace(state.queues.len());
        FanoutSource {
            fanout: Arc::clone(self),
            number,
        }
    }

    /// The camera delivers, with these tracks; also when they have changed.
    pub fn online(&self, tracks: Tracks) {
        let mut state = self.state();
        let was_online = matches!(state.source_state, SourceState::Online(_));
        state.source_state = SourceState::Online(tracks.clone());
        state.onlines += 1;
        state.gop = Gop::default();
        state.tell(&if was_online {
            SourceEvent::TracksChanged(tracks)
        } else {
            SourceEvent::Online(tracks)
        });
    }

    /// The camera does not deliver, for this reason, which may be in its own words.
    pub fn offline(&self, reason: &str) {
        let reason = text::line(reason, MAX_REASON);
        let mut state = self.state();
        state.source_state = SourceState::Offline(reason.clone());
        state.gop = Gop::default();
        state.tell(&SourceEvent::Offline(reason));
    }

    /// Forgets the kept GOP, which is not new any more: frames may stop for a while.
    #[cfg(feature = "socket")]
    pub(super) fn drop_gop(&self) {
        self.state().gop = Gop::default();
    }

    /// Forgets the camera's state: nobody looks after the camera for now, and nobody reads it.
    pub fn reset(&self) {
        let mut state = self.state();
        state.source_state = SourceState::Unknown;
        state.gop = Gop::default();
    }

    /// A picture of an encoder without sound; new parameter sets in it are new tracks.
    pub fn picture(&self, picture: Picture, time: MediaTime) {
        let frame = picture.frame(time);
        if let Some(video) = picture.new_track {
            self.online(video.into());
        }
        self.frame(frame);
    }

    /// A frame, after [`FrameFanout::online`]. Times rise, by a millisecond at least, whatever the camera
    /// was before: a picture that is earlier is moved, and sound that is there already is left out.
    pub fn frame(&self, mut frame: Frame) {
        let mut state = self.state();
        let has_video = match &state.source_state {
            SourceState::Online(tracks) => tracks.video.is_some(),
            _ => return,
        };
        let last = &mut state.last_times[frame.track as usize];
        let earliest = last.map_or(frame.time, |last| last.plus_micros(STEP_MICROS));
        if frame.time < earliest && frame.track == TrackKind::Audio {
            return;
        }
        frame.time = frame.time.max(earliest);
        *last = Some(frame.time);
        let frame = &frame;
        if has_video {
            state.gop.push(frame, self.kept);
        }
        let mut lost = 0;
        for (_, queue) in &mut state.queues {
            lost += queue.push_frame(frame, has_video, self.kept);
        }
        state.lost += lost;
    }
}

impl State {
    /// Readers begin again, with a camera that is off until it is said to deliver.
    fn mend(&mut self) {
        let reason = "what it delivered was lost by a fault";
        self.source_state = SourceState::Offline(reason.to_owned());
        self.gop = Gop::default();
        self.tell(&SourceEvent::Offline(reason.to_owned()));
    }

    fn tell(&mut self, event: &SourceEvent) {
        for (_, queue) in &mut self.queues {
            let is_first = |event: &SourceEvent| matches!(event, SourceEvent::Online(_));
            let is_unread = queue.events.iter().any(is_first);
            // What came before is of no use after it.
            queue.events.clear();
            queue.weight = 0;
            queue.awaits_key = false;
            queue.push(match event.clone() {
                SourceEvent::TracksChanged(tracks) if is_unread => SourceEvent::Online(tracks),
                event => event,
            });
        }
    }
}

impl Gop {
    fn push(&mut self, frame: &Frame, most: usize) {
        if frame.is_video_key() {
            self.frames.clear();
            self.weight = 0;
        } else if self.frames.is_empty() {
            return;
        }
        self.weight += frame.weight();
        self.frames.push(frame.clone());
        if self.weight > most {
            *self = Self::default();
        }
    }
}

impl Queue {
    fn push(&mut self, event: SourceEvent) {
        self.events.push_back(event);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Returns whether there is no room for another frame beside those that wait.
    fn is_full(&self, frame: &Frame, most: usize) -> bool {
        let (events, weight) = self.kept;
        let is_heavy = self.weight > 0 && self.weight + frame.weight() > weight + most;
        self.events.len() >= QUEUE + events || is_heavy
    }

    /// Gives how many frames were lost.
    fn push_frame(&mut self, frame: &Frame, has_video: bool, most: usize) -> u64 {
        let is_video = frame.track == TrackKind::Video;
        if self.awaits_key && is_video {
            self.awaits_key = !frame.key;
        }
        if self.awaits_key && has_video {
            return 0;
        }
        let mut lost = 0;
        if self.is_full(frame, most) {
            let before = self.events.len();
            self.events
                .retain(|event| !matches!(event, SourceEvent::Frame(_)));
            self.weight = 0;
            lost = (before - self.events.len()) as u64;
            if has_video && !frame.is_video_key() {
                self.awaits_key = true;
                return lost + 1;
            }
        }
        self.weight += frame.weight();
        self.push(SourceEvent::Frame(frame.clone()));
        lost
    }
}

/// Reason why none of these delivers, if that is known.
#[cfg(any(feature = "socket", feature = "rtsp"))]
pub(super) fn offline<'a>(fanouts: impl Iterator<Item = &'a Arc<FrameFanout>>) -> Option<String> {
    let mut reason = None;
    for fanout in fanouts {
        match fanout.source_state() {
            SourceState::Online(_) => return None,
            SourceState::Offline(why) => reason = reason.or(Some(why)),
            SourceState::Unknown => {}
        }
    }
    reason
}

/// A reader of a [`FrameFanout`].
pub struct FanoutSource {
    fanout: Arc<FrameFanout>,
    number: u64,
}

impl MediaSource for FanoutSource {
    fn next(&mut self) -> BoxFuture<'_, SourceEvent> {
        Box::pin(poll_fn(|context| {
            let mut state = self.fanout.state();
            let queue = state
                .queues
                .iter_mut()
                .find(|(number, _)| *number == self.number);
            let Some((_, queue)) = queue else {
                return Poll::Pending;
            };
            if let Some(event) = queue.events.pop_front() {
                if let SourceEvent::Frame(frame) = &event {
                    queue.weight -= frame.weight();
                }
                return Poll::Ready(event);
            }
            queue.waker = Some(context.waker().clone());
            Poll::Pending
        }))
    }
}

impl Drop for FanoutSource {
    fn drop(&mut self) {
        let mut state = self.fanout.state();
        state.queues.retain(|(number, _)| *number != self.number);
        self.fanout.readers.send_replace(state.queues.len());
    }
}

#[cfg(test)]
mod tests;
