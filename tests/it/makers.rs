//! Commands that makers define: whoever does one, the device, a program on it or firmware, is given
//! it only by those who may, and in words that have one meaning.

use peercam_proto::command::ANSWER_TIME;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    paired::{Device, RawViewer},
    signalling::answer_once,
    support::{Daemon, HANG, request},
};

const LISTENERS: &str = "[[listen]]\naddr = \"127.0.0.1:0\"\n\
    [[listen]]\naddr = \"127.0.0.1:0\"\naccess = \"token\"\n";

/// What some reader of JSON takes for a command that only an admin may give.
const DISGUISED: [&str; 24] = [
    r#"{"topic":"sd_format","topic":"x"}"#,
    r#"{"topic":"x","topic":"sd_format"}"#,
    r#"{"topic":"x","Topic":"sd_format"}"#,
    r#"{"topic":"sd_format","data":{},"data":{}}"#,
    r#"{"topic":"sd_format"} ,"#,
    r#"{"topic":"sd_format"}{"topic":"x"}"#,
    r#"{"topic":"reboot",}"#,
    r#"{"Topic":"sd_format"}"#,
    r#"{"topic":"sd_format""#,
    r#"{"topic":"set_status","data":{"status":"standby"},"message_id":1,"message_id":2}"#,
    r#"{"topic":"SD_Format"}"#,
    r#"{"topic":"sd_\u0066ormat"}"#,
    r#"{"topic":"sd_format\u0000x"}"#,
    r#"{"topic":"x","data":{"topic":"reboot"}}"#,
    r#"{"data":{"topic":"sd_format"}}"#,
    r#"[{"topic":"sd_format"}]"#,
    r#""sd_format""#,
    "\u{feff}{\"topic\":\"sd_format\"}",
    "\u{b}{\"topic\":\"sd_format\"}",
    "sd_format",
    "SD_FORMAT now",
    "please;reboot",
    "%7B%22topic%22%3A%22reboot%22%7D",
    "7B22746F706963223A227265626F6F74227D",
];

/// A viewer's command, and what it is answered.
async fn tell(viewer: &mut RawViewer, cmd: &str) -> Value {
    let cmd = utf8_percent_encode(cmd, NON_ALPHANUMERIC);
    let body = format!("action=user_define&channel=0&cmd={cmd}");
    let asked = viewer.ask("POST", "/command", Some(body.as_bytes())).await;
    let (status, text) = asked.sealed();
    assert_eq!(status, 200, "{cmd}: {text}");
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

async fn viewer(device: &Device, arguments: &[&str]) -> RawViewer {
    RawViewer::open(device.address, &device.pair(arguments)).await
}

fn is_refused(answer: &Value) -> bool {
    ["1", "404", "406"].contains(&answer["status"].as_str().unwrap_or_default())
}

#[cfg(feature = "rtsp")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn firmware_is_given_what_its_sender_may_and_one_meaning() {
    let camera = "[[channel]]\nid = 0\nsource = { kind = \"socket\", path = \"camera.sock\" }\n";
    let device = Device::of(Daemon::start(&format!("{LISTENERS}{camera}")));
    let path = device.daemon.directory().join("camera.sock");
    let mut firmware = crate::firmware::Firmware::start(&path).await;
    firmware.told(|told| told == "welcome").await;
    let mut guest = viewer(&device, &["guest", "--scope", "command"]).await;
    let reached = async { while tell(&mut guest, "light_on").await != "LIGHT_ON" {} };
    let reached = tokio::time::timeout(HANG, reached).await;
    reached.expect("its abilities come a little later than it");
    firmware.told(|told| told == "caller 16 local").await;
    firmware.told(|told| told == "command light_on").await;

    for cmd in DISGUISED {
        let answer = tell(&mut guest, cmd).await;
        assert!(is_refused(&answer), "{cmd}: {answer}");
    }
    let some = ["some", "--scope", "command,admin", "--channel", "0"];
    let mut some = viewer(&device, &some).await;
    for cmd in [r#"{"topic":"reboot"}"#, "reboot", "sd_format"] {
        let answer = tell(&mut some, cmd).await;
        assert!(is_refused(&answer), "{cmd}: {answer}");
        assert!(answer["reason"].as_str().unwrap().contains("all channels"));
    }
    // For its channel it is an admin.
    assert_eq!(tell(&mut some, "set_status off").await, "SET_STATUS OFF");
    let told = firmware.told(|told| told == "command set_status off").await;
    let given = told.iter().filter(|told| told.starts_with("command"));
    assert_eq!(given.count(), 0, "{told:?}");

    let mut owner = viewer(&device, &["owner", "--scope", "all"]).await;
    tell(&mut owner, " { \"topic\":\"light\", \"\\u0061t\" : 1e400 }").await;
    firmware.told(|told| told == "caller 255 local").await;
    let anew = r#"command {"topic":"light","at":1e400}"#;
    firmware.told(|told| told == anew).await;
    tell(&mut owner, "reboot").await;
    firmware.told(|told| told == "command reboot").await;
    // What the device does itself is none of the firmware's, in no spelling.
    for topic in ["Reboot", "GET_STATUS", "mirror_flip"] {
        let answer = tell(&mut owner, &format!("{{\"topic\":{topic:?}}}")).await;
        assert_eq!(answer["status"], "406", "{answer}");
    }
}

#[tokio::test]
async fn a_program_for_the_rest_does_not_widen_rights() {
    let program = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = program.local_addr().unwrap();
    let config = format!(
        "{LISTENERS}[[channel]]\nid = 0\nsource = {{ kind = \"sim\" }}\n\
         [user_define]\nallow = [\"version\"]\n\
         [[user_define.handler]]\nname = \"*\"\nurl = \"http://{address}/\"\n\
         [[user_define.handler]]\nname = \"reboot\"\nurl = \"http://{address}/\"\n"
    );
    let device = Device::of(Daemon::start(&config));
    let mut guest = viewer(&device, &["guest", "--scope", "command"]).await;
    let topics = [
        r#"{"topic":"sd_format"}"#,
        r#"{"topic":"reboot"}"#,
        r#"{"topic":"set_status","data":{"status":"working"}}"#,
    ];
    for cmd in topics.into_iter().chain(DISGUISED) {
        let answer = tell(&mut guest, cmd).await;
        assert!(is_refused(&answer), "{cmd}: {answer}");
    }
    let served = async || {
        let (stream, _) = program.accept().await.unwrap();
        let asked = answer_once(stream, "done").await;
        serde_json::from_str::<Value>(asked.split("\r\n\r\n").nth(1).unwrap()).unwrap()
    };
    // The first that the program hears of.
    let light = tell(&mut guest, "light on");
    let (answer, asked) = tokio::join!(light, served());
    assert_eq!(answer, "done");
    assert_eq!(
        (&asked["name"], &asked["cmd"]),
        (&json!("light"), &json!("light on"))
    );
    assert_eq!(
        (&asked["caller"], &asked["scopes"], &asked["issuer"]),
        (&json!("guest"), &json!(["command"]), &json!("local"))
    );
    let listed = device.peercam(&["pair", "--list"]);
    let id = asked["credential"].as_str().expect("a credential");
    assert!(listed.contains(&format!("id {id}")), "{listed}");

    let mut owner = viewer(&device, &["owner", "--scope", "all"]).await;
    let reboot = tell(&mut owner, r#"{"topic":"reboot"}"#);
    let (answer, asked) = tokio::join!(reboot, served());
    assert_eq!((answer, &asked["cmd"]), (json!("done"), &json!(topics[1])));
    let open = request(
        device.daemon.address,
        "POST",
        "/command",
        "action=user_define&cmd=light",
    );
    let (_, asked) = tokio::join!(open, served());
    assert_eq!(
        (&asked["issuer"], &asked["credential"]),
        (&Value::Null, &Value::Null)
    );
}

/// What an open listener answers to a command that nobody does in time.
async fn told_in_time(daemon: &Daemon, cmd: &str) -> Value {
    let body = format!("action=user_define&channel=0&cmd={cmd}");
    let asked = request(daemon.address, "POST", "/command", &body).await;
    assert_eq!(asked.status, 200, "{asked:?}");
    serde_json::from_str(&asked.body).unwrap_or_else(|_| panic!("{asked:?}"))
}

/// What is said names the time that was waited, which is what the example of a configuration says.
fn is_late(answer: &Value, who: &str) {
    assert_eq!(ANSWER_TIME.as_millis(), 1500, "apps of phones wait 2 s");
    let example = include_str!("../../config/full.toml");
    assert!(example.contains("# timeout = \"1500ms\" "));
    assert_eq!(answer["status"], "407", "{answer}");
    let reason = answer["reason"].as_str().expect("a reason");
    let expected = format!("{who} did not answer within 1.5 s");
    assert!(reason.contains(&expected), "{reason}");
}

#[tokio::test]
async fn a_program_that_says_nothing_is_given_up_before_apps_give_up() {
    // The kernel takes the connection and what is asked.
    let program = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = program.local_addr().unwrap();
    let config = format!(
        "{}[[user_define.handler]]\nname = \"light\"\nurl = \"http://{address}/\"\n",
        crate::support::sim_config("")
    );
    let daemon = Daemon::start(&config);
    let answer = told_in_time(&daemon, "light").await;
    is_late(&answer, "the program on the device that does this");
}

#[cfg(feature = "rtsp")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn firmware_that_says_nothing_is_given_up_before_apps_give_up() {
    use crate::firmware::{announcement, hello, message, receive};
    use tokio::io::AsyncWriteExt;

    let camera = "[[channel]]\nid = 0\nsource = { kind = \"socket\", path = \"camera.sock\" }\n";
    let daemon = Daemon::start(&format!("[[listen]]\naddr = \"127.0.0.1:0\"\n{camera}"));
    let path = daemon.directory().join("camera.sock");
    let firmware = tokio::net::UnixStream::connect(path).await.unwrap();
    let (mut read, mut write) = firmware.into_split();
    // It does commands, so it says.
    let abilities = message(6, 0, 0, &[&[0xf7, 0, 0, 0]]);
    let said = [hello(), announcement(0, 1), abilities].concat();
    write.write_all(&said).await.unwrap();
    let hears = tokio::spawn(async move { while receive(&mut read).await.is_some() {} });
    let answer = tokio::time::timeout(HANG, async {
        loop {
            // Its abilities may come a little later than it.
            let answer = told_in_time(&daemon, "light_on").await;
            if answer["status"] != "406" {
                return answer;
            }
        }
    });
    is_late(&answer.await.expect("it is reached"), "the firmware");
    assert!(!hears.is_finished(), "it is not sent away for it");
}
