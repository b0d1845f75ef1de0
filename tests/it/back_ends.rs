//! What a back end can give with its mint key, and what becomes of it when that changes.

use std::time::SystemTime;

use peercam_proto::credential::{MintKey, PairingUri};

use crate::paired::{Device, RawViewer};

const LIST: &[u8] = b"action=inner_define&cmd=get_nvr_list";
const FORMAT: &[u8] = br#"action=user_define&cmd={"topic":"sd_format"}"#;

/// A credential of the back end that says that it may do everything, until then.
fn everything(device: &Device, expires: u64) -> PairingUri {
    device.mint(&format!(
        r#"{{"v":1,"id":"AAECAwQFBgcICQoLDA0ODw","name":"x","scopes":["live","command","admin"],"ch":"*","exp":{expires}}}"#
    ))
}

async fn ask(device: &Device, uri: &PairingUri, method: &str, what: &[u8]) -> (u16, String) {
    let mut viewer = RawViewer::open(device.address, uri).await;
    let asked = match method {
        "GET" => viewer.ask("GET", std::str::from_utf8(what).unwrap(), None),
        _ => viewer.ask("POST", "/command", Some(what)),
    };
    asked.await.sealed()
}

#[tokio::test]
async fn a_mint_key_gives_what_its_owner_set_and_narrowing_ends_what_runs() {
    let device = Device::start("");
    let guest = everything(&device, 0);
    let (_, list) = ask(&device, &guest, "POST", LIST).await;
    assert!(list.contains("front") && list.contains("back"), "{list}");
    let (_, refused) = ask(&device, &guest, "POST", FORMAT).await;
    assert!(refused.contains("scope admin"), "{refused}");

    let mut watching = RawViewer::open(device.address, &guest).await;
    let mut live = watching.live("channel=0&quality=standard").await;
    device.peercam(&["mint-key", "shop", "--scope", "live", "--channel", "1"]);
    live.cut_off().await;
    device.daemon.logs("reason=\"rights changed\"");
    let (_, list) = ask(&device, &guest, "POST", LIST).await;
    assert!(!list.contains("front") && list.contains("back"), "{list}");
    let target = b"/ipc.flv?action=live&channel=0";
    let (status, text) = ask(&device, &guest, "GET", target).await;
    assert_eq!(status, 404, "{text}");
    let (_, refused) = ask(&device, &guest, "POST", FORMAT).await;
    assert!(refused.contains("scope command"), "{refused}");

    // Nothing that it may not do is offered to it, nor is what it asks for found out by asking.
    let (_, help) = ask(&device, &guest, "POST", b"cmd=help").await;
    let help: serde_json::Value = serde_json::from_str(&help).unwrap();
    let names: Vec<_> = help["inner_define"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["get_device_st", "get_nvr_list", "help"]);
    assert_eq!(help["channels"], serde_json::json!(["1"]));
    assert_eq!(help["user_define"]["topics"], serde_json::json!([]));
    assert_eq!(help["requests"].as_object().unwrap().len(), 2, "{help}");
    let unknown = b"action=inner_define&cmd=playback_paus";
    let (_, unknown) = ask(&device, &guest, "POST", unknown).await;
    assert!(
        unknown.contains(r#""406""#) && !unknown.contains("playback_pause"),
        "{unknown}"
    );

    // What ends too late is ended too.
    let mut watching = RawViewer::open(device.address, &guest).await;
    let mut live = watching.live("channel=1&quality=standard").await;
    device.peercam(&["mint-key", "shop", "--expires-within", "1h"]);
    live.cut_off().await;
    let (status, text) = ask(&device, &guest, "POST", LIST).await;
    assert!(status == 403 && text.contains("end sooner"), "{text}");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let soon = everything(&device, now.unwrap().as_secs() + 1_800);
    assert_eq!(ask(&device, &soon, "POST", LIST).await.0, 200);

    // It stays as it was set, whatever else happens to the key.
    device.peercam(&["revoke", "--all", "--issuer", "shop"]);
    let (key, said) = device.try_peercam(&["mint-key", "shop"]);
    let key = MintKey::parse(&key.expect("a key")).expect("one key and nothing else");
    assert!(key.is_of("shop", 1));
    let ceiling = "scopes live  channels 1  ends within 1h";
    assert!(said.contains(ceiling), "{said}");
    let listed = device.peercam(&["pair", "--list"]);
    let line = listed.lines().last().expect("the back end");
    assert!(
        line.starts_with("shop ") && line.contains(ceiling),
        "{listed}"
    );
}

#[tokio::test]
async fn who_says_that_it_is_an_admin_and_may_not_be_takes_nobodys_place() {
    let device = Device::start("[access]\nmax_sessions = 1\n");
    let mut first = RawViewer::open(device.address, &device.pair(&["phone"])).await;
    first.ask("POST", "/command", Some(LIST)).await.sealed();
    let guest = everything(&device, 0);
    assert_eq!(ask(&device, &guest, "POST", LIST).await.0, 503);
    device.peercam(&["mint-key", "shop", "--scope", "all"]);
    let granted = async { while ask(&device, &guest, "POST", LIST).await.0 != 200 {} };
    let granted = tokio::time::timeout(crate::support::HANG, granted).await;
    granted.expect("an admin of a back end takes a guest's place");
}
