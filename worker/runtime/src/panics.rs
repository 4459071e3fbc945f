//! A panic is logged like everything else. Its formatted text is left out: it may hold a token, a PIN or a whole answer.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

/// What stands for a text that had arguments.
const WITHHELD: &str = "message withheld, since it may hold secrets";

/// Logs every panic of the process at level error, with its place, and with a backtrace if `RUST_BACKTRACE` asks for one.
pub(crate) fn install_hook() {
    std::panic::set_hook(Box::new(|info| {
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(
            location = info.location().map(tracing::field::display),
            thread = std::thread::current().name(),
            backtrace,
            "panicked: {}",
            message(info)
        );
    }));
}

/// A literal can't hold anything from outside; a text with arguments can (`unwrap` on an error shows the error).
fn message(info: &PanicHookInfo<'_>) -> &'static str {
    info.payload().downcast_ref::<&'static str>().copied().unwrap_or(WITHHELD)
}
