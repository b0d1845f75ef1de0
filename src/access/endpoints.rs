use peercam_proto::credential::{CredentialId, EndpointId};
use peercam_task::boundary::Guarded;

/// Pairs that are remembered; the oldest is forgotten, and would be told of again.
const MAX: usize = 256;

/// Endpoints at which credentials were used since the daemon started, so that its log tells when
/// one turns up at another: it may have been copied.
#[derive(Debug, Default)]
pub(super) struct Endpoints(Guarded<Vec<(CredentialId, EndpointId)>>);

impl Endpoints {
    /// Notes a use; returns whether it is the first one of that credential there.
    pub(super) fn note(&self, credential: CredentialId, endpoint: EndpointId) -> bool {
        let mut known = self.0.lock();
        if known.contains(&(credential, endpoint)) {
            return false;
        }
        if known.len() >= MAX {
            known.remove(0);
        }
        known.push((credential, endpoint));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_once_and_the_room_is_bounded() {
        let endpoints = Endpoints::default();
        let at = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            endpoints.note(CredentialId::new([1; 16]), EndpointId::new(bytes))
        };
        assert!(at(0) && !at(0) && at(1));
        assert!((2..10_000).all(at));
        assert!(endpoints.0.lock().len() == MAX && at(0));
    }
}
