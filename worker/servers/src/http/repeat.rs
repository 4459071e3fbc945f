//! Which failures are worth another try, and which tries do no harm: pure, but for the jitter of the pauses.

use std::error::Error;
use std::time::Duration;

use backon::ExponentialBuilder;
use http::header::{DATE, HeaderMap, RETRY_AFTER};
use jiff::Timestamp;

/// No wait is longer, whatever a server asks for.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The first wait between two tries; tests don't wait.
const FIRST_PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 200 });

/// Whether sending a request a second time does harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Reads, and writes that set or take away exact values.
    Harmless,
    /// Writes that count: only where the server surely didn't do it.
    OnlyIfRefused,
}

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The request never left.
    NoConnection,
    /// The request left; the connection broke before the whole answer was there.
    Broken,
    /// The request left; the answer took too long.
    TimedOut,
    /// The server answered with this status.
    Status(u16),
    /// The next try would end the same.
    Final,
}

impl Cause {
    /// True where the server may have done what was asked.
    pub(super) const fn may_have_happened(self) -> bool {
        matches!(self, Self::Broken | Self::TimedOut | Self::Status(408 | 500 | 502 | 504))
    }
}

/// What was tried so far.
#[derive(Debug, Default)]
pub(super) struct Tries {
    time_outs: u32,
    failures: u32,
}

impl Tries {
    /// Decides about another try after a failure. Time-outs are repeated twice at most, since each costs its whole limit; a 500 once, since it is
    /// seldom a passing trouble.
    pub(super) const fn again(&mut self, cause: Cause, repeat: Repeat) -> bool {
        if matches!(repeat, Repeat::OnlyIfRefused) && cause.may_have_happened() {
            return false;
        }
        match cause {
            Cause::NoConnection | Cause::Broken | Cause::Status(429 | 502 | 503) => true,
            Cause::TimedOut | Cause::Status(408 | 504) => {
                self.time_outs += 1;
                self.time_outs <= 2
            }
            Cause::Status(500) => {
                self.failures += 1;
                self.failures <= 1
            }
            Cause::Status(_) | Cause::Final => false,
        }
    }
}

/// 0.2 s, doubled each time, plus jitter; four repeats and a minute at most.
pub(super) const fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_factor(2.0)
        .with_max_delay(Duration::from_secs(10))
        .with_max_times(4)
        .with_total_delay(Some(Duration::from_mins(1)))
        .with_jitter()
}

/// How long the server asks us to wait: seconds, or a date, which is read against the server's own `Date`.
pub(super) fn pause(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wanted = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        Duration::try_from(http_date(text)?.duration_since(date(headers)?)).ok()?
    };
    Some(wanted.min(LONGEST_PAUSE))
}

/// The server's clock as its answer tells it.
pub(crate) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(headers.get(DATE)?.to_str().ok()?)
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

/// What is wrong with the certificate or the protocol, where that is what failed: it won't heal by itself.
pub(super) fn tls_problem<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next: Option<&'a (dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            let lasting = matches!(
                tls,
                rustls::Error::InvalidCertificate(_)
                    | rustls::Error::InvalidMessage(_)
                    | rustls::Error::NoCertificatesPresented
            );
            return lasting.then_some(tls);
        }
        // The source of an IO error is the source of what it wraps, which would skip that itself.
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_repeated_where_it_may_help_and_counting_writes_only_where_nothing_happened() {
        use Cause::{Broken, Final, NoConnection, Status, TimedOut};
        // (cause, a read is repeated, a counting write is repeated)
        let cases = [
            (NoConnection, true, true),
            (Broken, true, false),
            (TimedOut, true, false),
            (Status(429), true, true),
            (Status(503), true, true),
            (Status(502), true, false),
            (Status(504), true, false),
            (Status(500), true, false),
            (Status(400), false, false),
            (Status(401), false, false),
            (Status(403), false, false),
            (Status(404), false, false),
            (Final, false, false),
        ];
        for (cause, read, write) in cases {
            assert_eq!(Tries::default().again(cause, Repeat::Harmless), read, "read after {cause:?}");
            assert_eq!(Tries::default().again(cause, Repeat::OnlyIfRefused), write, "write after {cause:?}");
        }
    }

    #[test]
    fn a_500_is_tried_once_more_and_a_time_out_twice() {
        let mut tries = Tries::default();
        let repeated = |tries: &mut Tries, cause| (0..5).filter(|_| tries.again(cause, Repeat::Harmless)).count();
        assert_eq!(repeated(&mut tries, Cause::Status(500)), 1);
        assert_eq!(repeated(&mut tries, Cause::TimedOut), 2);
    }

    #[test]
    fn a_wait_is_read_in_both_forms_and_bounded() {
        let headers = |retry: &'static str| {
            HeaderMap::from_iter([
                (RETRY_AFTER, http::HeaderValue::from_static(retry)),
                (DATE, http::HeaderValue::from_static("Tue, 01 Jul 2025 12:00:00 GMT")),
            ])
        };
        assert_eq!(pause(&headers("7")), Some(Duration::from_secs(7)));
        assert_eq!(pause(&headers("Tue, 01 Jul 2025 12:00:05 GMT")), Some(Duration::from_secs(5)));
        assert_eq!(pause(&headers("86400")), Some(LONGEST_PAUSE));
        assert_eq!(pause(&headers("soon")), None);
        assert_eq!(pause(&HeaderMap::new()), None);
    }
}
