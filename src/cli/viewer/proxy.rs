//! `peercam proxy`: the app's side, for players and scripts.

use std::{
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    sync::{Arc, mpsc::SyncSender},
};

use clap::Args;
use peercam_client::{
    p2p::{OnFeedback, Session},
    proxy::{BindError, Events, FeedbackUrl, Proxy, Rules},
};
use peercam_proto::{
    feedback::Feedback,
    origin_policy::{Allowed, Origin},
};
use peercam_task::boundary::{self, Part};

use super::{
    connect::{ConnectOptions, DeviceArg, pairing_uri},
    link_report,
};
use crate::cli::{CliError, FFPLAY, interrupt::Signals, run};

/// Address of a proxy if nothing is said: none of those that a daemon has by default or in the
/// shipped configurations, so that both run on one machine.
const DEFAULT_LISTEN: &str = "127.0.0.1:34600";

/// Options of `peercam proxy`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(after_help = "\
Examples:
  For players of this machine; it prints their URLs:
    peercam proxy @phone.uri
  For a web page that you develop:
    peercam proxy @phone.uri --allow-origin http://localhost:3000")]
pub struct ProxyOptions {
    #[command(flatten)]
    device: DeviceArg,
    /// Address for players and scripts of this machine
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_LISTEN)]
    listen: SocketAddr,
    /// Web page that may use it, such as http://localhost:3000; repeatable
    ///
    /// An origin is scheme, host and port of a page's URL.
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<Origin>,
    /// Serves other users of this machine too, with your credential
    #[arg(long)]
    any_user: bool,
    /// Allows --listen on a network address: unencrypted, for anybody there
    ///
    /// Everybody who reaches the address watches with your credential.
    #[arg(long)]
    allow_insecure_lan: bool,
    /// Accepts the host names ipc.p2p.com and *.xnet in a Host header too
    ///
    /// Without this option they are accepted only in a request line with a whole URL. Requests of
    /// browsers with these names are always refused.
    #[arg(long)]
    allow_placeholder_hosts: bool,
    /// Posts the messages of the device to this http:// URL too
    ///
    /// They are printed in any case.
    #[arg(long, value_name = "URL")]
    feedback_url: Option<FeedbackUrl>,
    #[command(flatten)]
    way: ConnectOptions,
}

/// Lines that wait for whoever reads the output; what is more is not printed.
const QUEUE_LEN: usize = 64;

/// Prints what the device says, and hands it on.
struct Printed {
    lines: SyncSender<String>,
    events: Events,
}

impl Printed {
    /// Prints on a thread of its own: nobody reading the output is no reason to stop. It ends with
    /// the program.
    fn new(events: Events) -> Self {
        let (lines, waiting) = std::sync::mpsc::sync_channel::<String>(QUEUE_LEN);
        let print = move || {
            for line in waiting {
                // A closed output takes nothing away from the others who are told.
                let _ = writeln!(io::stdout(), "{line}");
            }
        };
        // Without one, messages are lost as if nobody read them, and that is said.
        let _ = boundary::thread(Part::Service, "print", print);
        Self { lines, events }
    }
}

impl OnFeedback for Printed {
    fn on_feedback(&self, message: &Feedback) -> bool {
        if self.lines.try_send(format!("feedback {message}")).is_err() {
            tracing::warn!("nobody reads the output; a message is not printed");
        }
        self.events.on_feedback(message)
    }
}

impl ProxyOptions {
    pub(super) fn perform(self) -> Result<(), CliError> {
        let uri = pairing_uri(self.device.uri.as_ref())?;
        let mut options = self
            .way
            .options(&uri, Some(&format!("proxy {}", self.listen)))?;
        let events = Events::default();
        options.on_feedback = Some(Arc::new(Printed::new(events.clone())));
        let rules = Rules {
            allowed: Arc::new(Allowed {
                origins: self.allow_origin,
                placeholder_hosts: self.allow_placeholder_hosts,
            }),
            any_user: self.any_user,
            allow_insecure_lan: self.allow_insecure_lan,
            events,
            feedback_url: self.feedback_url,
        };
        run(async {
            let mut signals = Signals::listen()?;
            let proxy = Proxy::bind(self.listen, rules)
                .await
                .map_err(|error| not_bound(self.listen, &error))?;
            let session = Session::open(uri, options).await?;
            let announced = announce(proxy.address());
            if announced.is_ok() {
                tokio::select! {
                    () = proxy.serve(session.clone()) => {}
                    never = link_report::tell_all(&session) => match never {},
                    () = signals.next() => {}
                }
            }
            session.close().await;
            announced.map_err(CliError::io("the address cannot be written"))
        })
    }
}

fn not_bound(address: SocketAddr, error: &BindError) -> CliError {
    CliError::Usage(match error {
        BindError::Port(error) => format!(
            "cannot listen on {address} (TCP): {error}; choose another with --listen ADDRESS (port 0: a free one)"
        ),
        BindError::NotLoopback => format!("--listen {address}: {error}"),
    })
}

/// Says where it is, for scripts, and to a person what to paste into a player.
fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let base = format!("http://{address}/ipc.p2p.com");
    writeln!(out, "peercam proxy is listening on {base}")?;
    if out.is_terminal() {
        let live = format!("{base}/ipc.flv?action=live&channel=0&quality=super");
        writeln!(
            out,
            "\nWatch:\n  {FFPLAY} '{live}'\n  mpv --profile=low-latency --demuxer-lavf-o=fpsprobesize=0 '{live}'\n  vlc '{live}'\nAsk the device:\n  curl -X POST '{base}/command?action=inner_define&cmd=get_nvr_list'\nHear what it says:\n  curl -N {base}/events\n\nCtrl-C stops it."
        )?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn no_shipped_configuration_has_the_port_of_the_proxy() {
        let address: SocketAddr = DEFAULT_LISTEN.parse().expect("an address");
        let port = address.port().to_string();
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let mut seen = 0;
        for file in fs::read_dir(directory).expect("configurations") {
            let path = file.expect("a file").path();
            let text = fs::read_to_string(&path).expect("text");
            assert!(!text.contains(&port), "{}", path.display());
            seen += usize::from(text.contains("34567"));
        }
        assert!(seen > 0, "ports are written so");
    }
}
