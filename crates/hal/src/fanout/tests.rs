//! Readers of a feed: who comes late, who is slow, and what each of them loses.

use std::task::Context;

use bytes::Bytes;
use peercam_proto::media::VideoTrack;

use super::*;

const KEPT: usize = 1 << 20;

fn tracks(width: u32) -> Tracks {
    Tracks {
        video: Some(VideoTrack {
            codec: VideoCodec::H264,
            config: Bytes::new(),
            width,
            height: 0,
            frame_rate: 0.0,
        }),
        audio: None,
    }
}

fn picture(key: bool, number: i64) -> Frame {
    Frame {
        track: TrackKind::Video,
        key,
        time: MediaTime::from_micros(number),
        composition_micros: 0,
        data: Bytes::from_static(&[0; 100]),
    }
}

/// All that a reader can have now: `O` online, `T` new tracks, `-` offline, `K` and `p`
/// pictures.
fn read(source: &mut FanoutSource) -> String {
    let mut seen = String::new();
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(event) = source.next().as_mut().poll(&mut context) {
        seen.push(match event {
            SourceEvent::Online(_) => 'O',
            SourceEvent::TracksChanged(_) => 'T',
            SourceEvent::Offline(_) => '-',
            SourceEvent::Frame(frame) if frame.key => 'K',
            SourceEvent::Frame(_) => 'p',
        });
    }
    seen
}

#[test]
fn who_comes_later_has_the_newest_gop_at_once() {
    let fanout = FrameFanout::new(KEPT);
    let mut first = fanout.open();
    assert_eq!(read(&mut first), "");
    fanout.online(tracks(1));
    for number in 0..30 {
        fanout.frame(picture(number % 10 == 0, number));
    }
    assert_eq!(read(&mut first), format!("O{}", "Kppppppppp".repeat(3)));
    let mut second = fanout.open();
    assert_eq!(*fanout.readers().borrow(), 2);
    assert_eq!(read(&mut second), "OKppppppppp");
    drop((first, second));
    assert_eq!(*fanout.readers().borrow(), 0);
}

#[test]
fn who_is_slow_goes_on_with_a_key_frame_and_hurts_nobody() {
    let fanout = FrameFanout::new(KEPT);
    let (mut slow, mut quick) = (fanout.open(), fanout.open());
    fanout.online(tracks(1));
    let mut seen = String::new();
    for number in 0..300 {
        fanout.frame(picture(number % 100 == 0, number));
        seen += &read(&mut quick);
    }
    assert_eq!(seen.len(), 301, "the quick one has all");
    let left = read(&mut slow);
    assert!(left.starts_with("OK") && left.len() <= QUEUE, "{left}");
    assert_eq!(
        left.matches('K').count(),
        1,
        "and then what depends on it: {left}"
    );
}

#[test]
fn what_a_camera_says_of_itself_is_never_lost() {
    let fanout = FrameFanout::new(KEPT);
    fanout.offline("not yet");
    let mut reader = fanout.open();
    fanout.online(tracks(1));
    fanout.frame(picture(true, 0));
    fanout.online(tracks(2));
    assert_eq!(
        read(&mut reader),
        "O",
        "unread tracks are those that hold now"
    );
    fanout.frame(picture(true, 1));
    fanout.online(tracks(3));
    fanout.frame(picture(true, 2));
    assert_eq!(read(&mut reader), "TK");
    fanout.offline("gone");
    fanout.frame(picture(true, 3));
    assert_eq!(read(&mut reader), "-", "no frame of a camera that is off");
    assert_eq!(
        fanout.source_state(),
        SourceState::Offline("gone".to_owned())
    );
    fanout.reset();
    assert_eq!(fanout.source_state(), SourceState::Unknown);
    assert_eq!(read(&mut fanout.open()), "");
}

#[test]
fn times_rise_over_reconnections_too() {
    let fanout = FrameFanout::new(KEPT);
    let mut reader = fanout.open();
    for (number, time) in [5_000, 0, 5_500, 90_000].into_iter().enumerate() {
        fanout.online(tracks(number as u32));
        fanout.frame(picture(true, time));
        fanout.frame(Frame {
            track: TrackKind::Audio,
            ..picture(true, time)
        });
    }
    let mut times = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    let queues = read_frames(&mut reader, &mut context);
    times.extend(
        queues
            .iter()
            .map(|frame| (frame.track, frame.time.as_micros())),
    );
    assert_eq!(
        times.len(),
        2,
        "unread ones of before are of no use: {times:?}"
    );
    assert_eq!(times[0], (TrackKind::Video, 90_000));
    fanout.frame(picture(false, 90_000));
    fanout.frame(Frame {
        track: TrackKind::Audio,
        ..picture(true, 90_500)
    });
    let left = read_frames(&mut reader, &mut context);
    let times: Vec<_> = left.iter().map(|frame| frame.time.as_micros()).collect();
    assert_eq!(times, [91_000], "the picture is moved, the sound left out");
}

fn read_frames(source: &mut FanoutSource, context: &mut Context<'_>) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Poll::Ready(event) = source.next().as_mut().poll(context) {
        if let SourceEvent::Frame(frame) = event {
            frames.push(frame);
        }
    }
    frames
}

#[test]
fn a_reader_that_stands_still_keeps_no_more_than_there_is_room_for() {
    let fanout = FrameFanout::new(10_000);
    fanout.online(tracks(1));
    let mut reader = fanout.open();
    assert_eq!(read(&mut reader), "O");
    let heavy = |number: i64| Frame {
        data: Bytes::from_static(&[0; 4_000]),
        ..picture(true, number)
    };
    for number in 0..30 {
        fanout.frame(heavy(number));
        assert!(fanout.state().queues[0].1.weight <= 10_000);
    }
    assert_eq!(fanout.lost(), 28, "the newest are there");
    assert_eq!(read(&mut reader), "KK");
    assert_eq!(fanout.state().queues[0].1.weight, 0);
    // One that alone is too heavy is still handed on.
    let huge = Frame {
        data: vec![0; 50_000].into(),
        ..picture(true, 100)
    };
    fanout.frame(huge);
    assert_eq!(read(&mut reader), "K");
}

#[test]
fn a_gop_that_is_too_long_is_not_kept() {
    let fanout = FrameFanout::new(KEPT);
    fanout.online(tracks(1));
    let count = KEPT / picture(true, 0).weight();
    for number in 0..=count as i64 {
        fanout.frame(picture(number == 0, number));
    }
    let mut late = fanout.open();
    fanout.frame(picture(false, 1 << 40));
    assert_eq!(read(&mut late), "O", "waits for the next key frame");
    fanout.frame(picture(true, 1 << 41));
    assert_eq!(read(&mut late), "K");
}

#[tokio::test]
async fn an_encoder_that_fails_is_off_for_its_reason() {
    let fanout = FrameFanout::fed_by("encoder", KEPT, |fanout| {
        fanout.online(tracks(1));
        fanout.frame(picture(true, 0));
        Err("it was pulled out")
    });
    let mut source = fanout.open();
    loop {
        if let SourceEvent::Offline(reason) = source.next().await {
            assert_eq!(reason, "it was pulled out");
            return;
        }
    }
}

#[tokio::test]
async fn access_units_of_an_encoder_are_pictures() {
    let unit: &[u8] = include_bytes!("../../../../examples/camera.h264");
    let (encoder, units) = std::sync::mpsc::channel();
    let next = move || units.recv().map_err(|_| "it was pulled out");
    let clock = Clock::start();
    let fanout = FrameFanout::of_encoder("encoder", KEPT, clock, VideoCodec::H264, 25.0, next);
    let mut source = fanout.open();
    let mut times = Vec::new();
    for _ in 0..2 {
        encoder.send(unit).unwrap();
        let frame = loop {
            match source.next().await {
                SourceEvent::Frame(frame) => break frame,
                SourceEvent::Online(_) => {}
                event => panic!("{event:?}"),
            }
        };
        times.push((frame.key, frame.time));
    }
    assert!(matches!(times[..], [(true, first), (true, second)] if first < second));
    drop(encoder);
    let event = source.next().await;
    assert!(
        matches!(&event, SourceEvent::Offline(reason) if reason == "it was pulled out"),
        "{event:?}"
    );
}

#[tokio::test]
async fn an_encoder_whose_reader_panics_is_off() {
    let fanout = FrameFanout::fed_by("encoder", KEPT, |_| -> Result<(), String> {
        panic!("a fault")
    });
    let event = fanout.open().next().await;
    assert!(matches!(event, SourceEvent::Offline(_)), "{event:?}");
}

#[test]
fn the_thread_of_an_encoder_ends_with_its_camera_and_its_readers() {
    let (ended, has_ended) = std::sync::mpsc::channel();
    let fanout = FrameFanout::fed_by("encoder", KEPT, move |fanout| {
        while fanout.is_held() {
            thread::yield_now();
        }
        ended.send(())
    });
    let source = fanout.open();
    drop(fanout);
    assert!(has_ended.try_recv().is_err(), "somebody still reads");
    drop(source);
    let wait = Duration::from_secs(20);
    // A thread that begins only now has nothing to do, and drops the encoder unused.
    let end = has_ended.recv_timeout(wait);
    assert_ne!(end, Err(std::sync::mpsc::RecvTimeoutError::Timeout));
}
