use super::*;

fn status() -> Status {
    let places = |of, taken, max| Places { of, taken, max };
    let media = |medium, quality, seconds| Media {
        medium,
        channel: 0,
        quality,
        seconds,
    };
    Status {
        version: "1.2.3",
        pid: 4711,
        ok: false,
        device_id: "3f".repeat(32),
        data_dir: "/var/lib/peercam".to_owned(),
        uptime_seconds: 7_384,
        clock: None,
        listeners: vec![
            Listener {
                address: "127.0.0.1:34567".to_owned(),
                access: "open",
            },
            Listener {
                address: "0.0.0.0:34568".to_owned(),
                access: "token",
            },
        ],
        lan: vec!["192.0.2.4:34568".to_owned()],
        udp: vec!["192.0.2.4:34567".to_owned()],
        relays: vec!["https://relay.example/".to_owned()],
        problems: vec![ProblemReport {
            part: "camera",
            channel: Some(1),
            name: Some("back\u{1b}[2J".to_owned()),
            what: "connection refused\nforged".to_owned(),
            since: None,
            seconds: 59,
            remedy: "look whether it has power",
        }],
        cameras: vec![
            Camera {
                channel: 0,
                name: "front".to_owned(),
                state: "on",
                reason: None,
            },
            Camera {
                channel: 1,
                name: "back\u{1b}[2J".to_owned(),
                state: "off",
                reason: Some("connection refused\nforged".to_owned()),
            },
        ],
        viewers: vec![
            Viewer {
                name: "phone".to_owned(),
                session: Some("AAAABBBBCCCC".to_owned()),
                path: "relay",
                address: None,
                seconds: 100_000,
                media: vec![media("live", Some("super"), 720), media("talk", None, 3)],
            },
            Viewer {
                name: "192.0.2.9".to_owned(),
                session: None,
                path: "open",
                address: Some("192.0.2.9:4242".to_owned()),
                seconds: 59,
                media: vec![media("download", None, 59)],
            },
        ],
        places: vec![places("viewers", 3, 32), places("sessions", 1, 4)],
        card: Some(Card {
            state: "gone",
            reason: Some("no card is mounted".to_owned()),
            files: 2,
            bytes: 3 << 20,
            free_bytes: Some(5 << 30),
        }),
        memory: Memory {
            resident_bytes: Some(18 << 20),
            budget_bytes: 24 << 20,
            shares: vec![
                Share {
                    part: "live streams",
                    bytes: 6 << 20,
                    used_bytes: Some(1 << 19),
                },
                Share {
                    part: "everything else",
                    bytes: 384 << 10,
                    used_bytes: None,
                },
            ],
        },
        log: Some("info,peercam::live=debug".to_owned()),
    }
}

#[test]
fn people_read_a_line_for_each_thing() {
    let expected = [
        "peercam 1.2.3, process 4711, runs for 2 h 3 min, degraded",
        &format!("device    {}", "3f".repeat(32)),
        "data      /var/lib/peercam",
        "clock     not set",
        "problem   camera 1 \"back\\u{1b}[2J\": connection refused\\nforged, for 59 s; look whether it has power",
        "listener  127.0.0.1:34567, open",
        "listener  0.0.0.0:34568, for paired viewers",
        "LAN       192.0.2.4:34568",
        "P2P       192.0.2.4:34567",
        "relay     https://relay.example/",
        "camera    0 \"front\": on",
        "camera    1 \"back\\u{1b}[2J\": off: connection refused\\nforged",
        "viewer    \"phone\" (relay, address not known), for 1 d 3 h",
        "            live of channel 0, super, for 12 min",
        "            talk of channel 0, for 3 s",
        "viewer    \"192.0.2.9\" (open, 192.0.2.9:4242), for 59 s",
        "            download of channel 0, for 59 s",
        "places    3 of 32 viewers",
        "places    1 of 4 sessions",
        "SD card   gone: no card is mounted",
        "            2 recordings, 3.0 MiB; 5.0 GiB free",
        "memory    18.0 MiB in use; the budget is 24.0 MiB",
        "            live streams          6.0 MiB, uses 512.0 KiB",
        "            everything else     384.0 KiB",
        "log       info,peercam::live=debug",
        "",
    ];
    assert_eq!(status().to_string(), expected.join("\n"));
}

#[test]
fn programs_read_names_that_stay() {
    let json = serde_json::to_value(status()).expect("strings and numbers serialize");
    let expected = serde_json::json!({
        "version": "1.2.3",
        "pid": 4711,
        "ok": false,
        "device_id": "3f".repeat(32),
        "data_dir": "/var/lib/peercam",
        "uptime_seconds": 7384,
        "clock": null,
        "listeners": [
            { "address": "127.0.0.1:34567", "access": "open" },
            { "address": "0.0.0.0:34568", "access": "token" },
        ],
        "lan": ["192.0.2.4:34568"],
        "udp": ["192.0.2.4:34567"],
        "relays": ["https://relay.example/"],
        "problems": [{
            "part": "camera", "channel": 1, "name": "back\u{1b}[2J",
            "what": "connection refused\nforged", "since": null, "seconds": 59,
            "do": "look whether it has power",
        }],
        "cameras": [
            { "channel": 0, "name": "front", "state": "on" },
            {
                "channel": 1, "name": "back\u{1b}[2J", "state": "off",
                "reason": "connection refused\nforged",
            },
        ],
        "viewers": [
            {
                "name": "phone", "session": "AAAABBBBCCCC", "path": "relay", "address": null,
                "seconds": 100_000,
                "media": [
                    { "medium": "live", "channel": 0, "quality": "super", "seconds": 720 },
                    { "medium": "talk", "channel": 0, "seconds": 3 },
                ],
            },
            {
                "name": "192.0.2.9", "session": null, "path": "open",
                "address": "192.0.2.9:4242", "seconds": 59,
                "media": [{ "medium": "download", "channel": 0, "seconds": 59 }],
            },
        ],
        "places": [
            { "of": "viewers", "taken": 3, "max": 32 },
            { "of": "sessions", "taken": 1, "max": 4 },
        ],
        "card": {
            "state": "gone", "reason": "no card is mounted", "files": 2, "bytes": 3 << 20,
            "free_bytes": 5_u64 << 30,
        },
        "memory": {
            "resident_bytes": 18 << 20,
            "budget_bytes": 24 << 20,
            "shares": [
                { "part": "live streams", "bytes": 6 << 20, "used_bytes": 1 << 19 },
                { "part": "everything else", "bytes": 384 << 10, "used_bytes": null },
            ],
        },
        "log": "info,peercam::live=debug",
    });
    assert_eq!(json, expected);
}
