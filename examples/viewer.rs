//! Dials a device by its pairing URI, asks for its cameras, and counts what it watches in 5 s:
//! `PEERCAM_URI=$(peercam pair example) cargo run --example viewer`. A URI is a key: arguments of a
//! program are seen by everybody on the machine, its environment is not.

use std::{error::Error, time::Duration};

use peercam_client::{
    Viewer,
    p2p::{Identity, Options},
};
use peercam_proto::{credential::PairingUri, flv};

const CAMERAS: &[u8] = b"action=inner_define&cmd=get_nvr_list";
const LIVE: &str = "/ipc.flv?action=live&channel=0&quality=standard";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let uri = std::env::var("PEERCAM_URI").map_err(|_| "PEERCAM_URI is no pairing URI")?;
    let options = Options {
        // An app keeps one (`Identity::in_file`): the device counts apps by it.
        identity: Identity::random()?,
        relay_authorities: None,
        on_feedback: None,
    };
    let mut viewer = Viewer::open(PairingUri::parse(&uri)?, options).await?;

    let mut cameras = viewer.post("/command", CAMERAS).await?;
    println!(
        "{}",
        String::from_utf8_lossy(&cameras.collect(64 << 10).await?)
    );

    let mut live = viewer.media(LIVE).await?;
    let (mut reader, mut tags, mut bytes) = (flv::Reader::new(), 0, 0);
    let watch = async {
        while let Some(piece) = live.piece().await? {
            bytes += piece.len();
            reader.feed(&piece);
            while reader.next_tag()?.is_some() {
                tags += 1;
            }
        }
        Ok::<_, Box<dyn Error>>(())
    };
    // The time-out is the end that is meant; an error of the stream comes before it.
    if let Ok(ended) = tokio::time::timeout(Duration::from_secs(5), watch).await {
        ended?;
    }
    println!("{tags} FLV tags, {bytes} bytes");
    viewer.close().await;
    Ok(())
}
