//! Looks after the connection to a camera: made when it is wanted, again when it is lost.

use std::{sync::Arc, time::Duration};

use peercam_proto::media::Tracks;
use peercam_task::boundary::{Backoff, Part, contain};
use tokio::{sync::watch, time::Instant};

use super::{
    Config,
    intake::{Intake, IntakeEvent},
    session::{Failure, Item, Session},
};
use crate::{clock::Clock, fanout::FrameFanout};

/// After a failure, twice as long each time. Pictures are to be back within 2 s of the camera.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A camera that refuses the password is asked this long after: many lock the account after some
/// tries.
const REFUSED_PAUSES: [Duration; 3] = [
    Duration::from_secs(2),
    Duration::from_secs(15),
    Duration::from_secs(60),
];
/// A connection that lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(5);

/// Pause before the next try. Pure but for the dice.
#[derive(Debug, Default)]
pub(super) struct CameraBackoff {
    failures: u32,
    refusals: usize,
    faults: Backoff,
}

impl CameraBackoff {
    /// The pause after this failure of a connection that lasted so long.
    pub(super) fn after(&mut self, failure: &Failure, lasted: Duration) -> Duration {
        if *failure == Failure::Fault {
            return self.faults.after(lasted);
        }
        if lasted >= GOOD {
            (self.failures, self.refusals) = (0, 0);
        }
        if *failure == Failure::Credentials {
            let last = REFUSED_PAUSES.len() - 1;
            let pause = REFUSED_PAUSES[self.refusals.min(last)];
            self.refusals += 1;
            return pause;
        }
        let pause = FIRST_PAUSE * 2_u32.pow(self.failures.min(8));
        self.failures += 1;
        pause.min(LONGEST_PAUSE)
    }
}

/// Up to a quarter more or less, so that cameras of one switch are not called all at once.
fn with_jitter(pause: Duration) -> Duration {
    let mut dice = [0; 1];
    // Without dice it is no worse than a little less polite.
    let _ = getrandom::fill(&mut dice);
    pause.mul_f64(0.75 + f64::from(dice[0]) / 512.0)
}

/// Pulls for as long as it is wanted, for ever. Its owner stops it by aborting the task.
pub(super) async fn run(
    config: Arc<Config>,
    url: url::Url,
    clock: Clock,
    fanout: Arc<FrameFanout>,
) {
    let mut readers = fanout.readers();
    let mut depth = 0;
    let mut backoff = CameraBackoff::default();
    let mut refused: Option<(Instant, String)> = None;
    let name = super::shown(&url);
    loop {
        if !config.always && readers.wait_for(|&count| count > 0).await.is_err() {
            return;
        }
        let abandoned = abandoned(&config, fanout.readers());
        tokio::pin!(abandoned);
        loop {
            // Who comes does not make it try earlier than the camera would stand.
            if let Some((until, reason)) = refused.take_if(|(until, _)| *until > Instant::now()) {
                fanout.offline(&reason);
                tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = &mut abandoned => {
                        refused = Some((until, reason));
                        break;
                    }
                }
            }
            let began = Instant::now();
            let pull = pull(&config, &url, clock, &fanout, &mut depth);
            let failure = tokio::select! {
                ended = contain(Part::Camera, &name, pull) => ended.unwrap_or(Failure::Fault),
                () = &mut abandoned => break,
            };
            let pause = with_jitter(backoff.after(&failure, began.elapsed()));
            tracing::debug!(camera = name, %failure, ?pause, "the camera is tried again");
            let reason = failure.reason(config.credentials.as_ref());
            if failure == Failure::Credentials {
                refused = Some((Instant::now() + pause, reason));
                continue;
            }
            fanout.offline(&reason);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = &mut abandoned => break,
            }
        }
        tracing::debug!(camera = name, "nobody watches any more");
        fanout.reset();
    }
}

/// Waits until nobody has read it for a while.
async fn abandoned(config: &Config, mut readers: watch::Receiver<usize>) {
    if config.always {
        return std::future::pending().await;
    }
    loop {
        // The feed outlives this, and with it the other end.
        let _ = readers.wait_for(|&count| count == 0).await;
        let came_back = readers.wait_for(|&count| count > 0);
        if tokio::time::timeout(config.linger, came_back)
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Plays until that fails.
async fn pull(
    config: &Config,
    url: &url::Url,
    clock: Clock,
    fanout: &FrameFanout,
    depth: &mut usize,
) -> Failure {
    let credentials = config.credentials.as_ref();
    let opened = Session::open(url, credentials, config).await;
    let mut session = match opened {
        Ok(session) => session,
        Err(failure) => return failure,
    };
    *depth = (*depth).max(session.depth());
    let audio = session.audio_track().cloned();
    let mut intake = Intake::new(audio, session.has_video(), *depth);
    tracing::info!(
        camera = super::shown(url),
        transport = ?config.transport,
        "connected to the camera"
    );
    let mut taken = 0_u32;
    loop {
        // After a stall much comes at once, and others have to have their turn.
        taken = taken.wrapping_add(1);
        if taken.is_multiple_of(16) {
            tokio::task::yield_now().await;
        }
        let mut tell = |told| match told {
            IntakeEvent::Tracks(tracks) => {
                report(url, &tracks);
                fanout.online(tracks);
            }
            IntakeEvent::Frame(frame) => fanout.frame(frame),
        };
        match session.next(|| clock.now()).await {
            Ok(Item::Picture(picture)) => intake.picture(picture, session.video_track(), &mut tell),
            Ok(Item::Sound(sound)) => intake.sound(sound, &mut tell),
            Ok(Item::Report(track, stamp, shared)) => {
                tracing::trace!(camera = super::shown(url), %track, stamp, shared, "report");
                intake.report(track, stamp, shared);
            }
            Err(failure) => {
                if intake.kept_back() > 0 {
                    let pictures = intake.kept_back();
                    tracing::debug!(pictures, "kept back for what was lost before them");
                }
                return failure;
            }
        }
        *depth = intake.depth();
    }
}

fn report(url: &url::Url, tracks: &Tracks) {
    let video = tracks.video.as_ref();
    tracing::debug!(
        camera = super::shown(url),
        codec = ?video.map(|video| video.codec),
        size = ?video.map(|video| (video.width, video.height)),
        sound = ?tracks.audio.as_ref().map(|audio| audio.codec),
        "the camera delivers"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_start_again_after_a_good_connection() {
        let mut backoff = CameraBackoff::default();
        let lost = Failure::Other("it ended the connection".to_owned());
        let mut after = |lasted| {
            backoff
                .after(&lost, Duration::from_secs(lasted))
                .as_millis()
        };
        let pauses = [after(0), after(0), after(0), after(0), after(0)];
        assert_eq!(pauses, [200, 400, 800, 1000, 1000]);
        assert_eq!(after(60), 200);
    }

    #[test]
    fn a_camera_that_makes_what_reads_it_fail_is_left_alone_for_longer_and_longer() {
        let mut backoff = CameraBackoff::default();
        let mut after = |lasted| {
            backoff
                .after(&Failure::Fault, Duration::from_secs(lasted))
                .as_secs()
        };
        let pauses = [after(0), after(6), after(0), after(0), after(0), after(0)];
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32]);
        assert_eq!([after(0), after(0), after(60)], [60, 60, 1]);
    }

    #[test]
    fn a_refused_password_is_not_tried_often() {
        let mut backoff = CameraBackoff::default();
        let mut after = || {
            backoff
                .after(&Failure::Credentials, Duration::ZERO)
                .as_secs()
        };
        assert_eq!([after(), after(), after(), after()], [2, 15, 60, 60]);
    }

    #[test]
    fn jitter_is_a_quarter_at_most() {
        for _ in 0..1000 {
            let pause = with_jitter(Duration::from_secs(4));
            assert!((3.0..5.0).contains(&pause.as_secs_f64()), "{pause:?}");
        }
    }
}
