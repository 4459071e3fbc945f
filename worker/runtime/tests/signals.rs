//! Real signals, sent to this very process: in a file of its own, so that no other test runs beside it.

use std::process::Command;

use watchstate_runtime::shutdown::{Aborted, Shutdown, Signal};

fn send_myself(signal: &str) {
    let sent = Command::new("kill").arg(signal).arg(std::process::id().to_string()).status();
    assert!(sent.is_ok_and(|status| status.success()), "{signal} could not be sent");
}

#[tokio::test]
async fn a_real_sigterm_drains_and_a_second_one_aborts() {
    let shutdown = Shutdown::listen(None).unwrap();

    send_myself("-TERM");
    shutdown.soft().cancelled().await;
    assert_eq!(shutdown.signal(), Some(Signal::Terminate));
    assert_eq!(shutdown.supervise(async { "drained" }).await, Ok("drained"));
    assert!(!shutdown.hard().is_cancelled());

    send_myself("-TERM");
    let aborted = shutdown.supervise(std::future::pending::<()>()).await;
    assert_eq!(aborted, Err(Aborted { signal: Signal::Terminate }));
}
