use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use peercam_net::p2p::endpoint_id;
use peercam_proto::{
    credential::{Credential, EndpointId, Secret},
    encoding::{base64, exactly},
};
use zeroize::Zeroizing;

use crate::ClientError;

/// First bytes of the file of an identity.
const PREFIX: &str = "peercam-identity:1?k=";

/// The key of a viewer's endpoint.
///
/// A viewer that comes back with the same one has its old place at the device at once, even while
/// its ghost is still there; two that use the same one at the same time disturb each other.
pub struct Identity(Secret);

/// The file holds no identity, or others can read it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct IdentityError {
    path: PathBuf,
    problem: String,
}

impl Identity {
    /// A new one, for a program that runs once.
    ///
    /// # Errors
    /// [`ClientError::Random`].
    pub fn random() -> Result<Self, ClientError> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut key[..]).map_err(|_| ClientError::Random)?;
        Ok(Self(Secret::new(*key)))
    }

    /// The one of a program that runs at one place only, such as a proxy at its address: the same
    /// whenever it is started there with the same credential.
    pub fn at(credential: &Credential, place: &str) -> Self {
        // Containers of one machine often have no id, and names of their own.
        let [machine, name] = ["/etc/machine-id", "/proc/sys/kernel/hostname"]
            .map(|path| fs::read_to_string(path).unwrap_or_default());
        let user = rustix::process::getuid().as_raw();
        let place = format!("{}\n{}\n{user}\n{place}", machine.trim(), name.trim());
        Self(credential.viewer_key(&place))
    }

    /// The one in this file, which is made if it is not there.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn in_file(path: &Path) -> Result<Self, IdentityError> {
        let failed = |problem: String| IdentityError {
            path: path.to_owned(),
            problem,
        };
        match Self::make(path) {
            Ok(made) => return Ok(made),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error.to_string())),
        }
        let mut text = Zeroizing::new(String::new());
        let file = fs::File::open(path).map_err(|error| failed(error.to_string()))?;
        let mode = file.metadata().map(|data| data.mode());
        if mode.is_ok_and(|mode| mode & 0o077 != 0) {
            let problem = "others can read it; it is a secret (chmod 600)";
            return Err(failed(problem.to_owned()));
        }
        file.take(1024)
            .read_to_string(&mut text)
            .map_err(|error| failed(error.to_string()))?;
        let key = text.trim().strip_prefix(PREFIX).and_then(exactly);
        key.map(|key| Self(Secret::new(key)))
            .ok_or_else(|| failed("this is no identity of a viewer".to_owned()))
    }

    fn make(path: &Path) -> io::Result<Self> {
        if path.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // Made as a whole or not at all.
        let draft = path.with_extension(format!("{}.new", std::process::id()));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        let made = Self::random().map_err(|error| io::Error::other(error.to_string()))?;
        let text = Zeroizing::new(format!("{PREFIX}{}\n", base64(made.0.expose())));
        let kept = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::hard_link(&draft, path));
        fs::remove_file(&draft)?;
        kept.map(|()| made)
    }

    /// The endpoint's id, by which a credential can be paired for it alone.
    pub fn id(&self) -> EndpointId {
        endpoint_id(&self.0)
    }

    /// The key itself.
    pub fn key(&self) -> &Secret {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_keeps_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("viewer");
        let made = Identity::in_file(&path).expect("made");
        assert_eq!(fs::metadata(&path).expect("is there").mode() & 0o777, 0o600);
        let again = Identity::in_file(&path).expect("read");
        assert_eq!(made.key().expose(), again.key().expose());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changes");
        let error = Identity::in_file(&path).err().expect("refused");
        assert!(error.to_string().contains("chmod 600"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changes");
        fs::write(&path, "peercam-identity:1?k=AAAA").expect("writes");
        assert!(Identity::in_file(&path).is_err());
    }

    #[test]
    fn a_place_has_one_of_its_own() {
        let credential = |byte| Credential::new("local.0.e30".to_owned(), Secret::new([byte; 32]));
        let at = |byte, place| *Identity::at(&credential(byte), place).key().expose();
        assert_eq!(at(1, "a"), at(1, "a"));
        assert_ne!(at(1, "a"), at(1, "b"));
        assert_ne!(at(1, "a"), at(2, "a"));
    }
}
