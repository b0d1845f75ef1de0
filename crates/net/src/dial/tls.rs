//! TLS of what is dialled: names are proved by the given roots, with the provider `ring`.
//!
//! Client certificates and verifiers of other kinds do not belong here.

use std::{fmt, io, sync::Arc};

use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::ring},
};

/// Roots by which those that are dialled with TLS prove their names.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

/// The text has no certificate that can be a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("one or more X.509 certificates in PEM are needed")]
pub struct ParseRootsError;

impl Tls {
    /// Trusts the certificates of a PEM text, and no others.
    ///
    /// # Errors
    /// If there is none in it, or one that cannot be read.
    pub fn with_roots(pem: &[u8]) -> Result<Self, ParseRootsError> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(pem) {
            let root = root.map_err(|_| ParseRootsError)?;
            roots.add(root).map_err(|_| ParseRootsError)?;
        }
        if roots.is_empty() {
            return Err(ParseRootsError);
        }
        // The process may have no provider of its own, or another one.
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| ParseRootsError)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    pub(super) async fn handshake(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::clone(&self.0));
        connector.connect(name, stream).await
    }
}

impl PartialEq for Tls {
    /// Two are the same if they were made as one.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Tls {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        time::Instant,
    };
    use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

    use super::*;
    use crate::{Address, DialError, dial};

    fn root() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// Dials `host` at a server of this name, whom this root trusts, while it trusts `trusted`.
    async fn greeted(name: &str, host: &str, trusted: Option<&str>) -> io::Result<String> {
        let root = root();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &root).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not trust it goes.
            if let Ok(mut stream) = acceptor.accept(stream).await {
                stream.write_all(b"hello").await.unwrap();
                stream.shutdown().await.unwrap();
            }
        };
        let tls = Tls::with_roots(trusted.unwrap_or(&root.pem()).as_bytes()).unwrap();
        let address = Address::Tls(host.into(), port, tls);
        let greet = async {
            let deadline = Instant::now() + Duration::from_secs(30);
            let mut stream = match dial(&address, deadline).await {
                Ok(stream) => stream,
                Err(DialError::Io(error)) => return Err(error),
                Err(DialError::Timeout) => panic!("nobody answers"),
            };
            let mut heard = String::new();
            stream.read_to_string(&mut heard).await?;
            Ok(heard)
        };
        tokio::join!(greet, serve).0
    }

    #[tokio::test]
    async fn a_name_and_an_address_are_proved_by_a_given_root() {
        assert_eq!(
            greeted("localhost", "localhost", None).await.unwrap(),
            "hello"
        );
        assert_eq!(
            greeted("127.0.0.1", "127.0.0.1", None).await.unwrap(),
            "hello"
        );
    }

    #[tokio::test]
    async fn another_name_and_another_root_are_refused() {
        let refused = greeted("elsewhere.example", "localhost", None).await;
        let reason = refused.unwrap_err().to_string();
        assert!(reason.contains("not valid for name"), "{reason}");
        let other = root().pem();
        let refused = greeted("localhost", "localhost", Some(&other)).await;
        assert!(refused.is_err(), "{refused:?}");
        let reason = refused.unwrap_err().to_string();
        assert!(reason.contains("invalid peer certificate"), "{reason}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let tls = Tls::with_roots(root().pem().as_bytes()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        let dialled = dial(&Address::Tls("127.0.0.1".into(), port, tls), deadline).await;
        assert!(matches!(dialled, Err(DialError::Timeout)));
    }

    #[test]
    fn a_text_without_certificates_is_no_root() {
        let key = KeyPair::generate().unwrap().serialize_pem();
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in ["", "no PEM", &key, broken] {
            assert_eq!(
                Tls::with_roots(text.as_bytes()).err(),
                Some(ParseRootsError)
            );
        }
    }
}
