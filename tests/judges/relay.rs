//! A relay for the network lab: `relay ADDRESS CERTIFICATES KEY TOKEN` serves HTTPS and QUIC address
//! discovery on their usual ports of that address to those that have the token, until it is killed.
//! Both files are PEM.

use std::{net::IpAddr, sync::Arc};

use iroh_relay::server::{
    Access, AccessControl, CertConfig, ClientRequest, QuicConfig, RelayConfig, Server,
    ServerConfig, TlsConfig,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// Where QUIC address discovery is expected.
const DISCOVERY: u16 = 7842;

/// What a client must show.
#[derive(Debug)]
struct Token(String);

impl AccessControl for Token {
    async fn on_connect(&self, request: &ClientRequest) -> Access {
        match request.auth_token().as_ref() == Some(&self.0) {
            true => Access::Allow,
            false => Access::Deny {
                reason: Some("this relay wants a token".to_owned()),
            },
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, address, certificates, key, token] = &arguments[..] else {
        panic!("relay ADDRESS CERTIFICATES KEY TOKEN");
    };
    let address: IpAddr = address.parse().expect("an IP address");
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificates)
        .expect("the certificates can be read")
        .collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server_config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions that ring knows")
        .with_no_client_auth()
        .with_single_cert(
            certificates.expect("PEM"),
            PrivateKeyDer::from_pem_file(key).expect("a key"),
        )
        .expect("a key that fits");
    let mut relay = RelayConfig::new((address, 80));
    let cert = CertConfig::Manual {
        server_config: server_config.clone(),
    };
    relay.tls = Some(TlsConfig::new((address, 443), cert));
    relay.access = Arc::new(Token(token.clone()));
    let mut quic = QuicConfig::new((address, DISCOVERY));
    quic.server_config = Some(server_config);
    let mut config = ServerConfig::default();
    config.relay = Some(relay);
    config.quic = Some(quic);
    let _server = Server::spawn(config).await.expect("free ports");
    println!("the relay is there");
    std::future::pending::<()>().await;
}
