//! What every camera must keep to, run against each that there is; and what the simulated one does
//! on request.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use peercam::{
    clock::Clock,
    hal::{
        Camera, ControlOutcome, MediaInput, PtzMotion, SourceEvent,
        file::FileCamera,
        sim::{AudioKind, Config, SimCamera},
    },
    media::{Frame, Quality, TrackKind, Tracks},
};

use crate::{files::recording, support::HANG};

async fn next(input: &mut MediaInput) -> SourceEvent {
    tokio::time::timeout(HANG, input.source.next())
        .await
        .expect("the source does not hang")
}

async fn next_picture(input: &mut MediaInput) -> Frame {
    loop {
        if let SourceEvent::Frame(frame) = next(input).await
            && frame.track == TrackKind::Video
        {
            return frame;
        }
    }
}

/// The rules of `hal::MediaSource`, over some seconds of a source.
async fn keeps_the_contract(camera: Arc<dyn Camera>, clock: Clock) {
    for _ in 0..2 {
        let mut input = camera.open(Quality::Standard).unwrap();
        let SourceEvent::Online(tracks) = next(&mut input).await else {
            panic!("first comes Online")
        };
        let Tracks { video, audio } = &tracks;
        let video = video.as_ref().expect("a picture");
        assert!(video.width >= 16 && video.height >= 16 && !video.config.is_empty());
        let mut last = [None; 2];
        for index in 0..120 {
            // A wait that is given up must not lose an event.
            let given_up = tokio::time::timeout(Duration::ZERO, input.source.next()).await;
            let event = match given_up {
                Ok(event) => event,
                Err(_) => next(&mut input).await,
            };
            let SourceEvent::Frame(frame) = event else {
                panic!("{event:?}")
            };
            assert!(audio.is_some() || frame.track == TrackKind::Video);
            assert!(!frame.data.is_empty());
            let last = &mut last[frame.track as usize];
            if frame.track == TrackKind::Video {
                assert!(
                    last.is_some() || frame.key,
                    "the first picture is a key frame ({index})"
                );
                nal_lengths_fit(&frame.data);
            }
            assert!(
                last.is_none_or(|last| frame.time >= last),
                "time does not go back"
            );
            let early = frame.time.micros_since(clock.now());
            assert!(early <= 100_000, "{early} µs before its time");
            *last = Some(frame.time);
        }
        assert!(last[0].is_some());
    }
}

fn nal_lengths_fit(mut data: &[u8]) {
    while let Some((length, rest)) = data.split_first_chunk::<4>() {
        data = &rest[u32::from_be_bytes(*length) as usize..];
    }
    assert!(data.is_empty());
}

#[tokio::test]
async fn the_simulated_camera_keeps_the_contract() {
    for audio in [AudioKind::Aac, AudioKind::Pcmu, AudioKind::None] {
        let clock = Clock::start();
        let camera = SimCamera::new(
            clock,
            Config {
                audio,
                ..Config::default()
            },
        );
        keeps_the_contract(Arc::new(camera), clock).await;
    }
}

#[tokio::test]
async fn a_file_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clip.flv");
    std::fs::write(&path, recording(60_000).await).unwrap();
    let clock = Clock::start();
    keeps_the_contract(Arc::new(FileCamera::new(clock, path).unwrap()), clock).await;
}

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
    assert_eq!(control.request_key_frame(), ControlOutcome::Done);
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
        assert_eq!(control.set_bitrate(rate), ControlOutcome::Done);
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
    let motor = camera.ptz().expect("a motor");
    let mut input = camera.open(Quality::Standard).unwrap();
    let SourceEvent::Online(tracks) = next(&mut input).await else {
        panic!("first comes Online")
    };
    let mut stream = annex_b_parameter_sets(&tracks.video.unwrap().config);
    let mut pictures = vec![next_picture(&mut input).await];
    motor.start(PtzMotion {
        pan: 1,
        tilt: 0,
        speed: 10,
    });
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
        .snapshot()
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
