//! Known answers: the values of `docs/protocol.md`, "Vectors". A change of any of them is version 2
//! of the protocol.

use data_encoding::HEXLOWER;
use peercam::access::Secrets;
use peercam_proto::{
    credential::{
        BodyKind, Claims, EndpointId, Issuer, MintKey, PairingUri, Secret, Signed, Token, Transport,
    },
    sealed::{Exchange, Head, Keys, Opener, Record, Sealer},
};

const CLAIMS: &str = r#"{"v":1,"id":"AAECAwQFBgcICQoLDA0ODw","name":"phone","scopes":["live","command"],"ch":[0],"exp":0}"#;
const CREDENTIAL: &str = "local.0.eyJ2IjoxLCJpZCI6IkFBRUNBd1FGQmdjSUNRb0xEQTBPRHciLCJuYW1lIjoicGhvbmUiLCJzY29wZXMiOlsibGl2ZSIsImNvbW1hbmQiXSwiY2giOlswXSwiZXhwIjowfQ";

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).expect("hex")
}

fn mint_key() -> MintKey {
    let secret = std::array::from_fn(|index| index as u8);
    Secrets::new(&[0x11; 32], Secret::new(secret)).mint_key(Issuer::local(), 0)
}

fn device() -> EndpointId {
    "d04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737"
        .parse()
        .expect("an id")
}

/// `POST /command` with a sealed body, as the first request of its connection.
fn signed(exchanges: &[Exchange; 2]) -> Signed<'static> {
    Signed {
        transport: Transport::Tcp,
        device: device(),
        viewer: None,
        binding: [0x44; 32],
        device_key: Some(exchanges[0].public()),
        viewer_key: Some(exchanges[1].public()),
        counter: 1,
        method: "POST",
        target: "/command",
        range: b"",
        body: BodyKind::Records,
        credential: CREDENTIAL,
    }
}

fn exchanges() -> [Exchange; 2] {
    [Exchange::new([0x22; 32]), Exchange::new([0x33; 32])]
}

#[test]
fn credentials() {
    let secrets = Secrets::new(&[0x11; 32], Secret::new([0; 32]));
    assert_eq!(secrets.device(), device());
    let exposed = mint_key().expose();
    let k_mint = hex("3c27677f53827ebb68e2a6a0fbe64685d3aa5a5fd62f74ddbe0516fcdea67060");
    let encoded = data_encoding::BASE64URL_NOPAD.encode(&k_mint);
    assert_eq!(
        exposed,
        format!("peercam-mint:1?iss=local&ep=0&id={}&k={encoded}", device())
    );
    let claims = Claims::parse(CLAIMS.as_bytes()).expect("in order");
    let credential = MintKey::parse(&exposed)
        .expect("as it was written")
        .mint(&claims);
    assert_eq!(credential.text(), CREDENTIAL);
    for (secret, expected) in [
        (
            credential.key().clone(),
            "f39118cd0e013ba3987655f10a280520a0aff7d4406baed8e1925c2391f0115d",
        ),
        (
            credential.token_key(),
            "09aa1ef4b18feca5a30a14bcf34b5ae7ab1569423d5e5432707673e3bd5cc8ac",
        ),
        (
            credential.session_key(),
            "045c18b2f554098d0635e6bcb56af71820365440859eb8b3e25c43b1eceb639d",
        ),
    ] {
        assert_eq!(HEXLOWER.encode(secret.expose()), expected);
    }
    let uri = PairingUri {
        credential,
        device: device(),
        relays: Vec::new(),
        relay_token: None,
        udp: Vec::new(),
        lan: Vec::new(),
    };
    let expected = format!(
        "peercam:1?c={CREDENTIAL}&k=85EYzQ4BO6OYdlXxCigFIKCv99RAa67Y4ZJcI5HwEV0&id={}",
        device()
    );
    assert_eq!(uri.expose(), expected);
    assert_eq!(
        PairingUri::parse(&expected).expect("a URI").expose(),
        expected
    );
}

#[test]
fn tokens() {
    let (exchanges, claims) = (exchanges(), Claims::parse(CLAIMS.as_bytes()).unwrap());
    let credential = mint_key().mint(&claims);
    let tcp = signed(&exchanges);
    assert_eq!(
        tcp.token(&credential),
        format!(
            "1.{CREDENTIAL}.1.ew1H2TQn-DERYHgcfHM_2J-IlwrvSQ2KoO4ZpMuKGxQ.22dH-3UiOc_3Eb54Z1oGt9zQQrldFNhJSJ-MnQZNkGs"
        )
    );
    let p2p = Signed {
        transport: Transport::P2p,
        viewer: Some(Secrets::new(&[0x55; 32], Secret::new([0; 32])).device()),
        binding: [0x66; 32],
        device_key: None,
        viewer_key: None,
        method: "GET",
        target: "/ipc.p2p.com/ipc.flv?action=live&channel=0&quality=high",
        body: BodyKind::None,
        ..tcp
    };
    let token = p2p.token(&credential);
    assert_eq!(
        token,
        format!("1.{CREDENTIAL}.1.-.g_rH7snuMwoaSvbXV6aZ7_eCSDxMuXUoDc73TXjXgNY")
    );
    let parsed = Token::parse(&token).expect("a token");
    assert_eq!(
        (parsed.issuer, parsed.epoch, parsed.counter),
        ("local", 0, 1)
    );
    assert_eq!(parsed.claims, CLAIMS.as_bytes());
}

#[test]
fn records() {
    let exchanges = exchanges();
    let claims = Claims::parse(CLAIMS.as_bytes()).unwrap();
    let transcript = signed(&exchanges).transcript();
    assert_eq!(
        HEXLOWER.encode(&transcript),
        "6bed04e9341cb9e5af52f04cfa35e3ddcd14f624a24fe14875c8841c0b689a1a"
    );
    let keys = |from: usize| {
        let shared = exchanges[from].agree(exchanges[1 - from].public());
        let shared = shared.expect("not of low order");
        let session = mint_key().mint(&claims).session_key();
        Keys::derive(&session, &shared, &transcript)
    };
    let head = Head {
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
    };
    let mut sealer = Sealer::new(keys(0).response);
    let answer = [
        sealer.head(&head),
        sealer.last(&mut &b"[{\"status\":\"0\"}]"[..]),
    ];
    assert_eq!(
        HEXLOWER.encode(&answer[0]),
        "0100002336dae58db2982891d565bf194e6702e7333c3db6c8296fb2d3be47c5338797527f1dc4011ea71d5c635efc46618b8ab25a35aa"
    );
    assert_eq!(
        HEXLOWER.encode(&answer[1]),
        "030000101f07ba91ffd600c83c7f28ff479a896bb55145657a362fe67930b15b766b0d38"
    );
    let body = b"action=inner_define&cmd=get_device_st&type=live";
    let request = Sealer::new(keys(1).request).last(&mut &body[..]);
    assert_eq!(
        HEXLOWER.encode(&request),
        "0300002f8409f832fa9e2829b777418066eb690f392f93cd70215d3d167cc7297af562fa2eb2d93a9738af561808fdba98b988b7a6a4dcb11de4beffc123addb9956e2"
    );
    let mut opener = Opener::request(keys(0).request);
    opener.feed(&request);
    assert_eq!(
        opener.next_record(),
        Ok(Some(Record::Last(body[..].into())))
    );
    let mut opener = Opener::response(keys(1).response);
    opener.feed(&answer.concat());
    assert_eq!(opener.next_record(), Ok(Some(Record::Head(head))));
}
