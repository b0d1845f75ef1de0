use std::{fmt::Display, future::Future, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Part, contain};

/// Backoff of a part that has panicked: a second, and twice as long each time up to a minute.
/// One that has lasted for a minute begins again with a second.
#[derive(Debug)]
pub struct Backoff(Duration);

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Backoff {
    /// The pause after a panic of what has lasted so long.
    pub fn after(&mut self, lasted: Duration) -> Duration {
        if lasted >= LONGEST {
            *self = Self::default();
        }
        let next = (self.0 * 2).min(LONGEST);
        std::mem::replace(&mut self.0, next)
    }
}

/// Backoff of a part that others start, again and again.
#[derive(Debug, Default)]
pub struct RestartDelay {
    pause: Backoff,
    began: Option<Instant>,
    until: Option<Instant>,
}

impl RestartDelay {
    /// Notes a start, or refuses it for as long as the part has to rest.
    ///
    /// # Errors
    /// Time for which it has to rest still.
    pub fn begin(&mut self) -> Result<(), Duration> {
        let now = Instant::now();
        match self.until.filter(|until| *until > now) {
            Some(until) => Err(until - now),
            None => {
                self.began = Some(now);
                Ok(())
            }
        }
    }

    /// Notes that it has panicked.
    pub fn panicked(&mut self) {
        let lasted = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        self.until = Some(Instant::now() + self.pause.after(lasted));
    }
}

/// Runs until that comes to its end; when it panics, it begins anew after a pause, or not at all
/// once `stop` is cancelled.
pub async fn restarting<F: Future<Output = ()>>(
    part: Part,
    name: impl Display,
    stop: &CancellationToken,
    mut begin: impl FnMut() -> F,
) {
    let mut pause = Backoff::default();
    loop {
        let began = Instant::now();
        if contain(part, &name, begin()).await.is_ok() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pause.after(began.elapsed())) => {}
            () = stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_start_again_after_a_good_time() {
        let mut pause = Backoff::default();
        let pauses = [0; 8].map(|lasted| pause.after(Duration::from_secs(lasted)).as_secs());
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause.after(LONGEST), FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_panicked_rests() {
        let mut rest = RestartDelay::default();
        assert_eq!(rest.begin(), Ok(()));
        assert_eq!(
            rest.begin(),
            Ok(()),
            "what has not panicked may begin at any time"
        );
        rest.panicked();
        assert_eq!(rest.begin(), Err(FIRST));
        tokio::time::advance(FIRST).await;
        assert_eq!(rest.begin(), Ok(()));
        rest.panicked();
        assert_eq!(rest.begin(), Err(2 * FIRST));
    }

    #[tokio::test(start_paused = true)]
    async fn what_panics_begins_anew() {
        let (mut begun, began) = (0, Instant::now());
        let stop = CancellationToken::new();
        let all = restarting(Part::Service, "test", &stop, || {
            begun += 1;
            let is_last = begun == 3;
            async move { assert!(is_last, "not yet") }
        });
        all.await;
        assert_eq!((begun, began.elapsed()), (3, Duration::from_secs(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_rests_does_not_begin_again_at_the_end() {
        let (mut begun, stop) = (0, CancellationToken::new());
        let all = restarting(Part::Service, "test", &stop, || {
            begun += 1;
            stop.cancel();
            async { panic!("always") }
        });
        all.await;
        assert_eq!(begun, 1);
    }
}
