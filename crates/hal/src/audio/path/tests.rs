//! Sound policies over scripted cameras: with sound, without, and with sound that comes and goes.

use bytes::Bytes;
use peercam_proto::media::{AudioCodec, MediaTime, VideoCodec, VideoTrack};

use super::*;
use crate::tracks;

/// Interval between pictures, at 25 in a second.
const STEP: i64 = 40;
const HOUR: i64 = 3_600_000;

fn announcing(audio: Option<AudioTrack>) -> Tracks {
    Tracks {
        video: Some(VideoTrack {
            codec: VideoCodec::H264,
            config: Bytes::new(),
            width: 640,
            height: 360,
            frame_rate: 25.0,
        }),
        audio,
    }
}

fn a_law() -> AudioTrack {
    tracks::g711(AudioCodec::PcmA, 8_000, 1).expect("G.711")
}

/// AAC-LC, 48 kHz, stereo.
fn stereo() -> AudioTrack {
    tracks::aac(Bytes::from_static(&[0x11, 0x90])).expect("AAC-LC")
}

/// A path and what has come out of it.
struct Script {
    path: AudioPath,
    told: Vec<Tracks>,
    /// Events in the order in which they came; times in microseconds.
    frames: Vec<(TrackKind, i64, Bytes)>,
}

impl Script {
    fn new(policy: AudioPolicy, audio: Option<AudioTrack>) -> Self {
        let mut script = Self {
            path: AudioPath::new(policy),
            told: Vec::new(),
            frames: Vec::new(),
        };
        script.push(SourceEvent::Online(announcing(audio)));
        script
    }

    fn push(&mut self, event: SourceEvent) {
        let (told, frames) = (&mut self.told, &mut self.frames);
        self.path.push(event, |event| match event {
            SourceEvent::Online(tracks) | SourceEvent::TracksChanged(tracks) => told.push(tracks),
            SourceEvent::Frame(frame) => {
                frames.push((frame.track, frame.time.as_micros(), frame.data));
            }
            SourceEvent::Offline(_) => {}
        });
    }

    fn frame(&mut self, track: TrackKind, millis: i64, data: &'static [u8]) {
        self.push(SourceEvent::Frame(Frame {
            track,
            key: true,
            time: MediaTime::from_micros(millis * 1000),
            composition_micros: 0,
            data: Bytes::from_static(data),
        }));
    }

    fn pictures(&mut self, millis: impl IntoIterator<Item = i64>) {
        for millis in millis {
            self.frame(TrackKind::Video, millis, b"p");
        }
    }

    fn track(&self) -> Option<&AudioTrack> {
        self.told.last().and_then(|tracks| tracks.audio.as_ref())
    }

    /// Start times of the sound that was handed out, in milliseconds.
    fn sounds(&self) -> Vec<i64> {
        let sounds = self
            .frames
            .iter()
            .filter(|frame| frame.0 == TrackKind::Audio);
        sounds.map(|&(_, micros, _)| micros / 1000).collect()
    }

    /// Sound from `start` to the end, and how far each block of it is from the next, in microseconds.
    fn steps_from(&self, start: i64) -> Vec<i64> {
        let sounds = self
            .frames
            .iter()
            .filter(|frame| frame.0 == TrackKind::Audio);
        let times: Vec<i64> = sounds
            .map(|frame| frame.1)
            .filter(|&micros| micros >= start * 1000)
            .collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

#[test]
fn silence_keeps_step_with_pictures_for_hours() {
    let mut script = Script::new(AudioPolicy::Silence, None);
    let track = script.track().expect("silence is announced");
    assert_eq!(
        Some(track),
        tracks::aac(track.config.clone()).ok().as_ref(),
        "the configuration says the same"
    );
    // The clock of the camera is off by 200 ppm, and its pictures are not quite even.
    let times = (0..3 * HOUR / STEP).map(|number| 7 + number * STEP + number / 5000 + number % 3);
    script.pictures(times);
    let steps = script.steps_from(0);
    assert!(
        steps.iter().all(|&step| step == 64_000),
        "no step is longer"
    );
    let mut covered = 0;
    let mut last_picture = None;
    for (track, micros, _) in &script.frames {
        match track {
            TrackKind::Audio => {
                assert!(last_picture.is_some_and(|last| last <= *micros), "in order");
                covered = micros + 64_000;
            }
            TrackKind::Video => {
                let first = *last_picture.get_or_insert(*micros) == *micros;
                assert!(first || covered >= *micros, "sound is there for {micros}");
                assert!(covered <= micros + 64_000, "and not more than a unit ahead");
                last_picture = Some(*micros);
            }
        }
    }
}

#[test]
fn a_standstill_is_not_made_up_for() {
    let mut script = Script::new(AudioPolicy::Silence, None);
    script.pictures((0..=1000).step_by(40));
    script.pictures((9000..=10_000).step_by(40));
    let sounds = script.sounds();
    assert!(!sounds.iter().any(|millis| (1_064..9_000).contains(millis)));
    assert!(sounds.contains(&9_000), "it goes on with the pictures");
    // The camera is lost and comes back at once: no seam.
    script.push(SourceEvent::Offline("lost".to_owned()));
    script.push(SourceEvent::Online(announcing(None)));
    script.pictures((10_300..=11_000).step_by(40));
    assert!(script.steps_from(9_000).iter().all(|&step| step == 64_000));
}

#[test]
fn rare_pictures_have_no_holes_in_their_silence() {
    let mut script = Script::new(AudioPolicy::Silence, None);
    script.pictures((0..60_000).step_by(1000));
    assert!(script.steps_from(0).iter().all(|&step| step == 64_000));
    // So rare that it cannot be told from a standstill: each has a little.
    let mut script = Script::new(AudioPolicy::Silence, None);
    script.pictures((0..60_000).step_by(2000));
    assert_eq!(script.sounds().len(), 29);
}

#[test]
fn sound_that_never_comes_is_made_up_for() {
    for (policy, announced) in [
        (AudioPolicy::Silence, a_law()),
        (AudioPolicy::Aac, a_law()),
        (AudioPolicy::Aac, stereo()),
        (AudioPolicy::Pass, a_law()),
        (AudioPolicy::Pass, stereo()),
    ] {
        let mut script = Script::new(policy, Some(announced.clone()));
        let track = script.track().expect("it was announced").clone();
        script.pictures((0..960).step_by(40));
        assert!(script.sounds().is_empty(), "it may still come");
        assert!(!script.path.take_complaint());
        script.pictures((960..5000).step_by(40));
        assert!(script.path.take_complaint(), "somebody should look at it");
        script.pictures((5000..10_000).step_by(40));
        assert!(!script.path.take_complaint(), "once is enough");
        let unit = match track.codec {
            AudioCodec::Aac => 1024 * 1_000_000 / i64::from(track.sample_rate),
            _ => 40_000,
        };
        let steps = script.steps_from(0);
        let is_even = |&step: &i64| (unit..=unit + 1).contains(&step);
        assert!(steps.iter().all(is_even), "{unit}: {steps:?}");
        let of_ten_seconds = 9_000_000 / unit;
        assert!((of_ten_seconds - 2..=of_ten_seconds + 2).contains(&(steps.len() as i64)));
        assert_eq!(script.told.len(), 1, "the track stays as it was announced");
    }
}

#[test]
fn nothing_is_added_to_real_sound() {
    for late in [0, 300, 2000] {
        // Blocks of 64 ms, which come by so much later than their pictures.
        let mut script = Script::new(AudioPolicy::Silence, Some(stereo()));
        let mut sounds = Vec::new();
        for number in 0..1500 {
            script.pictures([number * STEP]);
            if number % 8 == 0 {
                for block in 0..5 {
                    let millis = number * STEP + block * 64 - late;
                    script.frame(TrackKind::Audio, millis, b"sound");
                    sounds.push(millis);
                }
            }
        }
        assert_eq!(script.sounds(), sounds);
        assert!(!script.path.take_complaint());
    }
}

#[test]
fn silence_and_sound_do_not_overlap() {
    let mut script = Script::new(AudioPolicy::Silence, Some(stereo()));
    let block = |script: &mut Script, millis| script.frame(TrackKind::Audio, millis, b"sound");
    // It comes for 3 s, is away for 5 and comes again.
    for millis in (0..20_000).step_by(40) {
        script.pictures([millis]);
        if !(3_000..8_000).contains(&millis) {
            block(&mut script, millis - 100);
            block(&mut script, millis - 80);
        }
    }
    let is_sound = |data: &Bytes| data == &b"sound"[..];
    let mut end = i64::MIN;
    for (_, micros, data) in script.frames.iter().filter(|one| one.0 == TrackKind::Audio) {
        assert!(*micros >= end, "{micros} before {end}");
        end = micros + if is_sound(data) { 20_000 } else { 21_333 };
    }
    let silent = |from: i64, to: i64| {
        let there = script.frames.iter().filter(|(track, micros, data)| {
            let is_there = (from * 1000..to * 1000).contains(micros);
            *track == TrackKind::Audio && is_there && !is_sound(data)
        });
        there.count()
    };
    assert_eq!((silent(-100, 3_900), silent(8_050, 20_000)), (0, 0));
    assert!(silent(4_100, 7_900) > 3_700 / 22);
}

#[test]
fn sound_that_begins_later_takes_the_place_of_silence() {
    let mut script = Script::new(AudioPolicy::Silence, None);
    script.pictures((0..=2000).step_by(40));
    script.push(SourceEvent::TracksChanged(announcing(Some(stereo()))));
    assert_eq!(script.track(), Some(&stereo()));
    for millis in (2040..6000).step_by(40) {
        script.frame(TrackKind::Audio, millis - 60, b"sound");
        script.pictures([millis]);
    }
    let (silent, sounding): (Vec<_>, Vec<_>) = (script.frames.iter())
        .filter(|frame| frame.0 == TrackKind::Audio)
        .partition(|frame| frame.2.len() != 5);
    let silence_end = silent.iter().map(|frame| frame.1 + 64_000).max();
    let first = sounding.iter().map(|frame| frame.1).min();
    assert!(silence_end <= first && first < Some(2_150_000), "{first:?}");
    // It ends for good: the camera says that it has none any more.
    script.push(SourceEvent::TracksChanged(announcing(None)));
    script.pictures((6000..8000).step_by(40));
    assert!(script.sounds().last().is_some_and(|&last| last > 7_900));
}

#[test]
fn policies_are_what_they_say() {
    let none: Option<&AudioTrack> = None;
    for policy in [AudioPolicy::Pass, AudioPolicy::Aac, AudioPolicy::Off] {
        let mut script = Script::new(policy, None);
        script.pictures((0..5000).step_by(40));
        assert_eq!((script.track(), script.sounds().len()), (none, 0));
    }
    let mut script = Script::new(AudioPolicy::Off, Some(a_law()));
    script.pictures((0..5000).step_by(40));
    script.frame(TrackKind::Audio, 5000, &[0xd5; 320]);
    assert_eq!((script.track(), script.sounds().len()), (none, 0));
    let made = |policy| {
        Script::new(policy, Some(a_law()))
            .track()
            .map(|track| track.codec)
    };
    let aac = if cfg!(feature = "aac") {
        AudioCodec::Aac
    } else {
        AudioCodec::PcmA
    };
    assert_eq!(made(AudioPolicy::Pass), Some(AudioCodec::PcmA));
    assert_eq!(made(AudioPolicy::Aac), Some(aac));
    assert_eq!(made(AudioPolicy::Silence), Some(aac));
    // Sound alone is sound enough.
    let mut alone = Script::new(AudioPolicy::Silence, None);
    alone.push(SourceEvent::Online(Tracks::default()));
    assert_eq!(alone.track(), None);
}

/// G.711 that changes nothing keeps its encoder, also where the picture changes its size.
#[cfg(feature = "aac")]
#[test]
fn a_new_picture_does_not_interrupt_the_sound() {
    let mut script = Script::new(AudioPolicy::Silence, Some(a_law()));
    for millis in (0..4000).step_by(40) {
        script.pictures([millis]);
        script.frame(TrackKind::Audio, millis, &[0xd5; 320]);
        if millis == 2000 {
            script.push(SourceEvent::TracksChanged(announcing(Some(a_law()))));
        }
    }
    assert!(script.steps_from(0).iter().all(|&step| step == 128_000));
    assert!(script.sounds().len() > 25);
}

/// The canned units are what decoders take for silence.
#[cfg(feature = "aac")]
#[test]
fn canned_units_decode_to_silence() {
    for track in [
        Script::new(AudioPolicy::Silence, None).track().cloned(),
        Some(stereo()),
    ] {
        let track = track.expect("silence");
        let mut script = Script::new(AudioPolicy::Silence, Some(track.clone()));
        script.pictures((0..3000).step_by(40));
        let units = script.frames.iter().filter(|one| one.0 == TrackKind::Audio);
        let units: Vec<_> = units.map(|one| one.2.clone()).collect();
        assert!(units.len() > 20);
        let options = syom::DecodeOptions::audio();
        let mut decoder = syom::Decoder::from_asc(&track.config, options).expect("AAC-LC");
        let mut samples = 0;
        for unit in &units {
            let decoded = decoder.decode_au(unit, |frame| {
                assert_eq!(frame.planar.len(), usize::from(track.channels));
                let is_silent = |plane: &&[f32]| plane.iter().all(|&sample| sample == 0.0);
                assert!(frame.planar.iter().all(|plane| is_silent(&&plane[..])));
                samples += frame.samples;
                Ok(())
            });
            decoded.expect("a unit");
        }
        assert!(samples >= (units.len() - 1) * 1024, "{samples}");
    }
}
