//! A camera in Rust, and the daemon in the same program.
//!
//! `cargo run --example camera` prints a URL for ffplay, mpv or VLC. [`get_stream`] stands for the
//! encoder; the rest is what firmware would have.

use std::{io, path::Path, sync::Arc, thread, time::Duration};

use peercam::hal::{Camera, FrameFanout, HalError, MediaInput, StreamMemory};
use peercam::proto::media::{Quality, VideoCodec};
use peercam::{Config, Daemon};

const CONFIG: &str = r#"
    data_dir = "target/camera"
    p2p = { enabled = false }
    listen = [{ addr = "127.0.0.1:0" }]
    channel = [{ id = 0, name = "bars", source = { kind = "own" } }]
"#;

/// Blocks until the encoder has the next access unit, as Annex B has it (`HI_MPI_VENC_GetStream`,
/// `IMP_Encoder_GetStream`). Here it is the same key picture again and again.
fn get_stream() -> io::Result<&'static [u8]> {
    thread::sleep(Duration::from_millis(40));
    Ok(include_bytes!("camera.h264"))
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
        let (kept, codec) = (StreamMemory::default().gop, VideoCodec::H264);
        let pictures = FrameFanout::of_encoder("encoder", kept, clock, codec, 25.0, get_stream);
        Ok(Arc::new(Encoder(pictures)))
    });
    let daemon = daemon.await?;
    let address = daemon.addresses()[0];
    println!("ffplay 'http://{address}/ipc.flv?action=live&channel=0'");
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    daemon.run(stop).await;
    Ok(())
}
