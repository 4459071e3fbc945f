//! Who leads: decided from what a lease says and for how long it has been saying so, by our own clock. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

/// How long a lease holds after it was renewed: a leader that was killed is followed after this and two looks.
pub const DURATION: Duration = Duration::from_secs(12);
/// How often the leader renews it.
pub const RENEW: Duration = Duration::from_secs(4);
/// A leader that couldn't renew for so long stops: before anybody else may lead.
pub const GIVE_UP: Duration = Duration::from_secs(8);
/// How long the lease is kept from others while an installation is taken down.
pub const FAREWELL: Duration = Duration::from_mins(1);
/// How often the others look.
pub const LOOK: Duration = Duration::from_secs(2);

/// What a candidate does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Nobody leads, or whoever did has been silent for too long.
    Take,
    /// We lead, by a lease that an earlier life of this pod took.
    Keep,
    /// Somebody else leads.
    Wait,
}

/// Decides. `unchanged_for`: for how long we have seen the lease as it is; the leader's own clock may say anything.
pub fn decide(lease: &LeaseSpec, unchanged_for: Duration, me: &str) -> Move {
    let holder = lease.holder_identity.as_deref().filter(|holder| !holder.is_empty());
    let seconds = lease.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let holds = seconds.map_or(DURATION, Duration::from_secs);
    match holder {
        None => Move::Take,
        Some(holder) if holder == me => Move::Keep,
        Some(_) if unchanged_for >= holds => Move::Take,
        Some(_) => Move::Wait,
    }
}

/// The lease in our hands.
pub fn taken(before: &LeaseSpec, me: &str, now: Timestamp) -> LeaseSpec {
    let ours = before.holder_identity.as_deref() == Some(me);
    LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
        acquire_time: if ours { before.acquire_time.clone() } else { Some(MicroTime(now)) },
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(before.lease_transitions.unwrap_or_default() + i32::from(!ours)),
        ..LeaseSpec::default()
    }
}

/// The lease in our hands for so long, without renewals.
pub fn kept(before: &LeaseSpec, span: Duration, now: Timestamp) -> LeaseSpec {
    LeaseSpec {
        lease_duration_seconds: i32::try_from(span.as_secs()).ok(),
        renew_time: Some(MicroTime(now)),
        ..before.clone()
    }
}

/// The lease in nobody's hands: the next look of another one takes it.
pub fn released(before: &LeaseSpec, now: Timestamp) -> LeaseSpec {
    LeaseSpec {
        holder_identity: None,
        lease_duration_seconds: Some(1),
        acquire_time: None,
        renew_time: Some(MicroTime(now)),
        ..before.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(holder: Option<&str>, seconds: Option<i32>) -> LeaseSpec {
        LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: seconds,
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_lease_is_taken_from_nobody_and_from_the_silent_and_from_no_one_else() {
        let cases = [
            (held(None, None), 0, Move::Take),
            (held(Some(""), Some(12)), 0, Move::Take),
            (held(Some("me"), Some(12)), 0, Move::Keep),
            (held(Some("me"), Some(12)), 3_600, Move::Keep),
            (held(Some("other"), Some(12)), 0, Move::Wait),
            (held(Some("other"), Some(12)), 11, Move::Wait),
            (held(Some("other"), Some(12)), 12, Move::Take),
            (held(Some("other"), Some(60)), 12, Move::Wait),
            (held(Some("other"), None), 12, Move::Take),
            (held(Some("other"), Some(-1)), 11, Move::Wait),
        ];
        for (lease, seconds, expected) in cases {
            assert_eq!(decide(&lease, Duration::from_secs(seconds), "me"), expected, "{lease:?} {seconds}");
        }
    }

    #[test]
    fn transitions_are_counted_when_the_holder_changes_and_not_when_it_renews() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = taken(&LeaseSpec::default(), "me", at(1));
        let renewed = taken(&first, "me", at(5));
        assert_eq!((renewed.lease_transitions, renewed.acquire_time.clone()), (Some(1), Some(MicroTime(at(1)))));
        let gone = released(&renewed, at(6));
        assert_eq!(decide(&gone, Duration::ZERO, "other"), Move::Take);
        let other = taken(&gone, "other", at(7));
        assert_eq!((other.lease_transitions, other.acquire_time), (Some(2), Some(MicroTime(at(7)))));
    }

    #[test]
    fn a_leader_stops_before_another_may_lead_and_failover_takes_less_than_20_seconds() {
        assert!(GIVE_UP + RENEW <= DURATION);
        assert!(DURATION + 2 * LOOK < Duration::from_secs(20));
    }
}
