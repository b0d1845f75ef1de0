//! A camera that delivers what a test tells it to, and a hub with it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use peercam::{
    channels::{ChannelEntry, ChannelRegistry},
    events::Events,
    live::{Config, Hub, Metrics, Subscription},
};
use peercam_hal::{
    BoxFuture, Camera, ControlOutcome, HalError, MediaInput, MediaSource, SourceControl,
    SourceEvent, clock::Clock,
};
use peercam_proto::media::{
    AudioCodec, AudioTrack, ChannelId, Delivery, Frame, MediaTime, Quality, StreamId, TrackKind,
    Tracks, VideoCodec, VideoTrack,
};
use tokio::sync::mpsc;

use crate::support::HANG;

pub(crate) const STREAM: StreamId = StreamId {
    channel: ChannelId(0),
    quality: Quality::High,
};

/// A camera in a test's hands.
#[derive(Default)]
pub(crate) struct Script {
    events: Mutex<Option<mpsc::UnboundedSender<SourceEvent>>>,
    pub(crate) opened: AtomicUsize,
    open_now: AtomicUsize,
    pub(crate) most_open: AtomicUsize,
    pub(crate) key_requests: AtomicUsize,
    pub(crate) forces_keys: bool,
}

struct Scripted(Arc<Script>);

impl Camera for Scripted {
    fn open(&self, _quality: Quality) -> Result<MediaInput, HalError> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.0.events.lock().unwrap() = Some(sender);
        self.0.opened.fetch_add(1, Ordering::SeqCst);
        let open_now = self.0.open_now.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_open.fetch_max(open_now, Ordering::SeqCst);
        Ok(MediaInput {
            source: Box::new(Source(receiver, Arc::clone(&self.0))),
            control: Some(Arc::new(Self(Arc::clone(&self.0)))),
        })
    }
}

impl SourceControl for Scripted {
    fn request_key_frame(&self) -> ControlOutcome {
        if !self.0.forces_keys {
            return ControlOutcome::Unsupported;
        }
        self.0.key_requests.fetch_add(1, Ordering::SeqCst);
        ControlOutcome::Accepted
    }

    fn set_bitrate(&self, _bits_per_second: u32) -> ControlOutcome {
        ControlOutcome::Unsupported
    }
}

struct Source(mpsc::UnboundedReceiver<SourceEvent>, Arc<Script>);

impl Drop for Source {
    fn drop(&mut self) {
        self.1.open_now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl MediaSource for Source {
    fn next(&mut self) -> BoxFuture<'_, SourceEvent> {
        Box::pin(async {
            match self.0.recv().await {
                Some(event) => event,
                None => std::future::pending().await,
            }
        })
    }
}

impl Script {
    pub(crate) fn new(forces_keys: bool) -> Arc<Self> {
        Arc::new(Self {
            forces_keys,
            ..Self::default()
        })
    }

    /// A hub with this camera as channel 0.
    pub(crate) fn hub(self: &Arc<Self>) -> Hub {
        let camera = Arc::new(Scripted(Arc::clone(self)));
        let channel = ChannelEntry::new(ChannelId(0), "scripted".to_owned(), camera);
        let clock = Clock::start();
        Hub::new(
            clock,
            Events::new(clock),
            Config::default(),
            ChannelRegistry::new([channel]),
            Metrics::default(),
        )
    }

    /// Delivers an event, once the camera has been opened.
    pub(crate) async fn send(&self, event: SourceEvent) {
        loop {
            if let Some(events) = &*self.events.lock().unwrap()
                && !events.is_closed()
            {
                events.send(event).unwrap();
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn online(&self) {
        self.send(SourceEvent::Online(tracks())).await;
    }

    /// Joins a stream that nobody watches yet, and brings its camera online.
    pub(crate) async fn first_viewer(&self, hub: &Hub) -> Subscription {
        let (viewer, ()) = tokio::join!(hub.subscribe(STREAM), self.online());
        viewer.unwrap()
    }

    /// Delivers a picture.
    pub(crate) async fn picture(&self, key: bool, millis: i64) {
        self.send(SourceEvent::Frame(picture(key, millis, 0))).await;
    }

    /// Delivers sound.
    pub(crate) async fn sound(&self, millis: i64) {
        self.send(SourceEvent::Frame(frame(TrackKind::Audio, true, millis, 0)))
            .await;
    }
}

pub(crate) fn tracks() -> Tracks {
    Tracks {
        video: Some(VideoTrack {
            codec: VideoCodec::H264,
            config: Bytes::from_static(&[1, 66, 0, 30, 255]),
            width: 640,
            height: 360,
            frame_rate: 25.0,
        }),
        audio: Some(AudioTrack {
            codec: AudioCodec::Aac,
            config: Bytes::from_static(&[0x14, 0x08]),
            sample_rate: 16_000,
            channels: 1,
        }),
    }
}

pub(crate) fn picture(key: bool, millis: i64, composition_ms: i32) -> Frame {
    frame(TrackKind::Video, key, millis, composition_ms)
}

fn frame(track: TrackKind, key: bool, millis: i64, composition_ms: i32) -> Frame {
    Frame {
        track,
        key,
        time: MediaTime::from_micros(millis * 1000),
        composition_micros: composition_ms * 1000,
        data: Bytes::from(millis.to_be_bytes().to_vec()),
    }
}

/// Waits for the next deliveries; empty at the end of the stream.
pub(crate) async fn take(subscription: &mut Subscription) -> Vec<Delivery> {
    let mut taken = Vec::new();
    let polled = std::future::poll_fn(|context| {
        subscription.poll_frames(context, |delivery| taken.push(delivery))
    });
    assert!(
        tokio::time::timeout(HANG, polled).await.is_ok(),
        "nothing more comes"
    );
    taken
}

/// What a delivery is, for comparisons: picture or not, its media time, timestamp, composition.
pub(crate) fn described(delivery: &Delivery) -> (char, i64, u32, i32) {
    let kind = match (delivery.frame.track, delivery.frame.key) {
        (TrackKind::Audio, _) => 'a',
        (TrackKind::Video, true) => 'K',
        (TrackKind::Video, false) => 'p',
    };
    let millis = delivery.frame.time.as_micros() / 1000;
    (kind, millis, delivery.timestamp, delivery.composition_ms)
}

/// Takes exactly `count` deliveries.
pub(crate) async fn take_described(
    subscription: &mut Subscription,
    count: usize,
) -> Vec<(char, i64, u32, i32)> {
    let mut all = Vec::new();
    while all.len() < count {
        let taken = take(subscription).await;
        assert!(!taken.is_empty(), "the stream ended after {all:?}");
        all.extend(taken.iter().map(described));
    }
    all
}
