//! The signalling as the documents have it: what is asked, to the letter, and what is answered.
//!
//! A `*` in an expected body stands for anything. Rows run in their order against one device that
//! has a simulated camera, a card with nothing on it, and nobody watching.

use std::net::SocketAddr;

use peercam_proto::{
    command::{INNER, Inner, TopicName},
    route::Route,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Daemon, HANG, sim_config};

/// Where it stands, method and target, body, status, body of the answer.
type Row = (&'static str, &'static str, &'static str, u16, &'static str);

const DONE: &str = r#"{"status":"0"}"#;
/// Nothing is being played to this viewer.
const NOT_PLAYED: &str = r#"{"status":"404","reason":"nothing of this channel is being played*"}"#;
const NO_CALL: &str = r#"{"status":"404","reason":"there is no call"}"#;

/// The two documents: "S" is the signalling between device and app, "P" that of the panel.
#[rustfmt::skip]
const DOCUMENTS: &[Row] = &[
    ("S live request", "GET /ipc.flv?action=live&channel=0&quality=high&_token=123456789&_peername=xxxxxxx&requester=app-android&req_id=xxxxxxx&user_args=this_is_user_args%E4%BD%A0%E5%A5%BD", "", 200, "FLV*"),
    ("S basic parameters: _crypto", "GET /ipc.flv?action=live&channel=0&quality=standard&_crypto=off", "", 200, "FLV*"),
    ("S playback request", "GET /ipc.flv?action=playback&channel=0&start_time=1633060850&end_time=1633060880&_token=123456789&_peername=xxxxxxx", "", 404, r#"{"status":"404","reason":"nothing was recorded*"}"#),
    ("S download request", "GET /ipc.flv?action=download&channel=0&file_name=test_file.mp4&offset=0&_crypto=off&_peername=xxxxxxx", "", 404, r#"{"status":"404","reason":"there is no such file*"}"#),
    ("S talkback", "POST /voice?channel=0&_token=123456789&_peername=xxxxxxx", "", 200, r#"{*"status":"0"*}"#),
    ("S record index", "POST /command?_token=123456789&peername=xxxxxxx&action=inner_define&cmd=get_record_index&start_time=000&end_time=111", "", 200, r#"{"video_list":[]}"#),
    ("S month", "POST /command?_token=123456789&peername=xxxxxxx&action=inner_define&cmd=get_month_record&time=202401", "", 200, r#"{"video_list":"0"}"#),
    ("S pause (the example has another command)", "POST /command?_token=123456789&peername=xxxxxxx&action=inner_define&cmd=playback_seek&progress=123456", "", 200, DONE),
    ("S pause (the table)", "POST /command?action=inner_define&cmd=playback_pause", "", 200, NOT_PLAYED),
    ("S resume", "POST /command?_token=123456789&_peername=xxxxxxx&action=inner_define&cmd=playback_resume", "", 200, NOT_PLAYED),
    ("S position", "POST /command?_token=123456789&_peername=xxxxxxx&action=inner_define&cmd=playback_seek&progress=123456", "", 200, DONE),
    ("S progress", "POST /command?_token=123456789&_peername=xxxxxxx&action=inner_define&cmd=playback_progress", "", 200, NOT_PLAYED),
    ("S fast forward", "POST /command?_token=123456789&peername=xxxxxxx&action=inner_define&cmd=playback_ff&value=1", "", 200, DONE),
    ("S rewind", "POST /command?_token=123456789&peername=xxxxxxx&action=inner_define&cmd=playback_rewind&start_time=100&end_time=200", "", 200, NOT_PLAYED),
    ("S speed", "POST /command?_token=123456789&peername=xxxxxxx&action=inner_define&cmd=playback_speed&speed=50", "", 200, DONE),
    ("S hang up", "POST /command?_token=123456789&_peername=xxxxxxx&action=inner_define&cmd=call_hang_up", "", 200, NO_CALL),
    ("S reject", "POST /command?_token=123456789&_peername=xxxxxxx&action=inner_define&cmd=call_reject", "", 200, NO_CALL),
    ("S cancel", "POST /command?_token=123456789&_peername=xxxxxxx&action=inner_define&cmd=call_cancel", "", 200, NO_CALL),
    ("S busy", "POST /command?_token=123456789&_peername=xxxxxxx&action=inner_define&cmd=call_busy", "", 200, NO_CALL),
    ("S no answer", "POST /command?_token=123456789&_peername=xxxxxxx&action=inner_define&cmd=call_timeout", "", 200, NO_CALL),
    ("S device status: live", "POST /command?_token=123456789&_peername=xxxxxxx&action=inner_define&cmd=get_device_st&type=live&quality=standard", "", 200, r#"[{"status":"0","appConnectNum":"0","maxConnectNum":"32"}]"#),
    ("S device status: voice", "POST /command?action=inner_define&cmd=get_device_st&type=voice", "", 200, r#"[{"status":"0","appConnectNum":"0","maxConnectNum":"32"}]"#),
    ("S device status: playback", "POST /command?action=inner_define&cmd=get_device_st&type=playback", "", 200, r#"[{"status":"0","appConnectNum":"0","maxConnectNum":"32"}]"#),
    ("S file list", "POST /command?_token=123456789&peername=xxxxxxx&action=inner_define&cmd=get_file_list", "", 200, r#"{"file_list":[]}"#),
    ("S names under an NVR", "POST /command?_token=123456789&peername=xxxxxxx&action=inner_define&cmd=get_nvr_list", "", 200, r#"[{"DeviceName":"front","Channel":"0","Online":"1"}]"#),
    ("S user-defined: PTZ", "POST /command?_token=123456789&_peername=xxxxxxx&action=user_define&cmd=ptz_left_speed_1", "", 200, DONE),
    ("S user-defined: PTZ", "POST /command?_token=123456789&_peername=xxxxxxx&action=user_define&cmd=ptz_right_speed_1", "", 200, DONE),
    ("S user-defined: binary", "POST /command?_token=123456789&_peername=xxxxxxx&action=user_define&cmd=36D7F336FCEC9E57318ECA0323BA94970296A776CE028D19F5CA5AC44E92952B4CE77642354CBAE7036F4DA954317462C61A1BC033DAC882FAAB9EDCBFEE47DA", "", 200, r#"{"status":"406","reason":"*"}"#),
    ("P PTZ: release", r#"POST /command?action=user_define&channel=0&cmd={"topic":"ptz","message_id":0,"data":{"cmd":"ptz_release_pre"}}"#, "", 200, r#"{"apex":"no","confirmation_topic":"ptz","current_x":*,"current_y":*,"max_x":100,"max_y":50,"message_id":0,"min_x":-100,"min_y":-50,"result":"0"}"#),
    ("P PTZ: up", r#"POST /command?action=user_define&channel=0&cmd={"topic":"ptz","message_id":"1","data":{"cmd":"ptz_up_press"}}"#, "", 200, r#"{"apex":"no",*"message_id":"1",*"result":"0"}"#),
    ("P PTZ: right", r#"POST /command?action=user_define&channel=0&cmd={"topic":"ptz","message_id":2,"data":{"cmd":"ptz_right_press"}}"#, "", 200, r#"{"apex":"no",*"result":"0"}"#),
    ("P PTZ: down", r#"POST /command?action=user_define&channel=0&cmd={"topic":"ptz","message_id":3,"data":{"cmd":"ptz_down_press"}}"#, "", 200, r#"{"apex":"no",*"result":"0"}"#),
    ("P PTZ: left", r#"POST /command?action=user_define&channel=0&cmd={"topic":"ptz","message_id":4,"data":{"cmd":"ptz_left_press"}}"#, "", 200, r#"{"apex":"no",*"result":"0"}"#),
];

/// What clients in the field send, and what only older documents have.
#[rustfmt::skip]
const DIALECTS: &[Row] = &[
    ("the path's last part routes", "GET /ipc.p2p.com/ipc.flv?action=live", "", 200, "FLV*"),
    ("type for action, a misspelt quality, other case", "GET /ipc.flv?type=Live&qualtity=SUPER", "", 200, "FLV*"),
    ("crypto=false", "GET /ipc.flv?action=live&crypto=false&_protocol=tcp&_port=1", "", 200, "FLV*"),
    ("a command in the body", "POST /command", "action=inner_define&channel=0&cmd=get_nvr_list", 200, r#"[{"DeviceName"*}]"#),
    ("a prefix of the path, any order", "POST /ipc.p2p.com/command?cmd=get_nvr_list&nvr=1&action=inner_define", "", 200, r#"[{"DeviceName"*}]"#),
    ("starttime and endtime", "POST /command?action=inner_define&cmd=get_record_index&starttime=1&endtime=2", "", 200, r#"{"video_list":[]}"#),
    ("a window for files, and their type as a number", "POST /command?action=inner_define&cmd=get_file_list&start_time=1&end_time=9&file_type=0", "", 200, r#"{"file_list":[]}"#),
    ("time in place of progress, with a stray brace", "POST /command?action=inner_define&cmd=playback_seek&time=1633060850}", "", 200, DONE),
    ("speed in place of value", "POST /command?action=inner_define&cmd=playback_ff&speed=2", "", 200, DONE),
    ("call_answer", "POST /command?action=inner_define&cmd=call_answer", "", 200, NO_CALL),
    ("status of a type in other case", "POST /command?action=inner_define&cmd=get_device_st&type=Live", "", 200, r#"[{"status":"0",*}]"#),
    ("a damaged question is answered in the array's shape", "POST /command?action=inner_define&cmd=get_device_st&type=now", "", 200, r#"[{"status":"404",*"reason":"*"}]"#),
    ("a channel that there is not", "POST /command?action=inner_define&cmd=get_device_st&type=live&channel=7", "", 200, r#"[{"status":"404",*"reason":"*"}]"#),
    ("encoded JSON", "POST /command?action=user_define&cmd=%7B%22topic%22%3A%22version%22%7D", "", 200, r#"{"confirmation_topic":"version","info":"peercam *","result":"0"}"#),
    ("JSON from an encoder for forms", "POST /command?action=user_define&cmd=%7B%22topic%22%3A+%22version%22%2C+%22data%22%3A+%7B%7D%7D", "", 200, r#"{"confirmation_topic":"version"*}"#),
    ("a plus in raw JSON", r#"POST /command?action=user_define&cmd={"topic":+"version"}"#, "", 200, r#"{"status":"404","reason":"*%20*"}"#),
    ("JSON with & and = in the body", "POST /command", r#"channel=0&cmd={"topic":"version","x":"a&b=c"}&action=user_define"#, 200, r#"{"confirmation_topic":"version"*}"#),
    ("words for PTZ", "POST /command?action=user_define&cmd=ptz_up", "", 200, DONE),
    ("status", r#"POST /command?action=user_define&cmd={"topic":"get_status","data":{"user":"owner"}}"#, "", 200, r#"{"confirmation_topic":"get_status","result":"0","status":"working","user_num":0}"#),
    ("standby", r#"POST /command?action=user_define&cmd={"topic":"set_status","data":{"status":"standby"}}"#, "", 200, r#"{"confirmation_topic":"set_status","result":"0"}"#),
    ("standby is told", r#"POST /command?action=inner_define&cmd=get_device_st&type=live"#, "", 200, r#"[{"status":"1",*"reason":"*standby"}]"#),
    ("standby gives no picture", "GET /ipc.flv?action=live", "", 502, r#"{"status":"1","reason":"*standby"}"#),
    ("working", r#"POST /command?action=user_define&cmd={"topic":"set_status","data":{"status":"working"}}"#, "", 200, r#"{"confirmation_topic":"set_status","result":"0"}"#),
    ("working gives the picture", "GET /ipc.flv?action=live", "", 200, "FLV*"),
    ("flip", r#"POST /command?action=user_define&cmd={"topic":"Mirror_flip","data":{"mode":"flip"}}"#, "", 200, r#"{"confirmation_topic":"Mirror_flip","result":"0"}"#),
    ("format asks first", r#"POST /command?action=user_define&cmd={"topic":"sd_format"}"#, "", 200, r#"{"confirm":"*","confirmation_topic":"sd_format","reason":"*","result":"0"}"#),
    ("format wants the word", r#"POST /command?action=user_define&cmd={"topic":"sd_format","data":{"confirm":"guess"}}"#, "", 200, r#"{"confirmation_topic":"sd_format","reason":"*","result":"1","status":"1"}"#),
    ("bind", r#"POST /command?action=user_define&cmd={"topic":"bind_status","status":"success"}"#, "", 200, r#"{"confirmation_topic":"bind_status","result":"0"}"#),
    ("intercom", r#"POST /command?action=user_define&cmd={"topic":"intercom"}"#, "", 200, r#"{"confirmation_topic":"intercom","result":"0","status":"unused"}"#),
    ("a drawn camera is not started again", r#"POST /command?action=user_define&cmd={"topic":"reboot"}"#, "", 200, r#"{"confirmation_topic":"reboot","reason":"*","result":"406","status":"406"}"#),
    ("upgrade is not offered", r#"POST /command?action=user_define&cmd={"topic":"upgrade","message_id":9,"data":{"url":"https://x"}}"#, "", 200, r#"{"confirmation_topic":"upgrade","message_id":9,"reason":"*","result":"406","status":"406"}"#),
    ("a topic that says nonsense", r#"POST /command?action=user_define&cmd={"topic":"ptz","data":{"cmd":"ptz_jump"}}"#, "", 200, r#"{"confirmation_topic":"ptz","reason":"*","result":"404","status":"404"}"#),
    ("JSON that is cut off", r#"POST /command?action=user_define&cmd={"topic":"version""#, "", 200, r#"{"status":"404","reason":"*"}"#),
    ("a shell is no command", r#"POST /command?action=user_define&cmd={"shell":"reboot"}"#, "", 200, r#"{"status":"406","reason":"*"}"#),
    ("a call by words", "POST /command?action=user_define&cmd=wx_call_start&_peername=one", "", 200, DONE),
    ("a second caller", "POST /command?action=user_define&cmd=wx_call_start&_peername=two", "", 200, r#"{"status":"1","reason":"the device is in a call*"}"#),
    ("an answer of who calls", "POST /command?action=inner_define&cmd=call_answer&_peername=one", "", 200, r#"{"status":"1","reason":"*"}"#),
    ("giving up", "POST /command?action=user_define&cmd=wx_call_cancel&_peername=one", "", 200, DONE),
    ("help", "POST /command?cmd=help", "", 200, "{\n  \"status\": \"0\",\n  \"channels\": [*\"inner_define\": {*\"get_file_list\": *\"user_define\": {*\"ptz\",*\"ptz_left\"*}"),
    ("help of inner_define", "POST /command?action=inner_define&channel=0&cmd=help", "", 200, "{\n  \"status\": \"0\",*}"),
    ("help of user_define", "POST /command?action=user_define&cmd=help", "", 200, "{\n  \"status\": \"0\",*}"),
    ("an unknown command", "POST /command?action=inner_define&cmd=launch", "", 200, r#"{"status":"406","reason":"*: inner_define: help, get_device_st, *; user_define: ptz, *"}"#),
    ("a slip of the pen", "POST /command?action=inner_define&cmd=get_nrv_list", "", 200, r#"{"status":"406","reason":"*is get_nvr_list meant?*"}"#),
    ("a slip in a topic", r#"POST /command?action=user_define&cmd={"topic":"versoin"}"#, "", 200, r#"{"confirmation_topic":"versoin","reason":"*is version meant?*","result":"406","status":"406"}"#),
    ("no command", "POST /command?action=inner_define", "", 400, r#"{"status":"404","reason":"*cmd*"}"#),
    ("a command twice", "POST /command?action=inner_define&cmd=get_nvr_list", "action=inner_define&cmd=get_nvr_list", 400, r#"{"status":"404","reason":"*once"}"#),
    ("commands are posted", "GET /command?action=inner_define&cmd=get_nvr_list", "", 405, r#"{"status":"404","reason":"*POST"}"#),
    ("so is sound", "GET /voice", "", 405, r#"{"status":"404","reason":"*POST, PUT"}"#),
    ("sound by PUT", "PUT /voice?channel=0", "", 200, r#"{*"status":"0"*}"#),
    ("a command by PUT", "PUT /command?action=inner_define&cmd=get_nvr_list", "", 405, r#"{"status":"404","reason":"*POST"}"#),
    ("no such path", "GET /flv", "", 404, r#"{"status":"404","reason":"no such path*"}"#),
    ("a still", "GET /snapshot.jpg?channel=0", "", 200, "*JFIF*"),
    ("health", "GET /healthz", "", 200, r#"{*"status":"ok"*}"#),
    ("counters", "GET /metrics", "", 200, "# HELP *"),
];

/// The status, and the body, or its beginning if it has no end.
async fn ask(address: SocketAddr, (method, target): (&str, &str), body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    // Raw JSON stands in a request line as clients put it there.
    let text = format!(
        "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let read = tokio::time::timeout(HANG, stream.read_buf(&mut answer)).await;
        let count = read.expect("it does not hang").unwrap();
        let text = String::from_utf8_lossy(&answer);
        let Some((head, rest)) = text.split_once("\r\n\r\n") else {
            assert!(count > 0, "{target}: {text}");
            continue;
        };
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.unwrap_or_else(|| panic!("{target}: {head}"));
        let is_stream = head.to_lowercase().contains("chunked");
        if count == 0 || is_stream && rest.contains("FLV") {
            let start = rest.find("FLV").filter(|_| is_stream).unwrap_or(0);
            return (status, rest[start..].to_owned());
        }
    }
}

fn is_like(text: &str, expected: &str) -> bool {
    let mut parts = expected.split('*');
    let Some(mut rest) = parts.next().and_then(|start| text.strip_prefix(start)) else {
        return false;
    };
    let mut parts = parts.peekable();
    let mut open = false;
    while let Some(part) = parts.next() {
        open = part.is_empty();
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    open || rest.is_empty()
}

async fn judge(rows: &[Row]) {
    let daemon = Daemon::start(&format!("{}[record]\nmode = \"off\"\n", sim_config("")));
    for (place, asked, body, status, expected) in rows {
        let asked = asked.split_once(' ').expect("a method and a target");
        let (found, text) = ask(daemon.address, asked, body).await;
        assert_eq!(found, *status, "{place}: {text}");
        assert!(is_like(&text, expected), "{place}: {text}");
        let is_long = ["/metrics", "/snapshot.jpg?channel=0"].contains(&asked.1);
        assert!(text.len() <= 16 << 10 || is_long, "{place}");
    }
}

#[tokio::test]
async fn what_the_documents_say() {
    judge(DOCUMENTS).await;
}

#[tokio::test]
async fn what_clients_in_the_field_say() {
    judge(DIALECTS).await;
}

#[test]
fn everything_has_a_row() {
    let rows: Vec<&Row> = DOCUMENTS.iter().chain(DIALECTS).collect();
    let has = |words: &str| {
        let mut texts = rows.iter().flat_map(|row| [row.1, row.2]);
        texts.any(|text| text.contains(words))
    };
    for route in Route::ALL {
        assert!(has(&format!("/{}", route.as_str())), "{route:?}");
    }
    for Inner { name, .. } in INNER {
        assert!(has(&format!("cmd={name}")), "{name}");
    }
    for name in TopicName::ALL.map(TopicName::as_str) {
        assert!(has(&format!("\"topic\":\"{name}\"")), "{name}");
    }
    for action in ["live", "playback", "download"] {
        assert!(has(&format!("action={action}")), "{action}");
    }
    assert!(is_like("abc", "a*c") && !is_like("abc", "a*b") && is_like("abc", "abc"));
}
