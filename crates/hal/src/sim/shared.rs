//! State that the camera, its parts and its render thread share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use peercam_proto::media::Quality;
use peercam_task::boundary::Guarded;
use tokio::sync::mpsc;

use super::{AudioKind, FRAME_INTERVAL_MICROS, Faults, motor::Motor, speaker::Memory};
use crate::{ControlOutcome, SourceControl, SourceEvent, clock::Clock};

/// Configuration of a simulated camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The sound. Default: AAC.
    pub audio: AudioKind,
    /// Pictures from one key frame to the next. Default: 50 (2 s).
    pub gop: u32,
    /// Bits per second of the picture, for standard, high and super quality.
    /// Default: 500 000, 1 500 000 and 4 000 000.
    pub bitrate: [u32; 3],
    /// Set if the encoder makes key frames on request. Default: yes.
    pub force_key: bool,
    /// Set if pictures rather come late than are left out, on a machine that is late or to a reader
    /// that is slow. Default: no.
    pub every_picture: bool,
    /// Faults, and their schedule. Default: none.
    pub faults: Faults,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            audio: AudioKind::default(),
            gop: 50,
            bitrate: [500_000, 1_500_000, 4_000_000],
            force_key: true,
            every_picture: false,
            faults: Faults::default(),
        }
    }
}

/// Bits per second that a picture can be asked to have.
pub const BITRATES: std::ops::RangeInclusive<u32> = 50_000..=50_000_000;

/// Events that wait for the reader of one picture. When it is this far behind (about half a
/// second), it is waited for, or pictures are lost up to the next key frame, which is then made at
/// once: see [`Config::every_picture`].
pub(super) const EVENT_QUEUE: usize = 32;

/// One camera's state.
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) config: Config,
    pub(super) motor: Motor,
    pub(super) flipped: AtomicBool,
    pub(super) speaker_held: AtomicBool,
    /// Memory of what the speaker has played.
    pub(super) heard: Guarded<Memory>,
    /// Pictures that were opened and not yet taken over by the render thread, and whether it runs.
    pub(super) opened: Guarded<Opened>,
}

#[derive(Default)]
pub(super) struct Opened {
    pub(super) waiting: Vec<Opening>,
    pub(super) rendering: bool,
}

impl Shared {
    /// Number of the picture at `now`.
    pub(super) fn frame_now(&self) -> u64 {
        u64::try_from(self.clock.now().as_micros() / FRAME_INTERVAL_MICROS).unwrap_or(0)
    }
}

/// A picture that is to be rendered.
pub(super) struct Opening {
    pub(super) quality: Quality,
    pub(super) control: Arc<Control>,
    pub(super) reader: mpsc::Sender<SourceEvent>,
}

/// Width and height in pixels.
pub(super) const fn size(quality: Quality) -> (usize, usize) {
    match quality {
        Quality::Standard => (640, 360),
        Quality::High => (1280, 720),
        Quality::Super => (1920, 1080),
    }
}

/// One picture's controls, shared with the render thread.
pub(super) struct Control {
    force_key: bool,
    key_wanted: AtomicBool,
    bitrate: AtomicU32,
}

impl Control {
    /// Controls of a picture as it is configured.
    pub(super) fn new(config: &Config, quality: Quality) -> Self {
        Self {
            force_key: config.force_key,
            key_wanted: AtomicBool::new(false),
            bitrate: AtomicU32::new(config.bitrate[quality as usize]),
        }
    }

    /// Returns whether a key frame was asked for since the last call.
    pub(super) fn take_key_request(&self) -> bool {
        self.key_wanted.swap(false, Ordering::Relaxed)
    }

    /// Asks for a key frame, whether or not the encoder lets viewers do that.
    pub(super) fn want_key(&self) {
        self.key_wanted.store(true, Ordering::Relaxed);
    }

    pub(super) fn bitrate(&self) -> u32 {
        self.bitrate.load(Ordering::Relaxed)
    }
}

impl SourceControl for Control {
    fn request_key_frame(&self) -> ControlOutcome {
        if !self.force_key {
            return ControlOutcome::Unsupported;
        }
        self.want_key();
        ControlOutcome::Accepted
    }

    fn set_bitrate(&self, bits_per_second: u32) -> ControlOutcome {
        let within = bits_per_second.clamp(*BITRATES.start(), *BITRATES.end());
        self.bitrate.store(within, Ordering::Relaxed);
        ControlOutcome::Accepted
    }
}
