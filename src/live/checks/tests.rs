//! Checks of a camera that a test has come and go, on a clock that does not wait.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use peercam_hal::{
    BoxFuture, Camera, Capabilities, MediaInput, MediaSource, SourceEvent, clock::Clock,
};
use peercam_proto::media::{
    ChannelId, Frame, Quality, StreamId, TrackKind, Tracks, VideoCodec, VideoTrack,
};
use peercam_task::boundary::{self, Guarded};

use super::*;
use crate::{
    channels::ChannelRegistry,
    events::{Event, EventReceiver, Events},
    live::{Config, Metrics},
};

const FRONT: ChannelId = ChannelId(0);
const INTERVAL: Duration = Duration::from_secs(30);
/// Time that a check of the longest pause takes to begin, its jitter and the tick included.
const LONGEST: Duration = Duration::from_secs(39);

/// A camera that a test has come and go.
#[derive(Default)]
struct Script {
    is_off: AtomicBool,
    panics: AtomicBool,
    hangs: AtomicBool,
    checks: AtomicUsize,
    /// Checks of all cameras at the moment, and the most there were.
    at_once: Arc<AtomicUsize>,
    most_at_once: Arc<AtomicUsize>,
    /// Time that a check takes.
    takes: Guarded<Duration>,
}

struct Scripted(Arc<Script>);

struct AtCheck<'a>(&'a Script);

impl Drop for AtCheck<'_> {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, Ordering::Relaxed);
    }
}

impl HealthCheck for Scripted {
    fn interval(&self) -> Duration {
        INTERVAL
    }

    fn check(&self) -> BoxFuture<'_, Result<(), HalError>> {
        Box::pin(async {
            let script = &self.0;
            script.checks.fetch_add(1, Ordering::Relaxed);
            let now = script.at_once.fetch_add(1, Ordering::Relaxed) + 1;
            script.most_at_once.fetch_max(now, Ordering::Relaxed);
            let _at_check = AtCheck(script);
            assert!(!script.panics.load(Ordering::Relaxed), "as it was told");
            let takes = *script.takes.lock();
            sleep(takes).await;
            if script.hangs.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let is_on = !script.is_off.load(Ordering::Relaxed);
            let failure = || HalError::Failed("no power".to_owned());
            is_on.then_some(()).ok_or_else(failure)
        })
    }
}

impl Camera for Scripted {
    fn open(&self, _: Quality) -> Result<MediaInput, HalError> {
        Ok(Pictures(0).into())
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            health_check: Some(Arc::new(Self(Arc::clone(&self.0)))),
            ..Capabilities::default()
        }
    }
}

/// One picture a second.
struct Pictures(i64);

impl MediaSource for Pictures {
    fn next(&mut self) -> BoxFuture<'_, SourceEvent> {
        Box::pin(async {
            self.0 += 1;
            if self.0 == 1 {
                return SourceEvent::Online(Tracks::from(VideoTrack {
                    codec: VideoCodec::H264,
                    config: bytes::Bytes::from_static(&[1, 66, 0, 30, 255]),
                    width: 640,
                    height: 360,
                    frame_rate: 1.0,
                }));
            }
            sleep(Duration::from_secs(1)).await;
            SourceEvent::Frame(Frame {
                track: TrackKind::Video,
                key: true,
                time: peercam_proto::media::MediaTime::from_micros(self.0 * 1_000_000),
                composition_micros: 0,
                data: bytes::Bytes::from_static(&[0, 0, 0, 1, 0x65]),
            })
        })
    }
}

struct Scene {
    hub: Hub,
    scripts: Vec<Arc<Script>>,
    events: EventReceiver,
    _watching: boundary::Task,
}

impl Scene {
    fn new(cameras: u16) -> Self {
        let clock = Clock::start();
        let events = Events::new(clock);
        let first = Script::default();
        let scripts: Vec<_> = (0..cameras)
            .map(|_| {
                Arc::new(Script {
                    at_once: Arc::clone(&first.at_once),
                    most_at_once: Arc::clone(&first.most_at_once),
                    ..Script::default()
                })
            })
            .collect();
        let channels = (0..).zip(&scripts).map(|(id, script)| {
            let camera = Arc::new(Scripted(Arc::clone(script)));
            ChannelEntry::new(ChannelId(id), "scripted".to_owned(), camera)
        });
        let hub = Hub::new(
            clock,
            events.clone(),
            Config::default(),
            ChannelRegistry::new(channels),
            Metrics::default(),
        );
        Self {
            events: events.subscribe(),
            _watching: boundary::spawn(Part::Service, "test", hub.clone().watch_cameras()),
            hub,
            scripts,
        }
    }

    fn script(&self) -> &Script {
        &self.scripts[0]
    }

    fn checks(&self) -> usize {
        self.script().checks.load(Ordering::Relaxed)
    }

    /// Waits for the end of so many more checks.
    async fn checked(&self, count: usize) {
        let before = self.checks();
        while self.checks() < before + count {
            sleep(Duration::from_millis(100)).await;
        }
        sleep(Duration::from_millis(1)).await;
    }

    fn published(&mut self) -> Vec<Event> {
        let read = std::iter::from_fn(|| self.events.try_recv());
        read.map(|read| read.expect("nothing is lost").event.clone())
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_camera_is_off_after_two_failures_and_on_after_one_success() {
    let mut scene = Scene::new(1);
    let began = Instant::now();
    scene.checked(1).await;
    assert!(
        began.elapsed() <= Duration::from_secs(4),
        "soon after the start"
    );
    scene.checked(1).await;
    assert_eq!(scene.hub.offline(FRONT), None);
    scene.script().is_off.store(true, Ordering::Relaxed);
    let began = Instant::now();
    scene.checked(1).await;
    assert!(began.elapsed() <= LONGEST, "{:?}", began.elapsed());
    assert_eq!(scene.hub.offline(FRONT), None, "once is no failure");
    let began = Instant::now();
    scene.checked(1).await;
    assert!(
        began.elapsed() <= Duration::from_secs(4),
        "it is asked again soon"
    );
    assert_eq!(scene.hub.offline(FRONT).as_deref(), Some("no power"));
    scene.checked(1).await;
    assert!(matches!(
        scene.published()[..],
        [Event::CameraOffline { .. }]
    ));
    scene.script().is_off.store(false, Ordering::Relaxed);
    scene.checked(1).await;
    assert_eq!(scene.hub.offline(FRONT), None);
    assert!(matches!(
        scene.published()[..],
        [Event::CameraOnline { .. }]
    ));
}

#[tokio::test(start_paused = true)]
async fn who_is_read_is_not_checked_and_soon_afterwards() {
    let scene = Scene::new(1);
    scene.script().is_off.store(true, Ordering::Relaxed);
    scene.checked(2).await;
    assert!(scene.hub.offline(FRONT).is_some());
    let stream = StreamId {
        channel: FRONT,
        quality: Quality::High,
    };
    let viewer = scene
        .hub
        .subscribe(stream)
        .await
        .expect("it is there again");
    assert_eq!(scene.hub.offline(FRONT), None);
    let before = scene.checks();
    sleep(4 * LONGEST).await;
    assert_eq!(scene.checks(), before, "its pictures tell");
    drop(viewer);
    assert_eq!(scene.hub.offline(FRONT), None, "the last that is known");
    let began = Instant::now();
    scene.checked(1).await;
    assert!(
        began.elapsed() <= Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    scene.hub.set_working(FRONT, false);
    let before = scene.checks();
    sleep(4 * LONGEST).await;
    assert_eq!(scene.checks(), before, "it stands by");
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_was_off_when_it_was_told_to_stand_by_is_no_problem_until_it_works_again() {
    let scene = Scene::new(1);
    scene.script().is_off.store(true, Ordering::Relaxed);
    scene.checked(2).await;
    assert_eq!(scene.hub.outages().len(), 1);
    scene.hub.set_working(FRONT, false);
    assert_eq!(scene.hub.offline(FRONT), None);
    assert!(scene.hub.outages().is_empty());
    scene.hub.set_working(FRONT, true);
    assert_eq!(scene.hub.offline(FRONT).as_deref(), Some("no power"));
    scene.script().is_off.store(false, Ordering::Relaxed);
    scene.checked(1).await;
    assert_eq!(scene.hub.offline(FRONT), None);
}

#[tokio::test(start_paused = true)]
async fn another_camera_is_not_off_for_what_was_known_of_the_one_before() {
    let mut scene = Scene::new(1);
    scene.script().is_off.store(true, Ordering::Relaxed);
    scene.checked(2).await;
    assert!(scene.hub.offline(FRONT).is_some());
    let channels = &scene.hub.inner.channels;
    let before = channels.require(FRONT).expect("it is there");
    let another = before.with_camera(Arc::new(Scripted(Arc::default())));
    channels.replace([(FRONT, Arc::new(another))].into());
    scene.hub.end_channel(&before, "it was replaced");
    assert_eq!(scene.hub.offline(FRONT), None);
    assert!(matches!(
        scene.published()[..],
        [Event::CameraOffline { .. }, Event::CameraOnline { .. }]
    ));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_fails_by_itself_is_a_failure_and_the_others_go_on() {
    let scene = Scene::new(2);
    scene.script().panics.store(true, Ordering::Relaxed);
    scene.scripts[1].hangs.store(true, Ordering::Relaxed);
    sleep(2 * LONGEST).await;
    let reason = |id| scene.hub.offline(ChannelId(id)).expect("off");
    assert!(reason(0).contains("the log says where"), "{}", reason(0));
    assert!(reason(1).contains("within 5 s"), "{}", reason(1));
    scene.script().panics.store(false, Ordering::Relaxed);
    scene.scripts[1].hangs.store(false, Ordering::Relaxed);
    sleep(2 * LONGEST).await;
    assert_eq!(
        [0, 1].map(|id| scene.hub.offline(ChannelId(id))),
        [None, None]
    );
}

#[tokio::test(start_paused = true)]
async fn one_camera_is_checked_at_a_time_and_each_has_its_turn() {
    let scene = Scene::new(16);
    for script in &scene.scripts {
        *script.takes.lock() = Duration::from_secs(4);
        script.is_off.store(true, Ordering::Relaxed);
    }
    sleep(16 * 3 * Duration::from_secs(4)).await;
    for script in &scene.scripts {
        let count = script.checks.load(Ordering::Relaxed);
        assert!((2..=4).contains(&count), "{count}");
        assert_eq!(script.most_at_once.load(Ordering::Relaxed), 1);
    }
}
