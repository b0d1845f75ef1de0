use aes::{
    Aes128,
    cipher::{InnerIvInit, KeyInit, StreamCipherCore},
};
use hkdf::Hkdf;
use ring::hmac;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::TAG;
use crate::credential::Secret;

/// The keys of one request and its answer. There are no two requests with the same ones.
pub struct Keys {
    /// Keys from the viewer to the device.
    pub request: DirectionKeys,
    /// Keys from the device to the viewer.
    pub response: DirectionKeys,
}

impl Keys {
    /// Derives the keys from the credential's session key, the secret that both X25519 keys of the
    /// connection give, and the transcript hash of the request.
    pub fn derive(session: &Secret, shared: &[u8; 32], transcript: &[u8; 32]) -> Self {
        let mut input = Zeroizing::new([0; 64]);
        input[..32].copy_from_slice(session.expose());
        input[32..].copy_from_slice(shared);
        let mut out = Zeroizing::new([0; 96]);
        Hkdf::<Sha256>::new(Some(transcript), &input[..])
            .expand(b"peercam/1 records", &mut out[..])
            .expect("96 bytes are allowed");
        let (request, response) = out.split_at(48);
        Self {
            request: DirectionKeys::new(request),
            response: DirectionKeys::new(response),
        }
    }
}

/// The cipher and MAC of one direction.
///
/// The MAC is ring's: it is most of what sealing costs, and where a processor has no instructions
/// for SHA-256 its assembler is nearly twice as fast as portable code.
pub struct DirectionKeys {
    cipher: Aes128,
    mac: hmac::Key,
}

impl DirectionKeys {
    /// 16 bytes of cipher key, then 32 of MAC key.
    fn new(bytes: &[u8]) -> Self {
        let (cipher, mac) = bytes.split_at(16);
        Self {
            cipher: Aes128::new_from_slice(cipher).expect("16 bytes"),
            mac: hmac::Key::new(hmac::HMAC_SHA256, mac),
        }
    }

    /// Encrypts or decrypts the body of record `sequence` in place.
    pub(super) fn apply(&self, sequence: u64, body: &mut [u8]) {
        // Sequence and counter have bytes of their own, and a record has at most 1024 blocks: no two
        // records of a direction share a block of keystream.
        let mut block = [0; 16];
        block[4..12].copy_from_slice(&sequence.to_be_bytes());
        let stream = ctr::CtrCore::<&Aes128, ctr::flavors::Ctr32BE>::inner_iv_init(
            &self.cipher,
            &block.into(),
        );
        stream.apply_keystream_partial(body.into());
    }

    /// The tag of record `sequence`, of which `head_and_body` is everything before the tag.
    pub(super) fn tag(&self, sequence: u64, head_and_body: &[u8]) -> [u8; TAG] {
        let mut mac = hmac::Context::with_key(&self.mac);
        mac.update(&sequence.to_be_bytes());
        mac.update(head_and_body);
        // RFC 2104 §5 asks for half of the output at least.
        let tag = mac.sign();
        tag.as_ref()[..TAG]
            .try_into()
            .expect("a slice of that length")
    }

    /// Returns whether `tag` is the tag of that record; takes the same time whichever byte differs.
    pub(super) fn verifies(&self, sequence: u64, head_and_body: &[u8], tag: &[u8]) -> bool {
        self.tag(sequence, head_and_body).ct_eq(tag).into()
    }
}
