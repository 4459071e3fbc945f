//! Whose certificates are taken. The machine's authorities are read once for all clients: to read them anew for each client took longer than all of a
//! probe's requests, and more memory than all else of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// After so long they are read again: whoever runs for months shall see a bundle that was replaced.
const RENEW: Duration = Duration::from_hours(1);

/// What clients use that trust nobody but the machine's authorities.
pub(super) fn public() -> Result<ClientConfig, Error> {
    static SHARED: Mutex<Option<(Instant, ClientConfig)>> = Mutex::new(None);
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((since, config)) = &*shared
        && since.elapsed() < RENEW
    {
        return Ok(config.clone());
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Verifier::new(provider.clone())?;
    let config = config(provider, Arc::new(verifier))?;
    *shared = Some((Instant::now(), config.clone()));
    Ok(config)
}

/// What a client uses that trusts these certificates besides: authorities, or the server's own.
pub(super) fn private(named: Vec<CertificateDer<'static>>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let usual = Verifier::new_with_extra_roots(named.clone(), provider.clone())?;
    config(provider, Arc::new(Named { named, usual }))
}

/// The certificates of a bundle; None where it holds none, or one that can't be read.
pub(super) fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    (!found.is_empty()).then_some(found)
}

fn config(provider: Arc<CryptoProvider>, verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The usual rules, and one exception: what `openssl req -x509` makes calls itself an authority, which no server's certificate may be. If it is named by
/// itself, byte for byte, it is what its owner means.
#[derive(Debug)]
struct Named {
    named: Vec<CertificateDer<'static>>,
    usual: Verifier,
}

/// What the usual verifier says of such a certificate, whose dates it has found to be right before. Other words, and the exception is none.
const AUTHORITY: &str = "CaUsedAsEndEntity";

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(CertificateError::Other(problem)))
                if problem.0.to_string() == AUTHORITY && self.named.iter().any(|named| named == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}
