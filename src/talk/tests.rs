use std::future::pending;

use peercam_hal::{HalError, TalkSink};
use peercam_proto::{media::SoundFormat, voice::Declared};
use peercam_task::boundary::Panicked;
use tokio::sync::{Notify, oneshot};

use super::*;

/// A speaker that tells when it sounds, or panics then.
struct Loud {
    sounds: Arc<Notify>,
    panics: bool,
}

struct Open(Arc<Notify>, bool);

impl Talkback for Loud {
    fn open(&self, _format: &SoundFormat) -> Result<Box<dyn TalkSink>, HalError> {
        Ok(Box::new(Open(Arc::clone(&self.sounds), self.panics)))
    }
}

impl TalkSink for Open {
    fn push(&mut self, _block: &[u8]) {
        assert!(!self.1, "a speaker");
        self.0.notify_one();
    }
}

/// A minute of WAV that comes as one piece, and then nothing more.
struct Minute(Option<Bytes>);

impl Minute {
    const MILLIS: u64 = 60_000;

    fn new() -> Self {
        let sound = vec![0; 16 * Self::MILLIS as usize];
        let mut body = b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0".to_vec();
        body.extend([1, 0, 1, 0, 0x40, 0x1f, 0, 0, 0x80, 0x3e, 0, 0, 2, 0, 16, 0]);
        body.extend(b"data");
        body.extend((sound.len() as u32).to_le_bytes());
        body.extend(sound);
        Self(Some(body.into()))
    }
}

impl Pieces for Minute {
    fn piece(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Error>> {
        let piece = self.0.take();
        Box::pin(async move {
            match piece {
                Some(piece) => Ok(Some(piece)),
                None => pending().await,
            }
        })
    }
}

type Told = Result<Result<Talked, Error>, Panicked>;

/// A minute's talk under way, what is known of its talker, and what is heard of its end.
struct Scene {
    talkers: Talkers,
    playing: tokio::task::JoinHandle<Result<Talked, Error>>,
    presence: Presence,
    sounds: Arc<Notify>,
    told: oneshot::Receiver<Told>,
}

const CHANNEL: ChannelId = ChannelId(0);

async fn talk(panics: bool) -> Scene {
    let sounds = Arc::new(Notify::new());
    let loud = Loud {
        sounds: Arc::clone(&sounds),
        panics,
    };
    let speaker: Arc<dyn Talkback> = Arc::new(loud);
    let speakers = HashMap::from([(CHANNEL, speaker)]);
    let metrics = Metrics::default();
    let talkers = Talkers::new(Clock::start(), Config::default(), speakers, metrics);
    let taken = talkers.take(CHANNEL, Rank::Guest, "viewer").await;
    let Ok(turn) = taken else {
        panic!("it is free")
    };
    let presence = Presence::default();
    let (tell, told) = oneshot::channel();
    let ended = |talked: Result<&Result<Talked, Error>, Panicked>| {
        // Who does not wait is no part of a test.
        let _ = tell.send(talked.cloned());
    };
    let given = presence.clone();
    let playing = tokio::spawn(async move {
        let leaves = given.has_left.clone().drop_guard();
        let how = (Declared::default(), Pace::Recorded);
        let (_, talked) = turn.play(Minute::new(), how, given, ended).await;
        drop(leaves);
        talked
    });
    Scene {
        talkers,
        playing,
        presence,
        sounds,
        told,
    }
}

#[tokio::test]
async fn a_talk_ends_at_once_with_the_session_of_its_talker() {
    let scene = talk(false).await;
    scene.sounds.notified().await;
    scene.presence.is_barred.cancel();
    let talked = scene.playing.await.expect("no panic").expect("hung up");
    assert_eq!(talked.hung_up, Some(HUNG_UP));
    assert!(talked.played_millis < Minute::MILLIS / 2, "{talked:?}");
    assert!(!scene.talkers.is_taken(CHANNEL));
}

#[tokio::test]
async fn who_has_left_is_heard_for_a_few_seconds_more() {
    let scene = talk(false).await;
    scene.sounds.notified().await;
    scene.playing.abort();
    let told = scene.told.await.expect("it ends").expect("no panic");
    let talked = told.expect("no fault");
    assert!(talked.hung_up.is_some());
    assert!(talked.played_millis < Minute::MILLIS / 2, "{talked:?}");
    assert!(!scene.talkers.is_taken(CHANNEL));
}

#[tokio::test]
async fn a_panic_in_a_talk_is_told_though_its_talker_has_left() {
    for leaves in [false, true] {
        let scene = talk(true).await;
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
        assert!(!scene.talkers.is_taken(CHANNEL), "free again");
    }
}
