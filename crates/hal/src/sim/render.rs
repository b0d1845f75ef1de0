//! The render thread: one a camera, alive while any of its pictures is read.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    thread,
};

use bytes::Bytes;
use peercam_proto::media::{Frame, MediaTime, TrackKind, Tracks, VideoCodec, VideoTrack};
use peercam_task::boundary::{self, Part};
use tokio::sync::mpsc::{
    self,
    error::{SendError, TrySendError},
};

use super::{
    FRAME_INTERVAL_MICROS, FRAME_RATE, Fault,
    audio::Microphone,
    h264::{self, Encoder},
    rate::RateControl,
    scene::{self, Canvas, View},
    shared::{Config, Control, Opened, Opening, Shared, size},
};
use crate::SourceEvent;

/// One picture being read: its encoder and its reader.
struct Output {
    canvas: Canvas,
    encoder: Encoder,
    rate: RateControl,
    control: Arc<Control>,
    reader: mpsc::Sender<SourceEvent>,
    waits_for_reader: bool,
    gop: u64,
    /// Number of the last key frame.
    last_key: u64,
    band: u64,
    /// The tracks, until they have been announced.
    announcement: Option<Tracks>,
    /// A picture was lost: nothing decodes before the next key frame.
    broken: bool,
}

impl Output {
    fn new(
        Opening {
            quality,
            control,
            reader,
        }: Opening,
        config: &Config,
    ) -> Self {
        let (width, height) = size(quality);
        let encoder = Encoder::new(width, height);
        let tracks = Tracks {
            video: Some(VideoTrack {
                codec: VideoCodec::H264,
                config: encoder.config().into(),
                width: width as u32,
                height: height as u32,
                frame_rate: f64::from(FRAME_RATE),
            }),
            audio: config.audio.track(),
        };
        Self {
            canvas: Canvas::new(width, height),
            encoder,
            rate: RateControl::new(control.bitrate()),
            control,
            reader,
            waits_for_reader: config.every_picture,
            gop: u64::from(config.gop.max(1)),
            last_key: 0,
            band: 0,
            announcement: Some(tracks),
            broken: true,
        }
    }

    /// Draws, codes and sends one picture. False when the reader has gone.
    fn picture(&mut self, mut view: View, time: MediaTime, may_be_key: bool) -> bool {
        if self.reader.is_closed() {
            return false;
        }
        if self.reader.capacity() == 0 && !self.waits_for_reader {
            self.broken = true;
            return true;
        }
        let due = view.frame / self.gop != self.last_key / self.gop;
        let wanted = self.control.take_key_request();
        let key = self.broken || ((due || wanted) && may_be_key);
        if wanted && !key {
            self.control.want_key();
        }
        self.rate.set_rate(self.control.bitrate());
        if self.rate.allows_motion() {
            self.band += 1;
        }
        view.band = self.band;
        scene::draw(&mut self.canvas, &view);
        let mut data = self.encoder.encode(&self.canvas, key);
        let filler = self.rate.account(data.len());
        if filler > 0 {
            data.extend_from_slice(&h264::filler(filler));
        }
        let frame = Frame {
            track: TrackKind::Video,
            key,
            time,
            composition_micros: 0,
            data: Bytes::from(data),
        };
        match self.send(SourceEvent::Frame(frame)) {
            Ok(()) => self.broken = false,
            Err(TrySendError::Full(_)) => self.broken = true,
            Err(TrySendError::Closed(_)) => return false,
        }
        if key {
            self.last_key = view.frame;
        }
        true
    }

    /// Says which tracks there are, once. False when the reader has gone.
    fn announce(&mut self) -> bool {
        match self.announcement.take() {
            Some(tracks) => self.send(SourceEvent::Online(tracks)).is_ok(),
            None => true,
        }
    }

    fn send(&self, event: SourceEvent) -> Result<(), TrySendError<SourceEvent>> {
        if self.waits_for_reader {
            let sent = self.reader.blocking_send(event);
            return sent.map_err(|SendError(event)| TrySendError::Closed(event));
        }
        self.reader.try_send(event)
    }
}

/// A camera that is later than this leaves pictures out.
const CATCH_UP_FRAMES: u64 = FRAME_RATE as u64;

/// Starts the thread. It ends by itself when nobody reads any more.
pub(super) fn start(shared: Arc<Shared>) -> io::Result<()> {
    let render = move || {
        let _rendering = Rendering(&shared);
        run(&shared);
    };
    boundary::thread(Part::Camera, "sim-camera", render).map(|_| ())
}

/// After a panic of the thread, lets the next `open` start another.
struct Rendering<'a>(&'a Shared);

impl Drop for Rendering<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            *self.0.opened.lock() = Opened::default();
        }
    }
}

fn run(shared: &Shared) {
    let mut outputs: Vec<Output> = Vec::new();
    let mut frame = shared.frame_now() + 1;
    let mut wall = WallClock::default();
    let mut microphone = Microphone::new(shared.config.audio, time_of(frame));
    loop {
        thread::sleep(time_of(frame).duration_from(shared.clock.now()));
        {
            let mut opened = shared.opened.lock();
            let waiting = opened.waiting.drain(..);
            outputs.extend(waiting.map(|opening| Output::new(opening, &shared.config)));
            if outputs.is_empty() {
                opened.rendering = false;
                return;
            }
        }
        let faults = &shared.config.faults;
        let time = time_of(frame);
        wall.follow(shared.clock.wall_millis() - shared.clock.now().as_micros() / 1000);
        let wall_offset_millis = wall.offset_millis + faults.clock_offset_millis(frame);
        outputs.retain_mut(Output::announce);
        if !faults.strikes(Fault::Stall, frame) {
            let view = View {
                frame,
                wall_millis: time.as_micros() / 1000 + wall_offset_millis,
                pan: shared.motor.cells(),
                band: 0,
                flipped: shared.flipped.load(Ordering::Relaxed),
            };
            let may_be_key = !faults.strikes(Fault::LateKey, frame);
            outputs.retain_mut(|output| output.picture(view, time, may_be_key));
        }
        let sounds = microphone
            .as_mut()
            .map(|microphone| microphone.record(time_of(frame + 1), wall_offset_millis))
            .unwrap_or_default();
        for sound in sounds {
            // A full reader that is not waited for loses this block and catches up; one that has gone is
            // noticed at the next picture.
            outputs.retain(|output| {
                !matches!(
                    output.send(SourceEvent::Frame(sound.clone())),
                    Err(TrySendError::Closed(_))
                )
            });
        }
        // A machine that is late catches up picture by picture; one that was suspended, or is far
        // too slow, leaves some out.
        frame += 1;
        let late = shared.frame_now().saturating_sub(frame);
        if late > CATCH_UP_FRAMES && !shared.config.every_picture {
            frame = shared.frame_now();
            microphone = Microphone::new(shared.config.audio, time_of(frame));
        }
    }
}

/// The wall clock minus the media clock. Follows steps, not the jitter of reading two clocks one
/// after the other: that would be heard in the beep.
#[derive(Default)]
struct WallClock {
    offset_millis: i64,
}

impl WallClock {
    fn follow(&mut self, measured_millis: i64) {
        const JITTER_MILLIS: u64 = 10;
        if self.offset_millis.abs_diff(measured_millis) > JITTER_MILLIS {
            self.offset_millis = measured_millis;
        }
    }
}

fn time_of(frame: u64) -> MediaTime {
    MediaTime::from_micros(frame as i64 * FRAME_INTERVAL_MICROS)
}
