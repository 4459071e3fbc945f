use super::*;

/// A server with a certificate of its own authority, whose PEM it returns.
async fn secure_server() -> (Url, Vec<u8>) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(parameters, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    (serving(&certificate, &key).await, authority.pem().into_bytes())
}

/// A server with this certificate, at localhost.
async fn serving(certificate: &rcgen::Certificate, key: &rcgen::KeyPair) -> Url {
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("https://localhost:{}", listener.local_addr().unwrap().port())).unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Clients that don't trust us hang up.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut buffer = [0; 4096];
            if stream.read(&mut buffer).await.is_ok() {
                stream.write_all(&whole_answer()).await.ok();
                stream.shutdown().await.ok();
            }
        }
    });
    url
}

/// A certificate as `openssl req -x509` makes it, which calls itself an authority; `expired`: some time ago.
fn self_made(host: &str, expired: bool) -> (rcgen::Certificate, rcgen::KeyPair) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    if expired {
        parameters.not_after = rcgen::date_time_ymd(2020, 1, 1);
    }
    (parameters.self_signed(&key).unwrap(), key)
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_when_it_is_named_itself_and_right_otherwise() {
    let server = MockServer::start().await;
    let (ours, key) = self_made("localhost", false);
    let (twin, _) = self_made("localhost", false);
    let (elsewhere, elsewhere_key) = self_made("attic", false);
    let (old, old_key) = self_made("localhost", true);
    let cases = [
        (&ours, &key, &ours, None),
        (&ours, &key, &twin, Some("CaUsedAsEndEntity")),
        (&elsewhere, &elsewhere_key, &elsewhere, Some("not valid for name")),
        (&old, &old_key, &old, Some("expired")),
    ];
    for (shown, key, named, refused) in cases {
        let url = serving(shown, key).await;
        let tls = Tls { ca_pem: Some(named.pem().into_bytes()), insecure_skip_verify: false };
        let http = wire(&Connection { url, tls, ..connection(&server) });
        match (http.send(&request(&http, Repeat::Harmless)).await, refused) {
            (Ok(answer), None) => assert_eq!(answer.body, b"{}"),
            (Err(error), Some(why)) => {
                assert!(error.to_string().contains(why), "{why}: {error}");
                assert!(!error.answered(), "{error}");
            }
            (other, _) => panic!("{refused:?}: {:?}", other.map(|answer| answer.body)),
        }
    }
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_named_and_only_then() {
    let server = MockServer::start().await;
    let (url, authority) = secure_server().await;
    let with = |tls| wire(&Connection { url: url.clone(), tls, ..connection(&server) });

    let stranger = with(Tls::default());
    let error = stranger.send(&request(&stranger, Repeat::Harmless)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("tls.caSecretRef"), "{error}");

    for tls in
        [Tls { ca_pem: Some(authority), insecure_skip_verify: false }, Tls { ca_pem: None, insecure_skip_verify: true }]
    {
        let http = with(tls);
        assert_eq!(http.send(&request(&http, Repeat::Harmless)).await.unwrap().body, b"{}");
    }
}

#[tokio::test]
async fn plain_http_behind_an_https_url_is_told_as_such() {
    let server = MockServer::start().await;
    then_answers(&server).await;
    let mut connection = connection(&server);
    connection.url.set_scheme("https").unwrap();
    let http = wire(&connection);
    let error = http.send(&request(&http, Repeat::Harmless)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("scheme"), "{error}");
}
