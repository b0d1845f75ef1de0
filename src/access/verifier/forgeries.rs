//! Tokens and targets that are not what they should be.

use proptest::prelude::*;

use super::{
    tests::{LIVE, Viewer, ask, authority, prove, tcp, with_token},
    *,
};

#[test]
fn every_signed_line_counts() {
    let authority = authority();
    let base = tcp(&authority);
    let viewer = Viewer::paired(&base);
    let changed: Vec<Signed<'static>> = {
        let signed = &viewer.signed;
        vec![
            Signed {
                transport: Transport::P2p,
                ..signed.clone()
            },
            Signed {
                device: EndpointId::new([9; 32]),
                ..signed.clone()
            },
            Signed {
                viewer: Some(EndpointId::new([9; 32])),
                ..signed.clone()
            },
            Signed {
                binding: [9; 32],
                ..signed.clone()
            },
            Signed {
                device_key: Some([9; 32]),
                ..signed.clone()
            },
            Signed {
                method: "POST",
                ..signed.clone()
            },
            Signed {
                target: "/ipc.flv?action=live&channel=1",
                ..signed.clone()
            },
            Signed {
                range: b"bytes=1-",
                ..signed.clone()
            },
            Signed {
                body: BodyKind::Records,
                ..signed.clone()
            },
        ]
    };
    let original = viewer.signed.transcript();
    for (index, signed) in changed.into_iter().enumerate() {
        assert_ne!(signed.transcript(), original, "line {index}");
        let token = signed.token(&viewer.credential);
        assert!(!ask(&base, &with_token(LIVE, &token)), "line {index}");
    }
    // The counter, the viewer's key and the credential stand in the token itself.
    let target = viewer.target(1);
    let parts: Vec<&str> = target.split(['.', '=', '&']).collect();
    for (index, part) in parts
        .iter()
        .enumerate()
        .filter(|(_, part)| part.len() > 20 || **part == "1")
    {
        let mut flipped: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        let last = if part.ends_with('A') { 'Q' } else { 'A' };
        let last = if *part == "1" { '2' } else { last };
        flipped[index].pop();
        flipped[index].push(last);
        let text = target.replacen(part, &flipped[index], 1);
        assert_ne!(text, target);
        assert!(!ask(&base, &text), "{index}: {text}");
    }
    assert!(ask(&base, &target));
}

#[test]
fn tokens_stand_first_once_and_in_plain_spelling() {
    let verifier = tcp(&authority());
    let viewer = Viewer::paired(&verifier);
    let token = viewer.signed.token(&viewer.credential);
    for target in [
        format!("/ipc.flv?action=live&_token={token}&channel=0"),
        format!("/ipc.flv?_token={token}&_token={token}&action=live&channel=0"),
        format!("/ipc.flv?_token={token}&action=live&channel=0&_token=x"),
        format!("/ipc.flv?_token={token}&action=live&channel=0&%5Ftoken=x"),
        format!("/ipc.flv?_token={token}&action=live&channel=0&%5f%74oken"),
        format!("/ipc.flv?%5Ftoken={token}&action=live&channel=0"),
        format!("/ipc.flv?_Token={token}&action=live&channel=0"),
        format!("/ipc.flv?&_token={token}&action=live&channel=0"),
        format!("/ipc.flv?_token={token}&&action=live&channel=0"),
        format!("/ipc.flv?_token={token}&"),
        "/ipc.flv?_token=&action=live&channel=0".to_owned(),
        format!("/ipc.flv?cmd={{\"a\":\"&_token={token}\"}}"),
        format!("/ipc.flv?_token={token}&cmd={{\"a\":\"&_token={token}\"}}"),
        format!("http://x/ipc.flv?_token={token}&action=live&channel=0"),
        format!("ipc.flv?_token={token}&action=live&channel=0"),
        format!("//ipc.flv?_token={token}&action=live&channel=0"),
        format!("/ipc.flv;?_token={token}&action=live&channel=0"),
        format!("/./ipc.flv?_token={token}&action=live&channel=0"),
        format!("/ipc.flv?_token={token} &action=live&channel=0"),
        format!(
            "/ipc.flv?_token={}&action=live&channel=0",
            token.replace('.', "%2E")
        ),
        format!("/ipc.flv?_token={token}=&action=live&channel=0"),
        LIVE.to_owned(),
    ] {
        assert!(!ask(&verifier, &target), "{target}");
    }
    assert!(
        ask(&verifier, &viewer.target(1)),
        "and none of them burnt the number"
    );
}

proptest! {
    /// The bytes that are routed are those that were signed, whatever the target is.
    #[test]
    fn signed_bytes_are_routed_bytes(path in "/[a-z/.%]{0,20}", rest in proptest::option::of("[a-z&=%{}\"_0-9]{1,30}")) {
        let verifier = tcp(&authority());
        let mut viewer = Viewer::paired(&verifier);
        let text = match &rest { None => path.clone(), Some(rest) => format!("{path}?{rest}") };
        viewer.signed.target = Box::leak(text.clone().into_boxed_str());
        let target = viewer.target(1);
        if let Ok(proven) = prove(&verifier, &target) {
            prop_assert_eq!(proven.target.path, path.as_str());
            prop_assert_eq!(proven.target.rest, rest.as_deref());
            prop_assert_eq!(proven.target.signed(), text);
        } else {
            // Only a second token is refused.
            let decoded = percent_encoding::percent_decode_str(rest.as_deref().unwrap_or_default()).decode_utf8_lossy();
            prop_assert!(decoded.contains("_token"), "{}", target);
        }
    }

    #[test]
    fn no_token_text_makes_it_panic(text in "[0-9a-zA-Z._\\-&=?/%]{0,200}") {
        let verifier = tcp(&authority());
        let target = format!("/ipc.flv?_token=1.{text}");
        prop_assert!(!ask(&verifier, &target));
        prop_assert!(!ask(&verifier, &text));
    }
}
