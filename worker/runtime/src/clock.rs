//! The wall clock, read here and nowhere else. Mains make a [`Clock`] and pass it on; tests set theirs by hand.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// The time now. For mains only: everything else takes a [`Clock`] or a [`Timestamp`].
#[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A source of the time now. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The wall clock. For mains.
    pub fn system() -> Self {
        Self(Arc::new(now))
    }

    /// Any other source.
    pub fn from_fn(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// A clock that stands at `at` until its hand is moved.
    pub fn manual(at: Timestamp) -> (Self, ClockHand) {
        let hand = ClockHand(Arc::new(Mutex::new(at)));
        let read = hand.clone();
        (Self::from_fn(move || read.get()), hand)
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

/// Moves a [`Clock::manual`].
#[derive(Debug, Clone)]
pub struct ClockHand(Arc<Mutex<Timestamp>>);

impl ClockHand {
    /// Sets the clock, forwards or back.
    pub fn set(&self, at: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Moves the clock; it stays where it is if the result would be out of range.
    pub fn advance(&self, by: SignedDuration) {
        let mut at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *at = at.checked_add(by).unwrap_or(*at);
    }

    fn get(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_shows_what_its_hand_was_set_to() {
        let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
        let passed_on = clock.clone();
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
        hand.advance(SignedDuration::from_hours(1));
        assert_eq!(passed_on.now().as_second(), 3_600);
        hand.set(Timestamp::from_second(5).unwrap());
        assert_eq!(passed_on.now().as_second(), 5);
    }

    #[test]
    fn the_system_clock_moves_forward_from_this_century() {
        let clock = Clock::system();
        let before = clock.now();
        assert!(before > Timestamp::from_second(1_700_000_000).unwrap());
        assert!(clock.now() >= before);
    }
}
