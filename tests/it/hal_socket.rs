//! Firmware that does it wrong, or means harm: a clear line in the log, a closed socket, and nothing
//! else suffers.

use std::{
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
    time::Duration,
};

use proptest::{
    prelude::RngExt as _,
    test_runner::{RngAlgorithm, TestRng},
};
use tokio::{io::AsyncWriteExt, net::UnixStream};

use crate::{
    firmware::{Firmware, announcement, hello, message, receive},
    hostile::scaled,
    support::{Daemon, HANG, Viewer, request},
};

const CONFIG: &str = "[[listen]]\naddr = \"127.0.0.1:0\"\n\
    [[channel]]\nid = 0\nsource = { kind = \"socket\", path = \"camera.sock\" }\n\
    [[channel]]\nid = 1\nsource = { kind = \"socket\", path = \"camera.sock\" }\n";

/// What the daemon says as it sends somebody away who said this.
async fn sent_away(path: &Path, said: &[&[u8]]) -> String {
    let (mut read, mut write) = UnixStream::connect(path).await.unwrap().into_split();
    for part in said {
        // It may have had enough before the end.
        let _ = write.write_all(part).await;
    }
    let waited = tokio::time::timeout(HANG, async {
        while let Some((kind, body)) = receive(&mut read).await {
            if kind == 65 {
                return String::from_utf8(body).unwrap();
            }
        }
        "nothing".to_owned()
    });
    waited.await.expect("the connection ends")
}

fn picture(channel: u16, quality: u8, time: i64, framing: u32, data: &[u8]) -> Vec<u8> {
    let parts = [
        &time.to_le_bytes()[..],
        &[0; 4],
        &framing.to_le_bytes(),
        data,
    ];
    message(3, quality, channel, &parts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_does_it_wrong_is_told_why_and_nobody_else_notices() {
    let daemon = Daemon::start(CONFIG);
    let path = daemon.directory().join("camera.sock");
    let _firmware = Firmware::start(&path).await;
    let mut viewer = Viewer::open(daemon.address, "channel=0").await;
    assert!(viewer.picture().await.expect("a picture").1);

    let hello = hello();
    let stream = announcement(1, 2);
    let mut long = message(3, 2, 1, &[]);
    long[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let half = &picture(1, 2, 0, 0, &[0; 500])[..100];
    for (said, expected) in [
        (vec![&b"GET / HTTP/1.1\r\n\r\n"[..]], "a message of"),
        (vec![&message(1, 0, 0, &[b"PCAM", &[2, 0]])], "version 2"),
        (vec![&message(1, 0, 0, &[b"PCAN", &[1, 0]])], "no hello"),
        (vec![&stream], "no hello"),
        (vec![&hello, &hello], "no hello"),
        (vec![&hello, &announcement(7, 0)], "channel 7 is not one"),
        (vec![&hello, &announcement(0, 0)], "another firmware"),
        (vec![&hello, &announcement(1, 3)], "quality 3"),
        (vec![&hello, &picture(1, 2, 0, 0, b"x")], "not announced"),
        (vec![&hello, &stream, &long], "are the most"),
        (vec![&hello, &message(99, 0, 0, &[])], "kind 99"),
        (
            vec![&hello, &stream, &picture(1, 2, 0, 9, b"x")],
            "framing 9",
        ),
        (
            vec![&hello, &stream, &picture(1, 2, 0, 0, b"x")],
            "cannot be told apart",
        ),
        (
            vec![&hello, &stream, &picture(1, 2, 0, 1, &[9; 40])],
            "cannot be told apart",
        ),
        (
            vec![
                &hello,
                &stream,
                &message(4, 2, 1, &[&[9, 0, 0, 0, 0, 0, 0, 0, 1]]),
                &message(4, 2, 1, &[&[0; 9]]),
            ],
            "must not go back",
        ),
        (vec![&hello, &stream, half], "stalls"),
    ] {
        let reason = sent_away(&path, &said).await;
        assert!(reason.contains(expected), "{expected:?} in {reason:?}");
        daemon.logs(&reason);
    }
    let last = viewer.picture().await.expect("the stream goes on").0;
    let mut before = last;
    for _ in 0..25 {
        let (now, _) = viewer.picture().await.expect("the stream goes on");
        let step = now - before;
        // Where a picture lies is learnt from when it comes.
        assert!((20..=60).contains(&step), "a picture is missing: {step} ms");
        before = now;
    }
}

/// What x265 wrote: VPS, SPS and PPS.
const HEVC: [&str; 3] = [
    "40010c01ffff01600000030090000003000003003c959809",
    "42010101600000030090000003000003003ca00a480f9c9265959a4932bc05a02000000300200000030321",
    "4401c172b46240",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_leads_a_key_picture_is_sent_if_nothing_is_missing() {
    let daemon = Daemon::start(CONFIG);
    let path = daemon.directory().join("camera.sock");
    let (mut read, mut write) = UnixStream::connect(path).await.unwrap().into_split();
    let parameters = HEVC.map(|set| base16ct::lower::decode_vec(set).unwrap());
    let slice = |kind: u8, has_parameters: bool| {
        let slice = vec![kind << 1, 1, 0x80];
        let units = parameters.iter().filter(|_| has_parameters).chain([&slice]);
        let coded = units.flat_map(|unit| [&[0, 0, 0, 1][..], unit].concat());
        coded.collect::<Vec<u8>>()
    };
    let stream = [&[2, 0, 0, 3, 0, 0, 0, 0][..], &25_000_u32.to_le_bytes()];
    write.write_all(&hello()).await.unwrap();
    write.write_all(&message(2, 1, 0, &stream)).await.unwrap();
    let viewer = tokio::spawn(Viewer::open(daemon.address, "channel=0"));
    let watched = async { while receive(&mut read).await.unwrap() != (66, vec![1]) {} };
    tokio::time::timeout(HANG, watched).await.expect("a viewer");
    let [cra, rasl, trail] = [21, 9, 1];
    let pictures = [cra, rasl, trail, cra, rasl, trail];
    let mut pictures = pictures.into_iter().enumerate().map(|(place, kind)| {
        let data = slice(kind, kind == cra);
        picture(0, 1, 40_000 * place as i64, 0, &data)
    });
    // The viewer has begun before there is a newer key picture.
    write.write_all(&pictures.next().unwrap()).await.unwrap();
    let mut viewer = viewer.await.unwrap();
    let mut shown = vec![viewer.picture().await];
    for picture in pictures {
        write.write_all(&picture).await.unwrap();
    }
    while shown.len() < 5 {
        shown.push(viewer.picture().await);
    }
    let keys = shown.into_iter().map(|shown| shown.expect("a picture").1);
    let expected = [true, false, true, false, false];
    assert_eq!(keys.collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_messages_hurt_nobody() {
    let mut daemon = Daemon::start(CONFIG);
    let path = daemon.directory().join("camera.sock");
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    for round in 0..scaled(4000) {
        let mut bytes = [hello(), announcement(1, 2), announcement(0, 0)].concat();
        for _ in 0..random.random_range(1..20) {
            let length = random.random_range(0..60);
            let body: Vec<u8> = (0..length).map(|_| random.random()).collect();
            let (kind, quality) = (random.random_range(1..10), random.random_range(0..4));
            bytes.extend(message(kind, quality, random.random_range(0..3), &[&body]));
        }
        if round % 2 == 1 {
            let at = random.random_range(0..bytes.len());
            bytes[at] ^= random.random_range(1..=255);
        }
        let (mut read, mut write) = UnixStream::connect(&path).await.unwrap().into_split();
        // It may be sent away in the middle.
        let _ = write.write_all(&bytes).await;
        let _ = write.shutdown().await;
        let ended = async { while receive(&mut read).await.is_some() {} };
        tokio::time::timeout(HANG, ended)
            .await
            .expect("the connection ends");
    }
    assert!(daemon.is_alive());
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_of_makers_go_to_the_firmware() {
    let daemon = Daemon::start(CONFIG);
    let path = daemon.directory().join("camera.sock");
    let mut firmware = Firmware::start(&path).await;
    firmware.told(|told| told == "welcome").await;
    let send = |command: &'static str| {
        let target = format!("/command?action=user_define&channel=0&cmd={command}");
        async move { request(daemon.address, "POST", &target, "").await.body }
    };
    let answer = tokio::time::timeout(HANG, async {
        loop {
            // Its abilities may come a little later than it.
            let answer = send("light_on").await;
            if !answer.contains("406") {
                return answer;
            }
        }
    });
    assert_eq!(answer.await.expect("it is reached"), "LIGHT_ON");
    let failed = send("fail").await;
    assert!(
        failed.contains("FAIL") && failed.contains("\"status\""),
        "{failed}"
    );
    let rebooted = send("%7B%22topic%22%3A%22reboot%22%7D").await;
    assert!(rebooted.contains("\"result\":\"0\""), "{rebooted}");
    firmware.told(|told| told == "reboot").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_socket_is_its_owners_and_a_dead_one_is_replaced() {
    let daemon = Daemon::start(CONFIG);
    let path = daemon.directory().join("camera.sock");
    let metadata = std::fs::symlink_metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    daemon.signal(rustix::process::Signal::KILL);
    let mut daemon = daemon;
    daemon.wait();
    let directory = daemon.take_directory();
    assert!(path.exists(), "killed, so it is left behind");
    let daemon = Daemon::start_in(directory, CONFIG);
    let _firmware = Firmware::start(&path).await;
    // The answer is there once the firmware is.
    let online = tokio::time::timeout(HANG, async {
        loop {
            let target = "/command?action=inner_define&cmd=get_device_st&type=live&quality=high";
            let state = request(daemon.address, "POST", target, "").await.body;
            if state.contains("\"status\":\"0\"") {
                return;
            }
            assert!(state.contains("firmware"), "the reason is said: {state}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    online.await.expect("online");
    // Stopped in order, it is removed.
    let _directory = daemon.stop();
    assert!(!path.exists());
}
