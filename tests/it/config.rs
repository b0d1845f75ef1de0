//! Configuration files: the shipped ones work, wrong ones are told where and why.

use std::path::Path;

use peercam::config::{Config, Source};

use crate::support::run;

fn refused(text: &str) -> String {
    match Config::parse(text, Path::new("camera.toml")) {
        Ok(config) => panic!("accepted {text}: {config:?}"),
        Err(error) => error.to_string(),
    }
}

const CHANNEL: &str = "[[channel]]\nid = 0\nsource = { kind = \"sim\" }\n";

#[test]
fn every_shipped_configuration_is_fine() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut found = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let config = Config::load(&path).unwrap_or_else(|error| panic!("{error}"));
        assert!(!config.channels.is_empty());
        found += 1;
    }
    assert!(found >= 3, "{found} files");
}

#[test]
fn the_full_sample_shows_every_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/full.toml");
    let full = Config::load(&path).unwrap();
    let minimal = Config::parse(CHANNEL, Path::new("x")).unwrap();
    assert_eq!(
        Config {
            channels: Vec::new(),
            file: None,
            // It is relative to the file.
            data_dir: "peercam-data".into(),
            ..full.clone()
        },
        Config {
            channels: Vec::new(),
            ..minimal.clone()
        }
    );
    assert_eq!(full.data_dir, path.with_file_name("peercam-data"));
    assert_eq!(minimal.channels[0].name, "camera 0");
}

#[test]
fn errors_name_file_line_key_and_what_is_allowed() {
    for (text, expected) in [
        (
            "[http]\nmax_conections = 3\n",
            vec![
                "camera.toml:2: max_conections:",
                "unknown field",
                "max_connections",
            ],
        ),
        (
            "\n\n[http]\nmax_viewers = 0\n",
            vec!["camera.toml:4: max_viewers:", "1 to 100000"],
        ),
        (
            "[http]\nmax_connections = 15\n[[listen]]\naddr = \"127.0.0.1:0\"\naccess = \"token\"\n",
            vec!["camera.toml:2: max_connections:", "shut the owner out"],
        ),
        (
            "[http]\nmax_viewers = -1\n",
            vec!["camera.toml:2: max_viewers:"],
        ),
        (
            "[http]\nmax_viewers = \"many\"\n",
            vec!["camera.toml:2: max_viewers:", "string"],
        ),
        (
            "[http]\nidle_timeout = \"10\"\n",
            vec!["camera.toml:2: idle_timeout:", "ms, s, m, h or d"],
        ),
        (
            "[http]\nidle_timeout = \"2h\"\n",
            vec!["camera.toml:2: idle_timeout:", "1s to 1h"],
        ),
        (
            "[live]\nmemory = \"1PiB\"\n",
            vec!["camera.toml:2: memory:", "KiB, MiB or GiB"],
        ),
        (
            "[live]\nmemory = \"1KiB\"\n",
            vec!["camera.toml:2: memory:", "1MiB to 1GiB"],
        ),
        (
            "[live]\nhevc = \"av1\"\n",
            vec!["camera.toml:2: hevc:", "legacy", "hvc1"],
        ),
        (
            "[runtime]\nthreads = 0\n",
            vec!["camera.toml:2: threads:", "1 to 64"],
        ),
        (
            "[device]\nproduct_id = \"waytoolongforthis\"\n",
            vec!["camera.toml:2: product_id:", "1 to 10"],
        ),
        (
            "[device]\ndevice_name = \"a/b\"\n",
            vec!["camera.toml:2: device_name:", "letters"],
        ),
        (
            "[[listen]]\naddr = \"localhost:1\"\n",
            vec!["camera.toml:2: addr:", "IP address and a port"],
        ),
        (
            "[[listen]]\naddr = \"0.0.0.0:1\"\n",
            vec!["camera.toml:2: addr:", "allow_insecure_lan"],
        ),
        (
            "[[listen]]\naddr = \"[::ffff:0.0.0.0]:1\"\n",
            vec!["camera.toml:2: addr:", "allow_insecure_lan"],
        ),
        (
            "[[listen]]\naddr = \"[::]:1\"\n",
            vec!["camera.toml:2: addr:", "allow_insecure_lan"],
        ),
        (
            "[[listen]]\naddr = \"127.0.0.1:1\"\naccess = \"none\"\n",
            vec!["camera.toml:3: access:", "open"],
        ),
        (
            "[[listen]]\naddr = \"127.0.0.1:1\"\nallow_origins = [\"*\"]\n",
            vec!["camera.toml:3: allow_origins: \"*\": ", "scheme and host"],
        ),
        (
            "[[listen]]\naddr = \"127.0.0.1:1\"\nallow_origins = [5]\n",
            vec!["camera.toml:3: allow_origins:", "string"],
        ),
        (
            "[[listen]]\naddr = \"127.0.0.1:1\"\nallow_origins = [5]\n",
            vec!["camera.toml:3: allow_origins:", "string"],
        ),
        (
            "[[listen]]\nallow_origins = []\n",
            vec!["camera.toml:1:", "addr"],
        ),
        (
            "[[listen]]\naddr = \"127.0.0.1:1\"\naccess = \"token\"\nallow_placeholder_hosts = true\n",
            vec!["camera.toml:4:", "does not look at hosts"],
        ),
        ("listen = []\n", vec!["camera.toml: there is no [[listen]]"]),
        ("", vec!["camera.toml: there is no [[channel]]"]),
        ("nonsense", vec!["camera.toml:1:"]),
    ] {
        let error = refused(&format!(
            "{text}{}",
            if text.is_empty() { "" } else { CHANNEL }
        ));
        for part in expected {
            assert!(error.contains(part), "{text:?}: {part:?} in {error:?}");
        }
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn errors_in_sources_name_the_key_itself() {
    let channel = |source: &str| format!("[[channel]]\nid = 0\nsource = {{ {source} }}\n");
    for (source, expected) in [
        (
            "kind = \"webcam\"",
            vec![":3: kind:", "unknown variant", "sim", "file"],
        ),
        ("path = \"x\"", vec![":3:", "kind"]),
        ("kind = \"file\"", vec![":3: kind:", "needs a path"]),
        (
            "kind = \"sim\", path = \"x\"",
            vec![":3: path:", "no such option"],
        ),
        (
            "kind = \"file\", path = \"x\", gop = 5",
            vec![":3: gop:", "no such option"],
        ),
        (
            "kind = \"sim\", audio = \"mp3\"",
            vec![":3: audio:", "aac, pcma, pcmu, silence or none"],
        ),
        ("kind = \"sim\", gop = 0", vec![":3: gop:", "1 to 1000"]),
        (
            "kind = \"sim\", bitrate = [1]",
            vec![":3: bitrate:", "three numbers"],
        ),
        (
            "kind = \"sim\", faults = [\"fire\"]",
            vec![":3:", "faults", "speaker-busy"],
        ),
        ("kind = \"rtsp\"", vec![":3: kind:", "needs a url"]),
        (
            "kind = \"rtsp\", url = \"192.168.1.64/main\"",
            vec![":3: url:", "rtsp://HOST"],
        ),
        (
            "kind = \"rtsp\", url = \"rtsps://x/main\"",
            vec![":3: url:", "rtsps", "not supported"],
        ),
        (
            "kind = \"rtsp\", url = \"rtsp://admin:hunter2@x/main\"",
            vec![":3: url:", "keys of their own"],
        ),
        (
            "kind = \"rtsp\", url = \"rtsp://x/\", password = \"hunter2\"",
            vec![":3: password:", "needs a user"],
        ),
        (
            "kind = \"rtsp\", url = \"rtsp://x/\", user = \"admin\"",
            vec![":3: user:", "needs a password"],
        ),
        (
            "kind = \"rtsp\", url = \"rtsp://x/\", transport = \"sctp\"",
            vec![":3: transport:", "tcp or udp"],
        ),
        (
            "kind = \"rtsp\", url = \"rtsp://x/\", pull = \"never\"",
            vec![":3: pull:", "watched or always"],
        ),
        (
            "kind = \"rtsp\", url = \"rtsp://x/\", linger = \"2h\"",
            vec![":3: linger:", "10m"],
        ),
        (
            "kind = \"rtsp\", url = \"rtsp://x/\", check = \"0s\"",
            vec![":3: check:", "1s to 1h"],
        ),
        (
            "kind = \"rtsp\", url = \"rtsp://x/\", audio = \"mp3\"",
            vec![":3: audio:", "silence, aac, pass or off"],
        ),
        (
            "kind = \"rtsp\", url = \"rtsp://x/\", mode = \"0660\"",
            vec![":3: mode:", "no such option"],
        ),
        (
            "kind = \"rtsp\", url = \"rtsp://x/\", snapshot_url = \"http://y/\"",
            vec![":3: snapshot_url:", "host of url"],
        ),
        (
            "kind = \"rtsp\", url = \"rtsp://x/\", snapshot_url = \"http://u:hunter2@x/\"",
            vec![":3: snapshot_url:", "keys of their own"],
        ),
        (
            "kind = \"sim\", snapshot_url = \"http://x/\"",
            vec![":3: snapshot_url:", "no such option"],
        ),
        ("kind = \"jpeg\"", vec![":3: kind:", "needs a url"]),
        (
            "kind = \"jpeg\", url = \"192.168.1.64/now.jpg\"",
            vec![":3: url:", "http://HOST"],
        ),
        (
            "kind = \"jpeg\", url = \"rtsp://x/now.jpg\"",
            vec![":3: url:", "http://HOST"],
        ),
        (
            "kind = \"jpeg\", url = \"https://x/now.jpg\"",
            vec![":3: url:", "https", "not supported"],
        ),
        (
            "kind = \"jpeg\", url = \"http://admin:hunter2@x/now.jpg\"",
            vec![":3: url:", "keys of their own"],
        ),
        (
            "kind = \"jpeg\", url = \"http://x/\", password = \"hunter2\"",
            vec![":3: password:", "needs a user"],
        ),
        (
            "kind = \"jpeg\", url = \"http://x/\", snapshot_url = \"http://x/\"",
            vec![":3: snapshot_url:", "no such option"],
        ),
        (
            "kind = \"jpeg\", url = \"http://x/\", pull = \"always\"",
            vec![":3: pull:", "no such option"],
        ),
        (
            "kind = \"jpeg\", url = \"http://x/\", linger = \"1s\"",
            vec![":3: linger:", "no such option"],
        ),
        (
            "kind = \"jpeg\", url = \"http://x/\", path = \"x\"",
            vec![":3: path:", "no such option"],
        ),
        (
            "kind = \"jpeg\", url = \"http://x/\", audio = \"aac\"",
            vec![":3: audio:", "no such option"],
        ),
        ("kind = \"socket\"", vec![":3: kind:", "needs a path"]),
        (
            "kind = \"socket\", path = \"x\", mode = \"rw\"",
            vec![":3: mode:", "0660"],
        ),
        (
            "kind = \"sim\", users = [1]",
            vec![":3: users:", "no such option"],
        ),
    ] {
        let error = refused(&channel(source));
        for part in expected {
            assert!(error.contains(part), "{source}: {part:?} in {error:?}");
        }
        assert!(!error.contains("hunter2"), "{error}");
    }
    let twice = format!("{CHANNEL}{CHANNEL}");
    assert!(
        refused(&twice).contains("camera.toml:5: id: channel 0 is there twice"),
        "{}",
        refused(&twice)
    );
}

#[test]
fn every_mistake_is_told_in_one_run() {
    let text = "\
        data_dir = \"\"\n\
        [http]\n\
        max_conections = 3\n\
        idle_timeout = \"2h\"\n\
        [[listen]]\n\
        addr = \"localhost\"\n\
        access = \"token\"\n\
        allow_origins = []\n\
        [[channel]]\n\
        id = 0\n\
        speaker = { rate = 8000 }\n\
        audio = 5\n\
        source = { kind = \"rtsp\", linger = \"1d\", gop = 5 }\n\
        [[channel]]\n\
        source = { kind = \"file\" }\n\
        [color]\n";
    let error = refused(text);
    let mut lines = error.lines();
    assert_eq!(lines.next(), Some("camera.toml: 13 mistakes"), "{error}");
    let places: Vec<_> = lines
        .map(|line| {
            let mut parts = line.splitn(4, ':');
            assert_eq!(parts.next(), Some("camera.toml"), "{error}");
            (
                parts.next().unwrap().parse::<usize>().unwrap(),
                parts.next().unwrap().trim(),
            )
        })
        .collect();
    let expected = [
        (1, "data_dir"),
        (3, "max_conections"),
        (4, "idle_timeout"),
        (6, "addr"),
        (8, "allow_origins"),
        (11, "rate"),
        (12, "audio"),
        (13, "kind"),
        (13, "linger"),
        (13, "gop"),
        (14, "id"),
        (15, "kind"),
        (16, "color"),
    ];
    assert_eq!(places, expected, "{error}");
}

#[test]
fn what_was_probably_meant_is_told() {
    const SIM: &str = "source = { kind = \"sim\" }\n";
    for (text, place, words) in [
        (
            format!("[channel]\nid = 0\n{SIM}"),
            ":1: channel:",
            "write it as [[channel]]",
        ),
        (
            format!("[channel]\nid = 0\n{SIM}[channel]\nid = 1\n{SIM}"),
            ":4:",
            "two brackets, as in [[channel]]",
        ),
        (
            format!("[[http]]\nmax_viewers = 4\n{CHANNEL}"),
            ":1: http:",
            "write it as [http]",
        ),
        (
            format!("{CHANNEL}[[chanel]]\n"),
            ":4: chanel:",
            "did you mean channel?",
        ),
        (
            format!("[http]\nmax_sessions = 4\n{CHANNEL}"),
            ":2: max_sessions:",
            "[access] has such a key",
        ),
        (
            format!("[live]\ndata_dir = \"x\"\n{CHANNEL}"),
            ":2: data_dir:",
            "above the first [table]",
        ),
        (
            format!("[call]\nring = 60\n{CHANNEL}"),
            ":2: ring:",
            "such as \"60s\"; 1s to 5m are allowed",
        ),
        (
            format!("[live]\nmemory = \"64mb\"\n{CHANNEL}"),
            ":2: memory:",
            "such as \"64MiB\"",
        ),
        (
            format!("[http]\nmax_viewers = \"8\"\n{CHANNEL}"),
            ":2: max_viewers:",
            "without quotes",
        ),
        (
            format!("[live]\nhevc = \"hvc\"\n{CHANNEL}"),
            ":2: hevc:",
            "did you mean \"hvc1\"?",
        ),
        (
            format!("[user_define]\nallow = \"ptz\"\n{CHANNEL}"),
            ":2: allow:",
            "a list",
        ),
        (
            format!("{CHANNEL}speaker = \"aplay -q\"\n"),
            ":4: speaker:",
            "{ command = [\"aplay\", \"-q\"] }",
        ),
        (
            format!("{CHANNEL}speaker = {{ command = \"aplay -q\" }}\n"),
            ":4: command:",
            "a list",
        ),
        (
            "channel = 5\n".to_owned(),
            ":1: channel:",
            "a table such as [[channel]] is needed, not an integer",
        ),
        (
            format!("listen = \"127.0.0.1:80\"\n{CHANNEL}"),
            ":1: listen:",
            "a table such as [[listen]] is needed, not a string",
        ),
        (
            "[[channel]]\nid = 0\nsource = \"sim\"\n".to_owned(),
            ":3: source:",
            "{ kind = ",
        ),
        (
            "[[channel]]\nid = 0\n".to_owned(),
            ":1: source:",
            "{ kind = ",
        ),
        (
            format!("[[listen]]\naddr = \"localhost:34567\"\n{CHANNEL}"),
            ":2: addr:",
            "did you mean \"127.0.0.1:34567\"?",
        ),
        (
            format!("[[listen]]\naddr = \":80\"\n{CHANNEL}"),
            ":2: addr:",
            "did you mean \"127.0.0.1:80\"?",
        ),
        (
            format!("[[listen]]\naddr = \"192.0.2.1\"\n{CHANNEL}"),
            ":2: addr:",
            "did you mean \"192.0.2.1:34567\"?",
        ),
        (
            "channel:\n  - id: 0\n    name: door\n".to_owned(),
            ":1:",
            "looks like YAML",
        ),
        (
            "{\n  \"channel\": [ { \"id\": 0 } ]\n}\n".to_owned(),
            ":1:",
            "looks like JSON",
        ),
        (
            format!("data_dir = \"C:\\Users\\me\"\n{CHANNEL}"),
            ":1: data_dir:",
            "a path with / or in '…'",
        ),
        (
            format!("data_dir = “data”\n{CHANNEL}"),
            ":1: data_dir:",
            "straight",
        ),
        (
            format!("[[listen]]\naddr = \"http://127.0.0.1:80/\"\n{CHANNEL}"),
            ":2: addr:",
            "did you mean \"127.0.0.1:80\"?",
        ),
        (
            format!("[record]\nsegment = 60\n{CHANNEL}"),
            ":2: segment:",
            "such as \"60s\"",
        ),
        (
            format!("[record]\nmax_size = 28\n{CHANNEL}"),
            ":2: max_size:",
            "such as \"28GiB\"",
        ),
        (
            "[[channel]]\nid = 0\nsource = \"rtsp://192.0.2.1/main\"\n".to_owned(),
            ":3: source:",
            "{ kind = \"rtsp\", url = \"rtsp://HOST/PATH\" }",
        ),
        (
            "[[channel]]\nid = 0\nsource = { kind = \"RTSP\" }\n".to_owned(),
            ":3: kind:",
            "did you mean \"rtsp\"?",
        ),
        ("channel:\n\tid: 0\n".to_owned(), ":1:", "looks like YAML"),
        ("[{\"id\": 0}]\n".to_owned(), ":1:", "looks like JSON"),
        (
            "<?xml version=\"1.0\"?>\n<channel/>\n".to_owned(),
            ":1:",
            "looks like XML",
        ),
        ("peercam:1?c=abc&d=def\n".to_owned(), ":1:", "a pairing URI"),
        (
            format!("// the front door\n{CHANNEL}"),
            ":1:",
            "a comment begins with #",
        ),
        (
            format!("; the front door\n{CHANNEL}"),
            ":1:",
            "a comment begins with #",
        ),
        (
            format!("data_dir = data\n{CHANNEL}"),
            ":1: data_dir:",
            "a text stands in quotes",
        ),
        (
            format!("data_dir = /var/lib/peercam\n{CHANNEL}"),
            ":1: data_dir:",
            "a text stands in quotes",
        ),
        (
            format!("data_dir = \"data\n{CHANNEL}"),
            ":1: data_dir:",
            "with the quote that it began with",
        ),
        (
            format!("[[listen]]\naddr = 127.0.0.1:80\n{CHANNEL}"),
            ":2: addr:",
            "a text stands in quotes",
        ),
        (
            "[[channel]]\nid = 0\nsource = { kind = sim }\n".to_owned(),
            ":3: source:",
            "a text stands in quotes",
        ),
        (
            "[[channel]]\nid = 0\nsource = { \"kind\": \"sim\" }\n".to_owned(),
            ":3: source:",
            "followed by =",
        ),
        (
            "[channel]]\nid = 0\n".to_owned(),
            ":1:",
            "one of several [[name]]",
        ),
        (
            "server {\n  listen 80;\n}\n".to_owned(),
            ":1:",
            "a line is key = value",
        ),
        ("id：0\n".to_owned(), ":1:", "an English keyboard"),
        (
            format!("[p2p]\nport = 1\nport = 2\n{CHANNEL}"),
            ":3: port:",
            "keep one",
        ),
        (
            format!("[p2p]\nenabled = False\n{CHANNEL}"),
            ":2: enabled:",
            "true or false, in small letters",
        ),
        (
            format!("[p2p]\nenabled = no\n{CHANNEL}"),
            ":2: enabled:",
            "true or false, in small letters",
        ),
        (
            format!("[p2p]\nport = 5,\n{CHANNEL}"),
            ":2: port:",
            "without a comma",
        ),
        (
            format!("data_dir ＝ \"data\"\n{CHANNEL}"),
            ":1:",
            "an English keyboard",
        ),
        (
            format!("[p2p]\n\u{a0}port = 5\n{CHANNEL}"),
            ":2:",
            "looks like a space",
        ),
        (
            format!("data_dir = \"~/peercam\"\n{CHANNEL}"),
            ":1: data_dir:",
            "write the whole path",
        ),
        (
            "[[channel]]\nid = 0\nsource = { kind = \"file\", path = \"$HOME/a.mp4\" }\n"
                .to_owned(),
            ":3: path:",
            "write the whole path",
        ),
    ] {
        let error = refused(&text);
        assert_eq!(error.lines().count(), 1, "{text}: {error}");
        assert!(error.starts_with(&format!("camera.toml{place}")), "{error}");
        assert!(error.contains(words), "{words}: {error}");
    }
    // These are as good.
    for text in [
        format!("\u{feff}{CHANNEL}"),
        CHANNEL.replace('\n', "\r\n"),
        CHANNEL.replace(' ', "\t"),
    ] {
        Config::parse(&text, Path::new("camera.toml")).expect(&text);
    }
}

#[test]
fn a_file_that_is_no_configuration_is_told_as_that() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("camera.toml");
    let refused = || Config::load(&path).expect_err("none").to_string();
    let utf_16: Vec<u8> = "\u{feff}id"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (bytes, words) in [
        (&b"\x7fELF\x02\x01\xff"[..], "no text in UTF-8"),
        (b"FLV\x01\x05\0\0\0\x09", "this is no text"),
        (&utf_16, "UTF-16"),
        (&vec![b'#'; 2 << 20], "too large"),
        (b"", "there is no [[channel]]"),
        (b"\n\n# nothing\n", "there is no [[channel]]"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = refused();
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(words), "{words}: {error}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(refused().contains("cannot be read: No such file"));
    std::fs::create_dir(&path).unwrap();
    assert!(refused().contains("cannot be read: Is a directory"));
}

#[test]
fn no_mistake_shows_a_secret() {
    for password in ["hunter2", "'hunter2' x", "\"\\hunter2\"", "[\"hunter2\"]"] {
        let source = "kind = \"rtsp\", url = \"rtsp://x/\", user = \"admin\"";
        let source = format!("source = {{ {source}, password = {password} }}");
        let error = refused(&format!("[[channel]]\nid = 0\n{source}\n"));
        assert!(error.starts_with("camera.toml:3:"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    // A secret in the place of a key, or of a word.
    for text in ["\"hunter2 \" = 5\n", "[live]\nhevc = \"hunter2\"\n"] {
        let error = refused(&format!("{text}{CHANNEL}"));
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn an_address_has_one_listener() {
    let listen = |first: &str, second: &str| {
        let listen =
            |address: &str| format!("[[listen]]\naddr = \"{address}\"\naccess = \"token\"\n");
        let text = format!("{}{}{CHANNEL}", listen(first), listen(second));
        Config::parse(&text, Path::new("camera.toml")).map_err(|error| error.to_string())
    };
    for (first, second) in [
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("127.0.0.1:80", "127.0.0.1:81"),
        ("127.0.0.1:80", "127.0.0.2:80"),
        ("127.0.0.1:80", "[::1]:80"),
    ] {
        listen(first, second).unwrap();
    }
    for (first, second) in [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("[::1]:80", "[::]:80"),
        ("127.0.0.1:80", "[::ffff:127.0.0.1]:80"),
    ] {
        let error = listen(first, second).unwrap_err();
        assert!(error.starts_with("camera.toml:5: addr:"), "{error}");
        assert!(error.contains(first), "{error}");
    }
}

#[cfg(feature = "rtsp")]
#[test]
fn check_doubts_files() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("camera.toml");
    let doubts = |text: &str, mode: u32| {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let output = run(&["check", "--config", path.to_str().unwrap()]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{errors}");
        errors
    };
    let rtsp =
        |options: &str| format!("[[channel]]\nid = 0\nsource = {{ kind = \"rtsp\", {options} }}\n");
    let secret = rtsp("url = \"rtsp://x/\", user = \"admin\", password = \"hunter2\"");
    let told = doubts(&secret, 0o644);
    assert!(
        told.contains("a camera's password in it: chmod 600") && !told.contains("hunter2"),
        "{told}"
    );
    assert_eq!(doubts(&secret, 0o600), "");
    let in_url = rtsp("url = \"rtsp://x/user=admin&password=hunter2\"");
    let told = doubts(&in_url, 0o640);
    assert!(
        told.contains("chmod 600") && !told.contains("hunter2"),
        "{told}"
    );
    assert_eq!(doubts(&rtsp("url = \"rtsp://x/\""), 0o644), "");
    // Not even root makes anything below a file.
    std::fs::write(directory.path().join("file"), "").unwrap();
    let socket = "[[channel]]\nid = 0\nsource = { kind = \"socket\", path = \"file/a.sock\" }\n";
    let told = doubts(socket, 0o600);
    assert!(
        told.contains("file/a.sock: nothing can be made in"),
        "{told}"
    );
    assert_eq!(doubts(&socket.replace("file/", "new/"), 0o600), "");
}

#[cfg(feature = "record")]
#[test]
fn single_pictures_are_not_recorded() {
    let channel = |source: &str, record: &str| {
        format!(
            "[record]\nmode = \"event\"\n[[channel]]\nid = 0\n{record}\nsource = {{ {source} }}\n"
        )
    };
    let jpeg = "kind = \"jpeg\", url = \"http://x/\"";
    for mode in ["always", "event"] {
        let error = refused(&channel(jpeg, &format!("record = \"{mode}\"")));
        assert!(
            error.contains(":5: record: single pictures are not"),
            "{error}"
        );
    }
    use peercam::record::Mode;
    for (source, record, expected) in [
        (jpeg, "", Some(Mode::Off)),
        (jpeg, "record = \"off\"", Some(Mode::Off)),
        ("kind = \"sim\"", "", None),
        ("kind = \"sim\"", "record = \"off\"", Some(Mode::Off)),
    ] {
        let text = channel(source, record);
        let config = Config::parse(&text, Path::new("camera.toml")).unwrap();
        assert_eq!(config.channels[0].record, expected, "{text}");
    }
}

#[test]
fn a_camera_in_the_network_is_checked_unless_it_is_to_sleep() {
    use std::time::Duration;
    let check = |kind: &str, key: &str| {
        let source = format!(
            "kind = \"{kind}\", url = \"{}://x/\"{key}",
            kind.replace("jpeg", "http")
        );
        let text = format!("[[channel]]\nid = 0\nsource = {{ {source} }}\n");
        let config = Config::parse(&text, Path::new("camera.toml")).unwrap();
        match &config.channels[0].source {
            Source::Rtsp(config) => config.check,
            Source::Jpeg(config) => config.check,
            other => panic!("{other:?}"),
        }
    };
    for kind in ["rtsp", "jpeg"] {
        assert_eq!(check(kind, ""), Some(Duration::from_secs(30)));
        let minutes = check(kind, ", check = \"5m\"");
        assert_eq!(minutes, Some(Duration::from_mins(5)));
        assert_eq!(check(kind, ", check = \"off\""), None);
    }
}

#[test]
fn audio_is_said_by_the_channel_or_its_source() {
    use peercam_hal::AudioPolicy::{Aac, Off, Pass, Silence};
    let sim = "kind = \"sim\"";
    let rtsp = "kind = \"rtsp\", url = \"rtsp://x/\"";
    let socket = "kind = \"socket\", path = \"x\"";
    let file = "kind = \"file\", path = \"x\"";
    let aac = if cfg!(feature = "aac") { Aac } else { Silence };
    let aac_word = if cfg!(feature = "aac") {
        "aac"
    } else {
        "silence"
    };
    for (channel, source, of_source, expected) in [
        ("", sim, "", Silence),
        ("", rtsp, "", Silence),
        ("", socket, "", Silence),
        ("", file, "", Silence),
        ("pass", file, "", Pass),
        (aac_word, sim, "pcma", aac),
        ("pass", sim, "pcma", Pass),
        // A simulated camera says there what microphone it has.
        ("", sim, "pcmu", Silence),
        ("", sim, "none", Off),
        ("", sim, "silence", Silence),
        ("silence", sim, "none", Silence),
        ("", rtsp, aac_word, aac),
        ("", rtsp, "camera", Pass),
        ("", socket, "none", Off),
        ("", file, "off", Off),
    ] {
        let said = |word: &str| match word {
            "" => String::new(),
            word => format!("audio = \"{word}\""),
        };
        let of_source = said(of_source).replace("audio", ", audio");
        let channel = said(channel);
        let text = format!("[[channel]]\nid = 0\n{channel}\nsource = {{ {source}{of_source} }}\n");
        let config = Config::parse(&text, Path::new("camera.toml")).unwrap();
        let channel = &config.channels[0];
        assert_eq!(channel.sound, expected, "{text}");
        if let Source::Rtsp(config) = &channel.source {
            assert_eq!(
                config.sound,
                expected != Off,
                "what nobody hears is not read"
            );
        }
    }
    let twice =
        format!("[[channel]]\nid = 0\naudio = \"pass\"\nsource = {{ {rtsp}, audio = \"pass\" }}\n");
    let error = refused(&twice);
    assert!(
        error.contains("camera.toml:4: audio: the channel says audio"),
        "{error}"
    );
}

#[test]
fn paths_are_relative_to_the_file() {
    let text = "[[channel]]\nid = 1\nsource = { kind = \"file\", path = \"clips/a.mp4\" }\n";
    let config = Config::parse(text, Path::new("/etc/peercam/camera.toml")).unwrap();
    assert_eq!(
        config.channels[0].source,
        Source::File {
            path: "/etc/peercam/clips/a.mp4".into()
        }
    );
}

#[test]
fn check_says_fine_or_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("camera.toml");
    let path = path.to_str().unwrap();
    std::fs::write(path, CHANNEL).unwrap();
    let fine = run(&["check", "--config", path]);
    assert_eq!(fine.status.code(), Some(0));
    assert!(String::from_utf8(fine.stdout).unwrap().contains("fine"));
    assert_eq!(run(&["check", path]).status.code(), Some(0));
    for (arguments, words) in [
        (&["check"][..], "peercam check FILE"),
        (&["check", path, "--config", path], "two files are named"),
        (&["--no-record", "check", path], "an option of run"),
    ] {
        let output = run(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && errors.contains(words),
            "{errors}"
        );
    }
    std::fs::write(path, "[http]\nspeed = 9\n").unwrap();
    let wrong = run(&["check", "--config", path]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        String::from_utf8(wrong.stderr)
            .unwrap()
            .contains(":2: speed: unknown field")
    );
    // A camera of the program that runs the daemon: this one has none.
    std::fs::write(path, CHANNEL.replace("sim", "own")).unwrap();
    let own = run(&["check", "--config", path]);
    assert_eq!(own.status.code(), Some(1));
    let text = String::from_utf8(own.stderr).unwrap();
    assert!(text.contains("channel 0: kind = \"own\""), "{text}");
}
