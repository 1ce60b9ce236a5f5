//! What the system knows of this process (proc(5)), under the names that every exporter uses.

use std::fs;

/// Figures of this process. What the system does not tell is absent.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) resident_bytes: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) most_files: Option<u64>,
}

impl Process {
    pub(super) fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let number = |line: &str| line.split_whitespace().next()?.parse::<u64>().ok();
        let of_status = |name: &str| {
            status
                .lines()
                .find_map(|line| number(line.strip_prefix(name)?))
        };
        let most = limits
            .lines()
            .find_map(|line| number(line.strip_prefix("Max open files")?));
        // The listing itself has one open.
        let open = fs::read_dir("/proc/self/fd")
            .ok()
            .map(|files| (files.count() as u64).saturating_sub(1));
        Self {
            resident_bytes: of_status("VmRSS:").map(|kilobytes| kilobytes.saturating_mul(1024)),
            threads: of_status("Threads:"),
            open_files: open,
            most_files: most,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_of_this_process() {
        let process = Process::read();
        assert!(process.resident_bytes.unwrap() > 1 << 20);
        assert!(process.threads.unwrap() >= 1);
        assert!(process.open_files.unwrap() >= 3);
        assert!(process.most_files.unwrap() >= process.open_files.unwrap());
    }
}
