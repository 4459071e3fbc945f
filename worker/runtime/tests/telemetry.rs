//! Telemetry as a main starts it. It is the process's own, so this file holds one test.

use std::sync::{Arc, Mutex};

use tracing::Level;
use watchstate_runtime::logs::{LogArgs, LogFormat, Sink};
use watchstate_runtime::{Service, Telemetry, TelemetryError};

#[test]
fn a_main_gets_logs_metrics_and_panics_without_secrets_and_can_start_only_once() {
    let lines = Arc::new(Mutex::new(String::new()));
    let copy = lines.clone();
    let sink = Sink::new(move |line| copy.lock().unwrap().push_str(line));
    let args = LogArgs { verbose: 0, log_format: LogFormat::Json };
    let service = Service { name: "watchstate-test", version: "1.2.3", level: Level::WARN };
    let telemetry = Telemetry::start_with(service, &args, sink).unwrap();

    tracing::error!("started with token=s3cret");
    let literal = std::thread::Builder::new().name("reader".to_owned()).spawn(|| panic!("a page without items"));
    assert!(literal.unwrap().join().is_err());
    let secret = String::from("s3cret");
    assert!(std::thread::spawn(move || panic!("unexpected answer {secret}")).join().is_err());

    let text = telemetry.metrics.encode().unwrap();
    assert!(text.contains("watchstate_build_info{name=\"watchstate-test\",version=\"1.2.3\"} 1\n"), "{text}");
    assert!(matches!(Telemetry::start(service, &args), Err(TelemetryError::Install(_))));
    telemetry.shutdown();

    let lines = lines.lock().unwrap();
    for expected in
        ["started with token=***", "panicked: a page without items", "\"thread\":\"reader\"", "tests/telemetry.rs:"]
    {
        assert!(lines.contains(expected), "{expected} is missing in {lines}");
    }
    assert!(lines.contains("panicked: message withheld"), "{lines}");
    assert!(!lines.contains("s3cret"), "{lines}");
}
