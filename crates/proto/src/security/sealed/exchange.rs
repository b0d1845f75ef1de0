use std::sync::OnceLock;

use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// One side's X25519 key pair, for one connection.
pub struct Exchange {
    secret: StaticSecret,
    /// Computed when it is first needed: many connections never ask for it.
    public: OnceLock<[u8; 32]>,
}

impl Exchange {
    /// A key pair out of 32 random bytes.
    pub fn new(random: [u8; 32]) -> Self {
        Self {
            secret: StaticSecret::from(random),
            public: OnceLock::new(),
        }
    }

    /// The half for the other side.
    pub fn public(&self) -> [u8; 32] {
        *self
            .public
            .get_or_init(|| PublicKey::from(&self.secret).to_bytes())
    }

    /// The secret that both sides arrive at; `None` if the other side's key is of low order, which
    /// would make it one that everybody knows (RFC 7748 §6.1).
    pub fn agree(&self, other: [u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        let shared = self.secret.diffie_hellman(&PublicKey::from(other));
        shared
            .was_contributory()
            .then(|| Zeroizing::new(shared.to_bytes()))
    }
}
