use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroize;

/// 32 bytes that nobody may see: it can be neither printed nor serialized, and is wiped when it
/// is dropped.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Keeps `bytes` secret from here on.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for deriving from them and for writing them where they belong.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// HKDF-SHA-256 (RFC 5869) of this secret.
    pub(super) fn derive(&self, salt: &[u8], info: &[u8]) -> Self {
        Self::expanded(&Hkdf::<Sha256>::new(Some(salt), &self.0), info)
    }

    /// HKDF-Expand of this secret, which is uniform already: RFC 5869 §3.3 lets Extract be skipped.
    pub(super) fn expand(&self, info: &[u8]) -> Self {
        let hkdf = Hkdf::<Sha256>::from_prk(&self.0).expect("32 bytes are long enough");
        Self::expanded(&hkdf, info)
    }

    fn expanded(hkdf: &Hkdf<Sha256>, info: &[u8]) -> Self {
        let mut out = [0; 32];
        hkdf.expand(info, &mut out).expect("32 bytes are allowed");
        Self(out)
    }

    /// HMAC-SHA-256 with this secret as its key.
    pub(crate) fn mac(&self, message: &[u8]) -> [u8; 32] {
        self.keyed(message).finalize().into_bytes().into()
    }

    /// Returns whether `mac` is [`Secret::mac`] of `message`; takes the same time whichever byte
    /// differs.
    pub(crate) fn verifies(&self, message: &[u8], mac: &[u8; 32]) -> bool {
        self.keyed(message).verify_slice(mac).is_ok()
    }

    fn keyed(&self, message: &[u8]) -> Hmac<Sha256> {
        let mut hmac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any length is allowed");
        hmac.update(message);
        hmac
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
