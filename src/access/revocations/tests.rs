//! Tests of the list of revocations: what is written, what is refused, what a loss leaves.

use peercam_proto::credential::Scopes;

use super::*;

fn shop() -> Issuer {
    "shop".parse().expect("a name")
}

/// Ceiling of a back end that may show channel 0, for a day.
fn screen() -> Ceiling {
    Ceiling {
        scopes: Scopes::from_iter([Scope::Live]),
        channels: Channels::Only([ChannelId(0)].into()),
        longest: Some(86_400),
    }
}

fn id(number: usize) -> CredentialId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    CredentialId::new(bytes)
}

#[test]
fn the_list_comes_back_as_it_was_written() {
    let mut list = Revocations::new();
    let shop: Issuer = "shop".parse().expect("a name");
    list.admit_issuer(&shop).expect("room");
    list.revoke(id(1), Some(7), Some(Issuer::local()), None)
        .expect("room");
    list.revoke(id(2), None, None, None).expect("room");
    assert_eq!(
        Revocations::parse(list.encode().as_bytes()),
        Ok(list.clone())
    );
    list.set_ceiling(&shop, screen());
    assert_eq!(Revocations::parse(list.encode().as_bytes()), Ok(list));
}

#[test]
fn a_list_from_before_ceilings_is_read_and_written_as_it_was() {
    let text = concat!(
        r#"{"check":"F23OUWCkYX2z","v":1,"epochs":{"local":0,"shop":3},"revoked":[]}"#,
        "\n"
    );
    let mut list = Revocations::parse(text.as_bytes()).expect("in order");
    assert_eq!(list.encode(), text);
    assert_eq!(list.ceiling("shop"), None);
    list.set_ceiling(&shop(), screen());
    list.set_ceiling(&Issuer::local(), screen());
    list.set_ceiling(&"other".parse().expect("a name"), screen());
    assert_eq!(list.ceiling("shop"), Some(&screen()));
    assert_eq!((list.ceiling("local"), list.ceiling("other")), (None, None));
    list.revoke_all(None).expect("raised");
    assert_eq!(list.epoch(&shop()), Some(4));
    assert_eq!(
        list.ceiling("shop"),
        Some(&screen()),
        "a new epoch keeps it"
    );
    for (from, to) in [("\"shop\":{", "\"local\":{"), ("[\"live\"]", "[\"fly\"]")] {
        let text = list.encode().replace(from, to);
        let damaged = Revocations::parse(text.as_bytes());
        assert!(
            matches!(damaged, Err(RevocationsError::Damaged(_))),
            "{text}"
        );
    }
}

#[test]
fn a_damaged_list_is_an_error_and_never_an_empty_one() {
    let good = Revocations::new().encode();
    let bad = [
        "",
        "{}",
        "null",
        "[]",
        &good[..good.len() / 2],
        &good.replace("\"v\":1", "\"v\":2"),
        &good.replace("\"revoked\":[]", "\"revoked\":[{\"id\":\"x\",\"exp\":0}]"),
        &good.replace("\"local\":0", ""),
        &good.replace("\"local\"", "\"Local\""),
    ];
    for text in bad {
        assert!(Revocations::parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn every_changed_character_of_a_list_is_noticed() {
    let mut list = Revocations::new();
    list.admit_issuer(&shop()).expect("room");
    list.set_ceiling(&shop(), screen());
    list.revoke(id(1), Some(7), Some(Issuer::local()), None)
        .expect("room");
    list.revoke_all(Some(&"local".parse().expect("a name")))
        .expect("raised");
    list.revoke(id(2), None, None, None).expect("room");
    let good = list.encode();
    for at in 0..good.len() - 1 {
        let mut bad = good.clone().into_bytes();
        bad[at] ^= 1;
        assert!(Revocations::parse(&bad).is_err(), "byte {at} of {good}");
    }
}

#[test]
fn a_full_list_says_what_to_do_and_ended_credentials_make_room() {
    let mut list = Revocations::new();
    for number in 0..MAX_REVOKED {
        let expires = (number == 5).then_some(100);
        list.revoke(id(number), expires, None, Some(50))
            .expect("room");
    }
    assert_eq!(
        list.revoke(id(9999), None, None, Some(99)),
        Err(RevocationsError::Full)
    );
    assert!(RevocationsError::Full.to_string().contains("revoke --all"));
    assert_eq!(
        list.revoke(id(9999), None, None, None),
        Err(RevocationsError::Full)
    );
    list.revoke(id(7), None, None, Some(99))
        .expect("it is there already");
    list.revoke(id(9999), None, None, Some(100))
        .expect("number 5 has ended");
    assert!(!list.contains(id(5)) && list.contains(id(9999)));
    list.revoke_all(None).expect("raised");
    assert!(!list.contains(id(7)));
    assert_eq!(list.epoch(&Issuer::local()), Some(1));
}

#[test]
fn after_a_loss_nothing_old_is_good() {
    for random in [0, 7, u32::MAX] {
        let mut list = Revocations::after_loss(random);
        let local = list.epoch(&Issuer::local()).expect("is there");
        assert!(local >= AFTER_LOSS);
        let shop: Issuer = "shop".parse().expect("a name");
        assert!(list.admit_issuer(&shop).expect("room") >= AFTER_LOSS);
        list.revoke_all(None).expect("there is room above");
        assert_eq!(Revocations::parse(list.encode().as_bytes()), Ok(list));
    }
}

#[test]
fn epochs_go_up_for_one_issuer_or_all() {
    let mut list = Revocations::new();
    let shop: Issuer = "shop".parse().expect("a name");
    assert_eq!(list.epoch(&shop), None);
    assert!(matches!(
        list.revoke_all(Some(&shop)),
        Err(RevocationsError::UnknownIssuer(_))
    ));
    list.admit_issuer(&shop).expect("room");
    list.revoke(id(1), None, Some(Issuer::local()), None)
        .expect("room");
    list.revoke(id(2), None, Some(shop.clone()), None)
        .expect("room");
    list.revoke(id(3), None, None, None).expect("room");
    list.revoke_all(Some(&shop)).expect("raised");
    assert_eq!(
        (list.epoch(&shop), list.epoch(&Issuer::local())),
        (Some(1), Some(0))
    );
    assert!(list.contains(id(1)) && !list.contains(id(2)) && list.contains(id(3)));
    for number in 0.. {
        let issuer = format!("i{number}").parse().expect("a name");
        if list.admit_issuer(&issuer).is_err() {
            assert_eq!(number, MAX_ISSUERS - 2);
            break;
        }
    }
}
