//! The table of parts: what runs in the daemon, and the phases in which it ends.
//!
//! A part is a row: its name, the phase of the end in which it ends, and a future. Phases follow
//! each other; one begins when every part of those before it has ended, and has a token that is
//! cancelled then. The order of the end is the order of [`Phase`] and stands nowhere else, and its
//! deadlines are over all phases: the whole end takes 5 s at most, however many of them are slow.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use peercam_task::boundary::{self, Panicked, contain, restarting};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::reload::Reloader;
use crate::http::App;

/// Time after the deadline of a phase at which a part that has not ended by itself is ended.
const SLACK: Duration = Duration::from_millis(250);

/// Phase of the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Ends the call and tells its viewers, while there is a way to.
    Calls,
    /// Lets nobody in any more, and ends streams with their terminators.
    Streams,
    /// Waits for what is under way: answers, recordings.
    Drain,
    /// Tells whoever is still connected that the device is gone.
    Farewell,
    /// Ends what has watched over all others.
    Services,
}

impl Phase {
    const ALL: [Self; 5] = [
        Self::Calls,
        Self::Streams,
        Self::Drain,
        Self::Farewell,
        Self::Services,
    ];

    /// Time since the beginning of the end by which its parts end by themselves.
    fn deadline(self) -> Duration {
        Duration::from_millis(match self {
            Self::Calls => 1_000,
            Self::Streams => 2_000,
            Self::Drain => 4_000,
            Self::Farewell | Self::Services => 4_750,
        })
    }
}

/// The end, as far as it has come.
#[derive(Default)]
struct End {
    /// Tokens, each of which is cancelled when its phase begins.
    phases: [CancellationToken; Phase::ALL.len()],
    began: OnceLock<Instant>,
}

/// Surroundings of a part that runs.
#[derive(Clone)]
pub(super) struct Context {
    /// Services that requests reach.
    pub(super) app: Arc<App>,
    /// Handle with which the configuration is read again.
    pub(super) reloader: Reloader,
    /// Connections that are served. They outlast the part that has accepted them, and are waited for
    /// in [`Phase::Drain`].
    pub(super) tasks: TaskTracker,
    end: Arc<End>,
}

impl Context {
    /// Token that is cancelled when this phase begins.
    pub(super) fn phase(&self, phase: Phase) -> CancellationToken {
        self.end.phases[phase as usize].clone()
    }

    /// Time that is left for this phase; all of it as long as the end has not begun.
    pub(super) fn time_left(&self, phase: Phase) -> Duration {
        let gone = self.end.began.get().map(Instant::elapsed);
        phase.deadline().saturating_sub(gone.unwrap_or_default())
    }
}

type Run = Box<dyn FnOnce(Context) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A row of the table.
pub(super) struct Part {
    name: &'static str,
    phase: Phase,
    run: Run,
}

impl Part {
    /// A part that runs from the start, and ends by itself when `phase` has begun.
    pub(super) fn new<F>(
        name: &'static str,
        phase: Phase,
        run: impl FnOnce(Context) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self {
            name,
            phase,
            run: Box::new(|context| Box::pin(run(context))),
        }
    }

    /// A service, which never ends: it begins anew after a panic, and is ended when all else has.
    pub(super) fn service<F>(
        name: &'static str,
        mut begin: impl FnMut(&Context) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::new(name, Phase::Services, move |context| async move {
            let end = context.phase(Phase::Services);
            let service = restarting(boundary::Part::Service, name, &end, || begin(&context));
            end.run_until_cancelled(service).await;
        })
    }

    /// A part that has nothing to do but when `phase` begins.
    pub(super) fn ending<F>(
        name: &'static str,
        phase: Phase,
        end: impl FnOnce(Context) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::new(name, phase, move |context| async move {
            context.phase(phase).cancelled().await;
            end(context).await;
        })
    }
}

/// The table.
#[derive(Default)]
pub(super) struct Parts(Vec<Part>);

impl Parts {
    /// Adds a row.
    pub(super) fn add(&mut self, part: Part) {
        self.0.push(part);
    }

    /// Runs all parts until `stop` completes, then ends them phase by phase.
    pub(super) async fn run(
        self,
        app: Arc<App>,
        reloader: Reloader,
        stop: impl Future<Output = ()>,
    ) {
        let context = Context {
            app,
            reloader,
            tasks: TaskTracker::new(),
            end: Arc::default(),
        };
        let mut running = Running::default();
        for part in self.0 {
            running.start(part.phase, part.name, (part.run)(context.clone()));
        }
        stop.await;
        tracing::info!("shutting down");
        running.end(&context.end).await;
    }
}

/// Tasks of the parts, by the phases in which they end. Dropping it ends all of them at once.
#[derive(Default)]
struct Running([JoinSet<Result<(), Panicked>>; Phase::ALL.len()]);

impl Running {
    fn start<F>(&mut self, phase: Phase, name: &'static str, part: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0[phase as usize].spawn(contain(boundary::Part::Service, name, part));
    }

    async fn end(self, end: &End) {
        let began = *end.began.get_or_init(Instant::now);
        for (phase, mut parts) in Phase::ALL.into_iter().zip(self.0) {
            end.phases[phase as usize].cancel();
            let ended = async { while parts.join_next().await.is_some() {} };
            let limit = began + phase.deadline() + SLACK;
            if timeout_at(limit, ended).await.is_err() {
                tracing::warn!(?phase, "something did not end in time, and is ended");
                parts.shutdown().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use peercam_task::boundary::Guarded;

    use super::*;

    /// Time that a part takes for its end.
    const STEP: Duration = Duration::from_millis(100);

    #[tokio::test(start_paused = true)]
    async fn phases_follow_each_other_whatever_their_parts_do() {
        let (mut running, end) = (Running::default(), End::default());
        let ended = Arc::new(Guarded::whole(Vec::new()));
        for phase in Phase::ALL.into_iter().rev() {
            let (token, ended) = (end.phases[phase as usize].clone(), Arc::clone(&ended));
            running.start(phase, "a part", async move {
                token.cancelled().await;
                // Those of a phase end beside each other.
                tokio::time::sleep(STEP).await;
                ended.lock().push(phase);
            });
        }
        running.start(Phase::Streams, "a fault", async { panic!("at once") });
        running.start(Phase::Drain, "never ends", std::future::pending());
        let began = Instant::now();
        running.end(&end).await;
        assert_eq!(*ended.lock(), Phase::ALL);
        let all = Phase::Drain.deadline() + SLACK + 2 * STEP;
        assert_eq!(began.elapsed(), all);
    }

    #[tokio::test(start_paused = true)]
    async fn the_whole_end_takes_five_seconds_whatever_is_slow() {
        let mut running = Running::default();
        for phase in Phase::ALL {
            running.start(phase, "never ends", std::future::pending());
        }
        let began = Instant::now();
        running.end(&End::default()).await;
        assert_eq!(began.elapsed(), Duration::from_secs(5));
    }
}
