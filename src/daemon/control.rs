//! The control socket, joined to the rest.

use std::sync::Arc;

use peercam_net::unix::Listener;

use super::{
    assembly::Assembly,
    part::{Part, Phase},
};
use crate::control::{self, Control, Followers, SOCKET};

/// Binds the socket and adds what serves it. The daemon does without where there can be none, as on
/// a file system that has no sockets.
pub(super) fn add(assembly: &mut Assembly) {
    // The lock of the directory is held: whatever is there was left by a daemon that is no more.
    let path = assembly.data_dir.path().join(SOCKET);
    let listener = match Listener::bind(&path) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "there is no control socket: peercam status, and what else asks a running daemon, will not find this one");
            return;
        }
    };
    let (authority, store) = (Arc::clone(&assembly.authority), assembly.store.clone());
    let relay_token = assembly.config.relay_token();
    let data_dir = assembly.data_dir.path().display().to_string();
    let reach = assembly.reach.subscribe();
    let parts = &mut assembly.parts;
    // To the last, so that it can be asked, too, for what the end waits.
    parts.add(Part::new("control socket", Phase::Services, |context| {
        let stop = context.phase(Phase::Services);
        let control = Control {
            app: context.app,
            reloader: Arc::new(context.reloader),
            authority,
            store,
            relay_token,
            data_dir,
            reach,
            followers: Followers::default(),
            stop,
        };
        control::serve(listener, Arc::new(control))
    }));
}
