//! What becomes of a talk whose talker is gone, may talk no more, or makes the device fail.

use std::sync::Arc;

use peercam::{config::Config, daemon::Daemon};
use peercam_hal::{
    Camera, Capabilities, HalError, MediaInput, TalkSink, Talkback,
    clock::Clock,
    sim::{self, SimCamera},
};
use peercam_proto::{
    credential::PairingUri,
    media::{AudioFormat, Quality},
};
use tokio::{io::AsyncWriteExt, sync::oneshot};

use crate::{
    paired::{Device, RawViewer, Reply},
    signalling::{Talker, pcm},
    support::{Daemon as Process, program, request, sim_config},
};

const VOICE: &str = "/voice?channel=0&recorded=1";
/// A block of bare PCM.
const BLOCK_MILLIS: f64 = 20.0;

/// How many milliseconds of all talks the speakers were given so far.
async fn played(daemon: &Process) -> f64 {
    daemon.metric("peercam_talk_blocks_total").await * BLOCK_MILLIS
}

#[tokio::test]
async fn a_talker_that_is_killed_frees_the_speaker_before_its_sound_is_over() {
    let killed = async |is_reset: bool| {
        let daemon = Process::start(&sim_config(""));
        let mut talker = Talker::start(daemon.address, "channel=0&recorded=1").await;
        talker.say(&pcm(12_000)).await;
        daemon.metric_becomes("peercam_talkers", 1.0).await;
        if is_reset {
            talker.reset();
        }
        drop(talker);
        daemon.metric_becomes("peercam_talkers", 0.0).await;
        let played = played(&daemon).await;
        assert!(played < 6_000.0, "{played} ms of 12 s, {is_reset}");
        let next = request(daemon.address, "POST", "/voice", "").await;
        assert_eq!(next.status, 200, "{next:?}");
    };
    tokio::join!(killed(false), killed(true));
}

/// How somebody talks whose credential is revoked then.
#[derive(Clone, Copy, Debug)]
enum Way {
    Tcp,
    /// All is said, and the connection is gone.
    Left,
    #[cfg(all(feature = "client", feature = "p2p"))]
    P2p,
}

#[tokio::test]
async fn whoever_is_revoked_is_not_heard_any_more() {
    // All of it is read before it sounds.
    const MILLIS: usize = 8_000;
    let device = Device::start("[p2p]\nport = 0\n");
    let daemon = &device.daemon;
    for way in [
        Way::Tcp,
        Way::Left,
        #[cfg(all(feature = "client", feature = "p2p"))]
        Way::P2p,
    ] {
        let uri = device.pair(&["phone"]);
        let before = played(daemon).await;
        let talk = tokio::spawn(talk(way, device.address, uri, MILLIS));
        daemon.metric_becomes("peercam_talkers", 1.0).await;
        if let Way::Left = way {
            daemon.metric_becomes("peercam_access_sessions ", 0.0).await;
        }
        device.peercam(&["revoke", "phone"]);
        daemon.metric_becomes("peercam_talkers", 0.0).await;
        let played = played(daemon).await - before;
        assert!(played < MILLIS as f64 - 500.0, "{way:?}: {played} ms");
        talk.await.expect("no panic");
    }
}

/// Talks for so long, if it is let.
async fn talk(way: Way, address: std::net::SocketAddr, uri: PairingUri, millis: usize) {
    match way {
        Way::Tcp | Way::Left => {
            let mut viewer = RawViewer::open(address, &uri).await;
            let (bytes, keys) = viewer.request("POST", VOICE, Some(&pcm(millis)));
            match way {
                Way::Left => viewer.stream.write_all(&bytes).await.expect("sends"),
                _ => {
                    // Cut off, or with a last word on the way.
                    match viewer.exchange_bytes(&bytes, keys).await {
                        Reply::Closed => {}
                        reply => assert!(reply.sealed().1.contains("session has ended")),
                    }
                }
            }
        }
        #[cfg(all(feature = "client", feature = "p2p"))]
        Way::P2p => {
            use peercam_client::p2p::ClientRequest;

            let session = crate::dialled::session(&uri).await;
            let ask = ClientRequest::post(VOICE, pcm(millis).into());
            if let Ok(mut answer) = session.send(ask).await {
                let text = answer.collect(1024).await.unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                assert!(
                    text.is_empty() || text.contains("session has ended"),
                    "{text}"
                );
            }
        }
    }
}

/// A camera whose speaker panics.
struct Bad(SimCamera);

struct BadSpeaker;

impl Camera for Bad {
    fn open(&self, quality: Quality) -> Result<MediaInput, HalError> {
        self.0.open(quality)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            talkback: Some(Arc::new(BadSpeaker)),
            ..Capabilities::default()
        }
    }
}

impl Talkback for BadSpeaker {
    fn open(&self, _format: &AudioFormat) -> Result<Box<dyn TalkSink>, HalError> {
        Ok(Box::new(Self))
    }
}

impl TalkSink for BadSpeaker {
    fn push(&mut self, _block: &[u8]) {
        panic!("a speaker")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_talks_that_make_the_device_fail_close_their_credential() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("camera.toml");
    let text = "[p2p]\nenabled = false\n[[listen]]\naddr = \"127.0.0.1:0\"\naccess = \"token\"\n\
        [[channel]]\nid = 0\nsource = { kind = \"sim\" }\n";
    std::fs::write(&path, text).unwrap();
    let camera = |clock: Clock, _: &peercam::config::Channel| {
        let camera = Bad(SimCamera::new(clock, sim::Config::default()));
        Ok(Arc::new(camera) as Arc<dyn Camera>)
    };
    let daemon = Daemon::with_cameras(Config::load(&path).unwrap(), camera).await;
    let daemon = daemon.unwrap();
    let address = daemon.addresses()[0];
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(daemon.run(async move {
        let _ = stopped.await;
    }));
    let pair = |name: &str| {
        let mut pair = program();
        pair.args(["pair", name, "--config"]).arg(&path);
        let uri = String::from_utf8(pair.output().unwrap().stdout).unwrap();
        PairingUri::parse(&uri).unwrap()
    };
    let (bad, good) = (pair("bad"), pair("good"));
    const LIST: &[u8] = b"action=inner_define&cmd=get_nvr_list";
    for talks in 0..3 {
        let mut viewer = RawViewer::open(address, &bad).await;
        let (status, text) = viewer.ask("POST", "/command", Some(LIST)).await.sealed();
        assert_eq!(status, 200, "after {talks} talks: {text}");
        match viewer.ask("POST", VOICE, Some(&pcm(200))).await {
            Reply::Sealed(head, _) => assert_eq!(head.status, 502),
            // The third one ends its session.
            Reply::Closed => assert_eq!(talks, 2),
            Reply::Clear(answer) => panic!("{answer:?}"),
        }
    }
    let mut viewer = RawViewer::open(address, &bad).await;
    let (status, text) = viewer.ask("POST", "/command", Some(LIST)).await.sealed();
    assert!(status == 403 && text.contains("three times"), "{text}");
    let mut viewer = RawViewer::open(address, &good).await;
    let (status, text) = viewer.ask("POST", "/command", Some(LIST)).await.sealed();
    assert_eq!(status, 200, "{text}");
    stop.send(()).unwrap();
    running.await.unwrap();
}
