use super::*;

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused_before_anything_is_sent() {
    let server = MockServer::start().await;
    let with = |change: fn(&mut Connection)| {
        let mut connection = connection(&server);
        change(&mut connection);
        connection
    };
    let cases = [
        (with(|it| it.credentials.token = None), "tokenSecretRef"),
        (with(|it| it.limits.page_size = 0), "limits.pageSize"),
        (with(|it| it.limits.requests_per_second = Some(0.0)), "limits.requestsPerSecond"),
        (with(|it| it.tls.ca_pem = Some(b"no pem".to_vec())), "tls.caSecretRef"),
        (with(|it| it.url = Url::parse("mailto:me@home.example").unwrap()), "http://"),
    ];
    for (connection, field) in cases {
        let error = connect(connection).err().unwrap();
        assert!(error.is_configuration());
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[tokio::test]
async fn a_token_that_no_header_can_carry_is_a_matter_of_configuration() {
    let server = MockServer::start().await;
    for kind in [ServerKind::Plex, ServerKind::Jellyfin, ServerKind::Emby] {
        let mut connection = testing::connection(kind, &server);
        connection.credentials.token = Some(SecretString::from("hunter2\nuser: anna"));
        let error = connect(connection).unwrap().identify(&|| at(0)).await.unwrap_err();
        // Jellyfin's is encoded, so it goes out and is refused there.
        let expected = if kind == ServerKind::Jellyfin { ErrorKind::NotFound } else { ErrorKind::Configuration };
        assert_eq!(error.kind(), expected);
        assert_harmless(&shown(&error));
    }
}

#[tokio::test]
async fn nothing_shows_a_secret() {
    let server = MockServer::start().await;
    for kind in [ServerKind::Plex, ServerKind::Jellyfin, ServerKind::Emby] {
        let mut connection = testing::connection(kind, &server);
        connection.url.set_username("anna").unwrap();
        connection.url.set_password(Some("hunter2")).unwrap();
        connection.credentials.login = Some(("anna".to_owned(), SecretString::from("hunter2")));
        assert_harmless(&connection);
        assert_harmless(&connection.credentials);
        let http = wire(&connection);
        assert_harmless(&request(&http, Repeat::Harmless).headers);
        for status in [400, 401, 403, 404, 418, 500] {
            server.reset().await;
            Mock::given(wiremock::matchers::any())
                .respond_with(ResponseTemplate::new(status).set_body_string(format!("{TOKEN} hunter2")))
                .mount(&server)
                .await;
            let client = connect(connection.clone()).unwrap();
            let view = client.open(&testing::account("1", true), "machine-1").await.unwrap();
            let errors = [
                client.identify(&|| at(0)).await.err(),
                client.accounts().await.err(),
                view.libraries().await.err(),
                view.items_by_id(&["1".to_owned()]).await.err(),
                view.write(&film("1", watchstate_domain::item::ItemState::default()), &crate::Write::Unplayed)
                    .await
                    .err(),
            ];
            assert!(errors.iter().any(Option::is_some));
            for error in errors.iter().flatten() {
                assert_harmless(&shown(error));
            }
        }
    }
}
