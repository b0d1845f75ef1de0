//! Silence for players that wait for sound. Canned: nothing is encoded.
//!
//! It goes by the times of the pictures, so it cannot drift from them, needs no clock, and is not
//! there when they are not: who watches over a camera sees that it has gone.

use bytes::Bytes;
use peercam_proto::media::{AudioCodec, AudioTrack, Frame, MediaTime, TrackKind};

/// Sound that was announced may be missing for so long, by the pictures, before silence stands in.
const PATIENCE_MICROS: i64 = 1_000_000;
/// Longest gap between pictures that silence fills; it leaves a longer one as it is, and goes on
/// with the pictures. Silence that is made up for at once plays at its own pace, and players would
/// be behind by it for ever.
const STANDSTILL_MICROS: i64 = 1_500_000;

/// AAC-LC, 16 kHz, mono: a unit is 64 ms, which no rounding to milliseconds changes.
const CONFIG: &[u8] = &[0x14, 0x08];
const AAC_UNIT: i64 = 1024;
/// Raw data blocks (ISO/IEC 14496-3, 4.4.2.1) with one element whose spectrum has no bands, and the
/// end.
const AAC_MONO: &[u8] = &[0x00, 0x00, 0x00, 0x07];
const AAC_STEREO: &[u8] = &[0x21, 0x00, 0x00, 0x00, 0x00, 0x1c];
/// G.711 of amplitude 0.
const A_LAW_ZERO: u8 = 0xd5;
const U_LAW_ZERO: u8 = 0xff;
/// Blocks of G.711 in a second.
const BLOCKS: u32 = 25;
/// Samples of a block at most, of each of two channels: it is kept for as long as the stream is.
const LONGEST_BLOCK: u32 = 8 << 10;

/// Silence in one stream, where nothing else is heard.
#[derive(Default)]
pub(super) struct Silence {
    form: Option<Form>,
    /// Time for which sound may be missing, in microseconds.
    patience: i64,
    /// The first picture since sound was heard.
    quiet_since: Option<MediaTime>,
    /// Units that follow each other.
    run: Option<Run>,
    /// End of the sound that was handed out.
    sound_end: Option<MediaTime>,
    /// End of the silence that was handed out.
    silence_end: Option<MediaTime>,
}

/// One unit of it.
#[derive(Clone, Debug, PartialEq)]
struct Form {
    track: AudioTrack,
    unit: Bytes,
    /// Samples of each channel.
    samples: i64,
}

#[derive(Clone, Copy)]
struct Run {
    start: MediaTime,
    units: i64,
}

impl Silence {
    /// Makes none.
    pub(super) fn be_none(&mut self) {
        self.take_form(None, 0);
    }

    /// Stands for all sound; gives its track.
    pub(super) fn be_all(&mut self) -> AudioTrack {
        let track = AudioTrack {
            codec: AudioCodec::Aac,
            config: Bytes::from_static(CONFIG),
            sample_rate: 16_000,
            channels: 1,
        };
        self.take_form(Form::of(&track), 0);
        track
    }

    /// Fills in when sound of this track is missing.
    pub(super) fn stand_in_for(&mut self, track: &AudioTrack) {
        self.take_form(Form::of(track), PATIENCE_MICROS);
    }

    fn take_form(&mut self, form: Option<Form>, patience: i64) {
        if self.form != form {
            self.run = None;
        }
        self.form = form;
        self.patience = patience;
        self.quiet_since = None;
    }

    /// Sound has come.
    pub(super) fn heard(&mut self) {
        self.quiet_since = None;
        self.run = None;
    }

    /// Returns whether sound is to be handed out: not if silence is in its place already.
    pub(super) fn gives_way_to(&mut self, frame: &Frame) -> bool {
        if self.silence_end.is_some_and(|end| frame.time < end) {
            return false;
        }
        self.silence_end = None;
        let length = self
            .form
            .as_ref()
            .map_or(0, |form| form.length(&frame.data));
        self.sound_end = Some(frame.time.plus_micros(length));
        true
    }

    /// A picture comes: calls `out` with the silence that begins before it, of at most
    /// [`STANDSTILL_MICROS`]. Gives whether silence is what is heard.
    pub(super) fn picture(&mut self, time: MediaTime, mut out: impl FnMut(Frame)) -> bool {
        let Some(form) = &self.form else { return false };
        let quiet_since = *self.quiet_since.get_or_insert(time);
        if time.micros_since(quiet_since) < self.patience {
            return false;
        }
        let start = [self.sound_end, self.silence_end]
            .into_iter()
            .flatten()
            .fold(time, MediaTime::max);
        let mut give = |run: &mut Run| {
            out(Frame {
                track: TrackKind::Audio,
                key: true,
                time: run.next(form),
                composition_micros: 0,
                data: form.unit.clone(),
            });
            run.units += 1;
            self.silence_end = Some(run.next(form));
        };
        let mut run = self.run;
        if let Some(stood) = &mut run
            && time.micros_since(stood.next(form)) > STANDSTILL_MICROS
        {
            give(stood);
            run = None;
        }
        let mut run = run.unwrap_or(Run { start, units: 0 });
        while run.next(form) < time {
            give(&mut run);
        }
        self.run = Some(run);
        true
    }
}

impl Run {
    /// Start of the next unit; counted from the first, so that no rounding adds up.
    fn next(self, form: &Form) -> MediaTime {
        let micros = form.micros(self.units.saturating_mul(form.samples));
        self.start.plus_micros(micros)
    }
}

impl Form {
    /// `None` for sound that is nothing canned here: of more than two channels.
    fn of(track: &AudioTrack) -> Option<Self> {
        let block = i64::from((track.sample_rate / BLOCKS).clamp(1, LONGEST_BLOCK));
        let g711 = |zero: u8| vec![zero; block as usize * usize::from(track.channels)].into();
        let (unit, samples) = match (track.codec, track.channels) {
            (AudioCodec::Aac, 1) => (Bytes::from_static(AAC_MONO), AAC_UNIT),
            (AudioCodec::Aac, 2) => (Bytes::from_static(AAC_STEREO), AAC_UNIT),
            (AudioCodec::PcmA, 1 | 2) => (g711(A_LAW_ZERO), block),
            (AudioCodec::PcmU, 1 | 2) => (g711(U_LAW_ZERO), block),
            _ => return None,
        };
        Some(Self {
            track: track.clone(),
            unit,
            samples,
        })
    }

    fn micros(&self, samples: i64) -> i64 {
        let rate = i64::from(self.track.sample_rate.max(1));
        samples.saturating_mul(1_000_000) / rate
    }

    /// Duration of a block of such sound.
    fn length(&self, data: &[u8]) -> i64 {
        let samples = match self.track.codec {
            AudioCodec::Aac => AAC_UNIT,
            AudioCodec::PcmA | AudioCodec::PcmU => {
                data.len() as i64 / i64::from(self.track.channels.max(1))
            }
        };
        self.micros(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_silence_is_small_whatever_is_announced() {
        for codec in [AudioCodec::PcmA, AudioCodec::PcmU, AudioCodec::Aac] {
            for sample_rate in [0, 8_000, 96_000, 4_000_000_000] {
                let form = Form::of(&AudioTrack {
                    codec,
                    config: Bytes::new(),
                    sample_rate,
                    channels: 2,
                });
                let unit = form.expect("stereo").unit;
                assert!(unit.len() <= 16 << 10, "{} bytes", unit.len());
            }
        }
    }
}
