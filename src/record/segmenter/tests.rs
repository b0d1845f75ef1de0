use std::sync::Arc;

use bytes::Bytes;
use peercam_proto::media::{Frame, TrackKind, Tracks};

use super::*;

const CUT: SegmentPolicy = SegmentPolicy {
    segment: Duration::from_secs(10),
    pre_roll: Duration::from_secs(3),
    most_pre_roll: 10_000,
};
const KNOWN: Date = Date {
    offset_millis: 1_000_000,
    is_known: true,
};

/// A fragment of one second.
fn fragment(second: i64, is_key: bool) -> Fragment {
    let frame = Frame {
        track: TrackKind::Video,
        key: is_key,
        time: MediaTime::from_micros(second * 1_000_000),
        composition_micros: 0,
        data: Bytes::from_static(&[0; 1000]),
    };
    Fragment {
        tracks: Arc::new(Tracks::default()),
        frames: vec![frame],
        end: Some(MediaTime::from_micros((second + 1) * 1_000_000)),
        is_key,
        after_gap: false,
    }
}

/// The seconds at which segments begin, of those that are written.
fn begins(writes: &[FragmentWrite]) -> Vec<i64> {
    let begin = writes.iter().filter(|write| write.begins);
    begin
        .map(|write| write.fragment.start().as_micros() / 1_000_000)
        .collect()
}

fn push_all(
    segmenter: &mut Segmenter,
    seconds: std::ops::Range<i64>,
    wanted: Wanted,
    date: Date,
) -> Vec<FragmentWrite> {
    let fragments = seconds.map(|second| fragment(second, second % 2 == 0));
    fragments
        .flat_map(|fragment| segmenter.push(fragment, wanted, date).1)
        .collect()
}

#[test]
fn a_segment_begins_with_a_key_when_the_one_before_is_long_enough() {
    let mut segmenter = Segmenter::new(SegmentPolicy {
        segment: Duration::from_secs(9),
        ..CUT
    });
    let cut = push_all(&mut segmenter, 1..30, Wanted::Kind(0), KNOWN);
    assert_eq!(begins(&cut), [2, 12, 22]);
    assert_eq!(cut.len(), 28, "the first one is no key");
}

#[test]
fn another_kind_or_another_date_begins_a_segment() {
    let mut segmenter = Segmenter::new(CUT);
    push_all(&mut segmenter, 0..3, Wanted::Kind(0), KNOWN);
    let event = push_all(&mut segmenter, 3..6, Wanted::Kind(1), KNOWN);
    assert_eq!(begins(&event), [4]);
    let kinds: Vec<_> = event
        .iter()
        .map(|write| (write.kind, write.begins))
        .collect();
    assert_eq!(kinds, [(1, false), (1, true), (1, false)]);
    let drifted = Date {
        offset_millis: KNOWN.offset_millis + 1900,
        ..KNOWN
    };
    let same = push_all(&mut segmenter, 6..9, Wanted::Kind(1), drifted);
    assert_eq!(begins(&same), [0_i64; 0]);
    assert!(
        same.iter().all(|write| write.date == KNOWN),
        "a segment has one date"
    );
    let stepped = Date {
        offset_millis: KNOWN.offset_millis - 3000,
        ..KNOWN
    };
    assert_eq!(
        begins(&push_all(&mut segmenter, 9..11, Wanted::Kind(1), stepped)),
        [10]
    );
    let unknown = Date {
        is_known: false,
        ..stepped
    };
    assert_eq!(
        begins(&push_all(&mut segmenter, 11..14, Wanted::Kind(1), unknown)),
        [12]
    );
}

#[test]
fn an_event_has_what_was_before_it() {
    let mut segmenter = Segmenter::new(CUT);
    assert!(push_all(&mut segmenter, 0..9, Wanted::Nothing, KNOWN).is_empty());
    let event = push_all(&mut segmenter, 9..11, Wanted::Kind(5), KNOWN);
    let seconds: Vec<_> = event
        .iter()
        .map(|write| write.fragment.start().as_micros() / 1_000_000)
        .collect();
    assert_eq!(seconds, [4, 5, 6, 7, 8, 9, 10], "three seconds, from a key");
    assert_eq!(begins(&event), [4]);
    let (closes, written) = segmenter.push(fragment(11, false), Wanted::Nothing, KNOWN);
    assert!(closes && written.is_empty());
    let (closes, _) = segmenter.push(fragment(12, true), Wanted::Nothing, KNOWN);
    assert!(!closes, "once");
}

#[test]
fn what_is_kept_ready_is_bounded_in_bytes() {
    let mut segmenter = Segmenter::new(SegmentPolicy {
        pre_roll: Duration::from_secs(60),
        ..CUT
    });
    push_all(&mut segmenter, 0..60, Wanted::Nothing, KNOWN);
    let event = push_all(&mut segmenter, 60..61, Wanted::Kind(5), KNOWN);
    let bytes: usize = event.iter().map(|write| write.fragment.size()).sum();
    assert!(bytes <= CUT.most_pre_roll + 1000, "{bytes}");
    assert!(event[0].fragment.is_key);
}

#[test]
fn what_depends_on_a_lost_fragment_is_left_out() {
    let mut segmenter = Segmenter::new(CUT);
    push_all(&mut segmenter, 0..4, Wanted::Kind(0), KNOWN);
    segmenter.lost();
    let cut = push_all(&mut segmenter, 5..8, Wanted::Kind(0), KNOWN);
    assert_eq!(cut.len(), 2);
    assert_eq!(begins(&cut), [6]);
    let mut gap = fragment(8, true);
    gap.after_gap = true;
    let (_, cut) = segmenter.push(gap, Wanted::Kind(0), KNOWN);
    assert!(cut[0].begins);
}
