//! What a process has in memory, as the kernel accounts for it.

/// The most that it has had, in kB. It never falls, so the last look is the peak.
pub fn peak(process: Option<u32>) -> Option<u64> {
    field(process, "VmHWM:")
}

/// What it has now, in kB.
pub fn resident(process: Option<u32>) -> Option<u64> {
    field(process, "VmRSS:")
}

fn field(process: Option<u32>, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process?)).ok()?;
    status.lines().find_map(|line| line.strip_prefix(name))?.trim().trim_end_matches(" kB").parse().ok()
}
