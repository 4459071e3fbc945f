//! The machine's certificate authorities, read once for all clients: to read them anew for each client took longer than all of a probe's requests, and
//! more memory than all else of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls_platform_verifier::Verifier;

/// After so long they are read again: whoever runs for months shall see a bundle that was replaced.
const RENEW: Duration = Duration::from_hours(1);

/// What clients use that trust nobody but the machine's authorities.
pub(super) fn public() -> Result<ClientConfig, rustls::Error> {
    static SHARED: Mutex<Option<(Instant, ClientConfig)>> = Mutex::new(None);
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((since, config)) = &*shared
        && since.elapsed() < RENEW
    {
        return Ok(config.clone());
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Verifier::new(provider.clone())?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    *shared = Some((Instant::now(), config.clone()));
    Ok(config)
}
