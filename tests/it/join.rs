//! Joining, skipping and leaving a stream, frame by frame, with a scripted camera.

use std::{sync::atomic::Ordering, time::Duration};

use peercam::live::{Hub, Subscription};
use peercam_hal::SourceEvent;
use peercam_proto::{
    credential::Channels,
    error::ErrorKind,
    media::{ChannelId, StreamId},
};

use crate::scripted::{STREAM, Script, described, picture, take, take_described, tracks};

#[tokio::test]
async fn the_first_viewer_starts_the_camera_and_gets_its_first_key_frame() {
    let script = Script::new(true);
    let hub = script.hub();
    let (subscription, ()) = tokio::join!(hub.subscribe(STREAM), script.online());
    let mut viewer = subscription.unwrap();
    script.sound(990).await;
    script.picture(true, 1000).await;
    assert_eq!(take_described(&mut viewer, 1).await, [('K', 1000, 0, 0)]);
    script.sound(1010).await;
    script.picture(false, 1040).await;
    assert_eq!(
        take_described(&mut viewer, 2).await,
        [('a', 1010, 10, 0), ('p', 1040, 40, 0)]
    );
    assert_eq!(script.opened.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_late_viewer_gets_the_gop_squeezed_and_is_not_behind() {
    let script = Script::new(false);
    let hub = script.hub();
    let mut first = script.first_viewer(&hub).await;
    script.picture(true, 1000).await;
    take_described(&mut first, 1).await;
    for index in 1..5 {
        script.sound(961 + index * 40).await;
        script.picture(false, 1000 + index * 40).await;
    }
    take_described(&mut first, 8).await;

    let mut late = hub.subscribe(STREAM).await.unwrap();
    script.picture(false, 1200).await;
    script.sound(1201).await;
    script.picture(false, 1240).await;
    let expected = [
        ('K', 1000, 0, 0),
        ('p', 1040, 1, 0),
        ('p', 1080, 2, 0),
        ('p', 1120, 3, 0),
        ('p', 1160, 4, 0),
        ('p', 1200, 44, 0),
        ('a', 1201, 45, 0),
        ('p', 1240, 84, 0),
    ];
    assert_eq!(take_described(&mut late, 8).await, expected);
}

#[tokio::test]
async fn a_squeezed_gop_with_reordered_pictures_is_shown_in_order() {
    let script = Script::new(false);
    let hub = script.hub();
    let mut first = script.first_viewer(&hub).await;
    // Decoded I P B B P B B, shown I B B P B B P.
    let pictures = [
        (0, 40),
        (40, 120),
        (80, 0),
        (120, 0),
        (160, 120),
        (200, 0),
        (240, 0),
    ];
    for (index, (millis, composition)) in pictures.into_iter().enumerate() {
        script
            .send(SourceEvent::Frame(picture(index == 0, millis, composition)))
            .await;
    }
    take_described(&mut first, 7).await;
    let mut late = hub.subscribe(STREAM).await.unwrap();
    let shown_at: Vec<i64> = take_described(&mut late, 7)
        .await
        .into_iter()
        .map(|(_, _, timestamp, composition)| i64::from(timestamp) + i64::from(composition))
        .collect();
    let rank: Vec<usize> = shown_at
        .iter()
        .map(|at| shown_at.iter().filter(|other| *other < at).count())
        .collect();
    assert_eq!(rank, [0, 3, 1, 2, 6, 4, 5]);
    assert_eq!(
        shown_at.iter().max().unwrap() - shown_at.iter().min().unwrap(),
        6,
        "1 ms apart"
    );
}

/// A first viewer on a stream whose GOP is older than a key frame's request interval. Its newest
/// picture lies in the future of the hub's clock, so it never counts as standing still.
async fn old_gop(script: &std::sync::Arc<Script>, hub: &Hub) -> Subscription {
    let mut first = script.first_viewer(hub).await;
    script.picture(true, -5000).await;
    take_described(&mut first, 1).await;
    script.picture(false, NEWEST).await;
    take_described(&mut first, 1).await;
    first
}

const NEWEST: i64 = 100_000;

#[tokio::test]
async fn joining_an_old_gop_asks_for_a_key_frame_and_starts_there() {
    let script = Script::new(true);
    let hub = script.hub();
    let _first = old_gop(&script, &hub).await;
    let mut late = hub.subscribe(STREAM).await.unwrap();
    assert_eq!(script.key_requests.load(Ordering::SeqCst), 1);
    script.picture(false, NEWEST + 40).await;
    script.picture(true, NEWEST + 80).await;
    assert_eq!(
        take_described(&mut late, 1).await,
        [('K', NEWEST + 80, 0, 0)]
    );
    script.picture(false, NEWEST + 120).await;
    assert_eq!(
        take_described(&mut late, 1).await,
        [('p', NEWEST + 120, 40, 0)]
    );
}

#[tokio::test]
async fn a_hundred_joins_ask_for_one_key_frame() {
    let script = Script::new(true);
    let hub = script.hub();
    let _first = old_gop(&script, &hub).await;
    let mut viewers = Vec::new();
    for _ in 0..100 {
        viewers.push(hub.subscribe(STREAM).await.unwrap());
    }
    assert_eq!(script.key_requests.load(Ordering::SeqCst), 1);
    script.picture(true, NEWEST + 40).await;
    for viewer in &mut viewers {
        assert_eq!(take_described(viewer, 1).await, [('K', NEWEST + 40, 0, 0)]);
    }
}

#[tokio::test]
async fn a_key_frame_that_does_not_come_is_not_waited_for() {
    let script = Script::new(true);
    let hub = script.hub();
    let _first = old_gop(&script, &hub).await;
    let mut late = hub.subscribe(STREAM).await.unwrap();
    for index in 1..=3 {
        script.picture(false, NEWEST + index * 40).await;
    }
    let taken = take_described(&mut late, 5).await;
    assert_eq!(taken[0], ('K', -5000, 0, 0));
    assert_eq!(
        taken[4],
        ('p', NEWEST + 120, 4, 0),
        "squeezed: the newest picture shows at once"
    );
}

#[tokio::test]
async fn a_picture_that_stands_still_while_sound_goes_on_is_shown() {
    let script = Script::new(true);
    let hub = script.hub();
    let _first = old_gop(&script, &hub).await;
    let mut late = hub.subscribe(STREAM).await.unwrap();
    for index in 1..=4 {
        script.sound(NEWEST + index * 64).await;
    }
    let taken = take_described(&mut late, 2).await;
    assert_eq!(taken[..2], [('K', -5000, 0, 0), ('p', NEWEST, 1, 0)]);
}

#[tokio::test]
async fn a_stalled_camera_shows_its_last_picture_at_once() {
    let script = Script::new(true);
    let hub = script.hub();
    let mut first = script.first_viewer(&hub).await;
    script.picture(true, -5000).await;
    take_described(&mut first, 1).await;
    let mut late = hub.subscribe(STREAM).await.unwrap();
    assert_eq!(take_described(&mut late, 1).await, [('K', -5000, 0, 0)]);
    assert_eq!(script.key_requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn sound_without_picture_is_joined_at_its_newest_block() {
    let script = Script::new(true);
    let hub = script.hub();
    let mut only_sound = tracks();
    only_sound.video = None;
    let online = script.send(SourceEvent::Online(only_sound));
    let (first, ()) = tokio::join!(hub.subscribe(STREAM), online);
    let mut first = first.unwrap();
    script.sound(0).await;
    take_described(&mut first, 1).await;
    for index in 1..20 {
        script.sound(index * 64).await;
        take_described(&mut first, 1).await;
    }
    let mut late = hub.subscribe(STREAM).await.unwrap();
    assert_eq!(take_described(&mut late, 1).await, [('a', 19 * 64, 0, 0)]);
    // One that falls out goes on at the newest block too.
    for index in 20..100 {
        script.sound(index * 64).await;
        take_described(&mut first, 1).await;
    }
    assert_eq!(
        take_described(&mut late, 1).await,
        [('a', 99 * 64, 80 * 64, 0)]
    );
    assert_eq!(late.skipped_frames(), 79);
}

#[tokio::test]
async fn a_viewer_that_falls_out_of_the_ring_goes_on_at_the_newest_key_frame() {
    let script = Script::new(false);
    let hub = script.hub();
    let mut slow = script.first_viewer(&hub).await;
    script.picture(true, 0).await;
    take_described(&mut slow, 1).await;
    let mut fast = hub.subscribe(STREAM).await.unwrap();
    take_described(&mut fast, 1).await;
    for index in 1..500_i64 {
        script.picture(index % 50 == 0, index * 40).await;
        take_described(&mut fast, 1).await;
    }
    let taken = take_described(&mut slow, 1).await;
    assert_eq!(
        taken[0],
        ('K', 450 * 40, 450 * 40, 0),
        "time goes on by what was missed"
    );
    assert_eq!(slow.skipped_frames(), 449);
    assert_eq!(fast.skipped_frames(), 0);
}

#[tokio::test]
async fn timestamps_wrap_at_32_bits() {
    let script = Script::new(false);
    let hub = script.hub();
    let mut viewer = script.first_viewer(&hub).await;
    const WRAP: i64 = 1 << 32;
    script.picture(true, 0).await;
    take_described(&mut viewer, 1).await;
    script.picture(true, WRAP - 40).await;
    take_described(&mut viewer, 1).await;
    script.picture(false, WRAP).await;
    script.sound(WRAP + 20).await;
    script.picture(false, WRAP + 40).await;
    assert_eq!(
        take_described(&mut viewer, 3).await,
        [
            ('p', WRAP, 0, 0),
            ('a', WRAP + 20, 20, 0),
            ('p', WRAP + 40, 40, 0)
        ]
    );
}

#[tokio::test]
async fn a_stream_without_viewers_stops_and_a_new_one_starts_afresh() {
    let script = Script::new(true);
    let hub = script.hub();
    for round in 1..=3 {
        let mut viewer = script.first_viewer(&hub).await;
        script.picture(true, round * 1000).await;
        assert_eq!(
            take_described(&mut viewer, 1).await,
            [('K', round * 1000, 0, 0)]
        );
        assert_eq!(hub.running_streams(&Channels::All), 1);
        drop(viewer);
        assert_eq!(hub.running_streams(&Channels::All), 0);
        tokio::task::yield_now().await;
    }
    assert_eq!(script.opened.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn new_tracks_come_with_the_frame_that_needs_them() {
    let script = Script::new(true);
    let hub = script.hub();
    let mut viewer = script.first_viewer(&hub).await;
    script.picture(true, 0).await;
    let first = take(&mut viewer).await;
    assert_eq!(first[0].new_tracks.as_deref(), Some(&tracks()));
    let mut changed = tracks();
    changed.video.as_mut().unwrap().width = 1280;
    script
        .send(SourceEvent::TracksChanged(changed.clone()))
        .await;
    script.picture(false, 40).await;
    script.picture(true, 80).await;
    script.picture(false, 120).await;
    let mut rest = take(&mut viewer).await;
    while rest.len() < 2 {
        rest.extend(take(&mut viewer).await);
    }
    assert_eq!(
        described(&rest[0]).1,
        80,
        "what came before the key frame cannot be decoded"
    );
    assert_eq!(rest[0].new_tracks.as_deref(), Some(&changed));
    assert!(rest[1].new_tracks.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_is_off_is_refused_with_its_reason() {
    let script = Script::new(true);
    let hub = script.hub();
    let off = script.send(SourceEvent::Offline("no route to camera".to_owned()));
    let (refused, ()) = tokio::join!(hub.subscribe(STREAM), off);
    let error = refused.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.reason().contains("no route to camera"), "{error}");
    assert_eq!(hub.offline(STREAM.channel), None, "as far as is known");

    let silent = hub.subscribe(STREAM).await.map(|_| ()).unwrap_err();
    assert!(silent.reason().contains("did not deliver"), "{silent}");
    let missing = StreamId {
        channel: ChannelId(9),
        ..STREAM
    };
    assert_eq!(
        hub.subscribe(missing).await.map(|_| ()).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test(start_paused = true)]
async fn viewers_survive_a_short_outage_and_are_ended_in_order_after_a_long_one() {
    let script = Script::new(true);
    let hub = script.hub();
    let mut viewer = script.first_viewer(&hub).await;
    script.picture(true, 0).await;
    take_described(&mut viewer, 1).await;

    script
        .send(SourceEvent::Offline("rebooting".to_owned()))
        .await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    script.online().await;
    script.picture(true, 9000).await;
    assert_eq!(take_described(&mut viewer, 1).await, [('K', 9000, 9000, 0)]);

    script.send(SourceEvent::Offline("stolen".to_owned())).await;
    assert!(take(&mut viewer).await.is_empty(), "ended");
    assert_eq!(hub.running_streams(&Channels::All), 0);
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_falls_silent_counts_as_off() {
    let script = Script::new(true);
    let hub = script.hub();
    let mut viewer = script.first_viewer(&hub).await;
    script.picture(true, 0).await;
    take_described(&mut viewer, 1).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(hub.offline(STREAM.channel).is_some());
    script.picture(false, 6000).await;
    take_described(&mut viewer, 1).await;
    assert!(hub.offline(STREAM.channel).is_none(), "it delivers again");
    assert!(
        take(&mut viewer).await.is_empty(),
        "silent for too long: ended"
    );
}

#[tokio::test]
async fn hardware_is_let_go_before_it_is_opened_again() {
    let script = Script::new(true);
    let hub = script.hub();
    for round in 0..20 {
        let online = async {
            while script.opened.load(Ordering::SeqCst) == round {
                tokio::task::yield_now().await;
            }
            script.online().await;
        };
        let (viewer, ()) = tokio::join!(hub.subscribe(STREAM), online);
        drop(viewer.unwrap());
        assert_eq!(script.opened.load(Ordering::SeqCst), round + 1);
    }
    assert_eq!(script.most_open.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn closing_the_hub_ends_every_viewer_and_lets_nobody_in() {
    let script = Script::new(true);
    let hub = script.hub();
    let mut viewer = script.first_viewer(&hub).await;
    hub.close();
    assert!(take(&mut viewer).await.is_empty());
    let refused = hub.subscribe(STREAM).await.map(|_| ()).unwrap_err();
    assert!(refused.reason().contains("shutting down"));
}
