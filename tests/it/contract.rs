//! What every camera must keep to, run against each kind that there is.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use peercam_hal::{
    AudioPolicy, Camera, ControlOutcome, HalError, MediaInput, PtzMotion, SourceEvent,
    StreamMemory, Talkback, WithAudio,
    clock::Clock,
    file::FileCamera,
    rtsp::{self, RtspCamera},
    sim::{AudioKind, Config, SimCamera},
    socket::{self, SocketCamera, SocketHal},
};
use peercam_proto::media::{
    AudioCodec, AudioCoding, AudioFormat, ChannelId, Frame, Quality, TrackKind, Tracks,
};

use crate::{
    files::recording,
    firmware::Firmware,
    rtsp_server::{RtspServer, Script},
    support::HANG,
};

pub(crate) async fn next(input: &mut MediaInput) -> SourceEvent {
    tokio::time::timeout(HANG, input.source.next())
        .await
        .expect("the source does not hang")
}

pub(crate) async fn next_picture(input: &mut MediaInput) -> Frame {
    loop {
        if let SourceEvent::Frame(frame) = next(input).await
            && frame.track == TrackKind::Video
        {
            return frame;
        }
    }
}

/// The rules of `hal::MediaSource`, over some seconds of a source. Whatever its sound is, viewers
/// get AAC.
async fn keeps_the_contract(camera: Arc<dyn Camera>, clock: Clock) {
    let camera = WithAudio::new(camera, ChannelId(0), AudioPolicy::default());
    for _ in 0..2 {
        let mut input = camera.open(Quality::Standard).unwrap();
        let SourceEvent::Online(tracks) = next(&mut input).await else {
            panic!("first comes Online")
        };
        let Tracks { video, audio } = &tracks;
        let video = video.as_ref().expect("a picture");
        let sound = audio.as_ref().map(|audio| audio.codec);
        assert_eq!(sound, Some(AudioCodec::Aac));
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
        assert!(last.iter().all(Option::is_some), "picture and sound");
    }
}

fn nal_lengths_fit(mut data: &[u8]) {
    while let Some((length, rest)) = data.split_first_chunk::<4>() {
        data = &rest[u32::from_be_bytes(*length) as usize..];
    }
    assert!(data.is_empty());
}

fn sim(audio: AudioKind) -> (Clock, SimCamera) {
    let clock = Clock::start();
    let config = Config {
        audio,
        ..Config::default()
    };
    (clock, SimCamera::new(clock, config))
}

fn rtsp_config(server: &RtspServer) -> rtsp::Config {
    rtsp::Config {
        urls: [(); 3].map(|()| server.url()),
        snapshot: None,
        credentials: None,
        transport: rtsp::Transport::Tcp,
        always: false,
        linger: Duration::ZERO,
        sound: true,
        check: None,
        memory: StreamMemory::default(),
    }
}

fn rtsp(server: &RtspServer) -> (Clock, RtspCamera) {
    let clock = Clock::start();
    (clock, RtspCamera::new(clock, rtsp_config(server)))
}

/// A socket in a directory of its own, and its camera.
pub(crate) struct Socket {
    directory: tempfile::TempDir,
    pub(crate) camera: SocketCamera,
    pub(crate) clock: Clock,
}

impl Socket {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::start();
        let config = socket::Config {
            path: directory.path().join("camera.sock"),
            mode: 0o600,
            users: Vec::new(),
        };
        let hal = SocketHal::listen(
            clock,
            config,
            socket::Metrics::default(),
            StreamMemory::default(),
        )
        .unwrap();
        let hal = Arc::new(hal);
        Self {
            directory,
            camera: hal.camera(ChannelId(0)),
            clock,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("camera.sock")
    }
}

#[tokio::test]
async fn the_simulated_camera_keeps_the_contract() {
    for audio in [AudioKind::Aac, AudioKind::Pcmu, AudioKind::None] {
        let (clock, camera) = sim(audio);
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
async fn rtsp_keeps_the_contract() {
    // The stamps run over 2^32 on the way.
    let first_stamp = u32::MAX - 90_000;
    let server = RtspServer::start(Script {
        first_stamp,
        ..Script::default()
    });
    let server = server.await;
    let (clock, camera) = rtsp(&server);
    keeps_the_contract(Arc::new(camera), clock).await;
}

#[tokio::test]
async fn a_socket_keeps_the_contract() {
    let socket = Socket::new();
    let _firmware = Firmware::start(&socket.path()).await;
    while socket.camera.offline().is_some() {
        tokio::task::yield_now().await;
    }
    keeps_the_contract(Arc::new(socket.camera), socket.clock).await;
}

/// Pictures of the size that a source has from the next tracks on.
async fn next_size(input: &mut MediaInput) -> (u32, u32) {
    loop {
        if let SourceEvent::TracksChanged(tracks) | SourceEvent::Online(tracks) = next(input).await
        {
            let video = tracks.video.expect("a picture");
            return (video.width, video.height);
        }
    }
}

/// Why a source has lost its camera. Other tests let the process grow, for which a camera that says
/// nothing meanwhile is blamed: it is tried again.
async fn next_offline(input: &mut MediaInput) -> String {
    loop {
        match next(input).await {
            SourceEvent::Offline(reason) if !reason.contains("memory fills") => return reason,
            _ => {}
        }
    }
}

/// A source that has lost its camera says so, once for each try, and goes on with a key frame.
async fn comes_back(input: &mut MediaInput) {
    loop {
        match next(input).await {
            SourceEvent::Offline(_) => {}
            SourceEvent::Online(_) => break,
            event => panic!("{event:?} of a camera that is off"),
        }
    }
    assert!(next_picture(input).await.key, "with a key frame");
}

#[tokio::test]
async fn rtsp_comes_back_changes_its_size_and_lets_go() {
    let server = RtspServer::start(Script::default()).await;
    let script = Arc::clone(&server.script);
    let (_, camera) = rtsp(&server);
    let mut input = camera.open(Quality::High).unwrap();
    assert_eq!(next_size(&mut input).await, (640, 360));
    assert!(input.control.is_none(), "RTSP asks for no key frames");

    script.is_off.store(true, Ordering::SeqCst);
    next_offline(&mut input).await;
    assert!(camera.offline().is_some());
    script.is_off.store(false, Ordering::SeqCst);
    comes_back(&mut input).await;
    assert_eq!(camera.offline(), None);

    script.stalls.store(true, Ordering::SeqCst);
    let reason = next_offline(&mut input).await;
    assert!(reason.contains("sends no"), "{reason}");
    script.stalls.store(false, Ordering::SeqCst);
    comes_back(&mut input).await;

    script.grows.store(true, Ordering::SeqCst);
    assert_eq!(next_size(&mut input).await, (1280, 720));
    assert!(next_picture(&mut input).await.key);

    script.refuses.store(404, Ordering::SeqCst);
    script.is_off.store(true, Ordering::SeqCst);
    next_offline(&mut input).await;
    script.is_off.store(false, Ordering::SeqCst);
    let reason = loop {
        let reason = next_offline(&mut input).await;
        if reason.contains("404") {
            break reason;
        }
    };
    assert!(reason.contains("no such stream"), "{reason}");
    script.refuses.store(401, Ordering::SeqCst);
    while !next_offline(&mut input).await.contains("(401)") {}

    drop(input);
    drop(camera);
    while script.playing.load(Ordering::SeqCst) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn rtsp_keeps_back_what_does_not_decode() {
    let server = RtspServer::start(Script::default()).await;
    let (_, camera) = rtsp(&server);
    let mut input = camera.open(Quality::Super).unwrap();
    for _ in 0..3 {
        while !next_picture(&mut input).await.key {}
        server.script.loses.store(true, Ordering::SeqCst);
        while server.script.loses.load(Ordering::SeqCst) {
            next(&mut input).await;
        }
        // At most one that was under way; then nothing up to the next key frame.
        let before = [
            next_picture(&mut input).await.key,
            next_picture(&mut input).await.key,
        ];
        assert!(before.contains(&true), "{before:?}");
    }
}

#[tokio::test]
async fn a_picture_without_end_ends_its_connection_only() {
    let server = RtspServer::start(Script::default()).await;
    let (_, camera) = rtsp(&server);
    let mut input = camera.open(Quality::High).unwrap();
    next_picture(&mut input).await;
    server.script.endless.store(true, Ordering::SeqCst);
    let reason = next_offline(&mut input).await;
    assert!(reason.contains("or no end"), "{reason}");
    server.script.endless.store(false, Ordering::SeqCst);
    comes_back(&mut input).await;
}

#[tokio::test]
async fn pictures_of_one_url_share_a_connection_which_lingers() {
    let server = RtspServer::start(Script::default()).await;
    let config = rtsp::Config {
        linger: HANG,
        ..rtsp_config(&server)
    };
    let camera = RtspCamera::new(Clock::start(), config);
    let mut inputs = [Quality::High, Quality::Super].map(|quality| camera.open(quality).unwrap());
    for input in &mut inputs {
        assert!(next_picture(input).await.key);
    }
    drop(inputs);
    let mut again = camera.open(Quality::Standard).unwrap();
    assert!(matches!(next(&mut again).await, SourceEvent::Online(_)));
    assert!(
        next_picture(&mut again).await.key,
        "what was kept comes at once"
    );
    assert_eq!(server.script.played.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn firmware_may_come_and_go_and_change_its_picture() {
    let socket = Socket::new();
    assert!(
        socket
            .camera
            .offline()
            .is_some_and(|reason| reason.contains("no firmware"))
    );
    let mut input = socket.camera.open(Quality::Super).unwrap();
    assert!(matches!(next(&mut input).await, SourceEvent::Offline(_)));
    let control = input.control.clone().expect("controls");
    assert_eq!(control.request_key_frame(), ControlOutcome::Unsupported);

    let mut firmware = Firmware::start(&socket.path()).await;
    assert_eq!(next_size(&mut input).await, (640, 360));
    assert!(next_picture(&mut input).await.key);
    firmware.told(|told| told == "watch 1").await;
    assert_eq!(control.request_key_frame(), ControlOutcome::Accepted);
    firmware.told(|told| told == "key").await;
    assert_eq!(control.set_bitrate(300_000), ControlOutcome::Accepted);
    firmware.told(|told| told == "bitrate 300000").await;

    firmware.grow();
    assert_eq!(next_size(&mut input).await, (1280, 720));
    assert!(next_picture(&mut input).await.key);

    drop(firmware);
    let reason = next_offline(&mut input).await;
    assert!(reason.contains("the firmware closed"), "{reason}");
    let mut firmware = Firmware::start(&socket.path()).await;
    comes_back(&mut input).await;
    drop(input);
    firmware.told(|told| told == "watch 0").await;
}

fn sound(coding: AudioCoding) -> AudioFormat {
    AudioFormat {
        coding,
        sample_rate: 16_000,
        channels: 1,
    }
}

/// The rules of `hal::Talkback`.
fn speaker_keeps_the_contract(speaker: &dyn Talkback) {
    assert_eq!(speaker.check(), Ok(()));
    let mut sink = speaker
        .open(&sound(AudioCoding::Pcm))
        .expect("PCM is always taken");
    let taken = speaker.open(&sound(AudioCoding::Pcm)).err();
    assert_eq!(taken, Some(HalError::Busy));
    for _ in 0..1000 {
        sink.push(&[1; 640]);
    }
    drop(sink);
    let other = speaker.open(&sound(AudioCoding::PcmU)).err();
    assert!(matches!(other, Some(HalError::Unsupported(_))), "{other:?}");
    assert!(speaker.open(&sound(AudioCoding::Pcm)).is_ok(), "free again");
}

#[tokio::test]
async fn speakers_keep_the_contract() {
    let (_, camera) = sim(AudioKind::None);
    speaker_keeps_the_contract(&*camera.capabilities().talkback.expect("a speaker"));

    let socket = Socket::new();
    let speaker = socket
        .camera
        .capabilities()
        .talkback
        .expect("a speaker, once there is firmware");
    assert!(speaker.check().is_err(), "no firmware");
    let mut firmware = Firmware::start(&socket.path()).await;
    firmware.told(|told| told == "welcome").await;
    while speaker.check().is_err() {
        tokio::task::yield_now().await;
    }
    speaker_keeps_the_contract(&*speaker);
    firmware.told(|told| told == "talk over").await;
}

#[tokio::test]
async fn controls_keep_the_contract() {
    let socket = Socket::new();
    let (_, camera) = sim(AudioKind::None);
    let mut firmware = Firmware::start(&socket.path()).await;
    firmware.told(|told| told == "welcome").await;
    let parts = socket.camera.capabilities();
    while parts
        .talkback
        .as_ref()
        .is_some_and(|speaker| speaker.check().is_err())
    {
        tokio::task::yield_now().await;
    }
    let left = PtzMotion {
        pan: -1,
        tilt: 0,
        speed: 3,
    };
    for parts in [parts, camera.capabilities()] {
        let (ptz, picture) = (
            parts.ptz.expect("a motor"),
            parts.picture.expect("a picture"),
        );
        assert_eq!(ptz.start(left), Ok(()));
        ptz.stop();
        ptz.stop();
        for flipped in [true, false] {
            assert_eq!(picture.set_flipped(flipped), Ok(()));
            assert_eq!(picture.is_flipped(), flipped);
        }
        let still = parts
            .snapshot
            .expect("stills")
            .capture()
            .await
            .expect("works");
        assert!(still.starts_with(&[0xff, 0xd8]));
    }
    for word in [
        "turn -1 0 3",
        "turn 0 0 0",
        "turn 0 0 0",
        "flip 1",
        "flip 0",
    ] {
        firmware.told(|told| told == word).await;
    }
}
