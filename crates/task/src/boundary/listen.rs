use std::sync::{Arc, Weak};

use super::{Guarded, Part, contain::caught};

/// Somebody who is told of each panic that was caught.
pub type PanicListener = dyn Fn(Part) + Send + Sync;

/// Listeners of the whole process, as panics are. Those that are gone are taken out when another
/// one comes.
static LISTENERS: Guarded<Vec<Weak<PanicListener>>> = Guarded::whole(Vec::new());

/// Calls `listener` after each panic that was caught, on the thread that caught it, for as long as
/// what is returned is kept.
#[must_use = "a listener that nobody keeps hears nothing"]
pub fn on_panic(listener: impl Fn(Part) + Send + Sync + 'static) -> Arc<PanicListener> {
    let listener: Arc<PanicListener> = Arc::new(listener);
    let mut listeners = LISTENERS.lock();
    listeners.retain(|known| known.strong_count() > 0);
    listeners.push(Arc::downgrade(&listener));
    listener
}

/// Tells all listeners.
pub(super) fn tell(part: Part) {
    // What they do is theirs: the table is free meanwhile.
    let listeners: Vec<_> = LISTENERS.lock().iter().filter_map(Weak::upgrade).collect();
    for listener in listeners {
        // A boundary that panics is none. To tell of this panic too could go on for ever.
        let _ = caught(part, || listener(part));
    }
}
