//! Two clocks: a server's and ours. A server's stamps are read through the offset, so that an hour off changes nobody's order.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How far a server's clock is ahead of ours, in milliseconds (negative: behind).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClockOffset(pub i64);

/// An HTTP `Date` has whole seconds and travels for a while: less than this is no difference.
const NOISE_MS: i64 = 5_000;

impl ClockOffset {
    /// The offset that a `Date` header tells: `theirs` was read at `ours`. Differences below the header's precision count as none.
    pub fn measured(theirs: Timestamp, ours: Timestamp) -> Self {
        let difference = theirs.as_millisecond() - ours.as_millisecond();
        Self(if difference.abs() < NOISE_MS { 0 } else { difference })
    }

    /// The offset to go on with: the known one, unless the new measurement differs by more than noise.
    #[must_use]
    pub fn settled(self, measured: Self) -> Self {
        if (self.0 - measured.0).abs() < NOISE_MS { self } else { measured }
    }

    /// In seconds, for a gauge.
    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1_000.0
    }

    /// A server's stamp on our clock.
    pub fn to_ours(self, theirs: Timestamp) -> Timestamp {
        theirs.saturating_sub(SignedDuration::from_millis(self.0)).unwrap_or(theirs)
    }

    /// A stamp of ours on the server's clock.
    pub fn to_theirs(self, ours: Timestamp) -> Timestamp {
        ours.saturating_add(SignedDuration::from_millis(self.0)).unwrap_or(ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_clock_an_hour_ahead_is_read_an_hour_back() {
        let offset = ClockOffset::measured(at(10_000 + 3_600), at(10_000));
        assert_eq!(offset.to_ours(at(20_000)), at(16_400));
        assert_eq!(offset.to_theirs(offset.to_ours(at(20_000))), at(20_000));
    }

    #[test]
    fn the_headers_precision_is_no_difference() {
        assert_eq!(ClockOffset::measured(at(10_001), at(10_000)), ClockOffset(0));
        assert_eq!(ClockOffset(3_600_000).settled(ClockOffset(3_601_000)), ClockOffset(3_600_000));
        assert_eq!(ClockOffset(3_600_000).settled(ClockOffset(0)), ClockOffset(0));
    }
}
