//! A camera in Rust, and the daemon in the same program.
//!
//! `cargo run --example camera` prints a URL for ffplay, mpv or VLC. [`get_stream`] stands for the
//! encoder; the rest is what firmware would have.

use std::{path::Path, sync::Arc, thread, time::Duration};

use peercam::{config::Config, daemon::Daemon};
use peercam_hal::{Camera, FrameFanout, HalError, MediaInput, StreamMemory, clock::Clock};
use peercam_proto::{
    media::{Quality, VideoCodec},
    nal::{Framing, NalError, Pictures},
};

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

/// Pushes what the encoder delivers. The error is what viewers are told while the camera is off.
fn deliver(clock: Clock, viewers: &Arc<FrameFanout>) -> Result<(), NalError> {
    let mut pictures = Pictures::new(VideoCodec::H264, 25.0);
    while viewers.is_held() {
        let unit = get_stream();
        // Better, if there is one: the time at which the encoder took it.
        let time = clock.now();
        if let Some(picture) = pictures.read(Framing::AnnexB, unit)? {
            viewers.picture(picture, time);
        }
    }
    Ok(())
}

struct Encoder(Arc<FrameFanout>);

impl Camera for Encoder {
    fn open(&self, _quality: Quality) -> Result<MediaInput, HalError> {
        Ok(self.0.open().into())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse(CONFIG, Path::new("camera.toml"))?;
    let daemon = Daemon::with_cameras(config, |clock, _| {
        let kept = StreamMemory::default().gop;
        let pictures = FrameFanout::fed_by("encoder", kept, move |viewers| deliver(clock, viewers));
        Ok(Arc::new(Encoder(pictures)))
    });
    let daemon = daemon.await?;
    println!(
        "ffplay 'http://{}/ipc.flv?action=live&channel=0'",
        daemon.addresses()[0]
    );
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    daemon.run(stop).await;
    Ok(())
}
