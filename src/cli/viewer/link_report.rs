//! Lines for people about a viewer's connection to its device: one for each change.

use std::{
    convert::Infallible,
    io::{self, Write},
};

use peercam_client::p2p::{Link, Session};
use peercam_proto::text::Printable;

/// Tells on stderr of every change. Never returns.
pub(super) async fn tell_all(session: &Session) -> Infallible {
    let mut last = String::new();
    let changed = |link| tell(&mut last, in_words(&link));
    session.watch(changed).await;
    std::future::pending().await
}

/// The same of a connection that is lost, and of one that is there again after that.
pub(super) async fn tell_losses(session: &Session) -> Infallible {
    let (mut last, mut was_lost) = (String::new(), false);
    let changed = |link: Link| {
        let is_loss = matches!(link, Link::Away { .. });
        if is_loss || was_lost {
            tell(&mut last, in_words(&link));
        }
        was_lost |= is_loss;
    };
    session.watch(changed).await;
    std::future::pending().await
}

/// Writes a line that is not the last one again.
fn tell(last: &mut String, line: String) {
    if *last == line {
        return;
    }
    // Nobody reading it changes nothing.
    let _ = writeln!(io::stderr(), "peercam: {}", Printable(&line));
    *last = line;
}

fn in_words(link: &Link) -> String {
    match link {
        Link::Looking => "looking for the device …".to_owned(),
        Link::Connected { path, rtt } => {
            let rtt = rtt.map_or_else(String::new, |rtt| format!(", {} ms", rtt.as_millis()));
            format!("connected to the device ({path}{rtt})")
        }
        Link::Away { error, again } => {
            format!(
                "{error}; trying again, every {} s at the latest",
                again.as_secs()
            )
        }
    }
}
