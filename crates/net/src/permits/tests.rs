//! The rules for places: shares, ranks, and who has to go for whom.

use super::*;

fn claim(rank: Rank, whose: &str) -> Claim {
    Claim {
        rank,
        whose: whose.into(),
        answers: whose.into(),
        share: 2,
        replaces_own: false,
    }
}

fn has_ended(permit: &Permit) -> bool {
    permit.end.token.is_cancelled()
}

#[test]
fn a_place_comes_back() {
    let permits = Permits::new(2);
    let one = permits.take(claim(Rank::Guest, "a")).expect("free");
    let _two = permits.take(claim(Rank::Guest, "b")).expect("free");
    let full = permits.take(claim(Rank::Guest, "c")).expect_err("full");
    assert_eq!(full, NoPermit::Full);
    drop(one);
    assert_eq!(permits.count(), 1);
    assert!(permits.take(claim(Rank::Guest, "c")).is_ok());
}

#[test]
fn who_weighs_more_gets_the_newest_place_of_the_one_that_has_most() {
    use Rank::{Admin, Guest, Owner};
    // Who has places, oldest first; who comes; whose place it gets: its number in the row.
    type Row<'a> = (&'a [(Rank, &'a str)], Rank, Result<usize, NoPermit>);
    #[rustfmt::skip]
    let table: [Row<'_>; 9] = [
        (&[(Guest, "a"), (Guest, "b"), (Guest, "b")], Owner, Ok(2)),
        (&[(Guest, "b"), (Guest, "b"), (Guest, "a")], Owner, Ok(1)),
        (&[(Guest, "a"), (Admin, "s"), (Admin, "s")], Owner, Ok(0)),
        (&[(Guest, "a"), (Admin, "s"), (Admin, "s")], Admin, Ok(0)),
        (&[(Owner, "o"), (Admin, "s"), (Owner, "o")], Owner, Ok(1)),
        (&[(Owner, "o"), (Admin, "s"), (Owner, "o")], Admin, Err(NoPermit::Full)),
        (&[(Owner, "o"), (Owner, "o"), (Owner, "o")], Owner, Err(NoPermit::Full)),
        (&[(Guest, "a"), (Guest, "a"), (Guest, "b")], Guest, Err(NoPermit::Full)),
        (&[(Guest, "a")], Owner, Ok(0)),
    ];
    for (holders, newcomer, expected) in table {
        let permits = Permits::new(holders.len());
        let held: Vec<_> = holders
            .iter()
            .map(|(rank, whose)| permits.take(claim(*rank, whose)).expect("free"))
            .collect();
        let found = permits.has_one_for(newcomer, "n");
        let taken = permits.take(claim(newcomer, "newcomer"));
        assert_eq!(found, taken.is_ok(), "{holders:?}");
        let ended: Vec<_> = (0..held.len()).filter(|at| has_ended(&held[*at])).collect();
        match expected {
            Ok(index) => assert!(taken.is_ok() && ended == [index], "{holders:?}: {ended:?}"),
            Err(why) => assert!(taken.is_err_and(|found| found == why) && ended.is_empty()),
        }
        assert_eq!(permits.count(), permits.max());
    }
}

#[test]
fn whoever_had_to_go_is_told_when_it_comes_again() {
    let permits = Permits::new(1);
    let guest = permits.take(claim(Rank::Guest, "a")).expect("free");
    let owner = permits.take(claim(Rank::Owner, "o")).expect("displaces");
    assert!(has_ended(&guest) && guest.why() == FOR_THE_OWNER);
    drop(guest);
    assert_eq!(permits.count(), 1, "it frees nobody else's place");
    let again = permits.take(claim(Rank::Guest, "a")).err();
    assert_eq!(again, Some(NoPermit::Displaced));
    drop(owner);
    drop(permits.take(claim(Rank::Guest, "a")).expect("free"));
    let _owner = permits.take(claim(Rank::Owner, "o")).expect("free");
    let again = permits.take(claim(Rank::Guest, "a")).err();
    assert_eq!(again, Some(NoPermit::Full), "that was another time");
}

#[test]
fn a_share_is_for_guests() {
    let permits = Permits::new(9);
    let take = |rank| {
        let taken = (0..5).map(|_| permits.take(claim(rank, "x")));
        taken.filter_map(Result::ok).collect::<Vec<_>>()
    };
    let guests = take(Rank::Guest);
    assert_eq!(guests.len(), 2);
    drop(guests);
    assert_eq!(take(Rank::Owner).len(), 5);
}

#[tokio::test]
async fn a_place_is_vacated_when_its_old_holder_has_gone() {
    let permits = Permits::new(1);
    let guest = permits.take(claim(Rank::Guest, "a")).expect("free");
    let owner = permits.take(claim(Rank::Owner, "o")).expect("displaces");
    let leaves = async {
        assert_eq!(guest.ended().await, FOR_THE_OWNER);
        drop(guest);
    };
    let (was_taken, ()) = tokio::join!(owner.vacated(), leaves);
    assert!(was_taken);
}

#[test]
fn a_party_may_give_its_own_place_for_another() {
    let permits = Permits::new(1);
    let replacing = |whose: &str| Claim {
        replaces_own: true,
        ..claim(Rank::Guest, whose)
    };
    let first = permits.take(replacing("a")).expect("free");
    assert_eq!(permits.take(replacing("b")).err(), Some(NoPermit::Full));
    let second = permits.take(replacing("a")).expect("its own");
    assert_eq!(first.why(), FOR_ITS_OWN);
    drop(first);
    assert_eq!(permits.count(), 1);
    drop(second);
    assert!(permits.take(replacing("b")).is_ok());
}

#[test]
fn a_party_with_a_small_share_changes_what_it_has() {
    let permits = Permits::new(4);
    let of = |replaces_own| Claim {
        share: 1,
        replaces_own,
        ..claim(Rank::Guest, "a")
    };
    let first = permits.take(of(true)).expect("free");
    assert_eq!(permits.take(of(false)).err(), Some(NoPermit::Share));
    let second = permits.take(of(true)).expect("instead of the first");
    assert_eq!((first.why(), permits.count()), (FOR_ITS_OWN, 1));
    let early = permits.take(of(true));
    assert_eq!(
        early.err(),
        Some(NoPermit::Share),
        "while the first is leaving"
    );
    drop(first);
    assert_eq!(permits.count(), 1, "which frees nobody else's");
    drop(second);
}

#[test]
fn one_back_end_may_have_all_places_and_keeps_two_thirds_of_them() {
    let permits = Permits::new(6);
    let of = |rank, whose: &str, answers: &str| Claim {
        answers: answers.into(),
        ..claim(rank, whose)
    };
    let minted = |number: usize| of(Rank::Guest, &format!("shop {number}"), "shop");
    let shop: Vec<_> = (0..6).map(|number| permits.take(minted(number))).collect();
    let shop: Vec<_> = shop
        .into_iter()
        .map(|permit| permit.expect("free"))
        .collect();
    assert_eq!(permits.take(minted(7)).err(), Some(NoPermit::Full));
    assert!(permits.has_one_for(Rank::Guest, "a"));
    let paired = ["a", "b"].map(|whose| permits.take(claim(Rank::Guest, whose)));
    let paired = paired.map(|permit| permit.expect("beyond what they keep"));
    let gone = [4, 5].map(|number| shop[number].why());
    assert_eq!(gone, [FOR_OTHERS, FOR_OTHERS]);
    assert!(shop[..4].iter().all(|permit| !has_ended(permit)));
    assert!(!permits.has_one_for(Rank::Guest, "c"));
    let third = permits.take(claim(Rank::Guest, "c"));
    assert_eq!(third.err(), Some(NoPermit::Full), "four are theirs");
    // What they have lost they do not get back from others, and the owner comes before all.
    assert_eq!(permits.take(minted(4)).err(), Some(NoPermit::Full));
    let owner = permits
        .take(claim(Rank::Owner, "o"))
        .expect("of who has most");
    assert!(has_ended(&shop[3]) && paired.iter().all(|permit| !has_ended(permit)));
    drop(owner);
}

#[test]
fn what_is_kept() {
    assert_eq!([1, 2, 3, 4, 6, 32].map(kept), [1, 2, 2, 3, 4, 22]);
    use Rank::{Admin, Guest, Owner};
    let lent = |taken: &[(Rank, &str)], (rank, answers)| lent(taken, taken.len(), rank, answers);
    let three = |rank| [(rank, "s"), (rank, "s"), (rank, "s")];
    assert_eq!(lent(&three(Guest), (Guest, "a")), Some(2));
    assert_eq!(lent(&three(Guest), (Guest, "s")), None, "its own");
    assert_eq!(lent(&three(Admin), (Guest, "a")), None, "who weighs more");
    assert_eq!(lent(&three(Owner), (Owner, "a")), None);
    assert_eq!(lent(&[(Guest, "s")], (Guest, "a")), None);
}

#[test]
fn who_may_give_one_of_its_own_takes_nobody_elses() {
    let permits = Permits::new(3);
    let minted = |number: usize| Claim {
        answers: "shop".into(),
        ..claim(Rank::Guest, &format!("shop {number}"))
    };
    let shop = [0, 1].map(|number| permits.take(minted(number)).expect("free"));
    let own = permits.take(claim(Rank::Guest, "a")).expect("free");
    let replacing = Claim {
        replaces_own: true,
        ..claim(Rank::Guest, "a")
    };
    let other = permits.take(replacing).expect("instead of its own");
    assert!(has_ended(&own) && shop.iter().all(|permit| !has_ended(permit)));
    drop((own, other));
    let third = permits.take(minted(2)).expect("free");
    let _late = permits.take(claim(Rank::Guest, "a")).expect("beyond two");
    assert!(has_ended(&third));
}
