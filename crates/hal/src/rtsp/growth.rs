//! A bound for what the RTSP library reads and does not bound itself: an answer whose head or body
//! does not end.
//!
//! The library has its socket to itself, so what it reads cannot be counted. What can be seen is that
//! the process grows while nothing comes out of it.

use std::{fs, future::Future, pin::pin, time::Duration};

use super::session::Failure;

/// Time that something may take before it is looked at, and the interval from then on.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Bytes by which the process may grow while the library reads one thing, if it has grown at
/// each of the last looks: others grow meanwhile too, but by fits.
const MAX_GROWTH_BYTES: usize = 8 << 20;
const LOOKS: usize = 4;
/// Bytes by which it may grow however it did.
const MOST_AT_ONCE: usize = 2 * MAX_GROWTH_BYTES;

/// Does `work`, unless the process grows too much from shortly after its beginning on. Cancel-safe
/// if `work` is.
///
/// # Errors
/// [`Failure`] if it has grown.
pub(super) async fn bounded<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    bounded_by(work, || {
        anonymous(&fs::read_to_string("/proc/self/statm").ok()?)
    })
    .await
}

async fn bounded_by<T>(
    work: impl Future<Output = T>,
    look: impl Fn() -> Option<usize>,
) -> Result<T, Failure> {
    let mut work = pin!(work);
    let (mut before, mut last, mut rising) = (None, 0, 0);
    loop {
        if let Ok(done) = tokio::time::timeout(POLL_INTERVAL, work.as_mut()).await {
            return Ok(done);
        }
        // Where the system does not say, time is the only bound.
        let now = look().unwrap_or(0);
        rising = if now > last { rising + 1 } else { 0 };
        last = now;
        let grown = now.saturating_sub(*before.get_or_insert(now));
        if grown > MOST_AT_ONCE || (grown > MAX_GROWTH_BYTES && rising > LOOKS) {
            let reason = "it sends one thing without an end, and memory fills";
            return Err(Failure::Other(reason.to_owned()));
        }
    }
}

/// Bytes of memory that are no file's, out of `/proc/self/statm`.
fn anonymous(statm: &str) -> Option<usize> {
    let mut pages = statm.split(' ').map(str::parse::<usize>);
    let (resident, shared) = (pages.nth(1)?.ok()?, pages.next()?.ok()?);
    Some(resident.saturating_sub(shared) * rustix::param::page_size())
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_makes_the_process_grow_is_given_up() {
        let grown = Cell::new(100 << 20);
        let look = || {
            grown.set(grown.get() + (1 << 20));
            Some(grown.get())
        };
        let ended = bounded_by(pending::<()>(), look).await;
        assert!(ended.is_err());
        assert_eq!(grown.get() >> 20, 100 + 1 + 9, "from the first look on");
        // Others take 12 MiB at once, and no more.
        let looks = Cell::new(0);
        let others = || {
            looks.set(looks.get() + 1);
            Some(if looks.get() < 3 {
                100 << 20
            } else {
                112 << 20
            })
        };
        let slow = tokio::time::sleep(Duration::from_secs(3600));
        assert_eq!(bounded_by(slow, others).await, Ok(()));
        let slow = tokio::time::sleep(Duration::from_secs(3600));
        assert_eq!(bounded_by(slow, || Some(1 << 30)).await, Ok(()));
        assert_eq!(bounded_by(async { 7 }, || None).await, Ok(7));
    }

    #[test]
    fn the_system_tells() {
        let page = rustix::param::page_size();
        assert_eq!(anonymous("9000 120 20 1 0 800 0\n"), Some(100 * page));
        assert_eq!(anonymous(""), None);
        let own = fs::read_to_string("/proc/self/statm").expect("Linux");
        assert!(anonymous(&own).is_some_and(|bytes| bytes > page));
    }
}
