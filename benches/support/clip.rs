//! The stream that is fanned out: 25 pictures and 47 sound blocks a second, 4.17 Mbit/s, a key
//! frame every two seconds. Each picture begins with the clock at which it was made.

use std::time::Duration;

use bytes::Bytes;
use peercam_proto::media::{
    AudioCodec, AudioTrack, Frame, MediaTime, TrackKind, Tracks, VideoCodec, VideoTrack,
};

pub(crate) const BITS_PER_SECOND: f64 = 4.17e6;
const KEY_BYTES: usize = 64_000;
const DELTA_BYTES: usize = 18_900;
const SOUND_BYTES: usize = 341;
const SOUNDS_PER_100_PICTURES: i64 = 188;

/// Offset of the clock in a picture, behind the NAL length and a NAL header that no parser
/// minds.
pub(crate) const STAMP_AT: usize = 5;
/// Mark before the clock, so that a reader can find it.
pub(crate) const MARK: [u8; 8] = *b"\xfe\xedCLOCK\xfe";

pub(crate) fn tracks() -> Tracks {
    Tracks {
        video: Some(VideoTrack {
            codec: VideoCodec::H264,
            config: Bytes::from_static(&[1, 66, 192, 40, 255, 0xe1, 0, 0, 1, 0, 0]),
            width: 1920,
            height: 1080,
            frame_rate: 25.0,
        }),
        audio: Some(AudioTrack {
            codec: AudioCodec::Aac,
            config: Bytes::from_static(&[0x11, 0x90]),
            sample_rate: 48_000,
            channels: 2,
        }),
    }
}

/// Makes the frames of the clip, one after the other.
#[derive(Default)]
pub(crate) struct Clip {
    picture: i64,
    sound: i64,
}

impl Clip {
    /// The next frame and when it is due, from the start of the clip.
    pub(crate) fn next(&mut self) -> (Duration, Frame) {
        let picture_due = self.picture * 40_000;
        let sound_due = self.sound * 4_000_000 / SOUNDS_PER_100_PICTURES;
        if sound_due < picture_due {
            self.sound += 1;
            return due(sound_due, TrackKind::Audio, true, vec![0x21; SOUND_BYTES]);
        }
        let key = self.picture % 50 == 0;
        self.picture += 1;
        let mut data = vec![0x5a; if key { KEY_BYTES } else { DELTA_BYTES }];
        let length = data.len() as u32 - 4;
        data[..4].copy_from_slice(&length.to_be_bytes());
        data[4] = if key { 0x65 } else { 0x41 };
        due(picture_due, TrackKind::Video, key, data)
    }

    /// Writes the clock into a picture that is about to be delivered.
    pub(crate) fn stamp(mut frame: Frame) -> Frame {
        if frame.track == TrackKind::Video {
            let mut data = Vec::from(frame.data);
            data[STAMP_AT..STAMP_AT + 8].copy_from_slice(&MARK);
            data[STAMP_AT + 8..STAMP_AT + 16]
                .copy_from_slice(&super::process::monotonic_nanos().to_be_bytes());
            frame.data = data.into();
        }
        frame
    }
}

fn due(micros: i64, track: TrackKind, key: bool, data: Vec<u8>) -> (Duration, Frame) {
    let frame = Frame {
        track,
        key,
        time: MediaTime::from_micros(micros),
        composition_micros: 0,
        data: data.into(),
    };
    (Duration::from_micros(micros as u64), frame)
}
