//! The services that requests reach, put together: the device, its viewers, its calls.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    Daemon,
    assembly::Assembly,
    cameras::CameraFactory,
    health,
    part::{Context, Part, Phase},
    reload::{Reloader, ReloaderParts},
    user::custom_commands,
};
use crate::{
    device::{self, ActivityTracker, Calls, Device, Viewers},
    http::{self, App},
    live::Stills,
    playback::PlaybackSessions,
    talk::{self, Speakers},
};

/// Completes a daemon to which all parts were added. `factory` has made its cameras; `None`: the program
/// around it has.
pub(super) fn complete(assembly: Assembly, factory: Option<CameraFactory>) -> Daemon {
    let Assembly {
        config,
        budget,
        shares,
        clock,
        events,
        panics,
        started,
        mut registry,
        lock,
        authority,
        channels,
        hub,
        standby,
        cameras,
        origins,
        #[cfg(feature = "record")]
        recorder,
        mut parts,
        reach,
        notifier,
        recordings,
        ..
    } = assembly;
    let metrics = http::Metrics::default();
    metrics.register(&mut registry);
    let stills = Stills::new(&hub, channels.clone(), budget.picture, &mut registry);
    let talk_metrics = talk::Metrics::default();
    talk_metrics.register(&mut registry);
    let talks = talk::Config {
        ahead: budget.talk_ahead,
        ..config.talk
    };
    let speakers = Speakers::new(clock, talks, channels.clone(), talk_metrics);
    let viewers = Viewers::new(budget.viewers, shares.media)
        .with_recordings(budget.players, budget.downloads);
    let (calls, call_task) = Calls::new(clock, events.clone(), config.call_ring);
    let told = notifier.clone();
    parts.add(Part::new("calls", Phase::Calls, |context| {
        let device = &context.app.device;
        let (activity, speakers) = (device.activity().clone(), device.speakers().clone());
        call_task.run(told, activity, speakers, context.phase(Phase::Calls))
    }));
    parts.add(Part::ending("streams", Phase::Streams, end_streams));
    let (commands, programs) = custom_commands(&config.user);
    let programs = watch::Sender::new(Arc::new(programs));
    health::add(&mut parts, &hub, programs.subscribe());
    let device = Device::new(device::DeviceParts {
        channels,
        hub,
        stills,
        viewers,
        notifier,
        recordings,
        players: PlaybackSessions::new(clock),
        speakers,
        calls,
        activity: ActivityTracker::new(authority.sessions.clone()),
        events,
        standby,
        commands,
        reach: reach.subscribe(),
    });
    let app = App {
        device,
        hevc: config.hevc,
        body_timeout: config.http.body_timeout,
        metrics,
        registry,
        started,
        clock,
        send_buffer: budget.send_buffer,
    };
    let app = Arc::new(app);
    let reloader = Reloader::new(
        ReloaderParts {
            app: Arc::clone(&app),
            budget,
            factory,
            origins,
            programs,
            #[cfg(feature = "record")]
            recorder,
        },
        config,
        cameras,
    );
    Daemon {
        parts,
        app,
        reach,
        reloader,
        _panics: panics,
        _lock: lock,
    }
}

/// Ends what viewers are sent, and what they move and say.
async fn end_streams(context: Context) {
    context.app.device.close();
}
