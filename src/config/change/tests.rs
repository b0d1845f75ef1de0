//! Rules of keys: what is taken, what is kept, and what it is called.

use std::path::Path;

use super::*;

const FRONT: &str = "[[channel]]\nid = 0\nname = \"front\"\nsource = { kind = \"socket\", path = \"/run/front\" }\n";
const GARDEN: &str =
    "[[channel]]\nid = 1\nname = \"garden\"\nsource = { kind = \"file\", path = \"/a.flv\" }\n";

fn config(text: &str) -> Config {
    let config = Config::parse(text, Path::new("/c/camera.toml"));
    config.unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Change from one text to another.
fn change(old: &str, new: &str) -> Change {
    config(old).change(config(new), false)
}

/// The same with one channel that stays.
fn change_of_keys(old: &str, new: &str) -> Change {
    change(&format!("{old}\n{FRONT}"), &format!("{new}\n{FRONT}"))
}

fn ids<const N: usize>(ids: [u16; N]) -> BTreeSet<ChannelId> {
    ids.map(ChannelId).into()
}

#[test]
fn the_same_text_changes_nothing() {
    let record = if cfg!(feature = "record") {
        "[record]\nmode = \"event\"\n"
    } else {
        ""
    };
    let text = format!("{record}{FRONT}{GARDEN}");
    let change = change(&text, &text);
    assert_eq!(change.config, config(&text));
    assert!(change.applied.is_empty() && change.restart.is_empty());
    assert!(change.cameras.is_empty() && change.speakers.is_empty());
}

#[test]
fn keys_that_follow_at_once_are_named() {
    for (old, new, names) in [
        ("", "[talkback]\njitter = \"300ms\"", "talkback.jitter"),
        ("", "[talkback]\nidle = \"5s\"", "talkback.idle"),
        (
            "",
            "[talkback]\nsample_rate = 16000",
            "talkback.sample_rate",
        ),
        ("[call]\nring = \"5s\"", "", "call.ring"),
        ("", "[user_define]\nallow = [\"ptz\"]", "user_define.allow"),
        (
            "",
            "[[user_define.handler]]\nname = \"light\"\nurl = \"unix:/x\"",
            "user_define.handler",
        ),
        (
            "",
            "[[listen]]\naddr = \"127.0.0.1:34567\"\nallow_origins = [\"http://a.test\"]",
            "listen 127.0.0.1:34567: allow_origins",
        ),
    ] {
        let change = change_of_keys(old, new);
        assert_eq!(change.applied, [names]);
        assert!(change.restart.is_empty(), "{names}: {:?}", change.restart);
        let told = config(&format!("{new}\n{FRONT}"));
        assert_eq!(change.config, told, "{names}: all of it is in force");
    }
}

#[test]
fn what_decides_who_is_let_in_and_where_stays_until_a_restart() {
    const OPEN: &str = "[[listen]]\naddr = \"127.0.0.1:34567\"\n";
    const TOKEN: &str = "[[listen]]\naddr = \"127.0.0.1:34567\"\naccess = \"token\"\n";
    const OTHER: &str = "[[listen]]\naddr = \"127.0.0.1:34568\"\n";
    let both = format!("{OPEN}{OTHER}");
    let insecure = format!("{OPEN}allow_insecure_lan = true\n");
    let placeholder = format!("{OPEN}allow_placeholder_hosts = true\n");
    let clear = format!("{TOKEN}allow_clear_media = true\n");
    for (old, new, names) in [
        (OPEN, TOKEN, vec!["listen 127.0.0.1:34567: access"]),
        (TOKEN, OPEN, vec!["listen 127.0.0.1:34567: access"]),
        (OPEN, &both, vec!["listen 127.0.0.1:34568: added"]),
        (&both, OPEN, vec!["listen 127.0.0.1:34568: removed"]),
        (
            OPEN,
            &insecure,
            vec!["listen 127.0.0.1:34567: allow_insecure_lan"],
        ),
        (
            OPEN,
            &placeholder,
            vec!["listen 127.0.0.1:34567: allow_placeholder_hosts"],
        ),
        (
            TOKEN,
            &clear,
            vec!["listen 127.0.0.1:34567: allow_clear_media"],
        ),
        (
            "",
            "[access]\nmax_sessions = 9",
            vec!["access.max_sessions"],
        ),
        (
            "",
            "[device]\nproduct_id = \"X\"\ndevice_name = \"y\"\ntimezone = \"CST-8\"",
            vec!["device.product_id", "device.device_name", "device.timezone"],
        ),
        ("", "[http]\nmax_viewers = 3", vec!["http.max_viewers"]),
        (
            "",
            "[http]\nmax_connections = 99\nheader_timeout = \"1s\"\nidle_timeout = \"1s\"\nwrite_timeout = \"1s\"\nbody_timeout = \"1s\"",
            vec![
                "http.max_connections",
                "http.header_timeout",
                "http.idle_timeout",
                "http.write_timeout",
                "http.body_timeout",
            ],
        ),
        (
            "",
            "[live]\nmemory = \"2MiB\"\nhevc = \"hvc1\"",
            vec!["live.memory", "live.hevc"],
        ),
        (
            "",
            "[runtime]\nthreads = 2\nmemory = \"40MiB\"",
            vec!["runtime.threads", "runtime.memory"],
        ),
        ("data_dir = \"a\"", "data_dir = \"b\"", vec!["data_dir"]),
    ] {
        let change = change_of_keys(old, new);
        assert_eq!(change.restart, names);
        assert!(change.applied.is_empty(), "{names:?}: {:?}", change.applied);
        let before = config(&format!("{old}\n{FRONT}"));
        assert_eq!(
            change.config, before,
            "{names:?}: nothing of it is in force"
        );
    }
}

#[cfg(feature = "p2p")]
#[test]
fn p2p_needs_a_restart() {
    for (old, new, names) in [
        ("", "[p2p]\nenabled = false", "p2p.enabled"),
        ("[p2p]\nenabled = false", "", "p2p.enabled"),
        ("", "[p2p]\nport = 1", "p2p.port"),
        ("", "[p2p]\nrelays = [\"https://r.test\"]", "p2p.relays"),
        ("", "[p2p]\nrelay_ca = \"x\"", "p2p.relay_ca"),
        ("", "[p2p]\nrelay_token = \"abcdef\"", "p2p.relay_token"),
    ] {
        let change = change_of_keys(old, new);
        assert_eq!(change.restart, [names]);
        assert_eq!(change.config.p2p, config(&format!("{old}\n{FRONT}")).p2p);
    }
}

#[cfg(feature = "record")]
#[test]
fn the_recorder_takes_what_is_not_about_its_card_and_memory() {
    let change = change_of_keys(
        "[record]",
        "[record]\nmode = \"event\"\nquality = \"standard\"\nsegment = \"5m\"\npre_roll = \"1s\"\nevent_length = \"9s\"\n\
         max_size = \"2GiB\"\nmax_age = \"1h\"\nmin_free = \"1MiB\"\nsnapshots = false\n\
         path = \"x\"\nmount = \"/c\"\nmemory = \"2MiB\"\nfile_list = \"words\"",
    );
    let keys = |words: &str| {
        let words = words.split(' ').map(|word| format!("record.{word}"));
        words.collect::<Vec<_>>()
    };
    assert_eq!(
        change.applied,
        keys("mode quality segment pre_roll event_length max_size max_age min_free snapshots")
    );
    assert_eq!(change.restart, keys("file_list path mount memory"));
    let record = change.config.record.expect("it is on");
    let (memory, path) = (record.config.memory, record.config.path.as_path());
    assert_eq!(memory, 4 << 20);
    assert_eq!(path, Path::new("/c/peercam-data/recordings"));
    assert_eq!(record.config.cut.most_pre_roll, memory / 2);
    assert_eq!(record.config.limits.max_size, 2 << 30);
    for (old, new) in [("", "[record]"), ("[record]", "[record]\nenabled = false")] {
        let change = change_of_keys(old, new);
        assert_eq!(change.restart, ["record.enabled"]);
        assert_eq!(change.config.record.is_some(), !old.is_empty());
    }
}

#[test]
fn channels_come_and_go_and_change_one_by_one() {
    let both = format!("{FRONT}{GARDEN}");
    let added = change(FRONT, &both);
    assert_eq!(added.applied, ["channel 1 (garden): added"]);
    assert_eq!((added.cameras, added.speakers), (ids([1]), ids([])));
    let removed = change(&both, GARDEN);
    assert_eq!(removed.applied, ["channel 0 (front): removed"]);
    assert_eq!(removed.config.channels.len(), 1);
    for (from, to, names, cameras, speakers) in [
        (
            "\"garden\"",
            "\"yard\"",
            "channel 1 (yard): name",
            ids([]),
            ids([]),
        ),
        (
            "/a.flv",
            "/b.flv",
            "channel 1 (garden): source",
            ids([1]),
            ids([]),
        ),
        (
            "name = \"garden\"",
            "name = \"yard\"\naudio = \"off\"",
            "channel 1 (yard): name, audio",
            ids([1]),
            ids([]),
        ),
        (
            "name = \"garden\"",
            "name = \"garden\"\nspeaker = { sample_rate = 8000 }",
            "channel 1 (garden): speaker",
            ids([]),
            ids([1]),
        ),
    ] {
        let change = change(&both, &both.replace(from, to));
        assert_eq!(change.applied, [names]);
        assert_eq!((change.cameras, change.speakers), (cameras, speakers));
        assert!(change.restart.is_empty());
    }
    // Numbers that are swapped are two cameras that are others.
    let swapped = both
        .replace("id = 0", "id = 7")
        .replace("id = 1", "id = 0")
        .replace("id = 7", "id = 1");
    let swap = change(&both, &swapped);
    assert_eq!(swap.cameras, ids([0, 1]));
    assert_eq!(
        swap.applied,
        [
            "channel 0 (garden): name, source",
            "channel 1 (front): name, source"
        ]
    );
}

#[cfg(feature = "record")]
#[test]
fn a_run_that_records_nothing_goes_on_so() {
    let recorded = || config(&format!("[record]\n{FRONT}"));
    let not = recorded().without_recordings();
    let again = not.change(recorded(), false);
    assert_eq!((&again.applied, &again.restart), (&vec![], &vec![]));
    assert_eq!(again.config, not);
    assert_eq!(again.config.change(recorded(), false), again);
}

#[cfg(feature = "record")]
#[test]
fn a_channel_is_recorded_otherwise_where_there_is_a_recorder() {
    let off = FRONT.replace("name", "record = \"off\"\nname");
    let [recorded, not] = ["[record]\n", ""].map(|record| {
        let [old, new] = [FRONT, &off].map(|channel| format!("{record}{channel}"));
        change(&old, &new)
    });
    assert_eq!(recorded.applied, ["channel 0 (front): record"]);
    assert!(recorded.cameras.is_empty());
    assert_eq!(not.restart, ["channel 0 (front): record"]);
}

#[test]
fn who_may_connect_to_a_socket_stays_until_a_restart() {
    let open = FRONT.replace("path =", "users = [1000], mode = \"0666\", path =");
    let told = change(FRONT, &open);
    assert_eq!(
        told.restart,
        ["channel 0 (front): source.mode, source.users"]
    );
    assert_eq!(told.config, config(FRONT));
    // Nor by another channel at the same socket.
    let other = open.replace("id = 0", "id = 3");
    let told = change(FRONT, &other);
    assert_eq!(
        told.restart,
        ["channel 3 (front): source.mode, source.users"]
    );
    assert_eq!(
        told.config.channels[0].source,
        config(FRONT).channels[0].source
    );
    // Another socket is another one.
    let other = open.replace("/run/front", "/run/other");
    assert_eq!(change(FRONT, &other).applied, ["channel 0 (front): source"]);
}

#[test]
fn who_makes_its_cameras_itself_keeps_them_and_takes_the_rest() {
    let new = format!("[call]\nring = \"5s\"\n{GARDEN}");
    let new = new + &FRONT.replace("\"front\"", "\"door\"");
    let change = config(FRONT).change(config(&new.replace("/run/front", "/run/x")), true);
    assert_eq!(change.applied, ["call.ring", "channel 0 (door): name"]);
    assert_eq!(
        change.restart,
        ["channel 0 (door): source", "channel 1 (garden): added"]
    );
    assert!(change.cameras.is_empty());
    let gone = config(FRONT).change(config(GARDEN), true);
    assert_eq!(gone.config.channels, config(FRONT).channels);
}
