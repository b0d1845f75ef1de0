//! Sums of budgets: no configuration keeps more than its total, and small devices still do their
//! tasks.

use super::*;

const CAMERA: Wants = Wants {
    channels: 1,
    streams: 0,
    reassembly: (0, 0),
    max_viewers: 32,
    max_connections: 256,
    max_sessions: 4,
    has_p2p: cfg!(feature = "p2p"),
    live_memory: 16 * MIB,
    record: Some((4 * MIB, 0)),
};

#[cfg(feature = "record")]
const _: () = assert!(INDEX >= peercam_proto::fmp4::INDEX_MEMORY);

fn of_limit(limit_mib: u64, wants: &Wants) -> Result<Budget, TooLittleMemory> {
    let total = half_beyond(limit_mib << 20) as usize;
    Budget::share(total, Origin::Unknown, wants)
}

/// Bytes that all parts may keep at once by their shares, whatever cameras, viewers and cards do.
fn worst(budget: &Budget, wants: &Wants) -> usize {
    let streams = 3 * wants.channels;
    let rings = budget.live.max(streams * budget.picture);
    let viewers = budget.viewers * (VIEWER_BATCH + budget.picture);
    let players = budget.players * FRAGMENTS_OF_PLAYER * budget.fragment.max(budget.picture);
    let recorder = wants.record.map_or(0, |_| {
        let cutting = budget.fragment + budget.fragment / 3 + INDEX;
        budget.record + wants.channels * (budget.pre_roll + cutting.max(budget.picture))
    });
    let kernel = budget.viewers * budget.send_buffer.unwrap_or(SEND_BUFFER.1);
    let (packets, messages) = wants.reassembly;
    let cameras = wants.streams * budget.memory.gop
        + packets * (budget.picture * 3 / 2)
        + messages * 2 * budget.picture;
    rings
        + viewers
        + players
        + budget.downloads * DOWNLOAD
        + wants.max_sessions * budget.p2p_window
        + budget.connections * CONNECTION
        + kernel
        + recorder
        + budget.recordings * RECORDING
        + cameras
        + wants.channels * TALK
        + budget.talk_ahead
        + budget.events
        + REST
}

#[test]
fn a_camera_with_32_mib_serves_each_session_and_records() {
    let budget = of_limit(32, &CAMERA).expect("enough");
    assert_eq!(budget.total, 11 * MIB);
    assert!(budget.picture >= 384 * KIB);
    assert!(budget.viewers >= 4 && budget.players >= 1 && budget.downloads >= 1);
    assert!(budget.connections >= connections::least(4));
    assert!(budget.recordings >= 8_000 && budget.record >= budget.picture);
    assert!(budget.send_buffer.expect("bounded") >= 128 * KIB);
    let table = budget.to_string();
    assert!(
        table.contains("live viewers") && table.contains("at a time"),
        "{table}"
    );
}

#[test]
fn all_together_keep_no_more_than_the_sum() {
    let two = Wants {
        channels: 2,
        streams: 6,
        reassembly: (3, 1),
        record: Some((4 * MIB, 2 * MIB)),
        ..CAMERA
    };
    for wants in [
        CAMERA,
        two,
        Wants {
            max_viewers: 5000,
            ..CAMERA
        },
    ] {
        for limit in [40, 48, 64, 100, 256, 1024, 8192] {
            let Ok(budget) = of_limit(limit, &wants) else {
                assert!(limit < 64, "{limit} MiB are too little for {wants:?}");
                continue;
            };
            let shares: usize = budget.shares.iter().map(|share| share.bytes).sum();
            assert!(shares <= budget.total);
            let worst = worst(&budget, &wants);
            assert!(
                worst <= budget.total,
                "{worst} of {} with {limit} MiB",
                budget.total
            );
        }
    }
}

#[test]
fn where_there_is_plenty_the_configuration_alone_bounds() {
    let budget = of_limit(16 << 10, &CAMERA).expect("enough");
    assert_eq!((budget.viewers, budget.connections), (32, 256));
    assert_eq!((budget.picture, budget.live), (2 * MIB, 6 * MIB));
    assert_eq!(budget.record, 4 * MIB);
    assert_eq!(budget.send_buffer, None);
    assert_eq!(budget.talk_ahead, MIB);
    #[cfg(feature = "p2p")]
    assert_eq!(budget.p2p_window, peercam_net::p2p::SEND_WINDOW);
}

#[test]
fn bounds_of_parts_hold_inside_of_it() {
    let wants = Wants {
        live_memory: MIB,
        record: Some((MIB, 0)),
        ..CAMERA
    };
    let budget = of_limit(16 << 10, &wants).expect("enough");
    assert_eq!(
        (budget.live, budget.record),
        (6 * MIB, MIB),
        "a picture of each stream is kept in any case"
    );
    let event = Wants {
        record: Some((4 * MIB, 2 * MIB)),
        ..CAMERA
    };
    let budget = of_limit(16 << 10, &event).expect("enough");
    assert_eq!((budget.record, budget.pre_roll), (4 * MIB, 2 * MIB));
}

#[test]
fn too_little_is_said_with_what_would_be_enough() {
    let error = of_limit(16, &CAMERA).expect_err("too little");
    let text = error.to_string();
    assert!(
        text.contains("3.0 MiB") && text.contains("runtime.memory"),
        "{text}"
    );
    let enough = Budget::share(error.needed, Origin::Configured, &CAMERA);
    assert!(enough.is_ok(), "{enough:?}");
}

#[test]
fn firmware_and_a_camera_of_the_network_fit_into_32_mib_too() {
    for wants in [
        Wants {
            streams: 3,
            reassembly: (0, 1),
            ..CAMERA
        },
        Wants {
            streams: 1,
            reassembly: (1, 0),
            ..CAMERA
        },
    ] {
        let budget = of_limit(32, &wants).expect("enough");
        assert!(budget.memory.gop >= budget.picture / 2);
    }
}

#[test]
fn many_cameras_share_a_picture_size_that_fits() {
    let wants = Wants {
        channels: 16,
        ..CAMERA
    };
    let budget = of_limit(256, &wants).expect("enough");
    assert!(
        (MIB..2 * MIB).contains(&budget.picture),
        "{}",
        budget.picture
    );
    assert!(budget.viewers >= 16);
}

#[test]
fn other_channels_fit_into_what_was_given_out_or_are_refused() {
    let camera = |channels, streams, urls, before| Wants {
        channels,
        streams,
        reassembly: (urls, 0),
        record: Some((4 * MIB, before)),
        ..CAMERA
    };
    let (mut fitted, mut refused) = (0, 0);
    for limit in [32, 64, 128, 512, 4096] {
        for before in [
            camera(1, 0, 0, 0),
            camera(1, 3, 3, 2 * MIB),
            camera(4, 4, 4, 0),
        ] {
            let Ok(start) = of_limit(limit, &before) else {
                continue;
            };
            let same = start.for_channels(&before).expect("it is the same");
            assert!(
                same.live >= start.live,
                "{limit} MiB: {} {}",
                same.live,
                start.live
            );
            assert_eq!(same.pre_roll, start.pre_roll);
            for after in [
                camera(0, 0, 0, 0),
                camera(1, 1, 1, 2 * MIB),
                camera(2, 0, 0, 0),
                camera(2, 2, 2, 0),
                camera(8, 24, 24, 2 * MIB),
            ] {
                match start.for_channels(&after) {
                    Ok(budget) => {
                        let worst = worst(&budget, &after);
                        assert!(worst <= budget.total, "{limit} MiB: {worst} {after:?}");
                        let shared: usize = budget.shares.iter().map(|share| share.bytes).sum();
                        assert!((worst..=budget.total).contains(&shared), "{worst} {shared}");
                        fitted += 1;
                    }
                    Err(error) => {
                        assert!(error.needed > start.total);
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(fitted > 20 && refused > 5, "{fitted} {refused}");
    let second = |limit| {
        let start = of_limit(limit, &CAMERA).expect("enough");
        start.for_channels(&camera(2, 0, 0, 2 * MIB))
    };
    assert!(
        second(4096).is_ok_and(|budget| budget.pre_roll > 0),
        "events too"
    );
    assert!(second(64).is_err(), "it was all given out");
}
