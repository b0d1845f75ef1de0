//! Tests of the table of sessions: places, displacing, and the ends that connections are told.

use std::sync::atomic::{AtomicUsize, Ordering};

use peercam_hal::clock::Clock;
use peercam_proto::credential::{Channels, Claims, CredentialId, Scope, Scopes};

use super::*;

fn holder(id: u8, scope: Scope) -> Arc<Holder> {
    of("local", id, scope)
}

/// A holder of a credential of this issuer.
fn of(issuer: &str, id: u8, scope: Scope) -> Arc<Holder> {
    let claims = Claims {
        id: CredentialId::new([id; 16]),
        name: format!("viewer {id}"),
        scopes: Scopes::from_iter([Scope::Live, scope]),
        channels: Channels::All,
        expires: None,
        peer: None,
    };
    Arc::new(Holder {
        issuer: issuer.to_owned(),
        epoch: 0,
        rights: claims.rights(),
        claims,
    })
}

fn sessions_of(max: usize) -> Sessions {
    Sessions::new(max, Metrics::default(), Events::new(Clock::start()))
}

fn guest(sessions: &Sessions, id: u8, endpoint: Option<u8>) -> Result<Session, Error> {
    let endpoint = endpoint.map(|byte| EndpointId::new([byte; 32]));
    sessions.enter(holder(id, Scope::Voice), endpoint, ViewerPath::Tcp, |_| ())
}

#[test]
fn whoever_comes_again_has_its_old_place() {
    let sessions = sessions_of(2);
    let first = guest(&sessions, 1, Some(1)).expect("room");
    let again: Vec<_> = (0..50)
        .map(|_| guest(&sessions, 1, Some(1)).expect("the same place"))
        .collect();
    assert_eq!(sessions.connected().0, 1);
    let listed = sessions.list();
    assert!(again.iter().all(|session| *session.id() == listed[0].id));
    assert_eq!(listed[0].id.as_str().len(), 12);
    drop(first);
    assert_eq!(sessions.connected().0, 1, "others of it are there");
    drop(again);
    assert_eq!(sessions.connected().0, 0);
}

#[test]
fn one_credential_cannot_take_all_places() {
    let sessions = sessions_of(4);
    let kept: Vec<_> = (0..50)
        .map(|endpoint| guest(&sessions, 1, Some(endpoint)))
        .collect();
    assert_eq!(kept.iter().filter(|session| session.is_ok()).count(), 2);
    let error = kept[2].as_ref().err().expect("refused");
    assert!(
        error.reason().contains("pair this one by itself"),
        "{error}"
    );
    assert!(
        guest(&sessions, 2, Some(9)).is_ok(),
        "there is room for others"
    );
}

#[test]
fn the_owner_gets_a_place_and_who_had_it_is_told() {
    let sessions = sessions_of(2);
    let ended = Arc::new(AtomicUsize::new(0));
    let _first = guest(&sessions, 1, None).expect("room");
    let counted = Arc::clone(&ended);
    let second = sessions
        .enter(
            holder(2, Scope::Voice),
            None,
            ViewerPath::Tcp,
            move |reason| {
                assert_eq!(reason, "displaced");
                counted.fetch_add(1, Ordering::SeqCst);
            },
        )
        .expect("room");
    assert!(
        guest(&sessions, 3, None)
            .err()
            .expect("full")
            .reason()
            .contains("2 viewers")
    );
    let owner = sessions
        .enter(holder(9, Scope::Admin), None, ViewerPath::Tcp, |_| ())
        .expect("makes room");
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    assert!(!second.is_open() && owner.is_open());
    drop(second);
    assert_eq!(
        sessions.connected().0,
        2,
        "what was displaced frees nobody else's place"
    );
    let told = guest(&sessions, 2, None).err().expect("full");
    assert!(told.reason().contains("owner"), "{told}");
    // Owners do not displace each other.
    let other = sessions
        .enter(holder(8, Scope::Admin), None, ViewerPath::Tcp, |_| ())
        .expect("makes room");
    assert!(owner.is_open() && other.is_open());
    assert!(
        sessions
            .enter(holder(7, Scope::Admin), None, ViewerPath::Tcp, |_| ())
            .is_err()
    );
}

#[test]
fn an_admin_of_a_back_end_gets_a_guests_place_and_never_the_owners() {
    let sessions = sessions_of(2);
    let enter = |id, issuer: &str, scope| {
        sessions.enter(of(issuer, id, scope), None, ViewerPath::Tcp, |_| ())
    };
    let owner = enter(1, "local", Scope::Admin).expect("room");
    let guest = enter(2, "local", Scope::Voice).expect("room");
    let minted = enter(3, "shop", Scope::Admin).expect("makes room");
    assert!(owner.is_open() && !guest.is_open());
    assert!(
        enter(4, "shop", Scope::Admin).is_err(),
        "nor one of its own"
    );
    let second = enter(5, "local", Scope::Admin).expect("makes room");
    assert!(owner.is_open() && second.is_open() && !minted.is_open());
    assert!(enter(6, "local", Scope::Admin).is_err(), "the newer waits");
}

#[test]
fn sessions_end_by_what_their_credential_says() {
    let sessions = sessions_of(4);
    let kept = guest(&sessions, 1, None).expect("room");
    let revoked = guest(&sessions, 2, None).expect("room");
    sessions
        .end_where(|holder| (holder.claims.id == CredentialId::new([2; 16])).then_some("revoked"));
    assert!(kept.is_open() && !revoked.is_open());
    assert_eq!(sessions.connected().0, 1);
}

#[test]
fn credentials_with_one_id_are_judged_each_for_itself() {
    let sessions = sessions_of(4);
    let own = guest(&sessions, 1, None).expect("room");
    let minted = of("shop", 1, Scope::Voice);
    let minted = sessions.enter(minted, None, ViewerPath::Tcp, |_| ());
    let minted = minted.expect("room");
    sessions.end_where(|holder| (holder.issuer == "shop").then_some("revoked"));
    assert!(own.is_open() && !minted.is_open());
}

#[test]
fn one_viewer_has_a_few_connections_and_the_newest_are_kept() {
    let sessions = sessions_of(4);
    let ended = Arc::new(AtomicUsize::new(0));
    let all: Vec<_> = (0..20)
        .map(|_| {
            let ended = Arc::clone(&ended);
            let end = move |_: &'static str| {
                ended.fetch_add(1, Ordering::SeqCst);
            };
            sessions
                .enter(holder(1, Scope::Voice), None, ViewerPath::Tcp, end)
                .expect("the same place")
        })
        .collect();
    assert_eq!(ended.load(Ordering::SeqCst), 20 - CONNECTIONS_OF_SESSION);
    assert!(!all[13].is_open() && all[14].is_open() && all[19].is_open());
}

#[test]
fn a_back_end_leaves_sessions_to_others() {
    let sessions = sessions_of(4);
    let enter = |issuer, id| {
        let holder = of(issuer, id, Scope::Voice);
        sessions.enter(holder, None, ViewerPath::Tcp, |_| ())
    };
    let shop: Vec<_> = (0..4).map(|id| enter("shop", id)).collect();
    let shop: Vec<_> = shop.into_iter().map(|one| one.expect("free")).collect();
    assert!(enter("shop", 9).is_err());
    let paired = enter("local", 9).expect("of the newest of theirs");
    assert!(!shop[3].is_open() && shop[..3].iter().all(Session::is_open));
    assert!(enter("local", 10).is_err() && enter("shop", 3).is_err());
    assert!(paired.is_open());
}

#[test]
fn what_outlasts_a_connection_ends_when_its_holder_is_let_in_no_more() {
    let sessions = sessions_of(4);
    let sequel = |id: u8| {
        let ends = CancellationToken::new();
        (
            sessions.sequel(holder(id, Scope::Voice), ends.clone()),
            ends,
        )
    };
    let session = guest(&sessions, 0, None).expect("room");
    let kept = [sequel(0), sequel(1)];
    let (over, ends) = sequel(2);
    drop(over);
    drop(session);
    assert_eq!(sessions.connected().0, 0, "they take no place");
    sessions.end_where(|holder| (holder.claims.name != "viewer 1").then_some("revoked"));
    assert!(
        kept[0].1.is_cancelled() && !kept[1].1.is_cancelled(),
        "only of whom it is about"
    );
    assert!(!ends.is_cancelled(), "only while it goes on");
    drop(kept);
    assert!(sessions.lock().sequels.is_empty());
}

#[test]
fn joining_and_leaving_are_published_once_for_each_session() {
    let sessions = sessions_of(1);
    let mut reader = sessions.events.subscribe();
    let first = guest(&sessions, 1, None).expect("room");
    let second = guest(&sessions, 1, None).expect("the same place");
    let id = Text::new(first.id().as_str());
    drop(first);
    drop(second);
    let _displaced = guest(&sessions, 2, None).expect("room again");
    let _owner = sessions
        .enter(holder(3, Scope::Admin), None, ViewerPath::Tcp, |_| ())
        .expect("in place of a guest");
    let read = std::iter::from_fn(|| reader.try_recv());
    let read: Vec<_> = read
        .map(|read| read.expect("nothing is lost").event.clone())
        .collect();
    let first_of_all = Event::ViewerJoined {
        session: id,
        name: Text::new("viewer 1"),
        path: ViewerPath::Tcp,
    };
    assert_eq!(read[0], first_of_all);
    let words: Vec<_> = read
        .iter()
        .map(|event| match event {
            Event::ViewerJoined { name, .. } => format!("{name} joined"),
            Event::ViewerLeft { name, reason, .. } => format!("{name}: {reason}"),
            other => panic!("{other:?}"),
        })
        .collect();
    let displaced = ["viewer 3 joined", "viewer 2: displaced"];
    assert_eq!(
        words[..3],
        [
            "viewer 1 joined",
            "viewer 1: viewer left",
            "viewer 2 joined"
        ]
    );
    assert_eq!(words[3..], displaced);
}

#[test]
fn what_runs_for_a_connection_ends_with_its_part_in_the_session() {
    let sessions = sessions_of(4);
    let left = guest(&sessions, 1, None).expect("room");
    let (ends, ended) = (
        left.ends().clone(),
        guest(&sessions, 2, None).expect("room"),
    );
    drop(left);
    assert!(
        !ends.is_cancelled(),
        "who leaves is not ended by the device"
    );
    sessions.end_where(|_| Some("revoked"));
    assert!(ended.ends().is_cancelled());
}
