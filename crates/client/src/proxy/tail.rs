use std::future::Future;

use peercam_task::boundary::{self, Guarded, Part};
use tokio::sync::oneshot;

/// What is done to its end though its player has left: sound that came whole is heard whole. A
/// player's connection has one such request at a time, and owns it.
#[derive(Default)]
pub(super) struct Tail(Guarded<Option<boundary::Task>>);

impl Tail {
    /// Does this, and gives what it gives; nothing, if that panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (sender, done) = oneshot::channel();
        let task = boundary::spawn(Part::Request, "voice", async move {
            // Its player may have left.
            let _ = sender.send(work.await);
        });
        *self.0.lock() = Some(task);
        done.await.ok()
    }

    /// Waits for what is still under way.
    pub(super) async fn finish(&self) {
        let task = self.0.lock().take();
        if let Some(task) = task {
            // A panic is in the log.
            let _ = task.await;
        }
    }
}
