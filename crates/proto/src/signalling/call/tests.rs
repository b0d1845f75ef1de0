//! Calls as tables of events: the effects of each event, and the state behind the last.

use CallSignal as Signal;
use DeviceCallAction as Device;
use ViewerCallAction as Viewer;

use super::*;

const RING: i64 = 30_000_000;

/// Events in the tables below.
#[derive(Clone, Copy, Debug)]
enum Happens {
    /// The device rings a and b.
    Rings,
    Moves(&'static str, ViewerCallAction),
    Does(DeviceCallAction),
    Leaves(&'static str),
    Expires,
}

use Happens::{Does, Expires, Leaves, Moves, Rings};

fn at(micros: i64) -> MediaTime {
    MediaTime::from_micros(micros)
}

/// A viewer of this name, for as long as the tests run.
fn id(name: &str) -> &'static ViewerId {
    Box::leak(Box::new(name.into()))
}

fn guest(name: &str) -> Party<'_> {
    Party {
        viewer: id(name),
        rank: Rank::Guest,
        answers: Some(name),
    }
}

fn happen(call: &mut Call, what: Happens) -> Moved {
    let channel = ChannelId(1);
    match what {
        Rings => call.ring(channel, vec!["a".into(), "b".into()], at(0)),
        Moves(viewer, what) => call.apply_request(guest(viewer), (what, channel), at(0)),
        Does(what) => call.device_moves(what),
        Leaves(viewer) => Ok(call.left(id(viewer))),
        Expires => Ok(call.expire(at(RING))),
    }
}

/// A short word for how it stands: who rings or talks.
fn stands(call: &Call) -> String {
    match call.state() {
        CallState::Idle => "idle".into(),
        CallState::Calling { viewers, .. } => {
            let viewers: Vec<_> = viewers.iter().map(ViewerId::as_str).collect();
            format!("calling {}", viewers.join(" "))
        }
        CallState::Called { viewer, .. } => format!("called by {viewer}"),
        CallState::Talking { viewer, .. } => format!("talking with {viewer}"),
    }
}

fn tell(viewer: &str, signal: Signal) -> Effect {
    Effect::Tell(viewer.into(), signal)
}

fn ends(viewer: &str) -> Effect {
    Effect::EndTalk(viewer.into())
}

#[test]
fn every_move_in_every_state() {
    let idle: &[Happens] = &[];
    let calling: &[Happens] = &[Rings];
    let called: &[Happens] = &[Moves("a", Viewer::Start)];
    let talking: &[Happens] = &[Moves("a", Viewer::Start), Does(Device::Answer)];
    let fine = |effects: Vec<Effect>, then: &'static str| (Ok(effects), then);
    let refused = |kind: ErrorKind, then: &'static str| (Err(kind), then);
    use ErrorKind::{Busy, Conflict, NotFound};
    #[rustfmt::skip]
    let table = [
        (idle, Moves("a", Viewer::Start), fine(vec![], "called by a")),
        (idle, Moves("a", Viewer::Answer), refused(NotFound, "idle")),
        (idle, Moves("a", Viewer::HangUp), refused(NotFound, "idle")),
        (idle, Moves("a", Viewer::Cancel), refused(NotFound, "idle")),
        (idle, Moves("a", Viewer::Reject), refused(NotFound, "idle")),
        (idle, Moves("a", Viewer::Busy), refused(NotFound, "idle")),
        (idle, Moves("a", Viewer::Timeout), refused(NotFound, "idle")),
        (idle, Rings, fine(vec![Effect::Ring("a".into(), ChannelId(1)), Effect::Ring("b".into(), ChannelId(1))], "calling a b")),
        (idle, Does(Device::Answer), refused(NotFound, "idle")),
        (idle, Does(Device::Reject), refused(NotFound, "idle")),
        (idle, Does(Device::Busy), refused(NotFound, "idle")),
        (idle, Does(Device::HangUp), refused(NotFound, "idle")),
        (idle, Leaves("a"), fine(vec![], "idle")),
        (idle, Expires, fine(vec![], "idle")),

        (calling, Moves("a", Viewer::Start), fine(vec![tell("b", Signal::Cancel)], "talking with a")),
        (calling, Moves("a", Viewer::Answer), fine(vec![tell("b", Signal::Cancel)], "talking with a")),
        (calling, Moves("a", Viewer::HangUp), fine(vec![], "calling b")),
        (calling, Moves("a", Viewer::Cancel), refused(Conflict, "calling a b")),
        (calling, Moves("a", Viewer::Reject), fine(vec![], "calling b")),
        (calling, Moves("a", Viewer::Busy), fine(vec![], "calling b")),
        (calling, Moves("a", Viewer::Timeout), fine(vec![], "calling b")),
        (calling, Moves("c", Viewer::Start), refused(Busy, "calling a b")),
        (calling, Moves("c", Viewer::Answer), refused(NotFound, "calling a b")),
        (calling, Rings, refused(Busy, "calling a b")),
        (calling, Does(Device::Answer), refused(Conflict, "calling a b")),
        (calling, Does(Device::Reject), refused(Conflict, "calling a b")),
        (calling, Does(Device::Busy), refused(Conflict, "calling a b")),
        (calling, Does(Device::HangUp), fine(vec![tell("a", Signal::Cancel), tell("b", Signal::Cancel)], "idle")),
        (calling, Leaves("a"), fine(vec![], "calling b")),
        (calling, Expires, fine(vec![tell("a", Signal::Timeout), tell("b", Signal::Timeout)], "idle")),

        (called, Moves("a", Viewer::Start), fine(vec![], "called by a")),
        (called, Moves("a", Viewer::Answer), refused(Conflict, "called by a")),
        (called, Moves("a", Viewer::HangUp), fine(vec![], "idle")),
        (called, Moves("a", Viewer::Cancel), fine(vec![], "idle")),
        (called, Moves("a", Viewer::Reject), refused(Conflict, "called by a")),
        (called, Moves("a", Viewer::Busy), refused(Conflict, "called by a")),
        (called, Moves("a", Viewer::Timeout), fine(vec![], "idle")),
        (called, Moves("b", Viewer::Start), refused(Busy, "called by a")),
        (called, Moves("b", Viewer::Cancel), refused(NotFound, "called by a")),
        (called, Rings, fine(vec![tell("a", Signal::Busy), Effect::Ring("a".into(), ChannelId(1)), Effect::Ring("b".into(), ChannelId(1))], "calling a b")),
        (called, Does(Device::Answer), fine(vec![tell("a", Signal::Answer)], "talking with a")),
        (called, Does(Device::Reject), fine(vec![tell("a", Signal::Reject)], "idle")),
        (called, Does(Device::Busy), fine(vec![tell("a", Signal::Busy)], "idle")),
        (called, Does(Device::HangUp), fine(vec![tell("a", Signal::Reject)], "idle")),
        (called, Leaves("a"), fine(vec![], "idle")),
        (called, Leaves("b"), fine(vec![], "called by a")),
        (called, Expires, fine(vec![tell("a", Signal::Timeout)], "idle")),

        (talking, Moves("a", Viewer::Start), fine(vec![], "talking with a")),
        (talking, Moves("a", Viewer::Answer), fine(vec![], "talking with a")),
        (talking, Moves("a", Viewer::HangUp), fine(vec![ends("a")], "idle")),
        (talking, Moves("a", Viewer::Cancel), refused(Conflict, "talking with a")),
        (talking, Moves("a", Viewer::Reject), refused(Conflict, "talking with a")),
        (talking, Moves("a", Viewer::Busy), fine(vec![ends("a")], "idle")),
        (talking, Moves("a", Viewer::Timeout), refused(Conflict, "talking with a")),
        (talking, Moves("b", Viewer::Start), refused(Busy, "talking with a")),
        (talking, Moves("b", Viewer::Answer), refused(NotFound, "talking with a")),
        (talking, Moves("b", Viewer::HangUp), refused(NotFound, "talking with a")),
        (talking, Rings, refused(Busy, "talking with a")),
        (talking, Does(Device::Answer), refused(Conflict, "talking with a")),
        (talking, Does(Device::Reject), refused(Conflict, "talking with a")),
        (talking, Does(Device::Busy), refused(Conflict, "talking with a")),
        (talking, Does(Device::HangUp), fine(vec![tell("a", Signal::HangUp), ends("a")], "idle")),
        (talking, Leaves("a"), fine(vec![ends("a")], "idle")),
        (talking, Leaves("b"), fine(vec![], "talking with a")),
        (talking, Expires, fine(vec![], "talking with a")),
    ];
    for (before, what, (expected, then)) in table {
        let mut call = Call::new(RING);
        for what in before {
            happen(&mut call, *what).expect("a way to this state");
        }
        let from = stands(&call);
        let moved = happen(&mut call, what).map_err(|error| error.kind());
        assert_eq!(moved, expected, "{from}: {what:?}");
        assert_eq!(stands(&call), then, "{from}: {what:?}");
    }
}

#[test]
fn the_last_to_say_no_ends_it() {
    let mut call = Call::new(RING);
    happen(&mut call, Rings).expect("idle");
    for viewer in ["a", "b"] {
        assert_ne!(call.state(), &CallState::Idle);
        happen(&mut call, Moves(viewer, Viewer::Reject)).expect("it is rung");
    }
    assert_eq!(call.state(), &CallState::Idle);
    let nobody = call.ring(ChannelId(0), vec![], at(0));
    assert_eq!(
        nobody.map_err(|error| error.kind()),
        Err(ErrorKind::NotFound)
    );
}

#[test]
fn it_rings_as_long_as_it_should() {
    let mut call = Call::new(RING);
    happen(&mut call, Rings).expect("idle");
    assert_eq!(call.deadline(), Some(at(RING)));
    assert_eq!(call.expire(at(RING - 1)), []);
    assert_eq!(call.expire(at(RING)).len(), 2);
    assert_eq!(call.deadline(), None);
}

#[test]
fn the_owner_has_a_call_before_guests() {
    let owner = |viewer: &'static str| Party {
        rank: Rank::Owner,
        ..guest(viewer)
    };
    let calling: &[Happens] = &[Rings];
    let called: &[Happens] = &[Moves("a", Viewer::Start)];
    let talking: &[Happens] = &[Moves("a", Viewer::Start), Does(Device::Answer)];
    let fine = |effects: Vec<Effect>, then: &'static str| (Ok(effects), then);
    let refused = |kind: ErrorKind, then: &'static str| (Err(kind), then);
    use ErrorKind::NotFound;
    #[rustfmt::skip]
    let table = [
        (calling, Viewer::Answer, fine(vec![tell("a", Signal::Cancel), tell("b", Signal::Cancel)], "talking with o")),
        (calling, Viewer::Start, fine(vec![tell("a", Signal::Cancel), tell("b", Signal::Cancel)], "talking with o")),
        (calling, Viewer::HangUp, refused(NotFound, "calling a b")),
        (called, Viewer::Start, fine(vec![tell("a", Signal::Busy)], "called by o")),
        (called, Viewer::HangUp, fine(vec![tell("a", Signal::Busy)], "idle")),
        (called, Viewer::Reject, fine(vec![tell("a", Signal::Reject)], "idle")),
        (called, Viewer::Answer, refused(NotFound, "called by a")),
        (talking, Viewer::Start, fine(vec![tell("a", Signal::HangUp), ends("a")], "called by o")),
        (talking, Viewer::Answer, fine(vec![tell("a", Signal::HangUp), ends("a")], "talking with o")),
        (talking, Viewer::HangUp, fine(vec![tell("a", Signal::HangUp), ends("a")], "idle")),
        (talking, Viewer::Cancel, refused(NotFound, "talking with a")),
    ];
    for (before, what, (expected, then)) in table {
        let mut call = Call::new(RING);
        for what in before {
            happen(&mut call, *what).expect("a way to this state");
        }
        let from = stands(&call);
        let moved = call.apply_request(owner("o"), (what, ChannelId(1)), at(0));
        let moved = moved.map_err(|error| error.kind());
        assert_eq!(moved, expected, "{from}: {what:?}");
        assert_eq!(stands(&call), then, "{from}: {what:?}");
        // Neither does a guest nor another owner take it back.
        if call.viewers().contains(id("o")) {
            for other in [guest("a"), owner("p")] {
                let start = (Viewer::Start, ChannelId(1));
                let refused = call.apply_request(other, start, at(0));
                assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::Busy));
            }
        }
    }
}

#[test]
fn a_guest_does_not_keep_the_device_ringing() {
    let minute = 60_000_000;
    let mut call = Call::new(RING);
    let rings = |call: &mut Call, party, now| {
        let rang = call.apply_request(party, (Viewer::Start, ChannelId(1)), at(now));
        call.expire(at(now + RING));
        rang.map_err(|error| error.kind())
    };
    let owner = Party {
        rank: Rank::Owner,
        ..guest("o")
    };
    let mut rung = 0;
    for second in 0..3600 {
        rung += usize::from(rings(&mut call, guest("a"), second * 1_000_000).is_ok());
    }
    assert_eq!(rung, 8, "at 0, 1, then 1, 2, 4, 8, 16, 16 minutes apart");
    let late = 61 * minute;
    for now in 0..9 {
        assert!(rings(&mut call, owner, late + now).is_ok());
        assert!(
            rings(
                &mut call,
                Party {
                    answers: None,
                    ..guest("b")
                },
                late + now
            )
            .is_ok()
        );
    }
    assert!(rings(&mut call, guest("c"), late).is_ok(), "others may");
    // One that is taken was not in vain.
    for now in 0..9 {
        assert!(
            call.apply_request(guest("d"), (Viewer::Start, ChannelId(1)), at(late + now))
                .is_ok()
        );
        assert!(call.device_moves(Device::Answer).is_ok());
        assert!(call.device_moves(Device::HangUp).is_ok());
    }
}

#[test]
fn guests_of_one_back_end_do_not_keep_the_device_ringing_either() {
    let mut call = Call::new(RING);
    let mut rung = 0;
    for number in 0..3600 {
        let viewer = ViewerId::from(&*format!("guest {number}"));
        let now = at(number * 1_000_000);
        let party = Party {
            viewer: &viewer,
            rank: Rank::Guest,
            answers: Some("shop"),
        };
        let rang = call.apply_request(party, (Viewer::Start, ChannelId(1)), now);
        rung += usize::from(rang.is_ok());
        // Most give up at once, and another one comes.
        call.left(&viewer);
    }
    assert_eq!(rung, 8, "as one guest would");
    let late = at(3600 * 1_000_000);
    let other = call.apply_request(guest("a"), (Viewer::Start, ChannelId(1)), late);
    assert!(
        other.is_ok(),
        "who was paired on the device is none of them"
    );
}

#[test]
fn whoever_stands_at_the_door_comes_before_guests_and_not_before_the_owner() {
    for (rank, is_owner) in [
        (Rank::Guest, false),
        (Rank::Admin, false),
        (Rank::Owner, true),
    ] {
        let mut call = Call::new(RING);
        let party = Party { rank, ..guest("a") };
        let start = (Viewer::Start, ChannelId(1));
        call.apply_request(party, start, at(0)).expect("idle");
        let nobody = call.ring(ChannelId(1), vec![], at(0));
        assert!(nobody.is_err() && stands(&call) == "called by a");
        let rings = call.ring(ChannelId(1), vec!["b".into()], at(0));
        assert_eq!(rings.is_err(), is_owner, "{rank:?}");
        assert_eq!(
            call.apply_request(guest("b"), (Viewer::Answer, ChannelId(1)), at(0))
                .is_err(),
            is_owner
        );
        // A talk is not cut off by another ring.
        if !is_owner {
            assert!(call.ring(ChannelId(1), vec!["c".into()], at(0)).is_err());
            assert_eq!(stands(&call), "talking with b");
        }
    }
}
