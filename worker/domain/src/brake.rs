//! The brake: un-plays that are too many to be somebody's wish are held until a person says so.

use crate::policy::BrakePolicy;

/// True when `unplays` of an account's `played` titles must be held: more than the count *and* more than the percentage.
pub const fn holds(unplays: u64, played: u64, policy: BrakePolicy) -> bool {
    unplays > policy.count as u64 && unplays * 100 > played * policy.percent as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_must_be_passed() {
        let policy = BrakePolicy::default();
        let cases = [
            (20, 30, false),
            (21, 30, true),
            (21, 210, false),
            (22, 210, true),
            (500, 5_000, false),
            (501, 5_000, true),
            (500, 500, true),
            (0, 0, false),
        ];
        for (unplays, played, held) in cases {
            assert_eq!(holds(unplays, played, policy), held, "{unplays} of {played}");
        }
    }

    #[test]
    fn a_count_of_nought_leaves_the_percentage_to_decide() {
        assert!(holds(1, 1, BrakePolicy { count: 0, percent: 10 }));
        assert!(!holds(1, 10, BrakePolicy { count: 0, percent: 10 }));
    }
}
