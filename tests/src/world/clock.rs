//! Time of the simulated household, and each server's own clock, which may be wrong by a fixed amount.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// Where "now" comes from. Clones share it, so that several servers can live in one household's time.
#[derive(Clone)]
pub struct TimeSource(Arc<Mutex<Time>>);

struct Time {
    read: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    frozen: Option<Timestamp>,
    shift: SignedDuration,
}

impl TimeSource {
    /// The computer's own time.
    #[expect(clippy::disallowed_methods, reason = "the one place where a simulator reads the real clock")]
    pub fn real() -> Self {
        Self::from_fn(Timestamp::now)
    }

    /// Time that only moves by [`set`](Self::set) and [`advance`](Self::advance).
    pub fn fixed(at: Timestamp) -> Self {
        let time = Self::from_fn(move || at);
        time.set(at);
        time
    }

    /// Time read from `read`.
    pub fn from_fn(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(Mutex::new(Time { read: Arc::new(read), frozen: None, shift: SignedDuration::ZERO })))
    }

    /// The household's true time.
    pub fn now(&self) -> Timestamp {
        self.with(|time| time.frozen.unwrap_or_else(|| plus((time.read)(), time.shift)))
    }

    /// Stops the clock at `at`.
    pub fn set(&self, at: Timestamp) {
        self.with(|time| time.frozen = Some(at));
    }

    /// Stops the clock at the present moment.
    pub fn freeze(&self) {
        let now = self.now();
        self.set(now);
    }

    /// Lets a stopped clock run on from where it stands.
    pub fn thaw(&self) {
        self.with(|time| {
            if let Some(at) = time.frozen.take() {
                time.shift = at.duration_since((time.read)());
            }
        });
    }

    /// Moves the clock, stopped or running, by `by`; a negative duration moves it back.
    pub fn advance(&self, by: SignedDuration) {
        self.with(|time| match &mut time.frozen {
            Some(at) => *at = plus(*at, by),
            None => time.shift = time.shift.saturating_add(by),
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut Time) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for TimeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TimeSource").field(&self.now()).finish()
    }
}

/// A server's own clock: the household's time plus the server's error.
#[derive(Debug, Clone)]
pub struct Clock {
    time: TimeSource,
    offset: Arc<Mutex<SignedDuration>>,
}

impl Clock {
    /// A clock that is right.
    pub fn new(time: TimeSource) -> Self {
        Self { time, offset: Arc::default() }
    }

    /// What the server believes the time is. Every stamp it makes itself comes from here.
    pub fn now(&self) -> Timestamp {
        plus(self.time.now(), self.offset())
    }

    /// By how much the server's clock is ahead (negative: behind).
    pub fn offset(&self) -> SignedDuration {
        *self.offset.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the server's clock wrong by `offset`.
    pub fn set_offset(&self, offset: SignedDuration) {
        *self.offset.lock().unwrap_or_else(PoisonError::into_inner) = offset;
    }

    /// The household's time below it; stop it, set it, advance it there.
    pub const fn time(&self) -> &TimeSource {
        &self.time
    }
}

/// `at + by`, kept inside the range of representable times.
fn plus(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_stays_wrong_by_the_same_amount_while_time_moves() {
        let time = TimeSource::fixed("2026-01-01T00:00:00Z".parse().unwrap());
        let (right, wrong) = (Clock::new(time.clone()), Clock::new(time.clone()));
        wrong.set_offset(SignedDuration::from_hours(-1));
        time.advance(SignedDuration::from_mins(90));
        assert_eq!(right.now(), "2026-01-01T01:30:00Z".parse().unwrap());
        assert_eq!(wrong.now(), "2026-01-01T00:30:00Z".parse().unwrap());
    }

    #[test]
    fn a_thawed_clock_runs_on_from_where_it_stood() {
        let base = TimeSource::fixed("2026-01-01T00:00:00Z".parse().unwrap());
        let reader = base.clone();
        let time = TimeSource::from_fn(move || reader.now());
        time.set("2030-06-01T00:00:00Z".parse().unwrap());
        time.thaw();
        base.advance(SignedDuration::from_secs(5));
        assert_eq!(time.now(), "2030-06-01T00:00:05Z".parse().unwrap());
    }
}
