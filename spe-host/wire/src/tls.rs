//! Mutual TLS, version 1.3 and nothing else.
//!
//! tonic's own settings leave version 1.2 on, so both ends bring their own rustls configuration.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
    version::TLS13,
};

use crate::file::{FileError, read};

const HTTP_2: &[u8] = b"h2";

/// The hub's side.
#[derive(Clone)]
pub struct ServerTls(pub(crate) Arc<ServerConfig>);

/// A member's side.
#[derive(Clone)]
pub(crate) struct ClientTls(pub(crate) Arc<ClientConfig>);

impl ServerTls {
    /// Presents `cert`, and asks every caller for a certificate that `ca` issued.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn read(ca: &Path, cert: &Path, key: &Path) -> Result<Self, FileError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(roots(ca)?.into(), provider());
        let verifier = verifier.build().map_err(FileError::at(ca))?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(FileError::at(cert))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(certificates(cert)?, private_key(key)?)
            .map_err(FileError::at(cert))?;
        config.alpn_protocols = vec![HTTP_2.into()];
        // Every connection proves the key anew.
        config.send_tls13_tickets = 0;
        Ok(Self(Arc::new(config)))
    }
}

impl ClientTls {
    pub(crate) fn read(ca: &Path, cert: &Path, key: &Path) -> Result<Self, FileError> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(FileError::at(cert))?
            .with_root_certificates(roots(ca)?)
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .map_err(FileError::at(cert))?;
        config.alpn_protocols = vec![HTTP_2.into()];
        Ok(Self(Arc::new(config)))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn roots(path: &Path) -> Result<RootCertStore, FileError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(FileError::at(path))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let found = found.map_err(|e| FileError::at(path)(format!("not PEM: {e}")))?;
    if found.is_empty() { Err(FileError::at(path)("no certificate in it; expected PEM")) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    PrivateKeyDer::from_pem_slice(read(path)?.as_bytes())
        .map_err(|e| FileError::at(path)(format!("no private key in PEM: {e}")))
}
