//! Ends of talks: talkers that leave, break off or are barred, and speakers that panic or are busy.

use std::future::pending;

use peercam_hal::{Capabilities, HalError, TalkSink};
use peercam_proto::{media::AudioFormat, voice::Declared};
use peercam_task::boundary::Panicked;
use tokio::sync::{Notify, oneshot};

use super::*;

/// Deed of a speaker once it is to sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Plays,
    Panics,
    /// Refuses to open, because somebody has it.
    IsBusy,
}

/// A speaker that tells when it sounds, or is to open in vain.
struct Loud(Arc<Notify>, Deed);

struct Open(Arc<Notify>, Deed);

impl Talkback for Loud {
    fn open(&self, _format: &AudioFormat) -> Result<Box<dyn TalkSink>, HalError> {
        if self.1 == Deed::IsBusy {
            self.0.notify_one();
            return Err(HalError::Busy);
        }
        Ok(Box::new(Open(Arc::clone(&self.0), self.1)))
    }
}

impl TalkSink for Open {
    fn push(&mut self, _block: &[u8]) {
        assert!(self.1 != Deed::Panics, "a speaker");
        self.0.notify_one();
    }
}

/// End of a body, if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Whole,
    BrokenOff,
    Never,
}

/// Some sound as WAV that comes as one piece, and how it ends.
struct Body(Option<Bytes>, Ends);

impl Body {
    fn new(millis: u64, ends: Ends) -> Self {
        let sound = vec![0; 16 * millis as usize];
        let mut body = b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0".to_vec();
        body.extend([1, 0, 1, 0, 0x40, 0x1f, 0, 0, 0x80, 0x3e, 0, 0, 2, 0, 16, 0]);
        body.extend(b"data");
        body.extend((sound.len() as u32).to_le_bytes());
        body.extend(sound);
        Self(Some(body.into()), ends)
    }
}

impl Pieces for Body {
    fn piece(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Error>> {
        let (piece, ends) = (self.0.take(), self.1);
        Box::pin(async move {
            match (piece, ends) {
                (Some(piece), _) => Ok(Some(piece)),
                (None, Ends::Whole) => Ok(None),
                (None, Ends::BrokenOff) => Err(Error::bad_request("it broke off")),
                (None, Ends::Never) => pending().await,
            }
        })
    }
}

type Told = Result<Result<Talked, Error>, Panicked>;

/// A talk under way, what is known of its talker, and what is heard of its end.
struct Scene {
    all_speakers: Speakers,
    playing: tokio::task::JoinHandle<Result<Talked, Error>>,
    signals: TalkSignals,
    sounds: Arc<Notify>,
    told: oneshot::Receiver<Told>,
}

const CHANNEL: ChannelId = ChannelId(0);

/// Longer than a test may take.
const LONG: u64 = 10_000;

/// A talker who was given the speaker by another one, and is heard for no time at all
/// once it has left.
async fn talk(deed: Deed, body: Body) -> Scene {
    let sounds = Arc::new(Notify::new());
    let loud = Loud(Arc::clone(&sounds), deed);
    let speaker: Arc<dyn Talkback> = Arc::new(loud);
    let channels = ChannelRegistry::for_tests(Capabilities {
        talkback: Some(speaker),
        ..Capabilities::default()
    });
    let metrics = Metrics::default();
    let config = Config {
        tail: Duration::from_millis(50),
        alone: Duration::from_secs(2),
        ..Config::default()
    };
    let all_speakers = Speakers::new(Clock::start(), config, channels, metrics);
    let viewer = ViewerId::unauthenticated(&"viewer".into());
    let taken = all_speakers.take(CHANNEL, Rank::Owner, &viewer).await;
    let Ok(turn) = taken else {
        panic!("it is free")
    };
    let signals = TalkSignals::default();
    let (tell, told) = oneshot::channel();
    let ended = |talked: Result<&Result<Talked, Error>, Panicked>| {
        // Who does not wait is no part of a test.
        let _ = tell.send(talked.cloned());
    };
    let given = signals.clone();
    let playing = tokio::spawn(async move {
        let leaves = given.has_left.clone().drop_guard();
        let declared = Declared::default();
        let (_, talked) = turn
            .play(body, declared, Pace::Recorded, given, ended)
            .await;
        drop(leaves);
        talked
    });
    Scene {
        all_speakers,
        playing,
        signals,
        sounds,
        told,
    }
}

#[tokio::test]
async fn a_talk_ends_at_once_with_the_session_of_its_talker() {
    // Also one that waits for the speaker still.
    for deed in [Deed::Plays, Deed::IsBusy] {
        let scene = talk(deed, Body::new(LONG, Ends::Never)).await;
        scene.sounds.notified().await;
        scene.signals.is_barred.cancel();
        let talked = scene.playing.await.expect("no panic").expect("hung up");
        assert_eq!(talked.hung_up, Some(BARRED), "{deed:?}");
        assert!(talked.played_millis < LONG / 2, "{talked:?}");
        assert!(!scene.all_speakers.is_taken(CHANNEL));
    }
}

#[tokio::test]
async fn who_has_left_in_the_middle_is_heard_for_a_moment_more() {
    // A body that has broken off tells it without anybody's leave.
    for (ends, leaves) in [
        (Ends::Never, true),
        (Ends::BrokenOff, true),
        (Ends::BrokenOff, false),
    ] {
        let scene = talk(Deed::Plays, Body::new(LONG, ends)).await;
        scene.sounds.notified().await;
        if leaves {
            scene.playing.abort();
        }
        let told = scene.told.await.expect("it ends").expect("no panic");
        let talked = told.expect("no fault");
        assert_eq!(talked.hung_up, Some("its talker has left"), "{ends:?}");
        assert!(talked.played_millis < LONG / 2, "{talked:?}");
        assert!(!scene.all_speakers.is_taken(CHANNEL));
    }
}

#[tokio::test]
async fn who_has_said_all_is_heard_to_the_end_though_it_has_left() {
    const MILLIS: u64 = 500;
    let scene = talk(Deed::Plays, Body::new(MILLIS, Ends::Whole)).await;
    scene.sounds.notified().await;
    scene.playing.abort();
    let told = scene.told.await.expect("it ends").expect("no panic");
    let talked = told.expect("no fault");
    assert_eq!((talked.played_millis, talked.hung_up), (MILLIS, None));
}

#[tokio::test]
async fn whoever_has_left_does_not_keep_the_speaker_for_long() {
    let scene = talk(Deed::Plays, Body::new(LONG, Ends::Whole)).await;
    scene.sounds.notified().await;
    scene.playing.abort();
    let told = scene.told.await.expect("it ends").expect("no panic");
    let talked = told.expect("no fault");
    assert_eq!(talked.hung_up, Some("its talker has left"));
    assert!(talked.played_millis < LONG / 2, "{talked:?}");
    assert!(!scene.all_speakers.is_taken(CHANNEL));
}

#[tokio::test]
async fn whose_end_is_too_far_to_be_known_is_heard_on_and_ends_with_its_session() {
    let beyond = Config::default().ahead as u64 / 16 + LONG;
    let scene = talk(Deed::Plays, Body::new(beyond, Ends::Whole)).await;
    scene.sounds.notified().await;
    scene.playing.abort();
    // Longer than anybody is heard who had not said all.
    for _ in 0..15 {
        scene.sounds.notified().await;
    }
    scene.signals.is_barred.cancel();
    let told = scene.told.await.expect("it ends").expect("no panic");
    assert_eq!(told.expect("no fault").hung_up, Some(BARRED));
}

#[tokio::test]
async fn a_panic_in_a_talk_is_told_though_its_talker_has_left() {
    for leaves in [false, true] {
        let scene = talk(Deed::Panics, Body::new(LONG, Ends::Never)).await;
        if leaves {
            // It has begun, and sounds a moment later.
            tokio::task::yield_now().await;
            scene.playing.abort();
        } else {
            let failed = scene.playing.await.expect("its own panic only").err();
            assert_eq!(failed.map(|it| it.kind()), Some(ErrorKind::Unavailable));
        }
        let told = scene.told.await.expect("it is told");
        assert_eq!(told.err(), Some(Panicked));
        assert!(!scene.all_speakers.is_taken(CHANNEL), "free again");
    }
}
