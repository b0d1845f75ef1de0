//! Order of sound and pictures, whichever of them is late, and the end of waiting for one that
//! stays away.

use bytes::Bytes;
use peercam_proto::media::{AudioCodec, AudioTrack, VideoCodec, VideoTrack};
use proptest::prelude::*;

use super::*;

fn tracks(has_audio: bool) -> Option<Arc<Tracks>> {
    Some(Arc::new(Tracks {
        video: Some(VideoTrack {
            codec: VideoCodec::H264,
            config: Bytes::new(),
            width: 0,
            height: 0,
            frame_rate: 0.0,
        }),
        audio: has_audio.then(|| AudioTrack {
            codec: AudioCodec::PcmA,
            config: Bytes::new(),
            sample_rate: 8000,
            channels: 1,
        }),
    }))
}

fn frame(track: TrackKind, millis: i64) -> Frame {
    Frame {
        track,
        key: track == Audio || millis % 1000 == 0,
        time: MediaTime::from_micros(millis * 1000),
        composition_micros: 0,
        data: Bytes::from_static(&[0; 100]),
    }
}

use TrackKind::{Audio, Video};

/// Frames that have come out: pictures (`true`) and sound, in milliseconds.
fn out(interleaver: &mut Interleaver) -> Vec<(bool, i64)> {
    let popped = std::iter::from_fn(|| interleaver.pop());
    let told = popped.map(|(frame, _)| (frame.track == Video, frame.time.as_micros() / 1000));
    told.collect()
}

/// Pictures every 40 ms and sound every 64 ms up to `end`, each so much later than its time.
fn stream(end: i64, [pictures, sound]: [i64; 2]) -> Vec<Frame> {
    let pictures = (0..end)
        .step_by(40)
        .map(|at| (at + pictures, frame(Video, at)));
    let sound = (0..end)
        .step_by(64)
        .map(|at| (at + sound, frame(Audio, at)));
    let mut arriving: Vec<_> = pictures.chain(sound).collect();
    arriving.sort_by_key(|(at, _)| *at);
    arriving.into_iter().map(|(_, frame)| frame).collect()
}

/// Returns whether frames are in the order of their times, a picture in front of what sounds with
/// it.
fn is_in_order(frames: &[(bool, i64)]) -> bool {
    frames.is_sorted_by_key(|(is_picture, time)| (*time, !is_picture))
}

proptest! {
    #[test]
    fn nothing_is_lost_and_all_is_in_order(late in [0_i64..900, 0_i64..900]) {
        let mut interleaver = Interleaver::new(usize::MAX);
        let (mut tracks, mut found) = (tracks(true), Vec::new());
        let frames = stream(5000, late);
        let count = frames.len();
        for frame in frames {
            interleaver.push(frame, tracks.take());
            found.extend(out(&mut interleaver));
        }
        // What waits is what came within the difference.
        let apart = (late[0] - late[1]).unsigned_abs() as usize;
        prop_assert!(count - found.len() <= apart / 40 + apart / 64 + 4);
        interleaver.settle();
        found.extend(out(&mut interleaver));
        prop_assert_eq!(found.len(), count);
        prop_assert!(is_in_order(&found), "{:?}", found);
    }
}

#[test]
fn what_does_not_come_is_not_waited_for() {
    let mut interleaver = Interleaver::new(usize::MAX);
    let mut tracks = tracks(true);
    for at in (0..=960).step_by(40) {
        interleaver.push(frame(Video, at), tracks.take());
        assert_eq!(out(&mut interleaver), [], "{at}");
    }
    interleaver.push(frame(Video, 1000), None);
    assert_eq!(out(&mut interleaver).len(), 26, "no sound comes");
    interleaver.push(frame(Video, 1040), None);
    assert_eq!(out(&mut interleaver), [(true, 1040)], "at once from now on");
    // It is there again.
    interleaver.push(frame(Audio, 1060), None);
    interleaver.push(frame(Video, 1080), None);
    assert_eq!(out(&mut interleaver), [(false, 1060)]);
    interleaver.push(frame(Audio, 1080), None);
    assert_eq!(out(&mut interleaver), [(true, 1080), (false, 1080)]);
}

#[test]
fn what_waits_is_bounded_in_bytes() {
    let mut interleaver = Interleaver::new(10_000);
    let mut tracks = tracks(true);
    let mut found = 0;
    for at in 0..200 {
        interleaver.push(frame(Video, at), tracks.take());
        found += out(&mut interleaver).len();
        assert!(interleaver.weight <= 10_000);
    }
    assert!(found >= 200 - 10_000 / 356, "{found}");
}

#[test]
fn one_track_waits_for_nothing_and_other_tracks_end_the_waiting() {
    let mut interleaver = Interleaver::new(usize::MAX);
    interleaver.push(frame(Video, 0), tracks(false));
    interleaver.push(frame(Video, 40), None);
    assert_eq!(out(&mut interleaver), [(true, 0), (true, 40)]);
    interleaver.push(frame(Video, 80), tracks(true));
    interleaver.push(frame(Video, 120), None);
    let other = tracks(true);
    interleaver.push(frame(Video, 160), other.clone());
    assert_eq!(out(&mut interleaver), [(true, 80), (true, 120)]);
    interleaver.settle();
    let new = interleaver.pop().expect("a picture");
    assert_eq!((new.0.time.as_micros(), new.1), (160_000, other));
}

#[test]
fn tracks_go_with_the_first_of_their_frames() {
    let mut interleaver = Interleaver::new(usize::MAX);
    let new = tracks(true);
    interleaver.push(frame(Video, 200), tracks(true));
    interleaver.settle();
    out(&mut interleaver);
    interleaver.push(frame(Audio, 500), new.clone());
    interleaver.push(frame(Video, 480), None);
    interleaver.push(frame(Video, 520), None);
    assert_eq!(interleaver.pop().and_then(|(_, tracks)| tracks), new);
    assert_eq!(interleaver.pop().and_then(|(_, tracks)| tracks), None);
}

#[test]
fn sound_belongs_to_the_picture_that_is_shown_with_it() {
    let mut interleaver = Interleaver::new(usize::MAX);
    let mut key = frame(Video, 1000);
    key.composition_micros = 80_000;
    interleaver.push(key, tracks(true));
    interleaver.push(frame(Audio, 1060), None);
    interleaver.push(frame(Audio, 1124), None);
    assert_eq!(out(&mut interleaver), [(false, 1060), (true, 1000)]);
}
