//! The device's secrets and lists on the flash.
//!
//! Invariants: secrets are made once, all or none, and never made anew; the lists are changed under
//! one lock, the revocations before the pairings. What a daemon makes of them is
//! [`Authority`](super::Authority)'s.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use ed25519_dalek::SigningKey;
use peercam_proto::{
    credential::{EndpointId, Issuer, MintKey, Secret},
    encoding::{base64, exactly},
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{
    files::{self, FileError},
    pairings::Pairings,
    revocations::{Revocations, RevocationsError},
};

/// The directory `access` in the data directory: the device's secrets and who was paired.
///
/// | file | what |
/// |---|---|
/// | `identity.key` | the Ed25519 key; its public half is the device's id |
/// | `access.key` | the secret that all credentials derive from |
/// | `revoked.json` | current epoch of each issuer, and the ids that were revoked |
/// | `paired.json` | for people: who was paired; access does not depend on it |
///
/// The directory is made as a whole at the first start, or not at all. Beside it, `access.lock` is
/// held by whoever makes it or changes one of the two lists.
#[derive(Clone, Debug)]
pub struct SecretStore {
    directory: PathBuf,
}

/// The device's secrets.
pub struct Secrets {
    identity: SigningKey,
    access: Secret,
}

/// Errors that make the store unusable. It is never mended by making new secrets: every viewer that
/// was paired would be shut out, and the device would be another one.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file is missing, foreign, or open to others.
    #[error(transparent)]
    File(#[from] FileError),
    /// A data directory in which nothing was ever kept.
    #[error("there is no device in {}", .0.display())]
    NoDevice(PathBuf),
    /// A secret is not what was written.
    #[error(
        "{}: damaged; restore it from a copy, or remove the whole directory to make a new device out of this one (all viewers must be paired again)",
        .0.display()
    )]
    Damaged(PathBuf),
    /// The list of revoked credentials cannot be read.
    #[error("{}: {error}", path.display())]
    Revocations {
        /// The file.
        path: PathBuf,
        /// The fault in it.
        error: RevocationsError,
    },
    /// The list of pairings cannot be read.
    #[error(
        "{}: damaged: {error}; remove it to go on (it is only for people: access does not depend on it, and ids can still be revoked)",
        path.display()
    )]
    Pairings {
        /// The file.
        path: PathBuf,
        /// The fault in it.
        error: serde_json::Error,
    },
    /// The system has no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

const IDENTITY: &str = "identity.key";
const ACCESS: &str = "access.key";
const REVOKED: &str = "revoked.json";
const PAIRED: &str = "paired.json";

impl SecretStore {
    /// The store in this data directory, which exists.
    ///
    /// # Errors
    /// [`StoreError`] if it is there and not in order, or cannot be made.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let store = Self {
            directory: data_dir.join("access"),
        };
        let _lock = store.lock()?;
        if store.is_missing() {
            store.create(data_dir)?;
        }
        files::check_directory(&store.directory, 0o077)?;
        Ok(store)
    }

    /// Returns whether there is a store in this data directory, in order or not.
    pub fn is_there(data_dir: &Path) -> bool {
        let store = Self {
            directory: data_dir.join("access"),
        };
        !store.is_missing()
    }

    /// The store in this data directory, if there is one.
    ///
    /// # Errors
    /// [`StoreError::NoDevice`] if there is none; else as [`SecretStore::open`].
    pub fn existing(data_dir: &Path) -> Result<Self, StoreError> {
        let store = Self {
            directory: data_dir.join("access"),
        };
        if store.is_missing() {
            return Err(StoreError::NoDevice(data_dir.to_owned()));
        }
        files::check_directory(&store.directory, 0o077)?;
        Ok(store)
    }

    fn is_missing(&self) -> bool {
        let found = fs::symlink_metadata(&self.directory);
        found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    }

    /// Makes sure that the store in this data directory is in order, if there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn check(data_dir: &Path) -> Result<(), StoreError> {
        let store = match Self::existing(data_dir) {
            Err(StoreError::NoDevice(_)) => return Ok(()),
            found => found?,
        };
        store.secrets()?;
        store.revocations()?;
        store.pairings()?;
        Ok(())
    }

    /// Makes everything in a directory of its own and then names it.
    fn create(&self, data_dir: &Path) -> Result<(), StoreError> {
        let making = self.directory.with_extension("making");
        match fs::remove_dir_all(&making) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(FileError::io(&making)(error).into());
            }
            _ => {}
        }
        files::make_directory(&making)?;
        for name in [IDENTITY, ACCESS] {
            let secret = Zeroizing::new(random::<32>()?);
            files::write_private(&making.join(name), write_secret(name, &secret).as_bytes())?;
        }
        files::write_private(
            &making.join(REVOKED),
            Revocations::new().encode().as_bytes(),
        )?;
        files::write_private(
            &making.join(PAIRED),
            Pairings::default().encode().as_bytes(),
        )?;
        fs::rename(&making, &self.directory).map_err(FileError::io(&self.directory))?;
        Ok(files::sync_directory(data_dir)?)
    }

    /// The device's secrets.
    ///
    /// # Errors
    /// [`StoreError`] if one of them is missing, damaged, or open to others.
    pub fn secrets(&self) -> Result<Secrets, StoreError> {
        let identity = self.secret(IDENTITY)?;
        Ok(Secrets {
            identity: SigningKey::from_bytes(identity.expose()),
            access: self.secret(ACCESS)?,
        })
    }

    fn secret(&self, name: &str) -> Result<Secret, StoreError> {
        let path = self.directory.join(name);
        let text = Zeroizing::new(files::read_private(&path)?);
        read_secret(name, &text).ok_or(StoreError::Damaged(path))
    }

    /// Path of the file whose change means that somebody was revoked.
    pub fn revocations_path(&self) -> PathBuf {
        self.directory.join(REVOKED)
    }

    /// Reads the list of revocations.
    ///
    /// # Errors
    /// [`StoreError`] if that cannot be known; nobody may be let in then.
    pub fn revocations(&self) -> Result<Revocations, StoreError> {
        let path = self.revocations_path();
        let bytes = files::read_private(&path)?;
        Revocations::parse(&bytes).map_err(|error| StoreError::Revocations { path, error })
    }

    /// Reads the list of pairings; empty if its file is missing.
    ///
    /// # Errors
    /// [`StoreError`] if the list cannot be read.
    pub fn pairings(&self) -> Result<Pairings, StoreError> {
        let path = self.directory.join(PAIRED);
        let bytes = match files::read_private(&path) {
            Err(error) if error.is_not_found() => return Ok(Pairings::default()),
            read => read?,
        };
        Pairings::parse(&bytes).map_err(|error| StoreError::Pairings { path, error })
    }

    /// Changes both lists; what `change` refuses changes nothing. A list of pairings that cannot be
    /// read counts as empty and is left as it is: whoever is to be revoked must not profit from it.
    ///
    /// # Errors
    /// [`StoreError`], or what `change` says.
    pub fn update<T, E: From<StoreError>>(
        &self,
        change: impl FnOnce(&mut Revocations, &mut Pairings) -> Result<T, E>,
    ) -> Result<T, E> {
        let _lock = self.lock()?;
        let old_revocations = self.revocations()?;
        let (old_pairings, is_readable) = match self.pairings() {
            Ok(pairings) => (pairings, true),
            Err(_) => (Pairings::default(), false),
        };
        let (mut revocations, mut pairings) = (old_revocations.clone(), old_pairings.clone());
        let result = change(&mut revocations, &mut pairings)?;
        // Whoever is revoked must be shut out even if the second file cannot be written.
        if revocations != old_revocations {
            self.write(REVOKED, &revocations.encode())?;
        }
        if is_readable && pairings != old_pairings {
            self.write(PAIRED, &pairings.encode())?;
        }
        Ok(result)
    }

    /// Ends everybody's access although the list of who was revoked is lost.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn revoke_all_after_loss(&self) -> Result<(), StoreError> {
        let _lock = self.lock()?;
        let list = Revocations::after_loss(u32::from_ne_bytes(random()?));
        self.write(REVOKED, &list.encode())?;
        self.write(PAIRED, &Pairings::default().encode())
    }

    fn write(&self, name: &str, text: &str) -> Result<(), StoreError> {
        Ok(files::write_private(
            &self.directory.join(name),
            text.as_bytes(),
        )?)
    }

    /// Waits for other programs that make the directory or change the lists; it takes them
    /// milliseconds.
    fn lock(&self) -> Result<File, StoreError> {
        let path = self.directory.with_extension("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .and_then(|file| file.lock().map(|()| file));
        Ok(file.map_err(FileError::io(&path))?)
    }
}

impl Secrets {
    /// Secrets that are known, for tests and vectors.
    pub fn new(identity: &[u8; 32], access: Secret) -> Self {
        Self {
            identity: SigningKey::from_bytes(identity),
            access,
        }
    }

    /// The device's id.
    pub fn device(&self) -> EndpointId {
        EndpointId::new(self.identity.verifying_key().to_bytes())
    }

    /// The identity itself, whose public half is the device's id.
    pub fn identity(&self) -> Secret {
        Secret::new(self.identity.to_bytes())
    }

    /// The mint key of an issuer and epoch.
    pub fn mint_key(&self, issuer: Issuer, epoch: u32) -> MintKey {
        MintKey::derive(&self.access, self.device(), issuer, epoch)
    }
}

/// Random bytes from the system; at early boot this waits until it has some.
pub fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(StoreError::Random)?;
    Ok(bytes)
}

/// `<name> <secret> <check>`: the check tells a damaged file from another secret.
fn write_secret(name: &str, secret: &[u8; 32]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(base64(secret));
    Zeroizing::new(format!(
        "{name} {} {}\n",
        encoded.as_str(),
        check(name, secret)
    ))
}

fn read_secret(name: &str, text: &[u8]) -> Option<Secret> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('\n')?;
    let (label, rest) = text.split_once(' ')?;
    let (encoded, found) = rest.split_once(' ')?;
    let secret = Zeroizing::new(exactly(encoded)?);
    (label == name && found == check(name, &secret)).then(|| Secret::new(*secret))
}

fn check(name: &str, secret: &[u8; 32]) -> String {
    let hash = Sha256::new()
        .chain_update(b"peercam/1 check\n")
        .chain_update(name)
        .chain_update(secret)
        .finalize();
    base64(&hash[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(store: &SecretStore) -> Result<EndpointId, StoreError> {
        store.secrets().map(|secrets| secrets.device())
    }

    #[test]
    fn secrets_are_made_once_and_are_each_device_its_own() {
        let [one, two] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let first = id(&SecretStore::open(one.path()).expect("made")).expect("readable");
        let again = id(&SecretStore::open(one.path()).expect("opened")).expect("readable");
        let other = id(&SecretStore::open(two.path()).expect("made")).expect("readable");
        assert_eq!(first, again);
        assert_ne!(first, other);
    }

    #[test]
    fn what_is_damaged_or_missing_is_never_made_anew() {
        for name in [IDENTITY, ACCESS] {
            let directory = tempfile::tempdir().expect("a directory");
            let store = SecretStore::open(directory.path()).expect("made");
            let path = directory.path().join("access").join(name);
            let good = fs::read(&path).expect("readable");
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 1;
                fs::write(&path, &bad).expect("writes");
                assert!(
                    matches!(id(&store), Err(StoreError::Damaged(_))),
                    "{name}: byte {at}"
                );
            }
            fs::write(&path, &good[..good.len() / 2]).expect("writes");
            assert!(matches!(id(&store), Err(StoreError::Damaged(_))), "half");
            fs::write(&path, b"").expect("writes");
            assert!(matches!(id(&store), Err(StoreError::Damaged(_))), "empty");
            fs::remove_file(&path).expect("removes");
            let reopened = SecretStore::open(directory.path()).expect("the directory is there");
            assert!(matches!(id(&reopened), Err(StoreError::File(_))), "missing");
        }
    }

    #[test]
    fn a_first_start_that_was_cut_off_is_done_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let making = directory.path().join("access.making");
        fs::create_dir(&making).expect("makes");
        fs::write(making.join(IDENTITY), b"half").expect("writes");
        id(&SecretStore::open(directory.path()).expect("made")).expect("whole");
        assert!(!making.exists());
    }
}
