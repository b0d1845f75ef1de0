//! Sealed bodies however they are cut, and every damage that must come out as [`Broken`]. The vectors of
//! `docs/protocol.md` are held by `tests/it/vectors.rs`.

use bytes::{Buf, Bytes};
use proptest::prelude::*;

use super::*;
use crate::credential::Secret;

fn keys() -> Keys {
    Keys::derive(&Secret::new([1; 32]), &[2; 32], &[3; 32])
}

fn head() -> Head {
    Head {
        status: 206,
        headers: vec![("content-range".to_owned(), "bytes 1-2/3".to_owned())],
    }
}

/// An answer with this body, in records of which the pieces are as long as `pieces` says.
fn sealed(body: &[u8], pieces: &[usize]) -> Vec<u8> {
    let mut sealer = Sealer::new(keys().response);
    let mut out = sealer.head(&head()).to_vec();
    let mut rest = body;
    for piece in pieces {
        out.extend(sealer.data(&mut rest, *piece));
    }
    out.extend(sealer.last(&mut rest));
    out
}

/// Opens bytes that come in pieces of these lengths; an error at any point is one of the whole.
fn opened(bytes: &[u8], steps: &[usize]) -> Result<(Head, Vec<u8>), Broken> {
    let mut opener = Opener::response(keys().response);
    let (mut head, mut body) = (None, Vec::new());
    let mut steps = steps.iter().copied().cycle();
    let mut rest = bytes;
    while !rest.is_empty() {
        let step = steps.next().unwrap_or(usize::MAX).clamp(1, rest.len());
        opener.feed(&rest[..step]);
        rest = &rest[step..];
        while let Some(record) = opener.next_record()? {
            match record {
                Record::Head(read) => head = Some(read),
                Record::Data(data) | Record::Last(data) => body.extend_from_slice(&data),
            }
        }
    }
    opener.finish()?;
    Ok((head.ok_or(Broken)?, body))
}

proptest! {
    // A case seals and opens 25 KB, which takes its time where nothing is optimised.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_gives_the_same_plaintext(
        (length, first) in (0_usize..50_000, any::<u8>()),
        pieces in proptest::collection::vec(0_usize..20_000, 0..5),
        steps in proptest::collection::vec(1_usize..20_000, 1..20),
    ) {
        // Random bytes would take longer to make than to seal.
        let body: Vec<u8> = (first..=u8::MAX).cycle().take(length).collect();
        prop_assert_eq!(opened(&sealed(&body, &pieces), &steps), Ok((head(), body)));
    }
}

proptest! {
    #[test]
    fn any_flipped_bit_is_an_error(at in 0_usize..200, bit in 0_u8..8) {
        let mut bytes = sealed(&[0; 80], &[30]);
        let at = at % bytes.len();
        bytes[at] ^= 1_u8 << bit;
        prop_assert_eq!(opened(&bytes, &[7]), Err(Broken));
    }

    #[test]
    fn any_cut_is_an_error(at in 0_usize..300) {
        let bytes = sealed(&[0; 80], &[30]);
        prop_assert_eq!(opened(&bytes[..at % bytes.len()], &[64]), Err(Broken));
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(opened(&bytes, &[11]), Err(Broken));
    }
}

/// Takes the records of an answer apart.
fn records(bytes: &[u8]) -> Vec<Bytes> {
    let (mut rest, mut records) = (Bytes::copy_from_slice(bytes), Vec::new());
    while rest.has_remaining() {
        let length = usize::from(rest[2]) << 8 | usize::from(rest[3]);
        records.push(rest.split_to(HEADER + length + TAG));
    }
    records
}

#[test]
fn records_cannot_be_moved_dropped_or_appended() {
    let whole = sealed(b"onetwothree", &[3, 3]);
    let [head, one, two, three]: [Bytes; 4] = records(&whole).try_into().expect("four records");
    let open = |records: &[&Bytes]| opened(&records.concat_bytes(), &[1000]);
    assert!(open(&[&head, &one, &two, &three]).is_ok());
    for wrong in [
        vec![&head, &two, &one, &three],
        vec![&head, &one, &three],
        vec![&head, &one, &two],
        vec![&one, &two, &three],
        vec![&head, &head, &one, &two, &three],
        vec![&head, &one, &two, &three, &three],
        vec![&head, &three],
        vec![&head],
        vec![],
    ] {
        assert_eq!(open(&wrong), Err(Broken));
    }
    let with_rest = [&whole[..], b"\0"].concat();
    assert_eq!(opened(&with_rest, &[1000]), Err(Broken));
    // An answer's records are none of a request.
    let mut request = Opener::request(keys().request);
    request.feed(&whole);
    assert_eq!(request.next_record(), Err(Broken));
}

#[test]
fn an_opener_that_failed_stays_failed_and_holds_nothing() {
    let mut opener = Opener::response(keys().response);
    opener.feed(&[9; 4]);
    assert_eq!(opener.next_record(), Err(Broken));
    opener.feed(&sealed(b"x", &[]));
    assert_eq!(opener.next_record(), Err(Broken));
    assert_eq!(opener.finish(), Err(Broken));
}

#[test]
fn a_long_length_is_refused_before_its_bytes_come() {
    for (kind, length) in [
        (1_u32, MAX_RECORD as u32 + 1),
        (1, 0xff_ffff),
        (0, 1),
        (4, 1),
        (2, 1),
    ] {
        let mut opener = Opener::response(keys().response);
        opener.feed(&(kind << 24 | length).to_be_bytes());
        assert_eq!(opener.next_record(), Err(Broken), "{kind} {length}");
    }
}

#[test]
fn long_bodies_are_cut_into_records_of_16_kib() {
    let body = vec![7; 3 * MAX_RECORD + 1];
    let bytes = sealed(&body, &[2 * MAX_RECORD]);
    let lengths: Vec<_> = records(&bytes)
        .iter()
        .map(|record| record.len() - OVERHEAD)
        .collect();
    assert_eq!(lengths[1..], [MAX_RECORD, MAX_RECORD, MAX_RECORD, 1]);
    let empty = sealed(b"", &[5]);
    assert_eq!(records(&empty).len(), 2, "head and an empty last record");
}

#[test]
fn heads_are_strict_and_bounded() {
    for good in ["200\n", "200\na: b\n", "404\na: b\nc: \n"] {
        assert!(Head::parse(good.as_bytes()).is_some(), "{good:?}");
    }
    for bad in [
        "",
        "200",
        "20\n",
        "2000\n",
        "+20\n",
        "200\na: b",
        "200\nab\n",
        "200\n\n",
        "600\n",
        "200\na: b\n\n",
    ] {
        assert_eq!(Head::parse(bad.as_bytes()), None, "{bad:?}");
    }
    let long = Head {
        status: 200,
        headers: vec![
            ("x".to_owned(), "y".repeat(2000)),
            ("a".to_owned(), "b".to_owned()),
        ],
    };
    assert_eq!(long.encode(), "200\na: b\n");
}

trait ConcatBytes {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl ConcatBytes for [&Bytes] {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter()
            .flat_map(|record| record.iter().copied())
            .collect()
    }
}
