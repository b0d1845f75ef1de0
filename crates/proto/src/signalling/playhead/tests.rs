//! Frame times of a playback at every pace, over gaps, pauses and seeks. Frames are sent when they
//! are due: the clock is a number.

use proptest::prelude::*;

use super::*;

const START: i64 = 1_700_000_000_000_000;

fn at(micros: i64) -> MediaTime {
    MediaTime::from_micros(micros)
}

/// Sends frames at once when they are due; gives their timestamps.
fn play(head: &mut Playhead, now: &mut i64, recorded: impl IntoIterator<Item = i64>) -> Vec<u32> {
    let frames = recorded.into_iter();
    frames
        .map(|micros| {
            let due = head.due(START + micros, TrackKind::Video);
            *now = (*now).max(due.at.as_micros());
            head.sent(START + micros, TrackKind::Video, at(*now));
            due.timestamp
        })
        .collect()
}

#[test]
fn at_the_normal_pace_it_is_as_it_was_recorded() {
    let (mut head, mut now) = (Playhead::new(START, at(5_000_000)), 5_000_000);
    let stamps = play(&mut head, &mut now, [0, 40_000, 100_000, 120_000]);
    assert_eq!(stamps, [0, 40, 100, 120]);
    assert_eq!(now, 5_120_000);
    assert_eq!(head.progress_millis(), 120);
    let sound = |head: &Playhead| head.due(START + 110_000, TrackKind::Audio).timestamp;
    assert_eq!(sound(&head), 110);
    head.sent(START + 110_000, TrackKind::Audio, at(now));
    assert_eq!(sound(&head), 111, "it never goes back");
}

#[test]
fn gaps_are_passed_over() {
    let (mut head, mut now) = (Playhead::new(START, at(0)), 0);
    play(&mut head, &mut now, [0, 50_000]);
    let stamps = play(&mut head, &mut now, [60_000_000, 60_050_000, 60_100_000]);
    assert_eq!(stamps, [100, 150, 200]);
    assert_eq!(head.progress_millis(), 60_100);
}

#[test]
fn a_pause_costs_no_timestamps() {
    let (mut head, mut now) = (Playhead::new(START, at(0)), 0);
    play(&mut head, &mut now, [0, 40_000]);
    head.pause(at(50_000));
    head.pause(at(70_000));
    assert!(head.is_paused());
    head.resume(at(600_050_000));
    let due = head.due(START + 80_000, TrackKind::Video);
    assert_eq!((due.timestamp, due.at.as_micros()), (80, 600_080_000));
}

#[test]
fn a_seek_goes_on_with_the_next_timestamp() {
    let (mut head, mut now) = (Playhead::new(START, at(0)), 0);
    play(&mut head, &mut now, [0, 40_000, 80_000]);
    head.seek(START + 30_000_000);
    assert_eq!(head.progress_millis(), 30_000);
    let stamps = play(&mut head, &mut now, [29_500_000, 29_540_000]);
    assert_eq!(stamps, [120, 160]);
    head.seek(START);
    assert_eq!(play(&mut head, &mut now, [0, 40_000]), [200, 240]);
}

#[test]
fn key_frames_are_five_in_a_second_or_as_was_set() {
    let (mut head, mut now) = (Playhead::new(START, at(0)), 0);
    play(&mut head, &mut now, [0, 40_000]);
    head.set_pace(Pace::Keys { every: 2 }, at(now));
    assert!(!head.takes(TrackKind::Audio));
    assert_eq!(
        play(&mut head, &mut now, [4_000_000, 8_000_000]),
        [240, 440]
    );
    head.set_pace(Pace::Back { until: START }, at(now));
    assert_eq!(
        play(&mut head, &mut now, [6_000_000, 4_000_000]),
        [640, 840]
    );
    head.set_pace(Pace::Interval { micros: 100_000 }, at(now));
    head.set_pace(Pace::Keys { every: 1 }, at(now));
    assert_eq!(
        play(&mut head, &mut now, [8_000_000, 10_000_000]),
        [940, 1040]
    );
    head.set_pace(Pace::Normal, at(now));
    assert_eq!(play(&mut head, &mut now, [10_040_000, 10_080_000])[1], 1120);
}

#[test]
fn a_slow_viewer_is_waited_for() {
    let mut head = Playhead::new(START, at(0));
    head.sent(START, TrackKind::Video, at(0));
    head.sent(START + 40_000, TrackKind::Video, at(2_040_000));
    let due = head.due(START + 80_000, TrackKind::Video);
    assert_eq!((due.timestamp, due.at.as_micros()), (80, 2_080_000));
}

#[derive(Clone, Debug)]
enum Step {
    Frame(i64, bool),
    Wait(i64),
    Pause,
    Resume,
    Seek(i64),
    Pace(Pace),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pace = prop_oneof![
        Just(Pace::Normal),
        (1_i64..2_000_000).prop_map(|micros| Pace::Interval { micros }),
        (1_u32..10).prop_map(|every| Pace::Keys { every }),
        (0_i64..1_000_000).prop_map(|until| Pace::Back { until }),
    ];
    let step = prop_oneof![
        8 => (-3_000_000_i64..3_000_000, any::<bool>()).prop_map(|(step, video)| Step::Frame(step, video)),
        2 => (0_i64..3_000_000).prop_map(Step::Wait),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
        1 => (0_i64..1_000_000_000).prop_map(Step::Seek),
        1 => pace.prop_map(Step::Pace),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn timestamps_never_go_back_and_never_run_ahead_of_the_clock(steps in steps()) {
        let (mut head, mut now, mut paused_for) = (Playhead::new(START, at(0)), 0_i64, 0_i64);
        let (mut recorded, mut last, mut paused_at) = (START, [0_u32; 2], None);
        for step in steps {
            match step {
                Step::Wait(micros) => now += micros,
                Step::Pause => {
                    head.pause(at(now));
                    paused_at.get_or_insert(now);
                }
                Step::Resume => {
                    head.resume(at(now));
                    paused_for += paused_at.take().map_or(0, |at| now - at);
                }
                Step::Seek(to) => {
                    recorded = START + to;
                    head.seek(recorded);
                    prop_assert_eq!(head.is_paused(), paused_at.is_some());
                }
                Step::Pace(pace) => {
                    head.set_pace(pace, at(now));
                    paused_for += paused_at.take().map_or(0, |at| now - at);
                    prop_assert_eq!(head.pace(), pace);
                }
                Step::Frame(by, is_video) if !head.is_paused() => {
                    let track = if is_video { TrackKind::Video } else { TrackKind::Audio };
                    if !head.takes(track) {
                        continue;
                    }
                    recorded = (recorded + by).max(START);
                    let due = head.due(recorded, track);
                    now = now.max(due.at.as_micros());
                    let last = &mut last[usize::from(is_video)];
                    prop_assert!(due.timestamp >= *last);
                    prop_assert!(i64::from(due.timestamp) * 1000 <= now - paused_for + 1000);
                    *last = due.timestamp;
                    head.sent(recorded, track, at(now));
                    prop_assert_eq!(head.position(), recorded);
                }
                Step::Frame(..) => {}
            }
        }
    }
}
