//! The event stream of a running daemon, and the properties that panels set.

use std::time::Duration;

use peercam::{
    config::Config,
    daemon::Daemon,
    events::{Event, EventReceiver},
};
use peercam_proto::media::ChannelId;
use tokio::sync::oneshot;

use crate::support::{HANG, request};

const FRONT: ChannelId = ChannelId(0);

/// Waits for an event that is wanted; others may come before it.
async fn wait_for(reader: &mut EventReceiver, is_wanted: impl Fn(&Event) -> bool) -> Event {
    let wanted = async {
        loop {
            let record = reader.recv().await.expect("nothing is lost");
            if is_wanted(&record.event) {
                return record.event.clone();
            }
        }
    };
    tokio::time::timeout(HANG, wanted).await.expect("it comes")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_is_published_in_its_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("camera.toml");
    let text = "[p2p]\nenabled = false\n[[listen]]\naddr = \"127.0.0.1:0\"\n[record]\nmode = \"event\"\n\
        [[channel]]\nid = 0\nsource = { kind = \"sim\", gop = 25 }\n";
    std::fs::write(&path, text).unwrap();
    let daemon = Daemon::start(Config::load(&path).unwrap()).await.unwrap();
    let (address, events) = (daemon.addresses()[0], daemon.events().clone());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(daemon.run(async move {
        let _ = stopped.await;
    }));
    let tell = async |target: &str, body: &str| request(address, "POST", target, body).await;

    let mut reader = events.subscribe();
    assert_eq!(tell("/event?channel=5", "").await.status, 404);
    assert_eq!(tell("/event?type=7&seconds=60", "").await.status, 200);
    let detected = Event::Detected {
        channel: FRONT,
        kind: 7,
        length: Some(Duration::from_secs(60)),
    };
    let first = wait_for(&mut reader, |event| matches!(event, Event::Detected { .. })).await;
    assert_eq!(first, detected, "there is no channel 5");
    // It is recorded from what was published.
    let index = "/command?action=inner_define&cmd=get_record_index&type=7";
    let recorded = async {
        while !tell(index, "").await.body.contains("start_time") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(HANG, recorded)
        .await
        .expect("it records");

    let panel = async |topic: &str, data: &str| {
        let body =
            format!(r#"action=user_define&channel=0&cmd={{"topic":"{topic}","data":{{{data}}}}}"#);
        let answer = tell("/command", &body).await;
        assert!(answer.body.contains(r#""result":"0""#), "{answer:?}");
    };
    panel("Mirror_flip", r#""mode":"flip""#).await;
    panel("set_status", r#""status":"standby""#).await;
    let sealed = wait_for(&mut reader, |event| {
        matches!(event, Event::SegmentClosed { .. })
    });
    let Event::SegmentClosed { channel, kind, .. } = sealed.await else {
        unreachable!("it was waited for");
    };
    assert_eq!((channel, kind), (FRONT, 7));
    panel("set_status", r#""status":"working""#).await;
    let mut reader = events.replay();
    for event in [
        detected,
        Event::Mirror {
            channel: FRONT,
            is_on: true,
        },
        Event::Standby {
            channel: FRONT,
            is_on: true,
        },
        Event::Standby {
            channel: FRONT,
            is_on: false,
        },
    ] {
        wait_for(&mut reader, |published| *published == event).await;
    }
    stop.send(()).unwrap();
    running.await.unwrap();
}
