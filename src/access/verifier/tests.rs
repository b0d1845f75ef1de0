//! The attacks that a gate has to stand; each test says which failure it answers.

use peercam_hal::clock::Clock;
use peercam_proto::credential::{Channels, CredentialId, Issuer, MintKey, Scopes};

use super::*;
use crate::{
    access::{Metrics, Revocations, Secrets},
    events::Events,
};

pub(super) const LIVE: &str = "/ipc.flv?action=live&channel=0";

fn keeper_of(access_secret: [u8; 32], identity: [u8; 32]) -> Arc<Authority> {
    let secrets = Secrets::new(&identity, Secret::new(access_secret));
    let clock = Clock::start();
    let authority =
        Authority::with_secrets(secrets, clock, 4, Metrics::default(), Events::new(clock))
            .expect("random");
    authority.learn(Ok(Revocations::new())).expect("in order");
    Arc::new(authority)
}

pub(super) fn authority() -> Arc<Authority> {
    keeper_of([7; 32], [1; 32])
}

fn claims(id: u8) -> Claims {
    Claims {
        id: CredentialId::new([id; 16]),
        name: "phone".to_owned(),
        scopes: Scopes::ALL,
        channels: Channels::All,
        expires: None,
        peer: None,
    }
}

fn mint_key(authority: &Authority, issuer: &str, epoch: u32) -> MintKey {
    let issuer: Issuer = issuer.parse().expect("a name");
    authority.secrets_for_tests().mint_key(issuer, epoch)
}

/// The other end of a connection.
pub(super) struct Viewer {
    pub(super) credential: Credential,
    pub(super) exchange: Exchange,
    pub(super) signed: Signed<'static>,
}

impl Viewer {
    fn of(verifier: &TokenVerifier, credential: Credential) -> Self {
        let exchange = Exchange::new([3; 32]);
        let text: &'static str = Box::leak(credential.text().to_owned().into_boxed_str());
        let (transport, binding, viewer, device_key) = match &verifier.binding {
            Binding::Tcp { fresh, exchange } => {
                (Transport::Tcp, *fresh, None, Some(exchange.public()))
            }
            Binding::P2p { exported, peer } => (Transport::P2p, *exported, Some(*peer), None),
        };
        let signed = Signed {
            transport,
            device: verifier.authority.device(),
            viewer,
            binding,
            device_key,
            viewer_key: device_key.map(|_| exchange.public()),
            counter: 1,
            method: "GET",
            target: LIVE,
            range: b"",
            body: BodyKind::None,
            credential: text,
        };
        Self {
            credential,
            exchange,
            signed,
        }
    }

    pub(super) fn paired(verifier: &TokenVerifier) -> Self {
        let credential = mint_key(&verifier.authority, "local", 0).mint(&claims(1));
        Self::of(verifier, credential)
    }

    /// The target with a token that signs what `signed` says.
    pub(super) fn target(&self, counter: u32) -> String {
        let signed = Signed {
            counter,
            ..self.signed.clone()
        };
        with_token(self.signed.target, &signed.token(&self.credential))
    }
}

pub(super) fn with_token(target: &str, token: &str) -> String {
    match target.split_once('?') {
        Some((path, rest)) => format!("{path}?_token={token}&{rest}"),
        None => format!("{target}?_token={token}"),
    }
}

pub(super) fn tcp(authority: &Arc<Authority>) -> TokenVerifier {
    TokenVerifier::on_tcp(Arc::clone(authority)).expect("random")
}

pub(super) fn ask(verifier: &TokenVerifier, target: &str) -> bool {
    prove(verifier, target).is_ok()
}

pub(super) fn prove<'a>(
    verifier: &TokenVerifier,
    target: &'a str,
) -> Result<Verified<'a>, Unauthenticated> {
    verifier.prove(&SignedRequest {
        method: "GET",
        target,
        range: None,
        body: BodyKind::None,
    })
}

/// A secure channel as P2P has one.
struct Channel(u8);

impl SecureChannel for Channel {
    fn peer(&self) -> EndpointId {
        EndpointId::new([0x55; 32])
    }

    fn export(&self, label: &[u8], context: &[u8]) -> Result<[u8; 32], ExportError> {
        assert_eq!((label, context), (EXPORTER_LABEL, &b""[..]));
        Ok([self.0; 32])
    }
}

fn p2p(authority: &Arc<Authority>, exported: u8) -> TokenVerifier {
    TokenVerifier::on_p2p(Arc::clone(authority), &Channel(exported)).expect("exports")
}

#[test]
fn a_proof_gives_the_holder_and_the_signed_target() {
    let verifier = tcp(&authority());
    let target = Viewer::paired(&verifier).target(1);
    let proven = prove(&verifier, &target).expect("proved");
    assert_eq!(proven.target.signed(), LIVE);
    assert_eq!(proven.target.path, "/ipc.flv");
    let holder = proven.holder.expect("claims in order");
    assert_eq!((holder.issuer.as_str(), holder.epoch), ("local", 0));
    assert_eq!(holder.claims, claims(1));
    assert!(proven.keys.is_some());
}

#[test]
fn a_token_of_one_connection_is_nothing_on_another() {
    let authority = authority();
    for gates in [
        [tcp(&authority), tcp(&authority)],
        [p2p(&authority, 1), p2p(&authority, 2)],
        // The device was restarted: same secrets, fresh connection.
        [tcp(&self::authority()), tcp(&self::authority())],
    ] {
        let target = Viewer::paired(&gates[0]).target(1);
        assert!(!ask(&gates[1], &target));
        assert!(ask(&gates[0], &target));
    }
    // From TCP to P2P, with the same bytes by chance.
    let [over_tcp, over_p2p] = [tcp(&authority), p2p(&authority, 1)];
    assert!(!ask(&over_p2p, &Viewer::paired(&over_tcp).target(1)));
    assert!(!ask(&over_tcp, &Viewer::paired(&over_p2p).target(1)));
}

#[test]
fn a_replay_on_the_same_connection_gets_no_keys() {
    let verifier = tcp(&authority());
    let viewer = Viewer::paired(&verifier);
    let first = viewer.target(5);
    assert!(ask(&verifier, &first));
    assert!(!ask(&verifier, &first), "the same again");
    assert!(!ask(&verifier, &viewer.target(5)), "the same number");
    assert!(!ask(&verifier, &viewer.target(4)), "a lower one");
    assert!(ask(&verifier, &viewer.target(6)));
    assert!(ask(&verifier, &viewer.target(u32::MAX)));
    assert!(!ask(&verifier, &viewer.target(7)));
}

#[test]
fn a_failed_mac_does_not_move_the_counter() {
    let verifier = tcp(&authority());
    let viewer = Viewer::paired(&verifier);
    let mut burnt = viewer.target(u32::MAX);
    burnt.insert(burnt.find("&action").expect("there"), 'A');
    assert!(!ask(&verifier, &burnt));
    let flipped = viewer.target(u32::MAX).replace("channel=0", "channel=1");
    assert!(!ask(&verifier, &flipped));
    assert!(ask(&verifier, &viewer.target(1)));
}

#[test]
fn streams_may_overtake_each_other_within_64() {
    let verifier = p2p(&authority(), 1);
    let viewer = Viewer::paired(&verifier);
    let mut numbers: Vec<u32> = (1..=65).collect();
    numbers.reverse();
    let taken: Vec<bool> = numbers
        .iter()
        .map(|number| ask(&verifier, &viewer.target(*number)))
        .collect();
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 64);
    assert!(!taken[64], "number 1 is 64 behind");
    assert!(
        numbers
            .iter()
            .all(|number| !ask(&verifier, &viewer.target(*number)))
    );
    assert!(ask(&verifier, &viewer.target(1000)));
    assert!(ask(&verifier, &viewer.target(937)));
    assert!(!ask(&verifier, &viewer.target(936)));
}

#[test]
fn only_the_current_epoch_of_a_known_issuer_counts() {
    let authority = authority();
    for (issuer, epoch) in [("local", 1), ("shop", 0), ("loca", 0)] {
        let verifier = tcp(&authority);
        let credential = mint_key(&authority, issuer, epoch).mint(&claims(1));
        assert!(
            !ask(&verifier, &Viewer::of(&verifier, credential).target(1)),
            "{issuer}.{epoch}"
        );
    }
    // A credential of today, with issuer or epoch rewritten.
    let verifier = tcp(&authority);
    let honest = mint_key(&authority, "local", 0).mint(&claims(1));
    for text in [
        honest.text().replace("local.0", "local.1"),
        honest.text().replace("local", "shop"),
    ] {
        let forged = Credential::new(text, honest.key().clone());
        assert!(!ask(&verifier, &Viewer::of(&verifier, forged).target(1)));
    }
    let mut raised = Revocations::new();
    raised.revoke_all(None).expect("raised");
    authority.learn(Ok(raised)).expect("in order");
    let verifier = tcp(&authority);
    assert!(
        !ask(&verifier, &Viewer::paired(&verifier).target(1)),
        "the old epoch"
    );
    let renewed = mint_key(&authority, "local", 1).mint(&claims(1));
    assert!(ask(&verifier, &Viewer::of(&verifier, renewed).target(1)));
}

#[test]
fn another_device_with_the_same_secret_is_another_device() {
    let [one, other] = [keeper_of([7; 32], [1; 32]), keeper_of([7; 32], [2; 32])];
    let verifier = tcp(&other);
    let credential = mint_key(&one, "local", 0).mint(&claims(1));
    assert!(!ask(
        &verifier,
        &Viewer::of(&verifier, credential).target(1)
    ));
}

#[test]
fn a_connection_belongs_to_its_first_credential_and_key() {
    let verifier = tcp(&authority());
    let first = Viewer::paired(&verifier);
    assert!(ask(&verifier, &first.target(1)));
    let other = Viewer::of(
        &verifier,
        mint_key(&verifier.authority, "local", 0).mint(&claims(2)),
    );
    assert!(!ask(&verifier, &other.target(2)), "another credential");
    let mut second_key = Viewer::paired(&verifier);
    second_key.exchange = Exchange::new([4; 32]);
    second_key.signed.viewer_key = Some(second_key.exchange.public());
    assert!(!ask(&verifier, &second_key.target(3)), "another key");
    assert!(ask(&verifier, &first.target(4)));
}

#[test]
fn a_key_of_low_order_is_no_proof() {
    // All of them, in the encoding of RFC 7748: 0, 1, the two of order 8, p-1, p and p+1.
    let low_order = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for hex in low_order {
        let point = data_encoding::HEXLOWER.decode(hex.as_bytes()).expect("hex");
        let point: [u8; 32] = point.try_into().expect("32 bytes");
        assert!(Exchange::new([5; 32]).agree(point).is_none(), "{hex}");
        let verifier = tcp(&authority());
        let mut viewer = Viewer::paired(&verifier);
        viewer.signed.viewer_key = Some(point);
        assert!(!ask(&verifier, &viewer.target(1)), "{hex}");
    }
}

#[test]
fn a_wrong_issuer_costs_the_same_mac_as_a_wrong_key() {
    let authority = authority();
    let verifier = tcp(&authority);
    let macs = || authority.metrics.macs.get();
    let mut costs = Vec::new();
    for credential in [
        mint_key(&authority, "local", 0).mint(&claims(1)),
        mint_key(&authority, "shop", 0).mint(&claims(1)),
        mint_key(&authority, "local", 9).mint(&claims(1)),
        Credential::new(
            mint_key(&authority, "local", 0)
                .mint(&claims(1))
                .text()
                .to_owned(),
            Secret::new([0; 32]),
        ),
    ] {
        let before = macs();
        ask(&verifier, &Viewer::of(&verifier, credential).target(1));
        costs.push(macs() - before);
    }
    assert_eq!(costs, [1, 1, 1, 1]);
}

#[test]
fn a_connection_gets_four_answers() {
    let verifier = tcp(&authority());
    let challenges: Vec<_> = (0..6).map(|_| verifier.challenge()).collect();
    assert!(
        challenges[..4]
            .iter()
            .all(|one| *one == challenges[0] && one.is_some())
    );
    assert_eq!(challenges[4..], [None, None]);
    let other = tcp(&authority()).challenge();
    assert_ne!(other, challenges[0], "each connection has its own");
}

#[test]
fn keys_differ_when_anything_differs() {
    let secret = |byte| Secret::new([byte; 32]);
    let base = |signed: &Signed<'_>, shared: &[u8; 32]| {
        let keys = Keys::derive(&secret(1), shared, &signed.transcript());
        peercam_proto::sealed::Sealer::new(keys.response)
            .last(&mut &b"the same plaintext"[..])
            .to_vec()
    };
    let verifier = TokenVerifier::with_random(authority(), [1; 32], [2; 32]);
    let viewer = Viewer::paired(&verifier);
    let signed = viewer.signed.clone();
    let shared = [8; 32];
    let all = [
        base(&signed, &shared),
        base(
            &Signed {
                binding: [2; 32],
                ..signed.clone()
            },
            &shared,
        ),
        base(
            &Signed {
                device_key: Some([2; 32]),
                ..signed.clone()
            },
            &shared,
        ),
        base(
            &Signed {
                viewer_key: Some([2; 32]),
                ..signed.clone()
            },
            &shared,
        ),
        base(
            &Signed {
                counter: 2,
                ..signed.clone()
            },
            &shared,
        ),
        base(
            &Signed {
                target: "/ipc.flv",
                ..signed.clone()
            },
            &shared,
        ),
        base(
            &Signed {
                body: BodyKind::Records,
                ..signed.clone()
            },
            &shared,
        ),
        base(&signed, &[9; 32]),
    ];
    for (index, one) in all.iter().enumerate() {
        for other in &all[index + 1..] {
            assert_ne!(one, other);
        }
    }
}

#[test]
fn a_list_that_cannot_be_read_lets_nobody_in_and_says_so_to_holders() {
    let authority = authority();
    let verifier = tcp(&authority);
    let target = Viewer::paired(&verifier).target(1);
    let missing = StoreError::Damaged("revoked.json".into());
    assert!(authority.learn(Err(missing)).is_err());
    let proven = prove(&verifier, &target).expect("the key is known");
    let holder = proven.holder.expect("claims in order");
    let refused = authority
        .admit(holder.clone())
        .expect_err("nobody is let in");
    assert!(refused.reason().contains("list of revoked"), "{refused}");
    authority.learn(Ok(Revocations::new())).expect("in order");
    assert!(authority.admit(holder).is_ok());
}
