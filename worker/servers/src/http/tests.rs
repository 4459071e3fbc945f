mod secrets;
mod tls;

use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wiremock::matchers::{header, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::connect;
use crate::testing::{self, TOKEN, asked, assert_harmless, at, film, shown};

fn wire(connection: &Connection) -> Http {
    Http::new(connection).unwrap()
}

fn connection(server: &MockServer) -> Connection {
    testing::connection(ServerKind::Jellyfin, server)
}

/// A request with the token, as clients of servers make it.
fn request(http: &Http, repeat: Repeat) -> Request {
    let mut request = http.request(Operation::Items, "/Items/{item}", &["a/b"], &[("q", "1&2")]);
    request.repeat = repeat;
    request.headers.insert(HeaderName::from_static("x-token"), secret_value(TOKEN).unwrap());
    request.token = Some(SecretString::from(TOKEN));
    request
}

async fn first_answers(server: &MockServer, times: u64, response: ResponseTemplate) {
    Mock::given(method("GET")).respond_with(response).up_to_n_times(times).with_priority(1).mount(server).await;
}

async fn then_answers(server: &MockServer) {
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(200).set_body_string("{}")).mount(server).await;
}

/// A server that answers each connection with the next of these bytes, and closes it; None closes it without an answer.
async fn raw_server(answers: Vec<Option<Vec<u8>>>) -> (Url, Arc<Mutex<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let count = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            *counted.lock().unwrap() += 1;
            tokio::spawn(async move { one_answer(&mut stream, answer).await });
        }
    });
    (url, count)
}

async fn one_answer(stream: &mut TcpStream, answer: Option<Vec<u8>>) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !seen.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut buffer).await.unwrap();
        seen.extend_from_slice(&buffer[..read]);
    }
    if let Some(answer) = answer {
        // The client may have heard enough before the end.
        stream.write_all(&answer).await.ok();
    }
}

fn whole_answer() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}".to_vec()
}

fn cut_answer() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\n{\"Items\":[".to_vec()
}

async fn at_raw(answers: Vec<Option<Vec<u8>>>, repeat: Repeat) -> (Result<Answer>, usize) {
    let server = MockServer::start().await;
    let (url, count) = raw_server(answers).await;
    let http = wire(&Connection { url, ..connection(&server) });
    let outcome = http.send(&request(&http, repeat)).await;
    let count = *count.lock().unwrap();
    (outcome, count)
}

#[tokio::test]
async fn ids_and_queries_are_encoded_and_the_base_path_is_kept() {
    let base = Url::parse("https://home.example/jellyfin/?x=1#y").unwrap();
    let url = address(&base, "/Users/{user}/Items/{item}/UserData", &["../a", "1,2"], &[("lastViewedAt>", "5")]);
    assert_eq!(url.as_str(), "https://home.example/jellyfin/Users/..%2Fa/Items/1,2/UserData?lastViewedAt%3E=5");
    let plain = Url::parse("http://plex:32400").unwrap();
    assert_eq!(address(&plain, "/:/scrobble", &[], NO_QUERY).as_str(), "http://plex:32400/:/scrobble");
    assert_eq!(address(&plain, "/", &[], NO_QUERY).as_str(), "http://plex:32400/");
}

#[tokio::test]
async fn a_passing_refusal_is_waited_out() {
    for response in [
        ResponseTemplate::new(429).insert_header("retry-after", "0"),
        ResponseTemplate::new(502),
        ResponseTemplate::new(503),
        ResponseTemplate::new(504),
        ResponseTemplate::new(500),
    ] {
        let server = MockServer::start().await;
        first_answers(&server, 1, response).await;
        then_answers(&server).await;
        let http = wire(&connection(&server));
        assert_eq!(http.send(&request(&http, Repeat::Harmless)).await.unwrap().body, b"{}");
        assert_eq!(asked(&server).await, ["GET /Items/a%2Fb?q=1&2", "GET /Items/a%2Fb?q=1&2"]);
    }
}

#[tokio::test]
async fn a_lasting_refusal_is_an_error_at_once_and_says_what_to_do() {
    let cases = [
        (400, ErrorKind::BadAnswer, "refused the request"),
        (401, ErrorKind::Unauthorized, "renew it in the Secret"),
        (403, ErrorKind::Forbidden, "administrator"),
        (404, ErrorKind::NotFound, "no such thing"),
    ];
    for (status, kind, words) in cases {
        let server = MockServer::start().await;
        first_answers(&server, 99, ResponseTemplate::new(status).set_body_string(TOKEN)).await;
        let http = wire(&connection(&server));
        let error = http.send(&request(&http, Repeat::Harmless)).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(asked(&server).await.len(), 1, "{status}");
        assert_harmless(&shown(&error));
    }
}

#[tokio::test]
async fn repeats_end() {
    for (status, kind, requests) in
        [(429, ErrorKind::RateLimited, 5), (503, ErrorKind::ServerFailure, 5), (500, ErrorKind::ServerFailure, 2)]
    {
        let server = MockServer::start().await;
        first_answers(&server, 99, ResponseTemplate::new(status)).await;
        let http = wire(&connection(&server));
        let error = http.send(&request(&http, Repeat::Harmless)).await.unwrap_err();
        assert_eq!((error.kind(), asked(&server).await.len()), (kind, requests));
    }
}

#[tokio::test]
async fn a_broken_connection_and_a_cut_answer_are_read_again() {
    for broken in [None, Some(cut_answer())] {
        let (outcome, requests) = at_raw(vec![broken, Some(whole_answer())], Repeat::Harmless).await;
        assert_eq!((outcome.unwrap().body, requests), (b"{}".to_vec(), 2));
    }
}

#[tokio::test]
async fn a_cut_answer_that_stays_cut_is_no_answer() {
    let (outcome, requests) = at_raw(vec![Some(cut_answer()); 9], Repeat::Harmless).await;
    let error = outcome.unwrap_err();
    assert_eq!((error.kind(), requests), (ErrorKind::BadAnswer, 5));
    assert!(error.to_string().contains("broke off"), "{error}");
}

#[tokio::test]
async fn a_counting_write_is_sent_once_where_it_may_have_happened() {
    let (outcome, requests) = at_raw(vec![None, Some(whole_answer())], Repeat::OnlyIfRefused).await;
    assert_eq!((outcome.unwrap_err().kind(), requests), (ErrorKind::Uncertain, 1));
    for status in [500, 502, 504] {
        let server = MockServer::start().await;
        first_answers(&server, 99, ResponseTemplate::new(status)).await;
        let http = wire(&connection(&server));
        let error = http.send(&request(&http, Repeat::OnlyIfRefused)).await.unwrap_err();
        assert_eq!((error.kind(), asked(&server).await.len()), (ErrorKind::Uncertain, 1), "{status}");
    }
}

#[tokio::test]
async fn a_counting_write_that_was_turned_away_is_sent_again() {
    for status in [429, 503] {
        let server = MockServer::start().await;
        first_answers(&server, 1, ResponseTemplate::new(status)).await;
        then_answers(&server).await;
        let http = wire(&connection(&server));
        http.send(&request(&http, Repeat::OnlyIfRefused)).await.unwrap();
        assert_eq!(asked(&server).await.len(), 2, "{status}");
    }
}

#[tokio::test]
async fn a_counting_write_is_done_when_the_status_says_so_though_the_answer_is_cut() {
    let (outcome, requests) = at_raw(vec![Some(cut_answer()), Some(whole_answer())], Repeat::OnlyIfRefused).await;
    assert_eq!((outcome.is_ok(), requests), (true, 1));
}

#[tokio::test]
async fn a_slow_server_is_asked_three_times_and_a_slow_counting_write_once() {
    for (repeat, kind, requests) in
        [(Repeat::Harmless, ErrorKind::TimedOut, 3), (Repeat::OnlyIfRefused, ErrorKind::Uncertain, 1)]
    {
        let server = MockServer::start().await;
        first_answers(&server, 99, ResponseTemplate::new(200).set_delay(Duration::from_secs(20))).await;
        let mut connection = connection(&server);
        connection.limits.timeout = Duration::from_millis(500);
        let http = wire(&connection);
        let error = http.send(&request(&http, repeat)).await.unwrap_err();
        assert_eq!((error.kind(), asked(&server).await.len()), (kind, requests));
        assert!(error.to_string().contains("limits.timeout"), "{error}");
    }
}

#[tokio::test]
async fn nothing_that_listens_is_unreachable_and_named() {
    let server = MockServer::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://user:hunter2@{}/?token={TOKEN}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let http = wire(&Connection { url, ..connection(&server) });
    let error = http.send(&request(&http, Repeat::OnlyIfRefused)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(
        error.to_string().starts_with("cinema: reading a library failed: no connection to http://127.0.0.1:"),
        "{error}"
    );
    assert_harmless(&shown(&error));
}

#[tokio::test]
async fn an_answer_above_the_limit_is_refused_whether_announced_or_not() {
    let announced = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body::LIMIT + 1).into_bytes();
    let mut streamed = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
    streamed.resize(streamed.len() + body::LIMIT + 1, b' ');
    for answer in [announced, streamed] {
        let (outcome, requests) = at_raw(vec![Some(answer)], Repeat::Harmless).await;
        let error = outcome.unwrap_err();
        assert_eq!((error.kind(), requests), (ErrorKind::BadAnswer, 1));
        assert!(error.to_string().contains("lower limits.pageSize"), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_json_is_a_bad_answer_and_shows_no_token() {
    let cases = [
        (format!("<html><title>Login {TOKEN}</title></html>"), "HTML or XML came instead of JSON"),
        ("{\"Items\":[".to_owned(), "the JSON ends too early"),
        (format!("{{\"Items\":\"{TOKEN}\"}}"), "unexpected JSON at line 1"),
        (String::new(), "the JSON ends too early"),
    ];
    for (text, words) in cases {
        let server = MockServer::start().await;
        first_answers(&server, 1, ResponseTemplate::new(200).set_body_string(text)).await;
        let http = wire(&connection(&server));
        let mut request = request(&http, Repeat::Harmless);
        let answer = http.send(&request).await.unwrap();
        let error = http.json::<crate::mediabrowser::dto::Items>(&request, &answer).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::BadAnswer);
        assert!(error.to_string().contains(words), "{error}");
        assert_harmless(&shown(&error));
        request.secret_answer = true;
        let error = http.json::<crate::mediabrowser::dto::Items>(&request, &answer).err().unwrap();
        assert!(!error.to_string().contains("begins"), "{error}");
    }
}

#[tokio::test]
async fn a_write_that_is_answered_with_a_web_page_was_not_done() {
    for repeat in [Repeat::Harmless, Repeat::OnlyIfRefused] {
        let server = MockServer::start().await;
        let page = format!("<!DOCTYPE html><html><title>Login {TOKEN}</title></html>");
        first_answers(&server, 99, ResponseTemplate::new(200).set_body_string(page)).await;
        let http = wire(&connection(&server));
        let write = Request { operation: Operation::MarkPlayed, ..request(&http, repeat) };
        let error = http.send(&write).await.unwrap_err();
        assert_eq!((error.kind(), asked(&server).await.len()), (ErrorKind::BadAnswer, 1));
        assert!(error.to_string().contains("a web page came as the answer"), "{error}");
        assert_harmless(&shown(&error));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_its_target_is_told() {
    let (server, other) = (MockServer::start().await, MockServer::start().await);
    let target = format!("{}/web/?key={TOKEN}", other.uri());
    first_answers(&server, 99, ResponseTemplate::new(302).insert_header("location", target)).await;
    let http = wire(&connection(&server));
    let error = http.send(&request(&http, Repeat::Harmless)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains(&format!("{}/web/", other.uri())), "{error}");
    assert!(asked(&other).await.is_empty());
    assert_harmless(&shown(&error));
}

#[tokio::test]
async fn requests_say_who_asks_and_take_packed_answers() {
    let server = MockServer::start().await;
    Mock::given(header("user-agent", concat!("watchstate/", env!("CARGO_PKG_VERSION"))))
        .respond_with(ResponseTemplate::new(200).set_body_string("{}"))
        .mount(&server)
        .await;
    let http = wire(&connection(&server));
    http.send(&request(&http, Repeat::Harmless)).await.unwrap();
    let seen = server.received_requests().await.unwrap();
    assert_eq!(seen[0].headers["accept-encoding"], "gzip");
}

#[tokio::test]
async fn limits_of_concurrency_and_rate_are_kept() {
    let server = MockServer::start().await;
    first_answers(&server, 99, ResponseTemplate::new(200).set_delay(Duration::from_millis(60))).await;
    let mut one_by_one = connection(&server);
    one_by_one.limits.concurrency = 1;
    let mut slowly = connection(&server);
    slowly.limits.requests_per_second = Some(20.0);
    for (connection, least) in [(one_by_one, Duration::from_millis(180)), (slowly, Duration::from_millis(160))] {
        let http = wire(&connection);
        let start = Instant::now();
        let request = request(&http, Repeat::Harmless);
        let (one, two, three) = tokio::join!(http.send(&request), http.send(&request), http.send(&request));
        assert!(one.is_ok() && two.is_ok() && three.is_ok());
        assert!(start.elapsed() >= least, "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn every_attempt_is_told_to_the_observer() {
    type Told = (ServerKind, String, &'static str, std::result::Result<(), ErrorKind>);
    #[derive(Default)]
    struct Recorder(Mutex<Vec<Told>>);
    impl RequestObserver for Recorder {
        fn request(
            &self,
            kind: ServerKind,
            server: &str,
            operation: &'static str,
            outcome: std::result::Result<(), ErrorKind>,
            _: Duration,
        ) {
            self.0.lock().unwrap().push((kind, server.to_owned(), operation, outcome));
        }
    }
    let server = MockServer::start().await;
    first_answers(&server, 1, ResponseTemplate::new(503)).await;
    then_answers(&server).await;
    let recorder = Arc::new(Recorder::default());
    let http = wire(&Connection { observer: Arc::<Recorder>::clone(&recorder), ..connection(&server) });
    http.send(&request(&http, Repeat::Harmless)).await.unwrap();
    let told = recorder.0.lock().unwrap();
    assert_eq!(
        *told,
        [
            (ServerKind::Jellyfin, "cinema".to_owned(), "items", Err(ErrorKind::ServerFailure)),
            (ServerKind::Jellyfin, "cinema".to_owned(), "items", Ok(())),
        ]
    );
}
