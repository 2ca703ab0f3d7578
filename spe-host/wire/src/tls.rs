//! TLS, version 1.3 and nothing else; mutual, but for those who have no certificate yet.
//!
//! tonic's own settings leave version 1.2 on, so both ends bring their own rustls configuration.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::WebPkiClientVerifier,
    version::TLS13,
};
use spe_kernel::ids::Digest;

use crate::file::{FileError, read};

const HTTP_2: &[u8] = b"h2";

/// The hub's side.
#[derive(Clone)]
pub struct ServerTls(pub(crate) Arc<ServerConfig>);

/// A member's side.
#[derive(Clone)]
pub(crate) struct ClientTls(pub(crate) Arc<ClientConfig>);

impl ServerTls {
    /// Presents `cert`, and lets nobody in who has no certificate that `ca` issued.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn mutual(ca: &Path, cert: &Path, key: &Path) -> Result<Self, FileError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(roots(ca)?.into(), provider());
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(FileError::at(cert))?
            .with_client_cert_verifier(verifier.build().map_err(FileError::at(ca))?)
            .with_single_cert(certificates(cert)?, private_key(key)?)
            .map_err(FileError::at(cert))?;
        config.alpn_protocols = vec![HTTP_2.into()];
        config.send_tls13_tickets = 0;
        Ok(Self(Arc::new(config)))
    }

    /// Presents `cert` with `ca`, and asks every caller for a certificate that `ca` issued. A caller who has none is let in as a
    /// stranger, for whom there is the `Door` only; one who shows another authority's is not.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn read(ca: &Path, cert: &Path, key: &Path) -> Result<Self, FileError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(roots(ca)?.into(), provider());
        let verifier = verifier.allow_unauthenticated().build().map_err(FileError::at(ca))?;
        // With the authority, so that the invited can compare it with their invitation's fingerprint.
        let chain = [certificates(cert)?, certificates(ca)?].concat();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(FileError::at(cert))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, private_key(key)?)
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

impl ClientTls {
    /// Shows no certificate, and believes a hub that shows the authority of that fingerprint and a certificate which it issued.
    pub(crate) fn pinned(ca: Digest) -> Result<Self, rustls::Error> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned { ca, provider: provider() }))
            .with_no_client_auth();
        config.alpn_protocols = vec![HTTP_2.into()];
        Ok(Self(Arc::new(config)))
    }
}

/// What a member-to-be is told when the hub is not the one of the invitation.
pub(crate) const OTHER_AUTHORITY: &str = "it shows no certificate authority with the fingerprint that was given";

/// Finds the authority by its fingerprint among what the hub shows; from there on the usual check.
///
/// # Security
/// The token is sent to nobody who cannot prove to be certified by the invitation's authority. Watched by
/// `a_false_hub_gets_no_token`.
#[derive(Debug)]
struct Pinned {
    ca: Digest,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned = intermediates.iter().find(|certificate| Digest::of(certificate) == self.ca);
        let pinned = pinned.ok_or_else(|| Error::General(OTHER_AUTHORITY.into()))?;
        let mut roots = RootCertStore::empty();
        roots.add(pinned.clone().into_owned())?;
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider)).build();
        let usual = usual.map_err(|e| Error::General(e.to_string()))?;
        usual.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// BLAKE3 of the authority's certificate in `path`: what an invitation names it by.
///
/// # Errors
/// The file cannot be read, or holds no certificate.
pub fn fingerprint(path: &Path) -> Result<Digest, FileError> {
    let found = certificates(path)?;
    found.first().map(|first| Digest::of(first)).ok_or_else(|| FileError::at(path)("no certificate in it"))
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
