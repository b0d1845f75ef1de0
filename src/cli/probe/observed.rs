//! Observations of a source, and the advice that follows from them. Pure.

use std::fmt::Write as _;

use peercam_proto::media::{
    AudioCodec, AudioTrack, Frame, TrackKind, Tracks, VideoCodec, VideoTrack,
};

/// A key frame that is further from the next makes somebody who comes wait, or see an old picture.
const FAR_MICROS: i64 = 2_500_000;
/// Bits per second that small networks carry.
const FAST_BITS: f64 = 6e6;

/// The largest picture that players of mini-programs take: they have 102,400 bytes for a tag of FLV,
/// of which its head and its end take up to 23.
const MINI_PROGRAM_BYTES: usize = 102_400 - 23;

/// Figures of a source, over the time of the probe.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    tracks: Option<Tracks>,
    first: Option<i64>,
    last: i64,
    keys: Vec<(i64, usize)>,
    /// Intervals from each picture to the next, in microseconds.
    steps: Vec<i64>,
    bytes: usize,
    largest: usize,
    is_reordered: bool,
    /// Time from the beginning to the first picture, in microseconds.
    pub(super) first_micros: i64,
    /// Set if the source makes key frames on request.
    pub(super) forces_keys: bool,
}

impl Observed {
    /// The source delivers, or has changed.
    pub(super) fn take_tracks(&mut self, tracks: Tracks) {
        self.tracks = Some(tracks);
    }

    /// A frame came.
    pub(super) fn take(&mut self, frame: &Frame) {
        if frame.track == TrackKind::Audio {
            return;
        }
        let time = frame.time.as_micros();
        if self.first.is_some() {
            self.steps.push(time - self.last);
        }
        self.first.get_or_insert(time);
        self.last = time;
        self.bytes += frame.data.len();
        self.largest = self.largest.max(frame.data.len());
        self.is_reordered |= frame.composition_micros != 0;
        if frame.key {
            self.keys.push((time, frame.data.len()));
        }
    }

    /// Returns whether enough was seen to say something of key frames.
    pub(super) fn has_seen_a_gop(&self) -> bool {
        self.keys.len() > 1
    }

    fn seconds(&self) -> f64 {
        (self.last - self.first.unwrap_or(self.last)) as f64 / 1e6
    }

    /// Pictures per second by the usual interval: a backlog of the camera comes at once, and pictures
    /// that were lost are missing.
    fn frame_rate(&self) -> f64 {
        let mut steps = self.steps.clone();
        steps.sort_unstable();
        let few = steps.len() / 10;
        let usual = &steps[few..steps.len() - few];
        let sum: i64 = usual.iter().sum();
        usual.len() as f64 / (sum as f64 / 1e6).max(0.001)
    }

    fn bits_per_second(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.seconds().max(0.001)
    }

    /// The longest way from one key frame to the next, in microseconds; `None` if only one was
    /// seen.
    fn key_distance(&self) -> Option<i64> {
        self.keys.windows(2).map(|pair| pair[1].0 - pair[0].0).max()
    }

    /// Facts of the source, a line each.
    pub(super) fn facts(&self) -> Vec<String> {
        let Some(tracks) = &self.tracks else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        match &tracks.video {
            None => lines.push("picture     none".to_owned()),
            Some(video) => {
                lines.push(format!(
                    "picture     {}, {}x{}, {:.1} a second, {:.2} Mbit/s",
                    profile(video),
                    video.width,
                    video.height,
                    self.frame_rate(),
                    self.bits_per_second() / 1e6
                ));
                lines.push(self.keys_in_words());
            }
        }
        lines.push(match &tracks.audio {
            None => "sound       none".to_owned(),
            Some(audio) => format!("sound       {}", sound(audio)),
        });
        lines.push(format!(
            "first       picture after {:.2} s",
            self.first_micros as f64 / 1e6
        ));
        lines
    }

    fn keys_in_words(&self) -> String {
        let size = self.keys.iter().map(|(_, size)| *size).max().unwrap_or(0);
        let mut line = match self.key_distance() {
            Some(distance) => format!(
                "key frames  every {:.1} s, up to {} KiB",
                distance as f64 / 1e6,
                size.div_ceil(1024)
            ),
            None => format!("key frames  one in {:.1} s", self.seconds()),
        };
        if self.forces_keys {
            // Writing to a string cannot fail.
            let _ = write!(line, ", and on request");
        }
        line
    }

    /// Picture and sound as viewers get them, a line each.
    pub(super) fn viewers(&self) -> Vec<String> {
        let Some(tracks) = &self.tracks else {
            return Vec::new();
        };
        let picture = tracks.video.as_ref().map(|video| match video.codec {
            VideoCodec::H264 => "H.264, which every player and browser shows",
            VideoCodec::H265 => {
                "H.265: apps and ffplay show it; most browsers and mini-programs do not"
            }
        });
        let audio = tracks.audio.as_ref().map(|audio| match audio.codec {
            AudioCodec::Aac => "AAC, which every player and browser plays",
            AudioCodec::PcmA | AudioCodec::PcmU if cfg!(feature = "aac") => {
                "AAC, made of the camera's G.711 (unless audio = \"pass\" is configured)"
            }
            AudioCodec::PcmA | AudioCodec::PcmU => {
                "G.711: apps and ffplay play it; browsers and mini-programs do not"
            }
        });
        let silence = "silence: without sound, many players wait 5 s for it (unless audio = \"aac\" or \"off\" is configured)";
        let silence = tracks.video.as_ref().map(|_| silence);
        [picture, audio.or(silence)]
            .into_iter()
            .flatten()
            .map(str::to_owned)
            .collect()
    }

    /// Settings to change in the camera, a line each.
    pub(super) fn advice(&self) -> Vec<String> {
        let mut advice = Vec::new();
        let Some(tracks) = &self.tracks else {
            return advice;
        };
        if let Some(video) = &tracks.video {
            let seen = (self.seconds() * 1e6) as i64;
            let distance = self.key_distance().unwrap_or(seen);
            if distance > FAR_MICROS && !self.forces_keys {
                advice.push(format!(
                    "key frames are {:.1} s apart: somebody who comes may wait that long for the \
                     first picture. Set the camera's I-frame interval (GOP) to {:.0} pictures; of \
                     an RTSP camera that is read always (pull = \"always\"), the newest is kept.",
                    distance as f64 / 1e6,
                    self.frame_rate()
                ));
            }
            if self.is_reordered {
                advice.push(
                    "pictures are reordered (B-frames), which costs viewers some pictures of delay. \
                     Turn B-frames off, or choose the Baseline or Main profile."
                        .to_owned(),
                );
            }
            if video.codec == VideoCodec::H265 {
                advice.push("for browsers and mini-programs, set the camera to H.264.".to_owned());
            }
            if self.largest > MINI_PROGRAM_BYTES {
                advice.push(format!(
                    "there are pictures of {} KiB, and players of mini-programs break off at more \
                     than 99 KiB; give viewers a smaller picture as well (url_high, url_standard), \
                     or lower the bitrate.",
                    self.largest.div_ceil(1024)
                ));
            }
            if self.bits_per_second() > FAST_BITS {
                advice.push(format!(
                    "{:.1} Mbit/s is more than many uplinks carry; give viewers a smaller picture \
                     as well (url_high, url_standard).",
                    self.bits_per_second() / 1e6
                ));
            }
        }
        let is_g711 = |audio: &AudioTrack| audio.codec != AudioCodec::Aac && !cfg!(feature = "aac");
        if tracks.audio.as_ref().is_some_and(is_g711) {
            advice.push("browsers play no G.711: set the camera's sound to AAC.".to_owned());
        }
        advice
    }
}

fn profile(video: &VideoTrack) -> String {
    let byte = |at: usize| video.config.get(at).copied().unwrap_or(0);
    match video.codec {
        VideoCodec::H264 => {
            let name = match byte(1) {
                66 => "Baseline",
                77 => "Main",
                88 => "Extended",
                100 => "High",
                _ => "of another profile",
            };
            format!("H.264 {name} {}.{}", byte(3) / 10, byte(3) % 10)
        }
        VideoCodec::H265 => {
            let name = match byte(1) & 0x1f {
                1 => "Main",
                2 => "Main 10",
                _ => "of another profile",
            };
            format!("H.265 {name} {:.1}", f64::from(byte(12)) / 30.0)
        }
    }
}

fn sound(audio: &AudioTrack) -> String {
    let codec = match audio.codec {
        AudioCodec::Aac => "AAC-LC",
        AudioCodec::PcmA => "G.711 A-law",
        AudioCodec::PcmU => "G.711 µ-law",
    };
    let channels = match audio.channels {
        1 => "mono".to_owned(),
        2 => "stereo".to_owned(),
        other => format!("{other} channels"),
    };
    format!("{codec}, {} Hz, {channels}", audio.sample_rate)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use peercam_proto::media::MediaTime;

    fn tracks(codec: VideoCodec, audio: AudioCodec) -> Tracks {
        Tracks {
            video: Some(VideoTrack {
                codec,
                config: Bytes::from_static(&[1, 100, 0, 40, 0, 0, 0, 0, 0, 0, 0, 0, 120]),
                width: 1920,
                height: 1080,
                frame_rate: 0.0,
            }),
            audio: Some(AudioTrack {
                codec: audio,
                config: Bytes::new(),
                sample_rate: 8_000,
                channels: 1,
            }),
        }
    }

    fn observed(gop: i64, size: usize, composition_micros: i32) -> Observed {
        let mut observed = Observed::default();
        for number in 0..251 {
            observed.take(&Frame {
                track: TrackKind::Video,
                key: number % gop == 0,
                time: MediaTime::from_micros(number * 40_000),
                composition_micros,
                data: vec![0; size].into(),
            });
        }
        observed
    }

    #[test]
    fn a_good_camera_needs_no_advice() {
        let mut good = observed(25, 10_000, 0);
        good.take_tracks(tracks(VideoCodec::H264, AudioCodec::Aac));
        assert_eq!(good.advice(), Vec::<String>::new());
        let facts = good.facts();
        assert!(
            facts[0].contains("H.264 High 4.0, 1920x1080, 25.0 a second, 2.01 Mbit/s"),
            "{facts:?}"
        );
        assert!(facts[1].contains("every 1.0 s, up to 10 KiB"), "{facts:?}");
        assert!(good.has_seen_a_gop());
    }

    #[test]
    fn what_makes_viewers_wait_is_named() {
        let mut slow = observed(100, 40_000, 40_000);
        slow.take_tracks(tracks(VideoCodec::H265, AudioCodec::PcmA));
        let advice = slow.advice().join("\n");
        for part in ["4.0 s apart", "B-frames", "H.264", "Mbit/s"] {
            assert!(advice.contains(part), "{part:?} in {advice}");
        }
        slow.forces_keys = true;
        assert!(
            !slow.advice().join("\n").contains("apart"),
            "they come on request"
        );
    }

    #[test]
    fn pictures_that_mini_programs_do_not_take_are_named() {
        for (size, is_named) in [(102_377, false), (102_378, true)] {
            let mut large = observed(1, 1, 0);
            large.take_tracks(tracks(VideoCodec::H264, AudioCodec::Aac));
            large.take(&Frame {
                track: TrackKind::Video,
                key: true,
                time: MediaTime::from_micros(251 * 40_000),
                composition_micros: 0,
                data: vec![0; size].into(),
            });
            let advice = large.advice().join("\n");
            assert_eq!(advice.contains("of 100 KiB"), is_named, "{size}: {advice}");
        }
    }

    #[test]
    fn nothing_seen_is_nothing_said() {
        let nothing = Observed::default();
        assert!(nothing.facts().is_empty() && nothing.advice().is_empty());
        let mut one = observed(1000, 100, 0);
        one.take_tracks(tracks(VideoCodec::H264, AudioCodec::Aac));
        assert!(!one.has_seen_a_gop());
        assert!(
            one.facts()[1].contains("one in 10.0 s"),
            "{:?}",
            one.facts()
        );
    }
}
