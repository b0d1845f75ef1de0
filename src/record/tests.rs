//! A card that does not answer.

use std::{
    io,
    path::Path,
    sync::{Arc, Condvar, Mutex},
};

use peercam_hal::Query;

use super::{
    disk::{DiskFile, Visit},
    *,
};
use crate::{
    events::{Event, StorageState},
    live,
};

/// Time that a recorder has for its end.
const END: Duration = Duration::from_secs(4);

/// A card that answers nothing while it is shut.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().expect("nobody panics") = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let is_open = self.0.0.lock().expect("nobody panics");
        let _open = self.0.1.wait_while(is_open, |is_open| !*is_open);
    }
}

impl Disk for Gate {
    fn claim(&self, _: &Path) -> io::Result<()> {
        self.pass();
        Ok(())
    }

    fn make_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn visit(&self, _: &Path, _: &mut Visit<'_>) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        Err(io::ErrorKind::Other.into())
    }

    fn open(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

/// A recorder of that card. Not answering for 50 ms counts.
fn recorder(gate: &Gate) -> (Recorder, Events) {
    let config = Config {
        path: PathBuf::from("/card"),
        mount: None,
        quality: Quality::Super,
        cut: SegmentPolicy {
            segment: Duration::from_secs(60),
            pre_roll: Duration::ZERO,
            most_pre_roll: 0,
        },
        limits: Limits {
            max_size: 1 << 30,
            max_age: None,
            min_free: 0,
        },
        event_length: Duration::from_secs(30),
        memory: 1 << 20,
        fragment: MAX_FRAGMENT,
        files: MOST_FILES,
        largest: LARGEST_FRAGMENT,
        snapshots: false,
    };
    let clock = Clock::start();
    let live = live::Config::default();
    let events = Events::new(clock);
    let metrics = live::Metrics::default();
    let channels = ChannelRegistry::default();
    let hub = Hub::new(clock, events.clone(), live, channels.clone(), metrics);
    let (disk, silence) = (Box::new(gate.clone()), Duration::from_millis(50));
    let parts = RecorderParts {
        channels,
        modes: BTreeMap::new(),
        hub,
        clock,
        events: events.clone(),
        metrics: Metrics::default(),
    };
    let recorder = Recorder::start_on(disk, silence, &config, parts).expect("a thread");
    (recorder, events)
}

#[tokio::test(start_paused = true)]
async fn a_card_that_does_not_answer_is_gone_until_it_does() {
    let gate = Gate::default();
    let (recorder, events) = recorder(&gate);
    let mut states = recorder.catalog().state();
    let gone = states
        .wait_for(|state| matches!(state, State::Gone(_)))
        .await;
    let gone = gone.expect("it is told").clone();
    assert!(matches!(&gone, State::Gone(reason) if reason.contains("does not answer since")));
    let index = recorder.index_of(ChannelId(0));
    let everything = Query::new(0..i64::MAX, None, peercam_hal::Page::Oldest(1));
    index
        .list(everything.clone())
        .await
        .expect_err("it is gone");
    assert!(!recorder.erase_all().await, "nobody waits for that");
    gate.open();
    let back = states.wait_for(|state| *state == State::Ready).await;
    drop(back.expect("it is told"));
    assert_eq!(index.list(everything).await, Ok(Vec::new()));
    recorder.finish(END).await;
    let mut published = events.replay();
    let published = std::iter::from_fn(|| published.try_recv());
    let published = published.map(|read| read.expect("nothing is lost").event.clone());
    let published: Vec<_> = published.collect();
    // It may be looked at once more in between.
    let (first, last) = (published.first(), published.last());
    assert!(matches!(first, Some(Event::Storage(StorageState::Gone(_)))));
    assert_eq!(last, Some(&Event::Storage(StorageState::Ready)));
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_for_a_card_that_does_not_answer() {
    let gate = Gate::default();
    let (recorder, _) = recorder(&gate);
    let began = tokio::time::Instant::now();
    recorder.finish(END).await;
    assert_eq!(began.elapsed(), END);
    assert_eq!(*recorder.catalog().state().borrow(), State::Starting);
    gate.open();
}
