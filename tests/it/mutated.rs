//! Commands by the thousand, as they should be and damaged: each is answered, and nothing grows.

use proptest::prelude::RngExt;
use proptest::test_runner::TestRng;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::{
    hostile::scaled,
    support::{Daemon, sim_config},
};

/// What clients send. Nothing among it makes the camera stand by.
#[rustfmt::skip]
const COMMANDS: &[&str] = &[
    "action=inner_define&cmd=get_device_st&type=live&quality=standard",
    "action=inner_define&cmd=get_device_st&type=voice",
    "action=inner_define&cmd=get_nvr_list&channel=0",
    "action=inner_define&cmd=get_record_index&start_time=1&end_time=2000000000",
    "action=inner_define&cmd=get_month_record&time=202611",
    "action=inner_define&cmd=get_file_list&file_type=0",
    "action=inner_define&cmd=playback_seek&progress=123456",
    "action=inner_define&cmd=playback_rewind&start_time=100&end_time=200",
    "action=inner_define&cmd=call_answer",
    "action=inner_define&cmd=call_hang_up&_peername=a",
    "action=user_define&cmd=wx_call_start&_peername=a",
    "action=user_define&cmd=ptz_left_speed_1",
    r#"action=user_define&channel=0&cmd={"topic":"ptz","message_id":0,"data":{"cmd":"ptz_up_press"}}"#,
    r#"action=user_define&channel=0&cmd={"topic":"get_status","message_id":"a&b=c","data":{"user":"owner"}}"#,
    r#"action=user_define&cmd=%7B%22topic%22%3A%22sd_format%22%2C%22data%22%3A%7B%22confirm%22%3A%221%22%7D%7D"#,
    "action=user_define&cmd=36D7F336FCEC9E57318ECA0323BA94970296A776CE",
];

fn mutate(text: &str, random: &mut TestRng) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..random.random_range(1..8) {
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..4) {
            0 => bytes[at] = random.random(),
            1 => bytes.truncate(at.max(1)),
            2 => bytes.insert(at, b"&={}\"%\\\0"[random.random_range(0..8)]),
            _ => {
                let from = random.random_range(0..=at);
                let piece = bytes[from..at].to_vec();
                bytes.extend(piece);
            }
        }
    }
    bytes
}

#[tokio::test]
async fn a_million_commands_leave_it_as_it_was() {
    let daemon = Daemon::start(&format!("{}[record]\nmode = \"off\"\n", sim_config("")));
    let mut random = TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    let count = scaled(1_000_000);
    let mut stream = BufReader::new(TcpStream::connect(daemon.address).await.unwrap());
    let (mut line, mut body, mut warm) = (String::new(), Vec::new(), 0);
    let mut statuses = [0; 600];
    for round in 0..count {
        let command = COMMANDS[round % COMMANDS.len()];
        let sent = match random.random_range(0..2) {
            0 => command.as_bytes().to_vec(),
            _ => mutate(command, &mut random),
        };
        let head = format!(
            "POST /command HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n",
            sent.len()
        );
        stream
            .write_all(&[head.as_bytes(), &sent].concat())
            .await
            .unwrap();
        let (mut status, mut length) = (0, 0);
        loop {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
            let text = String::from_utf8_lossy(&sent);
            assert!(!line.is_empty(), "{text:?} was not answered");
            if let Some(code) = line.strip_prefix("HTTP/1.1 ") {
                status = code[..3].parse::<usize>().unwrap();
            } else if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            } else if line == "\r\n" {
                break;
            }
        }
        body.resize(length, 0);
        stream.read_exact(&mut body).await.unwrap();
        let text = String::from_utf8_lossy(&sent);
        assert!(matches!(status, 200 | 400), "{text:?}: {status}");
        assert!(!body.is_empty(), "{text:?}: nothing");
        statuses[status] += 1;
        if round == count / 5 {
            warm = daemon.resident_kib();
        }
    }
    assert!(statuses[200] > count / 2 && statuses[400] > count / 20);
    let grown = daemon.resident_kib().saturating_sub(warm);
    assert!(grown <= warm / 100, "{grown} KiB more than {warm}");
    assert!(!daemon.log().contains("panicked"));
}
