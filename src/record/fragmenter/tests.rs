//! Ends of fragments, at key frames, by length and by weight, and what is left out behind a loss.

use bytes::Bytes;

use super::*;

fn tracks(has_video: bool) -> Arc<Tracks> {
    use peercam_proto::media::{VideoCodec, VideoTrack};
    let video = has_video.then(|| VideoTrack {
        codec: VideoCodec::H264,
        config: Bytes::new(),
        width: 0,
        height: 0,
        frame_rate: 0.0,
    });
    Arc::new(Tracks { video, audio: None })
}

fn frame(track: TrackKind, key: bool, millis: i64) -> Frame {
    Frame {
        track,
        key,
        time: MediaTime::from_micros(millis * 1000),
        composition_micros: 0,
        data: Bytes::from_static(&[0; 100]),
    }
}

/// Pictures every 40 ms from `from` to `to`, a key frame every `gop` ms.
fn feed(fragmenter: &mut Fragmenter, from: i64, to: i64, gop: i64) -> Vec<Fragment> {
    let times = (from..to).step_by(40);
    let fragments = times.flat_map(|millis| {
        let tracks = (millis == 0).then(|| tracks(true));
        let sound = fragmenter.push(frame(TrackKind::Audio, true, millis), tracks.clone());
        let key = millis % gop == 0;
        [
            sound,
            fragmenter.push(frame(TrackKind::Video, key, millis), None),
        ]
    });
    fragments.flatten().collect()
}

fn starts(fragments: &[Fragment]) -> Vec<(i64, bool, bool)> {
    let starts = fragments.iter();
    starts
        .map(|fragment| {
            let pictures = fragment.frames.iter();
            let mut pictures = pictures.filter(|frame| frame.track == TrackKind::Video);
            let first = pictures
                .next()
                .map_or(0, |frame| frame.time.as_micros() / 1000);
            (first, fragment.is_key, fragment.after_gap)
        })
        .collect()
}

#[test]
fn a_fragment_ends_at_each_key_frame_or_after_two_seconds() {
    let mut fragmenter = Fragmenter::new(MAX_FRAGMENT);
    let cut = feed(&mut fragmenter, 0, 3001, 1000);
    assert_eq!(
        starts(&cut),
        [(0, true, true), (1000, true, false), (2000, true, false)]
    );
    assert!(cut.iter().all(|fragment| fragment.end.is_some()));
    let mut fragmenter = Fragmenter::new(MAX_FRAGMENT);
    let cut = feed(&mut fragmenter, 0, 5001, 5000);
    assert_eq!(
        starts(&cut),
        [(0, true, true), (2000, false, false), (4000, false, false)]
    );
}

#[test]
fn every_frame_is_in_one_fragment() {
    let mut fragmenter = Fragmenter::new(MAX_FRAGMENT);
    let mut cut = feed(&mut fragmenter, 0, 9999, 1500);
    cut.extend(fragmenter.finish(None));
    let frames: usize = cut.iter().map(|fragment| fragment.frames.len()).sum();
    // But for the sound in front of the first picture.
    assert_eq!(frames, 2 * 250 - 1);
}

#[test]
fn a_fragment_is_never_large() {
    let mut fragmenter = Fragmenter::new(MAX_FRAGMENT);
    let large = |millis| Frame {
        data: Bytes::from(vec![0; 400_000]),
        ..frame(TrackKind::Video, millis == 0, millis)
    };
    assert_eq!(fragmenter.push(large(0), Some(tracks(true))), None);
    assert_eq!(fragmenter.push(large(40), None), None);
    let cut = fragmenter
        .push(large(80), None)
        .expect("it would be too large");
    assert_eq!(cut.frames.len(), 2);
    assert!(cut.weight() <= MAX_FRAGMENT);
    // Tiny frames weigh more than their bytes.
    let mut fragmenter = Fragmenter::new(10_000);
    let tiny = |millis| frame(TrackKind::Video, millis == 0, millis);
    let mut cut = fragmenter.push(tiny(0), Some(tracks(true)));
    let mut count = 1;
    while cut.is_none() {
        cut = fragmenter.push(tiny(count), None);
        count += 1;
    }
    assert!(cut.expect("a fragment").weight() <= 10_000);
}

#[test]
fn what_is_behind_a_loss_waits_for_a_key_frame() {
    let mut fragmenter = Fragmenter::new(MAX_FRAGMENT);
    feed(&mut fragmenter, 0, 500, 1000);
    assert!(fragmenter.lose().is_some());
    let cut = feed(&mut fragmenter, 520, 2001, 1000);
    assert_eq!(starts(&cut), [(1000, true, true)]);
}

#[test]
fn pictures_that_are_far_apart_begin_a_segment_with_the_next_key_frame() {
    let mut fragmenter = Fragmenter::new(MAX_FRAGMENT);
    feed(&mut fragmenter, 0, 500, 1000);
    let cut = feed(&mut fragmenter, 2520, 5001, 1000);
    let gaps: Vec<_> = cut.iter().filter(|fragment| fragment.after_gap).collect();
    let starts: Vec<_> = gaps.iter().map(|fragment| fragment.start()).collect();
    // The first one has nothing in front of it.
    assert_eq!(starts, [0, 3_000_000].map(MediaTime::from_micros));
}

#[test]
fn other_tracks_begin_another_fragment() {
    let mut fragmenter = Fragmenter::new(MAX_FRAGMENT);
    feed(&mut fragmenter, 0, 500, 1000);
    let new = tracks(true);
    let ended = fragmenter.push(frame(TrackKind::Video, true, 520), Some(Arc::clone(&new)));
    assert!(ended.is_some());
    let next = fragmenter.finish(None).expect("one frame");
    assert!(next.after_gap && next.is_key && Arc::ptr_eq(&next.tracks, &new));
}

#[test]
fn sound_alone_is_cut_every_two_seconds() {
    let mut fragmenter = Fragmenter::new(MAX_FRAGMENT);
    let mut cut = Vec::new();
    for millis in (0..6000).step_by(64) {
        let tracks = (millis == 0).then(|| tracks(false));
        cut.extend(fragmenter.push(frame(TrackKind::Audio, true, millis), tracks));
    }
    assert_eq!(cut.len(), 2);
    assert!(cut.iter().all(|fragment| fragment.is_key));
}

#[test]
fn sound_without_pictures_makes_no_large_fragment() {
    let mut fragmenter = Fragmenter::new(MAX_FRAGMENT);
    let picture = frame(TrackKind::Video, true, 0);
    assert_eq!(fragmenter.push(picture, Some(tracks(true))), None);
    let (mut heaviest, mut frames) = (0, 1);
    for millis in 1..2_000 {
        let sound = Frame {
            data: Bytes::from(vec![0; 32 << 10]),
            ..frame(TrackKind::Audio, true, millis)
        };
        if let Some(fragment) = fragmenter.push(sound, None) {
            heaviest = heaviest.max(fragment.weight());
            frames += fragment.frames.len();
        }
    }
    assert!((1..=2 * MAX_FRAGMENT).contains(&heaviest), "{heaviest}");
    assert!(frames > 1_900, "and all of it is written: {frames}");
}
