//! Faults to inject: which requests they hit, how often, and what goes wrong.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Call, Group, Operation};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// This status in place of the answer; nothing is done.
    Status {
        /// 429, 500, 502, 503, 401 …
        status: u16,
        /// `Retry-After` in seconds.
        retry_after: Option<u64>,
    },
    /// The answer comes this many milliseconds late, and so long nothing is done; with a large number, after the client gave up.
    Delay(u64),
    /// The request is carried out at once, and the answer comes this many milliseconds late: the client gives up, and doesn't know.
    LateAnswer(u64),
    /// The connection is closed without an answer; nothing is done.
    Reset,
    /// The request is carried out, then the connection is closed without an answer.
    WriteThenReset,
    /// `Content-Length` promises more than what comes before the connection closes.
    CutBody,
    /// 200 with JSON (or XML) that ends in the middle.
    WrongJson,
    /// 200 with an HTML page, as from a proxy or a login page.
    Html200,
}

/// A fault: what goes wrong, and for which requests. Without conditions it hits every one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
pub struct Fault {
    kind: FaultKind,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    operation: Option<String>,
    #[serde(default)]
    group: Option<Group>,
    #[serde(default)]
    after: u32,
    #[serde(default)]
    times: Option<u32>,
}

impl Fault {
    /// A fault that hits every request until healed.
    pub const fn new(kind: FaultKind) -> Self {
        Self { kind, method: None, path: None, operation: None, group: None, after: 0, times: None }
    }

    /// This status for every request.
    pub const fn status(status: u16) -> Self {
        Self::new(FaultKind::Status { status, retry_after: None })
    }

    /// 429 with `Retry-After` in seconds.
    pub const fn too_many(retry_after: u64) -> Self {
        Self::new(FaultKind::Status { status: 429, retry_after: Some(retry_after) })
    }

    /// Only requests of this method.
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only requests whose path contains this, whatever the case.
    pub fn path(mut self, part: &str) -> Self {
        self.path = Some(part.to_owned());
        self
    }

    /// Only requests of this route (its template).
    pub fn operation(mut self, label: &str) -> Self {
        self.operation = Some(label.to_owned());
        self
    }

    /// Only requests for this purpose.
    pub const fn group(mut self, group: Group) -> Self {
        self.group = Some(group);
        self
    }

    /// Lets this many such requests through first.
    pub const fn after(mut self, requests: u32) -> Self {
        self.after = requests;
        self
    }

    /// Hits this many requests only.
    pub const fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    fn fits(&self, call: &Call, operation: Operation) -> bool {
        let path = call.path.to_ascii_lowercase();
        self.method.as_ref().is_none_or(|method| call.method.as_str().eq_ignore_ascii_case(method))
            && self.path.as_ref().is_none_or(|part| path.contains(&part.to_ascii_lowercase()))
            && self.operation.as_ref().is_none_or(|label| label == operation.label)
            && self.group.is_none_or(|group| group == operation.group)
    }
}

/// The faults of one server. Clones are handles of the same.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Vec<Fault>>>);

impl Faults {
    /// Adds a fault.
    pub fn inject(&self, fault: Fault) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// Removes all faults.
    pub fn heal(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What goes wrong with this call; the fault that was injected first wins. Counts it as hit.
    pub fn strike(&self, call: &Call, operation: Operation) -> Option<FaultKind> {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for fault in faults.iter_mut().filter(|fault| fault.fits(call, operation)) {
            if fault.after > 0 {
                fault.after -= 1;
                continue;
            }
            match &mut fault.times {
                Some(0) => {}
                Some(times) => {
                    *times -= 1;
                    return Some(fault.kind);
                }
                None => return Some(fault.kind),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: Operation = Operation { label: "POST /UserPlayedItems/{id}", group: Group::Write };
    const READ: Operation = Operation { label: "GET /Items", group: Group::ReadPage };

    #[test]
    fn a_fault_hits_what_it_names_after_so_many_and_so_often() {
        let faults = Faults::default();
        faults.inject(Fault::status(503).group(Group::Write).after(1).times(2));
        let hits: Vec<_> = (0..5).map(|_| faults.strike(&Call::post("/x"), WRITE).is_some()).collect();
        assert_eq!(hits, [false, true, true, false, false]);
        faults.inject(Fault::status(503).group(Group::Write));
        assert!(faults.strike(&Call::get("/x"), READ).is_none());
        faults.heal();
        assert!(faults.strike(&Call::post("/x"), WRITE).is_none());
    }

    #[test]
    fn a_path_is_found_whatever_its_case() {
        let faults = Faults::default();
        faults.inject(Fault::new(FaultKind::Reset).path("/userplayeditems").method("post"));
        assert_eq!(faults.strike(&Call::post("/UserPlayedItems/1"), WRITE), Some(FaultKind::Reset));
        assert_eq!(faults.strike(&Call::delete("/UserPlayedItems/1"), WRITE), None);
    }
}
