//! What the device keeps secret stays so: in what it says, in its files, and when it is killed.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Stdio,
    time::Duration,
};

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use peercam_proto::credential::{MintKey, PairingUri};

use crate::{
    hostile::scaled,
    paired::{Device, RawViewer, config},
    support::{Daemon, program, raw, request, run},
};

/// Every way in which bytes are likely to be written by mistake.
fn spellings(secret: &[u8]) -> Vec<String> {
    let debug = format!("{secret:?}");
    let percent: String = secret.iter().map(|byte| format!("%{byte:02X}")).collect();
    vec![
        HEXLOWER.encode(secret),
        HEXUPPER.encode(secret),
        BASE64URL_NOPAD.encode(secret),
        BASE64.encode(secret),
        debug[1..debug.len() - 1].to_owned(),
        percent,
        String::from_utf8_lossy(secret).into_owned(),
    ]
}

fn key_in(path: &Path) -> Vec<u8> {
    let text = fs::read_to_string(path).unwrap();
    let encoded = text.split(' ').nth(1).unwrap();
    BASE64URL_NOPAD.decode(encoded.as_bytes()).unwrap()
}

#[tokio::test]
async fn no_secret_is_in_what_the_device_says() {
    let device = Device::start("");
    let uri = device.pair(&["phone", "--scope", "all"]);
    let mut viewer = RawViewer::open(device.address, &uri).await;
    let list: Option<&[u8]> = Some(b"action=inner_define&cmd=get_nvr_list&req_id=r1&_peername=p");
    viewer.ask("POST", "/command", list).await.sealed();
    let (_, metrics) = viewer.ask("GET", "/metrics", None).await.sealed();
    let (_, health) = viewer.ask("GET", "/healthz", None).await.sealed();
    let (bytes, keys) = viewer.request("GET", "/nowhere", None);
    let token = String::from_utf8(bytes.clone()).unwrap();
    let token = token
        .split_once("_token=")
        .unwrap()
        .1
        .split([' ', '&'])
        .next()
        .unwrap();
    let (_, refusal) = viewer.exchange_bytes(&bytes, keys).await.sealed();
    let replayed = raw(device.address, &bytes[..]).await;
    drop(viewer.live("quality=standard").await);
    let open = request(
        device.daemon.address,
        "GET",
        &format!("/ipc.flv?_token={token}"),
        "",
    )
    .await;
    let (_, wrong) = device.try_peercam(&["revoke", "nobody"]);
    let listed = device.peercam(&["pair", "--list"]);
    let refused = run(&["command", &uri.expose(), "x", "--log", "trace"]);
    let mint_key = MintKey::parse(&device.peercam(&["mint-key", "shop"])).unwrap();
    let shop = mint_key.expose();
    let shop = shop.split_once("&k=").unwrap().1;

    let said = [
        device.daemon.log(),
        metrics,
        health,
        refusal,
        String::from_utf8_lossy(&replayed).into_owned(),
        open.body,
        wrong,
        listed,
        device.peercam(&["status"]),
        device.peercam(&["status", "--json"]),
        String::from_utf8_lossy(&refused.stdout).into_owned(),
        String::from_utf8_lossy(&refused.stderr).into_owned(),
        fs::read_to_string(device.file("paired.json")).unwrap(),
        fs::read_to_string(device.file("revoked.json")).unwrap(),
        fs::read_to_string(device.file("../endpoint.json")).unwrap(),
    ]
    .join("\n");
    assert!(
        said.contains("viewer joined") && said.contains("phone"),
        "{said}"
    );
    let credential = &uri.credential;
    let mut secrets = vec![token.to_owned(), uri.expose()];
    for secret in [
        key_in(&device.file("identity.key")),
        key_in(&device.file("access.key")),
        BASE64URL_NOPAD.decode(shop.as_bytes()).unwrap(),
        credential.key().expose().to_vec(),
        credential.token_key().expose().to_vec(),
        credential.session_key().expose().to_vec(),
    ] {
        secrets.extend(spellings(&secret));
    }
    for secret in secrets {
        assert!(!said.contains(&secret), "{secret:?} was said");
    }
}

#[test]
fn what_is_kept_is_for_the_owner_alone() {
    let device = Device::start("");
    device.pair(&["phone"]);
    let data = device.file("..");
    for (path, mode) in [
        (data.clone(), 0o700),
        (data.join("access"), 0o700),
        (data.join("access/identity.key"), 0o600),
        (data.join("access/access.key"), 0o600),
        (data.join("access/revoked.json"), 0o600),
        (data.join("access/paired.json"), 0o600),
        (data.join("endpoint.json"), 0o600),
        (data.join("lock"), 0o600),
    ] {
        let found = fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(found, mode, "{}: {found:o}", path.display());
    }
}

#[test]
fn a_device_whose_secrets_are_not_in_order_does_not_start_and_makes_no_new_ones() {
    let directory = Daemon::start(&config("")).stop();
    let access = directory.path().join("peercam-data/access");
    let path = directory.path().join("camera.toml");
    let start = || {
        let output = run(&["run", "--config", &path.to_string_lossy()]);
        assert_eq!(output.status.code(), Some(1));
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(errors.lines().count(), 1, "{errors}");
        errors
    };
    let mode = |name: &str, mode| {
        let path = access.join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("access.key", 0o640);
    let errors = start();
    assert!(
        errors.contains("access.key") && errors.contains("others may read it"),
        "{errors}"
    );
    mode("access.key", 0o600);
    mode("", 0o750);
    assert!(start().contains("chmod 700"));
    mode("", 0o700);
    for name in ["identity.key", "access.key", "revoked.json"] {
        let good = fs::read(access.join(name)).unwrap();
        fs::write(access.join(name), &good[..good.len() - 5]).unwrap();
        assert!(start().contains("damaged"), "{name}");
        fs::remove_file(access.join(name)).unwrap();
        assert!(start().contains(name), "{name}");
        assert!(!access.join(name).exists(), "{name} was made anew");
        fs::write(access.join(name), &good).unwrap();
        mode(name, 0o600);
    }
    std::os::unix::fs::symlink(access.join("access.key"), access.join("link")).unwrap();
    fs::rename(access.join("identity.key"), access.join("kept")).unwrap();
    std::os::unix::fs::symlink(access.join("kept"), access.join("identity.key")).unwrap();
    assert!(start().contains("identity.key"), "a link is followed");
    fs::remove_file(access.join("identity.key")).unwrap();
    fs::rename(access.join("kept"), access.join("identity.key")).unwrap();
    drop(Daemon::start_in(directory, &config("")));
}

#[test]
fn a_first_start_beside_others_makes_one_device() {
    for _ in 0..scaled(200) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("camera.toml");
        fs::write(&path, config("")).unwrap();
        let pairs: Vec<_> = (0..3)
            .map(|number| {
                program()
                    .args(["pair", &format!("viewer {number}"), "--config"])
                    .arg(&path)
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let device = Device::of(Daemon::start_in(directory, &config("")));
        for pair in pairs {
            let output = pair.wait_with_output().unwrap();
            let errors = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success(), "{errors}");
            let uri = PairingUri::parse(&String::from_utf8(output.stdout).unwrap()).unwrap();
            assert_eq!(uri.device, device.id, "one device");
        }
        assert_eq!(device.peercam(&["pair", "--list"]).lines().count(), 3);
    }
}

#[test]
fn revoking_where_there_is_no_device_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("camera.toml");
    fs::write(&path, config("")).unwrap();
    for arguments in [
        &["revoke", "--all"][..],
        &["revoke", "x"],
        &["pair", "--list"],
    ] {
        let output = program()
            .args(arguments)
            .arg("--config")
            .arg(&path)
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(errors.contains("there is no device in"), "{errors}");
        assert!(errors.contains("made by its first run"), "{errors}");
    }
    assert!(!directory.path().join("peercam-data").exists());
}

#[cfg(feature = "sim")]
#[test]
fn nobody_gets_a_second_device_by_forgetting_which() {
    let directory = tempfile::tempdir().unwrap();
    let in_it = |arguments: &[&str]| {
        let mut program = program();
        let output = program.args(arguments).current_dir(directory.path());
        let output = output.output().unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    for arguments in [
        &["pair", "bob"][..],
        &["pair", "--list"],
        &["mint-key", "shop"],
        &["revoke", "bob"],
    ] {
        let (worked, errors) = in_it(arguments);
        assert!(!worked, "{arguments:?}");
        for words in ["no device in peercam-data", "--config FILE?", "--new"] {
            assert!(errors.contains(words), "{arguments:?}: {errors}");
        }
        assert!(!directory.path().join("peercam-data").exists());
    }
    let (worked, errors) = in_it(&["pair", "bob", "--new"]);
    assert!(
        worked && errors.contains("a new device was made in"),
        "{errors}"
    );
    // From now on there is one.
    for arguments in [
        &["pair", "eve"][..],
        &["pair", "ann", "--new"],
        &["mint-key", "shop"],
        &["revoke", "bob"],
    ] {
        let (worked, errors) = in_it(arguments);
        assert!(worked && !errors.contains("new device"), "{errors}");
    }
}

#[test]
fn a_configuration_that_is_named_means_its_device() {
    for arguments in [&["pair", "bob"], &["mint-key", "shop"]] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("camera.toml");
        fs::write(&path, config("")).unwrap();
        let output = program()
            .args(arguments)
            .arg("--config")
            .arg(&path)
            .output();
        let output = output.unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{errors}");
        assert!(errors.contains("a new device was made in"), "{errors}");
    }
}

#[test]
fn a_lost_list_of_revoked_ids_is_replaced_by_revoking_everybody() {
    let device = Device::start("");
    let before = device.pair(&["phone"]);
    fs::write(device.file("revoked.json"), "{}").unwrap();
    for arguments in [
        &["revoke", "phone"][..],
        &["revoke", "--all", "--issuer", "shop"],
        &["pair", "x"],
    ] {
        let (output, errors) = device.try_peercam(arguments);
        assert!(
            output.is_none() && errors.contains("revoke --all"),
            "{errors}"
        );
    }
    device.peercam(&["revoke", "--all"]);
    let after = device.pair(&["phone"]);
    let epoch = |uri: &PairingUri| uri.credential.text().split('.').nth(1).unwrap().to_owned();
    assert_eq!(epoch(&before), "0");
    assert!(epoch(&after).parse::<u32>().unwrap() >= 1 << 31);
}

#[test]
fn whoever_is_to_be_revoked_does_not_profit_from_a_damaged_list() {
    let device = Device::start("");
    device.pair(&["phone"]);
    let id = device.peercam(&["pair", "--list"]);
    let id = &id.split_once("id ").unwrap().1[..22];
    fs::write(device.file("paired.json"), "{}").unwrap();
    for arguments in [
        &["pair", "tablet"][..],
        &["pair", "--list"],
        &["revoke", "phone"],
    ] {
        let (output, errors) = device.try_peercam(arguments);
        assert!(
            output.is_none() && errors.contains("remove it to go on"),
            "{errors}"
        );
    }
    device.peercam(&["revoke", "--id", id]);
    let revoked = fs::read_to_string(device.file("revoked.json")).unwrap();
    assert!(revoked.contains(id), "{revoked}");
    fs::remove_file(device.file("paired.json")).unwrap();
    device.pair(&["phone"]);
    assert!(device.peercam(&["pair", "--list"]).contains("phone"));
}

#[test]
fn check_looks_at_the_data_directory_and_makes_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("camera.toml");
    let check = |data_dir: &str| {
        fs::write(&path, format!("data_dir = {data_dir:?}\n{}", config(""))).unwrap();
        let output = run(&["check", "--config", &path.to_string_lossy()]);
        let errors = String::from_utf8(output.stderr).unwrap();
        (output.status.success(), errors)
    };
    assert!(check("data").0);
    assert!(!directory.path().join("data").exists());
    let (is_fine, errors) = check("/proc/self/data");
    assert!(is_fine || errors.contains("data"), "{errors}");
    fs::create_dir(directory.path().join("data")).unwrap();
    fs::set_permissions(
        directory.path().join("data"),
        fs::Permissions::from_mode(0o777),
    )
    .unwrap();
    let (is_fine, errors) = check("data");
    assert!(!is_fine && errors.contains("chmod 755"), "{errors}");
}

#[test]
fn a_data_directory_has_one_daemon() {
    let daemon = Daemon::start(&config(""));
    let path = daemon.directory().join("camera.toml");
    let output = run(&["run", "--config", &path.to_string_lossy()]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("in use by another peercam (process "),
        "{errors}"
    );
}

#[test]
fn a_kill_at_any_moment_leaves_the_old_or_the_new_state() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("camera.toml");
    fs::write(&path, config("")).unwrap();
    let access = directory.path().join("peercam-data/access");
    let mut paired = 0;
    for round in 0..scaled(800) {
        // Every other one is killed while it makes the very first secrets.
        if round % 2 == 0 {
            let _ = fs::remove_dir_all(directory.path().join("peercam-data"));
        }
        let mut child = std::process::Command::new("sh")
            .args(["-c", "umask 0; exec \"$@\"", "sh"])
            .arg(program().get_program())
            .args(["pair", &format!("viewer {round}"), "--config"])
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(500 + round as u64 * 7919 % 40_000));
        let _ = child.kill();
        child.wait().unwrap();
        for entry in fs::read_dir(&access).into_iter().flatten() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}: {mode:o}", entry.path());
        }
        let listed = run(&["pair", "--list", "--config", &path.to_string_lossy()]);
        let errors = String::from_utf8(listed.stderr).unwrap();
        let is_none = errors.contains("there is no device in") && !access.exists();
        assert!(
            listed.status.success() || is_none,
            "round {round}: {errors}"
        );
        paired += String::from_utf8(listed.stdout).unwrap().lines().count();
    }
    assert!(paired > 0, "some were paired before they were killed");
    drop(Daemon::start_in(directory, &config("")));
}

#[test]
fn pairing_says_what_it_does_and_what_is_wrong() {
    let device = Device::start("");
    let (output, errors) = device.try_peercam(&[
        "pair",
        "phone",
        "--scope",
        "live",
        "--channel",
        "0,1",
        "--expires",
        "30d",
    ]);
    let uri = output.expect("paired");
    assert_eq!(uri.lines().count(), 1, "the URI and nothing else");
    assert!(PairingUri::parse(&uri).is_ok());
    for words in [
        "\"phone\"",
        "live on channels: 0,1",
        "peercam revoke --config",
        "--scope all",
        "on loopback",
        "clock",
    ] {
        assert!(errors.contains(words), "{words}: {errors}");
    }
    let list = device.peercam(&["pair", "--list"]);
    for words in ["phone", "scopes live", "channels 0,1", "ends 20"] {
        assert!(list.contains(words), "{words}: {list}");
    }
    for (arguments, words) in [
        (&["pair", "phone"][..], "already"),
        (&["pair"], "NAME"),
        (&["pair", "x", "--scope", "live,fly"], "a scope is one of"),
        (&["pair", "x", "--channel", "a"], "numbers with commas"),
        (&["pair", "x", "--expires", "2020-01-01"], "ended already"),
        (&["pair", "x", "--expires", "soon"], "a span such as"),
        (&["pair", "x", "--peer", "12"], "64 lower-case hex"),
        (&["pair", "a\nb"], "printable"),
        (&["revoke", "nobody"], "no viewer \"nobody\""),
        (&["revoke"], "--all"),
        (&["revoke", "phone", "--all"], "cannot be used"),
        (
            &["revoke", "--all", "--issuer", "unknown"],
            "this device has local, shop",
        ),
        (&["revoke", "--issuer", "shop"], "--all"),
        (&["mint-key", "local"], "another name"),
        (&["mint-key", "Shop"], "lower-case"),
    ] {
        let (output, errors) = device.try_peercam(arguments);
        assert!(output.is_none(), "{arguments:?} worked");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
}

#[test]
fn one_shots_take_the_uri_from_a_file_the_input_or_the_environment() {
    let device = Device::start("");
    let uri = device.pair(&["phone"]).expose();
    let file = device.daemon.directory().join("uri");
    fs::write(&file, format!("{uri}\n")).unwrap();
    let at_file = format!("@{}", file.display());
    let command = "action=inner_define&cmd=get_nvr_list";
    let ask = |arguments: &[&str], variable: Option<&str>| {
        let mut program = program();
        program.args(arguments).env_remove("PEERCAM_URI");
        program.envs(variable.map(|value| ("PEERCAM_URI", value)));
        program
            .stdin(fs::File::open(&file).unwrap())
            .output()
            .unwrap()
    };
    for (arguments, variable, warns) in [
        (vec!["command", &at_file, command], None, false),
        (vec!["command", "-", command], None, false),
        (vec!["command", command], Some(uri.as_str()), false),
        (vec!["command", &uri, command], None, true),
    ] {
        let output = ask(&arguments, variable);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{errors}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with("[{\"DeviceName\":\"front\""), "{text}");
        assert_eq!(errors.contains("list of processes"), warns, "{errors}");
        assert!(
            !errors.contains("peercam:1?"),
            "the URI is repeated: {errors}"
        );
    }
    for (arguments, words) in [
        (vec!["command", command], "PEERCAM_URI"),
        (vec!["command", &at_file], "the command is missing"),
        (vec!["command", "@/none", command], "/none: No such file"),
        (
            vec!["command", "peercam:2?x", command],
            "begins with peercam:1?",
        ),
        (
            vec!["pull", &at_file, "--output", "/dev/null/x"],
            "/dev/null/x",
        ),
        (vec!["pull", &at_file, "--channel", "9"], "no such channel"),
        (vec!["pull", &at_file, "--quality", "best"], "quality"),
    ] {
        let output = ask(&arguments, None);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
        assert!(!errors.contains("&k="), "{errors}");
    }
    let clip = device.daemon.directory().join("clip.flv");
    let arguments = [
        "pull",
        &at_file,
        "--seconds",
        "1",
        "--output",
        &clip.to_string_lossy(),
    ];
    assert!(ask(&arguments, None).status.success());
    assert!(fs::read(&clip).unwrap().starts_with(b"FLV"));
    let again = ask(&arguments, None);
    assert!(
        String::from_utf8(again.stderr)
            .unwrap()
            .contains("such a file already"),
        "nothing is overwritten"
    );
}
