//! Stock apps: what they ask, to the letter, and how their parsers read the answers.
//!
//! The card holds a day of files of a minute, as a device that records always has it.

use std::path::Path;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    paired::{Device, RawViewer},
    support::{Answer, Daemon, HANG, raw, sim_config},
};

/// 2026-01-01, in UTC as the device's calendar is.
const DAY: i64 = 1_767_225_600;

/// Files of a minute, one behind the other. None of them is a film.
fn card(root: &Path, files: i64) {
    let day = root.join("ch0/2026-01-01");
    std::fs::create_dir_all(&day).unwrap();
    let length = 86_400_000 / files;
    for number in 0..files {
        let start = DAY * 1000 + number * length;
        std::fs::write(day.join(format!("{start}_{length}_0_1.mp4")), [0]).unwrap();
    }
}

fn record(root: &Path) -> String {
    format!("[record]\npath = {root:?}\nmode = \"off\"\n")
}

/// How an app reads what comes.
enum Reads {
    /// An array with one object, of which the status is 0.
    Device,
    /// An array of channels, with numbers.
    Channels,
    /// So many files, which follow each other from the first to the last second of the day.
    Files(usize),
    /// One time, the whole day.
    Span,
    /// The first day of the month.
    Month,
    /// That it was done.
    Done,
    /// That it was not, and why in a number.
    Refused(i64),
    /// An answer of the panel with the number of its question.
    PanelMessage(i64),
    /// A stream, of which the first bytes are read.
    Flv,
    /// There is nothing to be played.
    Nothing,
}

/// Who asks, method and target, how it reads the answer. Who writes whole URLs has no `Host`.
#[rustfmt::skip]
const APPS: &[(&str, &str, Reads)] = &[
    ("Android: may it watch", "POST /command?action=inner_define&channel=0&cmd=get_device_st&type=live&quality=standard", Reads::Device),
    ("Android: may it talk", "POST /command?action=inner_define&channel=0&cmd=get_device_st&type=voice&quality=standard", Reads::Device),
    ("Android: preview", "GET /ipc.p2p.com/ipc.flv?action=live&channel=0&quality=high", Reads::Flv),
    ("Android: channels", "POST /command?action=inner_define&cmd=get_nvr_list", Reads::Channels),
    ("Android: month", "POST /command?action=inner_define&channel=0&cmd=get_month_record&time=202601", Reads::Month),
    ("Android: the day", "POST /command?action=inner_define&channel=0&cmd=get_file_list&start_time=1767225600&end_time=1767311999&file_type=0", Reads::Files(1440)),
    ("Android: playback", "GET /ipc.flv?action=playback&channel=0&start_time=1633060850&end_time=1633060880", Reads::Nothing),
    ("Android: pause", "POST /command?action=inner_define&channel=0&cmd=playback_pause", Reads::Refused(404)),
    ("Android: go on", "POST /command?action=inner_define&channel=0&cmd=playback_resume", Reads::Refused(404)),
    ("Android: seek, with a brace too many", "POST /command?action=inner_define&channel=0&cmd=playback_seek&time=15}", Reads::Done),
    ("Android: turn", "POST /command?action=user_define&channel=0&cmd=ptz_left", Reads::Done),
    ("Android in the LAN: live", "GET /ipc.flv?action=live&_protocol=tcp&quality=high&_crypto=off&_port=34567&channel=0", Reads::Flv),
    ("Android in the LAN: talk", "POST /voice?_protocol=tcp&_port=34567&channel=0", Reads::Done),
    ("iOS: may it watch", "POST /command?action=inner_define&channel=0&cmd=get_device_st&type=live&quality=high", Reads::Device),
    ("iOS: index of the day", "POST /command?action=inner_define&channel=0&cmd=get_record_index&start_time=1767225600.000000&end_time=1767311999.000000", Reads::Span),
    ("iOS: index, an older edition", "POST /command?action=inner_define&channel=0&cmd=get_record_index&starttime=1767225600&endtime=1767311999", Reads::Span),
    ("iOS: the day", "POST /command?action=inner_define&channel=0&cmd=get_file_list&start_time=1767225600&end_time=1767311999&file_type=0", Reads::Files(1440)),
    ("iOS: some minutes, with decimals", "POST /command?action=inner_define&channel=0&cmd=get_file_list&start_time=1767225600.000000&end_time=1767226200.000000&file_type=0", Reads::Files(10)),
    ("iOS: playback of the time line", "GET /ipc.flv?action=playback&channel=0&start_time=1633060850.000000&end_time=1633060880.000000", Reads::Nothing),
    ("iOS: seek", "POST /command?action=inner_define&channel=0&cmd=playback_seek&time=1767225700.000000", Reads::Done),
    ("iOS: progress", "POST /command?action=inner_define&channel=0&cmd=playback_progress", Reads::Refused(404)),
    ("iOS in the LAN: live", "GET /ipc.flv?action=live&quality=standard&channel=0&_protocol=tcp&_port=34567&_crypto=off", Reads::Flv),
    ("iOS in the LAN: turn", "POST /command?_protocol=tcp&action=user_define&channel=0&cmd=ptz_up", Reads::Done),
    ("mini-program: may it watch", "POST http://XP2Pabc%252.4.46.xnet/ipc.p2p.com/command?action=inner_define&channel=0&cmd=get_device_st&type=live&quality=", Reads::Device),
    ("mini-program: preview", "GET http://XP2Pabc%252.4.46.xnet/ipc.p2p.com/ipc.flv?action=live&channel=0&quality=high", Reads::Flv),
    ("mini-program: preview, in clear", "GET http://peer1.xnet/ipc.p2p.com/ipc.flv?action=live&channel=0&quality=high&_crypto=off", Reads::Flv),
    ("mini-program: month", "POST http://ipc.p2p.com/command?action=inner_define&channel=0&cmd=get_month_record&time=202601", Reads::Month),
    ("mini-program: the day", "POST http://ipc.p2p.com/command?action=inner_define&channel=0&cmd=get_file_list&start_time=1767225600&end_time=1767311999&file_type=0", Reads::Files(1440)),
    ("mini-program: turn", r#"POST http://ipc.p2p.com/command?action=user_define&channel=0&cmd={"topic":"ptz","message_id":7,"data":{"cmd":"ptz_left_press"}}"#, Reads::PanelMessage(7)),
    ("mini-program: let go", r#"POST http://ipc.p2p.com/command?action=user_define&channel=0&cmd={"topic":"ptz","message_id":8,"data":{"cmd":"ptz_release_pre"}}"#, Reads::PanelMessage(8)),
    ("mini-program: talk", "POST http://ipc.p2p.com/voice?channel=0", Reads::Done),
    ("mini-program: ring", "POST http://ipc.p2p.com/command?action=user_define&channel=0&cmd=wx_call_start", Reads::Done),
    ("mini-program: give up", "POST http://ipc.p2p.com/command?action=user_define&channel=0&cmd=wx_call_cancel", Reads::Done),
];

/// `parseInt`: the number that a text begins with.
fn parse_int(value: &Value) -> Option<i64> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let text = text.trim_start();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit());
    let digits = &digits[..end.unwrap_or(digits.len())];
    let number: i64 = digits.parse().ok()?;
    Some(if text.starts_with('-') {
        -number
    } else {
        number
    })
}

/// fastjson into an `Int` or a `Long` of Kotlin: a number, or a text that is one and nothing else.
fn fastjson(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_i64(),
    }
}

fn fastjson_int(value: &Value) -> Option<i32> {
    fastjson(value).and_then(|number| number.try_into().ok())
}

/// YYModel into an `NSString`.
fn yy_string(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The status as each of them reads it: all read the same.
fn status(value: &Value) -> i64 {
    let value = &value["status"];
    let read = parse_int(value).expect("parseInt");
    assert_eq!(fastjson_int(value).map(i64::from), Some(read), "{value}");
    assert_eq!(yy_string(value), Some(read.to_string()), "{value}");
    read
}

/// A time, as all read it.
fn seconds(value: &Value) -> i64 {
    let read = fastjson(value).expect("a Long");
    assert_eq!(parse_int(value), Some(read), "{value}");
    assert_eq!(yy_string(value), Some(read.to_string()), "{value}");
    read
}

fn judge(place: &str, answer: &Answer, reads: &Reads) {
    let json: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let list = |key: &str| json[key].as_array().expect(place);
    match reads {
        Reads::Flv => {
            assert_eq!(answer.status, 200, "{place}");
            let is_named = answer.head.contains("content-type: video/x-flv\r\n");
            assert!(is_named, "{place}: {}", answer.head);
            // Behind the length of the chunk: video and sound, and where the header ends.
            let (_, header) = answer.body.split_once("\r\n").expect(place);
            assert!(header.starts_with("FLV\x01\x05\0\0\0\x09"), "{place}");
            return;
        }
        Reads::Nothing => {
            assert_eq!(answer.status, 404, "{place}: {}", answer.body);
            assert!(answer.body.contains("nothing was recorded"), "{place}");
            return;
        }
        _ => assert_eq!(answer.status, 200, "{place}: {}", answer.body),
    }
    match reads {
        Reads::Flv | Reads::Nothing => {}
        Reads::Device => {
            let devices = json.as_array().expect(place);
            assert_eq!(devices.len(), 1, "{place}");
            assert_eq!(status(&devices[0]), 0, "{place}: {json}");
            for key in ["appConnectNum", "maxConnectNum"] {
                assert!(fastjson_int(&devices[0][key]).is_some(), "{place}: {json}");
            }
        }
        Reads::Channels => {
            for channel in json.as_array().expect(place) {
                assert_eq!(fastjson_int(&channel["Channel"]), Some(0), "{place}");
                assert_eq!(fastjson_int(&channel["Online"]), Some(1), "{place}");
                assert!(yy_string(&channel["DeviceName"]).is_some(), "{place}");
            }
        }
        Reads::Files(count) => {
            let files = list("file_list");
            assert_eq!(files.len(), *count, "{place}");
            // Nobody knows that there is more.
            assert!(json.get("more").is_none(), "{place}");
            for (number, file) in (0_i64..).zip(files) {
                // One keeps only those that are equal to the text.
                assert_eq!(file["file_type"], "0", "{place}");
                assert_eq!(fastjson_int(&file["file_size"]), Some(1), "{place}");
                assert_eq!(seconds(&file["start_time"]), DAY + number * 60, "{place}");
                assert_eq!(
                    seconds(&file["end_time"]),
                    DAY + number * 60 + 60,
                    "{place}"
                );
                let name = yy_string(&file["file_name"]).expect(place);
                assert_eq!(name, format!("0-{}.mp4", (DAY + number * 60) * 1000));
            }
        }
        Reads::Span => {
            let spans = list("video_list");
            assert_eq!(spans.len(), 1, "{place}: {json}");
            assert_eq!(seconds(&spans[0]["start_time"]), DAY, "{place}");
            assert_eq!(seconds(&spans[0]["end_time"]), DAY + 86_400, "{place}");
        }
        Reads::Month => {
            assert_eq!(fastjson_int(&json["video_list"]), Some(1), "{place}");
            assert_eq!(parse_int(&json["video_list"]), Some(1), "{place}");
        }
        Reads::Done => assert_eq!(status(&json), 0, "{place}: {json}"),
        Reads::Refused(why) => assert_eq!(status(&json), *why, "{place}: {json}"),
        Reads::PanelMessage(id) => {
            assert_eq!(json["confirmation_topic"], "ptz", "{place}");
            assert_eq!(json["message_id"], *id, "{place}");
            assert_eq!(parse_int(&json["result"]), Some(0), "{place}: {json}");
        }
    }
}

/// What is sent by an app, read to its end, or of a stream to its beginning.
async fn ask(daemon: &Daemon, asked: &str) -> Answer {
    let (method, target) = asked.split_once(' ').expect("a method and a target");
    let host = match target.starts_with('/') {
        true => "Host: 127.0.0.1\r\n",
        false => "",
    };
    let text = format!(
        "{method} {target} HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: 0\r\n\r\n"
    );
    let answer = match target.contains("action=live") {
        true => beginning(daemon, text.as_bytes()).await,
        false => raw(daemon.address, text.as_bytes()).await,
    };
    Answer::parse(&answer).unwrap_or_else(|| panic!("{asked}"))
}

/// What comes of a stream, until the header of FLV is there or it ends.
async fn beginning(daemon: &Daemon, asked: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(daemon.address).await.expect("connects");
    stream.write_all(asked).await.expect("sends");
    let mut came = Vec::new();
    let is_there = |came: &[u8]| {
        let header = came.windows(3).position(|three| three == b"FLV");
        header.is_some_and(|at| came.len() >= at + 9)
    };
    let read = async { while !is_there(&came) && stream.read_buf(&mut came).await.unwrap() > 0 {} };
    tokio::time::timeout(HANG, read).await.expect("it begins");
    came
}

/// Waits until the card was looked at.
async fn known(daemon: &Daemon, files: i64) {
    let look = async {
        loop {
            let health = ask(daemon, "GET /healthz").await;
            let health: Value = serde_json::from_str(&health.body).unwrap();
            if health["recording"]["files"] == files {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let looked = tokio::time::timeout(HANG, look).await;
    looked.expect("the card is looked at");
}

#[tokio::test]
async fn stock_apps_get_what_they_ask_for_and_can_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("card");
    card(&root, 1440);
    let config = format!(
        "{}{}[device]\ntimezone = \"UTC\"\n",
        sim_config(""),
        record(&root)
    );
    let daemon = Daemon::start(&config);
    known(&daemon, 1440).await;
    for (place, asked, reads) in APPS {
        judge(place, &ask(&daemon, asked).await, reads);
    }
    // Whoever asks for pages gets them, from the end of one to the next.
    let mut start = DAY;
    for page in 0_i64.. {
        let asked = format!(
            "POST /command?action=inner_define&cmd=get_file_list&start_time={start}&end_time=1767312000&limit=500"
        );
        let answer = ask(&daemon, &asked).await;
        let json: Value = serde_json::from_str(&answer.body).expect("JSON");
        let files = json["file_list"].as_array().unwrap();
        assert_eq!(seconds(&files[0]["start_time"]), DAY + page * 500 * 60);
        start = seconds(&files.last().unwrap()["end_time"]);
        if json.get("more").is_none() {
            assert_eq!((page, files.len()), (2, 440));
            break;
        }
        assert_eq!(json["more"], "1");
    }
    let none = "POST /command?action=inner_define&cmd=get_file_list&limit=0";
    assert_eq!(ask(&daemon, none).await.status, 400);
}

#[tokio::test]
async fn a_day_comes_whole_in_records_too() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("card");
    card(&root, 1440);
    let device = Device::start(&record(&root));
    known(&device.daemon, 1440).await;
    let mut viewer = RawViewer::open(device.address, &device.pair(&["phone"])).await;
    let list = "action=inner_define&cmd=get_file_list&start_time=1767225600&end_time=1767312000";
    let asked = viewer.ask("POST", "/command", Some(list.as_bytes())).await;
    let (status, text) = asked.sealed();
    assert_eq!(status, 200);
    let json: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["file_list"].as_array().unwrap().len(), 1440);
    // The connection goes on.
    let again = viewer.ask("POST", "/command", Some(b"cmd=help")).await;
    assert_eq!(again.sealed().0, 200);
}

#[cfg(all(feature = "client", feature = "p2p"))]
#[tokio::test]
async fn a_long_list_that_nobody_reads_holds_nothing_else_up() {
    use crate::dialled;
    use peercam_client::p2p::ClientRequest;

    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("card");
    // More than may wait for a viewer in all.
    card(&root, 8640);
    let device = dialled::device(&record(&root));
    known(&device.daemon, 8640).await;
    let session = dialled::session(&device.pair(&["phone"])).await;
    let list = "action=inner_define&cmd=get_file_list&start_time=1767225600&end_time=1767312000";
    let post = |text: &'static str| {
        ClientRequest::post("/command", bytes::Bytes::from_static(text.as_bytes()))
    };
    let mut listed = session.send(post(list)).await.unwrap();
    for _ in 0..3 {
        let mut short = session.send(post("cmd=help")).await.unwrap();
        let help = short.collect(64 << 10).await.unwrap();
        assert!(help.starts_with(b"{\n"));
    }
    let live = ClientRequest::get("/ipc.flv?action=live&channel=0&quality=standard");
    let mut live = session.send(live).await.unwrap();
    for _ in 0..5 {
        assert!(live.piece().await.unwrap().is_some());
    }
    let text = listed.collect(4 << 20).await.unwrap();
    let json: Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(json["file_list"].as_array().unwrap().len(), 8640);
    session.close().await;
}
