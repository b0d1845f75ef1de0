//! The viewer's end: finds a device by its pairing URI, proves itself, and opens what comes back.
//!
//! Belongs here: dialling, tokens, sealed requests and answers, the proxy for players. Does not
//! belong here: what a program does with them (`cli`).
//!
//! Nothing that comes from the network weakens it: what is not sealed with this credential's keys,
//! or said by the device's own key, is only a hint; no refusal makes it try without encryption or
//! by another transport; and no POST is sent twice.
//!
//! [`Viewer`] asks and watches, over P2P or TCP; [`p2p::Session`] is kept and dials again;
//! [`exchange`] is the protocol alone, for an app with a transport of its own.
//!
//! ```no_run
//! use peercam_client::{Viewer, p2p::{Identity, Options}};
//! use peercam_proto::credential::PairingUri;
//!
//! # async fn watch(uri: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let options = Options {
//!     identity: Identity::random()?,
//!     relay_authorities: None,
//!     on_feedback: None,
//! };
//! let mut viewer = Viewer::open(PairingUri::parse(uri)?, options).await?;
//! let mut live = viewer.media("/ipc.flv?action=live&quality=standard").await?;
//! while let Some(flv) = live.piece().await? {
//!     println!("{} bytes of FLV", flv.len());
//! }
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod answer;
mod error;
pub mod exchange;
pub mod p2p;
pub mod proxy;
pub mod tcp;
pub mod upload;
mod viewer;

use std::time::Duration;

use peercam_task::boundary::{self, Part};

pub use answer::Answer;
pub use error::{ClientError, Code};
pub use viewer::Viewer;

/// Timeout of the beginning of an answer. The device waits for its camera for 5 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// The path of sound for the device: it is answered when all of it was played.
const VOICE: &str = "/voice";

/// Waits for the beginning of an answer to a request for `target`.
async fn answer_in_time<T>(
    target: &str,
    answer: impl Future<Output = T>,
) -> Result<T, ClientError> {
    let path = target.split('?').next();
    if path == Some(VOICE) {
        Ok(answer.await)
    } else {
        in_time(answer).await
    }
}

/// Waits for the beginning of an answer.
async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, ClientError> {
    tokio::time::timeout(ANSWER_TIMEOUT, answer)
        .await
        .map_err(|_| ClientError::Timeout(ANSWER_TIMEOUT.as_secs()))
}

/// Keeps a connection going for as long as the handle lives.
fn drive(connection: impl Future<Output: Send> + Send + 'static) -> boundary::Task {
    boundary::spawn(Part::Connection, "to the device", async move {
        // How it ended is seen by whoever waits for an answer.
        drop(connection.await);
    })
}

/// A name for a file here: the device's is not to choose where anything is written.
pub fn local_name(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    let safe: String = last
        .chars()
        .take(128)
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    match safe.trim_start_matches('.') {
        "" => "recording".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        for (name, expected) in [
            ("0-1700000000000.mp4", "0-1700000000000.mp4"),
            ("a/b/c.mp4", "c.mp4"),
            ("../../etc/passwd", "passwd"),
            ("..", "recording"),
            ("/", "recording"),
            (".bashrc", "bashrc"),
            ("a b\u{1b}[2J\u{4f60}.mp4", "a_b__2J_.mp4"),
        ] {
            assert_eq!(local_name(name), expected, "{name}");
        }
    }
}
