use std::sync::{Arc, atomic::AtomicBool};

use peercam_proto::media::Quality;
use peercam_task::boundary::Guarded;
use tokio::sync::mpsc;

use super::{
    motor::Motor,
    parts::{SimPicture, SimSnapshot, SimStorage},
    render,
    shared::{Config, Control, EVENT_QUEUE, Opening, Shared},
    speaker::SimSpeaker,
};
use crate::{
    BoxFuture, Camera, Capabilities, HalError, MediaInput, MediaSource, SourceEvent, clock::Clock,
};

/// A camera whose picture is drawn. Its render thread runs while any of its pictures is read.
pub struct SimCamera {
    shared: Arc<Shared>,
}

impl SimCamera {
    /// A camera on `clock`.
    pub fn new(clock: Clock, config: Config) -> Self {
        let motor = Motor::new(clock);
        Self {
            shared: Arc::new(Shared {
                clock,
                config,
                motor,
                flipped: AtomicBool::new(false),
                speaker_held: AtomicBool::new(false),
                heard: Guarded::default(),
                opened: Guarded::default(),
            }),
        }
    }
}

impl Camera for SimCamera {
    fn open(&self, quality: Quality) -> Result<MediaInput, HalError> {
        let shared = &self.shared;
        let control = Arc::new(Control::new(&shared.config, quality));
        let (reader, events) = mpsc::channel(EVENT_QUEUE);
        let mut opened = shared.opened.lock();
        opened.waiting.push(Opening {
            quality,
            control: Arc::clone(&control),
            reader,
        });
        if !opened.rendering {
            render::start(Arc::clone(shared)).map_err(|error| {
                HalError::Failed(format!("the render thread does not start: {error}"))
            })?;
            opened.rendering = true;
        }
        Ok(MediaInput {
            source: Box::new(SimSource {
                events,
                ended: false,
            }),
            control: Some(control),
        })
    }

    fn capabilities(&self) -> Capabilities {
        let shared = || Arc::clone(&self.shared);
        Capabilities {
            ptz: Some(Arc::new(self.shared.motor.clone())),
            picture: Some(Arc::new(SimPicture::new(shared()))),
            talkback: Some(Arc::new(SimSpeaker::new(shared()))),
            snapshot: Some(Arc::new(SimSnapshot::new(shared()))),
            storage: Some(Arc::new(SimStorage::new(shared()))),
            ..Capabilities::default()
        }
    }
}

struct SimSource {
    events: mpsc::Receiver<SourceEvent>,
    /// The end has been reported.
    ended: bool,
}

impl MediaSource for SimSource {
    fn next(&mut self) -> BoxFuture<'_, SourceEvent> {
        Box::pin(async {
            match self.events.recv().await {
                Some(event) => event,
                None if std::mem::replace(&mut self.ended, true) => std::future::pending().await,
                None => {
                    SourceEvent::Offline("the simulated camera's render thread ended".to_owned())
                }
            }
        })
    }
}
