//! A future, or a piece of work, whose panic ends it and nothing else.
//!
//! Its destructors are contained too. The owner learns of it by [`Panicked`]; what follows is its
//! to decide.

use std::{
    fmt::Display,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{
    Part,
    hook::{Inside, PanicLocation},
    listen, metrics,
    work::Work,
};

/// A part has panicked. It is in the log and counted already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it failed by a fault in the program; the log says where")]
pub struct Panicked;

/// A future whose panics end it and nothing else.
pub fn contain<F: Future, N: Display>(part: Part, name: N, future: F) -> Contained<F, N> {
    Contained {
        work: Work::new(part, &name),
        future: Some(future),
        part,
        name,
    }
}

/// Does `work`; the same for what is no future.
///
/// # Errors
/// [`Panicked`].
pub fn run<T>(part: Part, name: impl Display, work: impl FnOnce() -> T) -> Result<T, Panicked> {
    caught(part, work).map_err(|place| report(part, &name, place))
}

pin_project! {
    /// Future of [`contain`].
    #[must_use = "a future does nothing unless it is polled"]
    pub struct Contained<F, N: Display> {
        #[pin]
        future: Option<F>,
        part: Part,
        name: N,
        work: Work,
    }

    impl<F, N: Display> PinnedDrop for Contained<F, N> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // Destructors are code of the part as well.
            let _ = run(*this.part, &*this.name, || this.future.set(None));
        }
    }
}

impl<F: Future, N: Display> Future for Contained<F, N> {
    type Output = Result<F::Output, Panicked>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let _at_work = this.work.begin();
        let polled = run(*this.part, &*this.name, || {
            match this.future.as_mut().as_pin_mut() {
                Some(future) => future.poll(context),
                // It has panicked before.
                None => Poll::Pending,
            }
        });
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(panicked) => {
                let _ = run(*this.part, &*this.name, || this.future.set(None));
                Poll::Ready(Err(panicked))
            }
        }
    }
}

pub(super) fn caught<T>(part: Part, work: impl FnOnce() -> T) -> Result<T, Option<PanicLocation>> {
    let inside = Inside::enter(part);
    // What is half changed is dropped, or is behind a lock that says what is done about it.
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        // The destructor of what was thrown is others' code too.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(second);
        }
        inside.place()
    })
}

fn report(part: Part, name: &dyn Display, place: Option<PanicLocation>) -> Panicked {
    metrics::count(part);
    let place = place.unwrap_or_default();
    tracing::error!(
        part = part.word(), %name, %place,
        "this part has panicked and is ended; the others go on"
    );
    listen::tell(part);
    Panicked
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    };

    use super::*;

    struct Held(Arc<AtomicBool>);

    impl Drop for Held {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_panic_ends_one_future_and_frees_what_it_held() {
        let is_free = Arc::new(AtomicBool::new(false));
        let held = Held(Arc::clone(&is_free));
        let before = metrics::counted(Part::Player);
        let ended = contain(Part::Player, "test", async move {
            let _held = held;
            tokio::task::yield_now().await;
            let nothing: Vec<u8> = Vec::new();
            nothing[std::hint::black_box(0)]
        });
        assert_eq!(ended.await, Err(Panicked));
        assert!(is_free.load(Ordering::Relaxed));
        assert!(metrics::counted(Part::Player) > before);
        assert_eq!(contain(Part::Player, "test", async { 5 }).await, Ok(5));
    }

    #[tokio::test]
    async fn a_destructor_that_panics_ends_nothing_else() {
        struct Bad;
        impl Drop for Bad {
            fn drop(&mut self) {
                if !std::thread::panicking() {
                    panic!("in a destructor");
                }
            }
        }
        let bad = Bad;
        let task = super::super::spawn(Part::Request, "test", async move {
            let _bad = bad;
            std::future::pending::<()>().await;
        });
        tokio::task::yield_now().await;
        drop(task);
        tokio::task::yield_now().await;
        // Thrown things have destructors too.
        let thrown = run(Part::Request, "test", || std::panic::panic_any(Bad));
        assert_eq!(thrown, Err::<(), _>(Panicked));
    }

    #[test]
    fn listeners_hear_of_each_panic_while_they_are_kept() {
        let heard = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&heard);
        let listener = listen::on_panic(move |part| {
            // Other tests panic meanwhile, in other parts.
            counting.fetch_add(usize::from(part == Part::Recorder), Ordering::Relaxed);
        });
        let fail = || run(Part::Recorder, "test", || -> u8 { panic!("on purpose") });
        assert_eq!(fail(), Err(Panicked));
        assert_eq!(heard.load(Ordering::Relaxed), 1);
        drop(listener);
        assert_eq!(fail(), Err(Panicked));
        assert_eq!(heard.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn threads_and_blocking_work_are_parts_too() {
        let thread = super::super::thread(Part::Camera, "test", || -> u8 { panic!("thread") });
        assert_eq!(thread.unwrap().join().unwrap(), Err(Panicked));
        let work = super::super::blocking(Part::Camera, "test", || -> u8 { panic!("work") });
        assert_eq!(work.await, Err(Panicked));
    }
}
