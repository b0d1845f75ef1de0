use std::{
    collections::HashSet,
    future::Future,
    io::Read,
    path::PathBuf,
    pin::pin,
    sync::mpsc,
    task::{Context, Poll, Waker},
};

use super::*;

fn readers() -> (Readers, Catalog) {
    let catalog = Catalog::new(PathBuf::from("/card"));
    let readers = Readers::new(catalog.clone(), CardCalls::default(), 1 << 20);
    (readers, catalog)
}

/// Something that a card does not answer until the other end is dropped.
fn hanging(readers: &Readers) -> (mpsc::Sender<()>, Reading<()>) {
    let (gate, opened) = mpsc::channel::<()>();
    let calls = readers.calls().clone();
    let reading = readers.ahead(move || {
        let _call = calls.begin();
        let _ = opened.recv();
        Ok(())
    });
    (gate, reading.expect("a thread is free"))
}

#[tokio::test(start_paused = true)]
async fn a_card_that_hangs_takes_a_few_threads_and_nobody_waits_for_long() {
    let (readers, _) = readers();
    let mut hung: Vec<_> = (0..THREADS).map(|_| hanging(&readers)).collect();
    assert!(readers.ahead(|| Ok(())).is_none(), "nobody is free");
    let told = readers.run(|| Ok(())).await;
    assert!(matches!(&told, Err(HalError::Failed(reason)) if reason.contains("keep up")));
    // One who left has no place in front of the others.
    {
        let mut left = pin!(readers.run(|| -> Result<(), _> { panic!("nobody asks for this") }));
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(left.as_mut().poll(&mut context), Poll::Pending));
    }
    // From here on threads are waited for, which no clock knows of.
    tokio::time::resume();
    let (gate, reading) = hung.pop().expect("some hang");
    drop(gate);
    reading.done().await.expect("it answers");
    assert_eq!(readers.run(|| Ok(7)).await, Ok(7));
}

#[tokio::test]
async fn the_threads_are_the_same_few() {
    let (readers, _) = readers();
    let mut threads = HashSet::new();
    for _ in 0..100 {
        let here = || Ok(thread::current().id());
        let asked = (0..THREADS).filter_map(|_| readers.ahead(here));
        let asked: Vec<_> = asked.collect();
        threads.insert(readers.run(here).await.expect("it answers"));
        for one in asked {
            threads.insert(one.done().await.expect("it answers"));
        }
    }
    assert!(threads.len() <= THREADS, "{}", threads.len());
}

#[tokio::test]
async fn one_that_panics_is_followed_by_another() {
    let (readers, _) = readers();
    for _ in 0..2 * THREADS {
        let ended = readers.run(|| -> Result<(), _> { panic!("as something unforeseen does") });
        ended.await.expect_err("it is told");
    }
    assert_eq!(readers.run(|| Ok(7)).await, Ok(7));
}

#[tokio::test]
async fn who_waits_for_a_card_that_does_not_answer_is_told() {
    let (readers, catalog) = readers();
    let (gate, reading) = hanging(&readers);
    catalog.set_silent(Some("it does not answer".to_owned()));
    let told = reading.done().await;
    assert!(matches!(&told, Err(HalError::Failed(reason)) if reason.contains("not answer")));
    drop(gate);
}

#[tokio::test]
async fn files_are_closed_by_the_threads() {
    let (readers, _) = readers();
    let hung: Vec<_> = (0..THREADS).map(|_| hanging(&readers)).collect();
    let (mut other, file) = io::pipe().expect("a pipe");
    readers.close(std::os::fd::OwnedFd::from(file).into());
    // Closing did not wait, though nobody is free. It is done when somebody is.
    drop(hung);
    let mut rest = Vec::new();
    assert_eq!(other.read_to_end(&mut rest).expect("an end"), 0);
}
