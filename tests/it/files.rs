//! A media file as a camera: played in a loop without a seam, or refused with a clear reason.

use std::path::Path;

use peercam_hal::{Camera, SourceEvent, clock::Clock, file::FileCamera};
use peercam_proto::media::{MediaTime, Quality, TrackKind};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpStream};

use crate::{
    hostile::scaled,
    support::{Daemon, Viewer, sim_config},
};

/// Records the simulated camera as FLV: HTTP/1.0, so the body is the file.
pub(crate) async fn recording(bytes: usize) -> Vec<u8> {
    let daemon = Daemon::start(&sim_config(""));
    let mut stream = TcpStream::connect(daemon.address).await.unwrap();
    let request = b"GET /ipc.flv?action=live&quality=standard HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = vec![0; bytes];
    stream.read_exact(&mut answer).await.unwrap();
    let body = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap()
        + 4;
    let mut file = answer.split_off(body);
    file.truncate(end_of_last_tag(&file));
    file
}

/// Where the last whole tag ends.
fn end_of_last_tag(file: &[u8]) -> usize {
    let mut at = 13;
    while let Some(header) = file.get(at..at + 11) {
        let end = at + 15 + u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        if end > file.len() {
            break;
        }
        at = end;
    }
    at
}

fn refused(path: &Path, file: &[u8]) -> String {
    std::fs::write(path, file).unwrap();
    FileCamera::new(Clock::start(), path.to_owned())
        .map(|_| ())
        .unwrap_err()
        .to_string()
}

#[tokio::test]
async fn a_file_loops_without_a_seam() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("clip.flv"), recording(60_000).await).unwrap();
    let config = "[[listen]]\naddr = \"127.0.0.1:0\"\n[[channel]]\nid = 0\nsource = { kind = \"file\", path = \"clip.flv\" }\n";
    let daemon = Daemon::start_in(directory, config);
    let mut viewer = Viewer::open(daemon.address, "").await;
    let (first, _) = viewer.picture().await.unwrap();
    assert_eq!(first, 0);
    let (mut last, mut keys, mut squeezed) = (0, 0, true);
    while keys < 3 {
        let (timestamp, key) = viewer.picture().await.unwrap();
        let step = timestamp - last;
        // Pictures that were there before the viewer come 1 ms apart.
        squeezed &= step == 1;
        assert!(
            squeezed || (40..=80).contains(&step),
            "{step} ms from picture to picture at {timestamp}"
        );
        last = timestamp;
        keys += u32::from(key);
    }
}

#[tokio::test]
async fn frames_of_a_file_come_at_its_own_pace() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clip.flv");
    std::fs::write(&path, recording(60_000).await).unwrap();
    let clock = Clock::start();
    let camera = FileCamera::new(clock, path).unwrap();
    let mut input = camera.open(Quality::Super).unwrap();
    assert!(input.control.is_none());
    assert!(
        matches!(input.source.next().await, SourceEvent::Online(tracks) if tracks.audio.is_some())
    );
    let mut last = MediaTime::default();
    for _ in 0..20 {
        let SourceEvent::Frame(frame) = input.source.next().await else {
            panic!("a frame")
        };
        assert!(frame.time <= clock.now(), "not before its time");
        if frame.track == TrackKind::Video {
            assert!(frame.time >= last);
            last = frame.time;
        }
    }
}

#[tokio::test]
async fn files_that_cannot_be_played_are_refused_with_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clip");
    let file = recording(30_000).await;
    let first_video = 13 + 15 + u32::from_be_bytes([0, file[14], file[15], file[16]]) as usize;

    let cut = refused(&path, &file[..file.len() - 100]);
    assert!(cut.contains("clip: is damaged at its end"), "{cut}");
    let mut damaged = file.clone();
    damaged[first_video] = 0x55;
    let at = refused(&path, &damaged);
    assert!(at.contains(&format!("at byte {first_video}")), "{at}");
    let mut sorenson = file.clone();
    sorenson[first_video + 11] = 0x12;
    let codec = refused(&path, &sorenson);
    assert!(
        codec.contains("the video track is FLV CodecID 2") && codec.contains("H.264"),
        "{codec}"
    );
    assert!(refused(&path, b"").contains("neither FLV nor MP4"));
    assert!(refused(&path, b"RIFFxxxxAVI LIST").contains("neither FLV nor MP4"));
    assert!(refused(&path, &file[..13]).contains("neither a video nor an audio track"));
    assert!(refused(&path, b"\0\0\0\x10ftypisom\0\0\0\0").contains("no index"));
    let fragmented = refused(&path, b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x08moof");
    assert!(fragmented.contains("fragmented"), "{fragmented}");
    let directory_error = FileCamera::new(Clock::start(), directory.path().to_owned()).unwrap_err();
    assert!(
        directory_error.to_string().contains("directory"),
        "{directory_error}"
    );
}

#[tokio::test]
async fn mutated_files_never_crash() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clip.flv");
    let file = recording(20_000).await;
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut refusals = 0;
    for _ in 0..scaled(4000) {
        let mut mutated = file.clone();
        for _ in 0..random.random_range(1..8) {
            let at = random.random_range(0..mutated.len());
            mutated[at] = random.random();
        }
        mutated.truncate(random.random_range(0..mutated.len() * 2).min(mutated.len()));
        std::fs::write(&path, &mutated).unwrap();
        refusals += usize::from(FileCamera::new(Clock::start(), path.clone()).is_err());
    }
    assert!(refusals > 0);
}
