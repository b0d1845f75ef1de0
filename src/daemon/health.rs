//! Watching over what may fail by itself: cameras that nobody reads, programs that do commands, and
//! when either began to.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::{
    part::{Part, Parts},
    user::Programs,
};
use crate::{http::App, live::Hub};

/// Interval at which it is noted what does not work.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);
/// Interval between looks for programs that do commands.
const PROGRAM_INTERVAL: Duration = Duration::from_secs(10);

/// Adds what watches over cameras and programs.
pub(super) fn add(parts: &mut Parts, hub: &Hub, programs: watch::Receiver<Arc<Programs>>) {
    let hub = hub.clone();
    parts.add(Part::service("camera checks", move |_| {
        hub.clone().watch_cameras()
    }));
    parts.add(Part::service("problems", |context| {
        note_problems(Arc::clone(&context.app))
    }));
    parts.add(Part::service("handlers", move |_| {
        watch_programs(programs.clone())
    }));
}

/// Notes when problems begin. Never returns.
async fn note_problems(app: Arc<App>) {
    let mut ticks = interval(NOTE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        app.device.note_problems();
    }
}

/// Looks for one program after the other. Never returns.
async fn watch_programs(programs: watch::Receiver<Arc<Programs>>) {
    let mut ticks = interval(PROGRAM_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let programs = Arc::clone(&programs.borrow());
        for program in programs.values() {
            program.check().await;
        }
    }
}
