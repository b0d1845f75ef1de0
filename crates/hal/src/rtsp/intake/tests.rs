//! The intake over scripted pictures and blocks: losses, reordering, clocks that are wrong.

use peercam_proto::media::{AudioCodec, VideoCodec};

use super::*;

const STEP: i64 = 40_000;
/// Slices that begin a picture, of a key picture and of another, and one of a key picture that does
/// not, behind their lengths.
const KEY: &[u8] = &[0, 0, 0, 2, 0x65, 0x88];
const FIRST: &[u8] = &[0, 0, 0, 2, 0x41, 0x9a];
const KEY_LATER: &[u8] = &[0, 0, 0, 2, 0x65, 0x08];

fn video(width: u32) -> VideoTrack {
    VideoTrack {
        codec: VideoCodec::H264,
        config: Bytes::new(),
        width,
        height: 360,
        frame_rate: 25.0,
    }
}

fn audio() -> AudioTrack {
    AudioTrack {
        codec: AudioCodec::PcmA,
        config: Bytes::new(),
        sample_rate: 8_000,
        channels: 1,
    }
}

fn picture(place: i64, key: bool) -> Picture {
    Picture {
        shown: place * STEP,
        arrival: MediaTime::from_micros(1_000_000 + place * STEP),
        lost: false,
        data: Bytes::from_static(if key { KEY } else { FIRST }),
    }
}

/// Events made of a picture: `T` tracks, `K` key, `p` another; nothing if it is kept back.
fn take(intake: &mut Intake, picture: Picture, track: &VideoTrack) -> String {
    let mut told = String::new();
    intake.picture(picture, Some(track), &mut |what| {
        told.push(match what {
            IntakeEvent::Tracks(_) => 'T',
            IntakeEvent::Frame(frame) if frame.key => 'K',
            IntakeEvent::Frame(_) => 'p',
        });
    });
    told
}

#[test]
fn nothing_is_told_before_a_key_frame() {
    let mut intake = Intake::new(Some(audio()), true, 0);
    let mut sounds = 0;
    let mut sound = |intake: &mut Intake| {
        let block = Sound {
            start: 0,
            arrival: MediaTime::from_micros(1_000_000),
            data: Bytes::from_static(&[0xd5; 160]),
        };
        intake.sound(block, &mut |_| sounds += 1);
    };
    let track = video(640);
    sound(&mut intake);
    assert_eq!(take(&mut intake, picture(0, false), &track), "");
    assert_eq!(take(&mut intake, picture(1, true), &track), "TK");
    assert_eq!(take(&mut intake, picture(2, false), &track), "p");
    sound(&mut intake);
    assert_eq!(sounds, 1, "sound waits for the first picture");
}

#[test]
fn what_leads_a_key_picture_needs_what_came_before_it() {
    // Slices that begin a CRA, a RASL, a RADL and a trailing picture.
    const CRA: &[u8] = &[0, 0, 0, 3, 21 << 1, 1, 0x80];
    const RASL: &[u8] = &[0, 0, 0, 3, 9 << 1, 1, 0x80];
    const RADL: &[u8] = &[0, 0, 0, 3, 7 << 1, 1, 0x80];
    const TRAIL: &[u8] = &[0, 0, 0, 3, 1 << 1, 1, 0x80];
    let mut intake = Intake::new(None, true, 0);
    let track = VideoTrack {
        codec: VideoCodec::H265,
        ..video(640)
    };
    let mut place = 0;
    let mut take = |data, lost| {
        place += 1;
        let picture = Picture {
            data: Bytes::from_static(data),
            lost,
            ..picture(place, false)
        };
        take(&mut intake, picture, &track)
    };
    assert_eq!(take(CRA, false), "TK");
    assert_eq!(take(RASL, false), "", "nothing came before it");
    assert_eq!(take(RADL, false), "p");
    assert_eq!(take(TRAIL, false), "p");
    assert_eq!(take(CRA, false), "K");
    assert_eq!(take(RASL, false), "p", "all is there");
    assert_eq!(take(TRAIL, true), "");
    assert_eq!(take(CRA, false), "K");
    assert_eq!(take(RASL, false), "", "something is missing");
    assert_eq!(take(CRA, true), "K");
    assert_eq!(
        take(RASL, false),
        "",
        "something was lost before the key picture"
    );
    assert_eq!(take(CRA, false), "K");
    assert_eq!(take(RASL, false), "p");
}

#[test]
fn what_depends_on_what_was_lost_is_kept_back() {
    let mut intake = Intake::new(None, true, 0);
    let track = video(640);
    assert_eq!(take(&mut intake, picture(0, true), &track), "TK");
    let lost = |place, data: &'static [u8]| Picture {
        lost: true,
        data: Bytes::from_static(data),
        ..picture(place, false)
    };
    assert_eq!(take(&mut intake, lost(1, FIRST), &track), "");
    assert_eq!(take(&mut intake, picture(2, false), &track), "");
    assert_eq!(
        take(&mut intake, lost(3, KEY_LATER), &track),
        "",
        "a key frame without its beginning"
    );
    assert_eq!(take(&mut intake, lost(4, KEY), &track), "K");
    assert_eq!(take(&mut intake, picture(5, false), &track), "p");
    assert_eq!(intake.kept_back(), 3);
}

#[test]
fn what_has_no_slices_is_no_picture() {
    let mut intake = Intake::new(None, true, 0);
    let track = video(640);
    let delimiter = |place| Picture {
        data: Bytes::from_static(&[0, 0, 0, 2, 9, 0x10]),
        ..picture(place, false)
    };
    assert_eq!(take(&mut intake, delimiter(0), &track), "");
    assert_eq!(take(&mut intake, picture(1, true), &track), "TK");
    assert_eq!(take(&mut intake, delimiter(2), &track), "");
    assert_eq!(
        take(&mut intake, picture(3, false), &track),
        "p",
        "nothing was lost"
    );
}

#[test]
fn new_parameters_hold_from_a_key_frame_on() {
    let mut intake = Intake::new(None, true, 0);
    assert_eq!(take(&mut intake, picture(0, true), &video(640)), "TK");
    assert_eq!(take(&mut intake, picture(1, false), &video(320)), "");
    assert_eq!(take(&mut intake, picture(2, true), &video(320)), "TK");
    assert_eq!(take(&mut intake, picture(3, false), &video(320)), "p");
}

#[test]
fn reordering_that_nobody_announced_costs_pictures_up_to_the_next_key_frame() {
    let mut intake = Intake::new(None, true, 0);
    let track = video(640);
    let told: Vec<_> = [
        (0, true),
        (3, false),
        (1, false),
        (2, false),
        (6, true),
        (9, false),
        (7, false),
    ]
    .into_iter()
    .map(|(place, key)| take(&mut intake, picture(place, key), &track))
    .collect();
    assert_eq!(told, ["TK", "p", "", "", "K", "p", "p"]);
    assert_eq!(intake.depth(), 1);
}

#[test]
fn sound_follows_the_reports_of_the_camera() {
    let mut intake = Intake::new(Some(audio()), true, 0);
    // The sound arrives 300 ms after it was captured, the picture at once.
    let at = |intake: &mut Intake, place: i64| {
        let mut times = [0; 2];
        let mut tell = |told| {
            if let IntakeEvent::Frame(frame) = told {
                times[frame.track as usize] = frame.time.as_micros() - 1_000_000;
            }
        };
        intake.picture(picture(place, place == 0), Some(&video(640)), &mut tell);
        let block = Sound {
            start: 77_000_000 + place * STEP,
            arrival: MediaTime::from_micros(1_300_000 + place * STEP),
            data: Bytes::from_static(&[0xd5; 320]),
        };
        intake.sound(block, &mut tell);
        times[0] - times[1]
    };
    assert_eq!(at(&mut intake, 0), -300_000, "as it arrives");
    intake.report(TrackKind::Video, 0, 500);
    assert_eq!(at(&mut intake, 1), -300_000, "one report says nothing");
    intake.report(TrackKind::Audio, 77_000_000, 500);
    for place in 2..20 {
        at(&mut intake, place);
    }
    assert_eq!(at(&mut intake, 20), 0, "as it was captured");
    let mistakes = [3_600_000_000, 3_000_000, -3_000_000];
    for (place, wrong) in (21..).step_by(2).zip(mistakes) {
        intake.report(TrackKind::Audio, 77_000_000, wrong);
        let apart = at(&mut intake, place);
        assert_eq!(apart, -300_000, "a report that cannot be true");
        let mut pictures = Vec::new();
        intake.picture(picture(place + 1, false), Some(&video(640)), &mut |told| {
            if let IntakeEvent::Frame(frame) = told {
                pictures.push(frame.time.as_micros());
            }
        });
        let expected = 1_000_000 + (place + 1) * STEP;
        assert_eq!(pictures, [expected], "and moves no picture");
    }
}

#[test]
fn sound_whose_clock_is_set_is_not_taken_for_late() {
    for step in [-600_000, -3_000_000, 3_000_000, 3_600_000_000_i64] {
        let mut intake = Intake::new(Some(audio()), true, 0);
        let mut times = Vec::new();
        for place in 0..200 {
            intake.picture(picture(place, place == 0), Some(&video(640)), &mut |_| {});
            let set = if place < 100 { 0 } else { step };
            let block = Sound {
                start: 77_000_000 + place * STEP + set,
                arrival: MediaTime::from_micros(1_000_000 + place * STEP),
                data: Bytes::from_static(&[0xd5; 320]),
            };
            intake.sound(block, &mut |told| {
                if let IntakeEvent::Frame(frame) = told {
                    times.push(frame.time.as_micros());
                }
            });
            if place == 10 {
                intake.report(TrackKind::Video, 0, 500);
                intake.report(TrackKind::Audio, 77_000_000, 500);
            }
        }
        let expected: Vec<_> = (0..200).map(|place| 1_000_000 + place * STEP).collect();
        assert_eq!(times, expected, "{step}");
    }
}

#[test]
fn sound_alone_is_a_stream() {
    let mut intake = Intake::new(Some(audio()), false, 0);
    let mut told = Vec::new();
    let block = Sound {
        start: 5,
        arrival: MediaTime::from_micros(9),
        data: Bytes::from_static(&[0xd5; 160]),
    };
    intake.sound(block, &mut |what| told.push(what));
    assert!(
        matches!(&told[..], [IntakeEvent::Tracks(tracks), IntakeEvent::Frame(_)] if tracks.audio.is_some())
    );
}
