//! What the simulated camera does on request.

use std::path::{Path, PathBuf};

use peercam_hal::{
    Camera, ControlOutcome, PtzMotion, SourceEvent,
    clock::Clock,
    sim::{Config, SimCamera},
};
use peercam_proto::{
    flv::{HevcForm, Muxer},
    media::Quality,
};

use crate::contract::{next, next_picture};

#[tokio::test]
async fn a_key_frame_comes_when_it_is_asked_for() {
    let config = Config {
        gop: 1000,
        ..Config::default()
    };
    let camera = SimCamera::new(Clock::start(), config.clone());
    let mut input = camera.open(Quality::High).unwrap();
    assert!(next_picture(&mut input).await.key);
    for _ in 0..10 {
        assert!(!next_picture(&mut input).await.key);
    }
    let control = input.control.clone().expect("controls");
    assert_eq!(control.request_key_frame(), ControlOutcome::Accepted);
    let asked = [
        next_picture(&mut input).await.key,
        next_picture(&mut input).await.key,
    ];
    assert!(asked.contains(&true), "{asked:?}");

    let stubborn = SimCamera::new(
        Clock::start(),
        Config {
            force_key: false,
            ..config
        },
    );
    let control = stubborn
        .open(Quality::High)
        .unwrap()
        .control
        .expect("controls");
    assert_eq!(control.request_key_frame(), ControlOutcome::Unsupported);
}

#[tokio::test]
async fn the_bitrate_follows_the_wish() {
    let camera = SimCamera::new(Clock::start(), Config::default());
    let mut input = camera.open(Quality::Standard).unwrap();
    let control = input.control.clone().expect("controls");
    let mut measured = Vec::new();
    for rate in [2_000_000, 600_000] {
        assert_eq!(control.set_bitrate(rate), ControlOutcome::Accepted);
        // From one key frame to the next but one.
        while !next_picture(&mut input).await.key {}
        let mut bytes = 0;
        for _ in 0..50 {
            bytes += next_picture(&mut input).await.data.len();
        }
        measured.push(bytes as f64 * 8.0 / 2.0 / f64::from(rate));
    }
    assert!(
        measured.iter().all(|ratio| (0.8..1.25).contains(ratio)),
        "{measured:?}"
    );
}

/// Leaves the pictures where `tests/judges` looks at them.
#[tokio::test]
async fn the_motor_moves_the_picture() {
    let config = Config {
        bitrate: [50_000_000; 3],
        ..Config::default()
    };
    let camera = SimCamera::new(Clock::start(), config);
    let motor = camera.capabilities().ptz.expect("a motor");
    let mut input = camera.open(Quality::Standard).unwrap();
    let SourceEvent::Online(tracks) = next(&mut input).await else {
        panic!("first comes Online")
    };
    let mut stream = annex_b_parameter_sets(&tracks.video.unwrap().config);
    let mut pictures = vec![next_picture(&mut input).await];
    let motion = PtzMotion {
        pan: 1,
        tilt: 0,
        speed: 10,
    };
    motor.start(motion).unwrap();
    while motor.position().x < 10 {
        pictures.push(next_picture(&mut input).await);
    }
    motor.stop();
    let stopped = motor.position();
    pictures.push(next_picture(&mut input).await);
    pictures.push(next_picture(&mut input).await);
    assert_eq!(motor.position(), stopped);
    assert!(stopped.x_range.0 < 0 && stopped.x <= stopped.x_range.1);
    for picture in pictures {
        let mut rest = &picture.data[..];
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (unit, after) = after.split_at(u32::from_be_bytes(*length) as usize);
            stream.extend_from_slice(&[0, 0, 0, 1]);
            stream.extend_from_slice(unit);
            rest = after;
        }
    }
    std::fs::write(artefact("pan.h264"), stream).unwrap();
    std::fs::write(artefact("pan.cells"), stopped.x.to_string()).unwrap();
}

/// SPS and PPS of an `avcC` record with one of each.
fn annex_b_parameter_sets(config: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = &config[6..];
    for _ in 0..2 {
        let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
        out.extend_from_slice(&[0, 0, 0, 1]);
        out.extend_from_slice(&rest[2..2 + length]);
        rest = rest.get(2 + length + 1..).unwrap_or_default();
    }
    out
}

/// Leaves the still where `tests/judges` looks at it.
#[tokio::test]
async fn a_still_is_a_jpeg_file() {
    let camera = SimCamera::new(Clock::start(), Config::default());
    let still = camera
        .capabilities()
        .snapshot
        .expect("takes stills")
        .capture()
        .await
        .expect("works");
    assert!(still.starts_with(&[0xff, 0xd8, 0xff]) && still.ends_with(&[0xff, 0xd9]));
    std::fs::write(artefact("still.jpg"), still).unwrap();
}

fn artefact(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[tokio::test]
async fn all_qualities_share_one_clock_and_frame_count() {
    let camera = SimCamera::new(Clock::start(), Config::default());
    let mut inputs = Quality::ALL.map(|quality| camera.open(quality).unwrap());
    let mut times = Vec::new();
    for input in &mut inputs {
        times.push(next_picture(input).await.time.as_micros());
    }
    assert!(times.iter().all(|time| time % 40_000 == 0), "{times:?}");
    let spread = times.iter().max().unwrap() - times.iter().min().unwrap();
    assert!(spread <= 40_000, "{times:?}");
}

/// What a machine that is late, or a reader that is slow, would lose comes late instead.
/// What the parser of mini-programs has for one tag, with its head and its end; more is a `RangeError`.
const MINI_PROGRAM_TAG: usize = 102_400;

#[tokio::test]
async fn no_tag_is_too_large_for_mini_programs() {
    let largest = async |quality| {
        let camera = SimCamera::new(Clock::start(), Config::default());
        let mut input = camera.open(quality).unwrap();
        let SourceEvent::Online(tracks) = next(&mut input).await else {
            panic!("first comes Online")
        };
        let muxer = Muxer::new(&tracks, HevcForm::Legacy);
        let (mut largest, mut keys) = (0, 0);
        while keys < 2 {
            let picture = next_picture(&mut input).await;
            let head = muxer.head(&picture, 0, 0);
            let tag = head.as_slice().len() + picture.data.len() + head.trailer().len();
            largest = largest.max(tag);
            keys += u32::from(picture.key);
        }
        largest
    };
    let (standard, high, best) = tokio::join!(
        largest(Quality::Standard),
        largest(Quality::High),
        largest(Quality::Super)
    );
    for (quality, tag) in [("standard", standard), ("high", high), ("super", best)] {
        // It would be no picture otherwise.
        assert!((1000..=MINI_PROGRAM_TAG).contains(&tag), "{quality}: {tag}");
    }
}

#[tokio::test]
async fn nothing_is_left_out_of_every_picture() {
    let config = Config {
        every_picture: true,
        ..Config::default()
    };
    let camera = SimCamera::new(Clock::start(), config);
    let mut input = camera.open(Quality::Standard).unwrap();
    let mut last = next_picture(&mut input).await.time;
    // Longer than the camera catches up, and more than waits for a reader.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    for _ in 0..75 {
        let time = next_picture(&mut input).await.time;
        assert_eq!(time.as_micros() - last.as_micros(), 40_000);
        last = time;
    }
}
