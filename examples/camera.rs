//! A camera in Rust, and the daemon in the same program.
//!
//! `cargo run --example camera` prints a URL for ffplay, mpv or VLC. [`get_stream`] stands for the
//! encoder; the rest is what firmware would have.

use std::{future, path::Path, sync::Arc, thread, time::Duration};

use peercam::{config::Config, daemon::Daemon};
use peercam_hal::{
    BoxFuture, Camera, HalError, MediaInput, MediaSource, SourceEvent, clock::Clock,
};
use peercam_proto::{
    media::{Quality, VideoCodec},
    nal::{Framing, Pictures},
};
use tokio::sync::mpsc;

/// The source is never opened: `main` puts its own camera there.
const CONFIG: &str = r#"
    data_dir = "target/camera"
    p2p = { enabled = false }
    listen = [{ addr = "127.0.0.1:0" }]
    channel = [{ id = 0, name = "bars", source = { kind = "file", path = "-" } }]
"#;

/// Blocks until the encoder has the next access unit, as Annex B has it (`HI_MPI_VENC_GetStream`,
/// `IMP_Encoder_GetStream`). Here it is the same key picture again and again.
fn get_stream() -> &'static [u8] {
    thread::sleep(Duration::from_millis(40));
    include_bytes!("camera.h264")
}

struct Encoder {
    clock: Clock,
}

impl Camera for Encoder {
    /// Called when the first viewer comes.
    fn open(&self, _quality: Quality) -> Result<MediaInput, HalError> {
        let clock = self.clock;
        let (sender, receiver) = mpsc::channel(4);
        thread::spawn(move || {
            if let Err(error) = deliver(clock, &sender) {
                // Nobody hears it if the viewers have left, who are the usual reason.
                let _ = sender.blocking_send(SourceEvent::Offline(error.to_string()));
            }
        });
        Ok(Events(receiver).into())
    }
}

/// Ends with an error when the encoder fails, or when the last viewer has left, who drops the
/// receiver: within one picture, so that the encoder is free for the next.
fn deliver(clock: Clock, sender: &mpsc::Sender<SourceEvent>) -> anyhow::Result<()> {
    let mut pictures = Pictures::new(VideoCodec::H264, 25.0);
    loop {
        let unit = get_stream();
        // Better, if there is one: the time at which the encoder took it.
        let time = clock.now();
        if let Some(picture) = pictures.read(Framing::AnnexB, unit)? {
            let frame = picture.frame(time);
            // Its parameter sets are new: the first ones, or the encoder was configured anew.
            if let Some(video) = picture.new_track {
                sender.blocking_send(SourceEvent::Online(video.into()))?;
            }
            sender.blocking_send(SourceEvent::Frame(frame))?;
        }
    }
}

struct Events(mpsc::Receiver<SourceEvent>);

impl MediaSource for Events {
    fn next(&mut self) -> BoxFuture<'_, SourceEvent> {
        Box::pin(async {
            match self.0.recv().await {
                Some(event) => event,
                // The thread has said why, and ended.
                None => future::pending().await,
            }
        })
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse(CONFIG, Path::new("camera.toml"))?;
    let daemon = Daemon::with_cameras(config, |clock, _| Ok(Arc::new(Encoder { clock }))).await?;
    println!(
        "ffplay 'http://{}/ipc.flv?action=live&channel=0'",
        daemon.addresses()[0]
    );
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    daemon.run(stop).await;
    Ok(())
}
