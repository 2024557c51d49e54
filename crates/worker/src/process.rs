//! Processes of the operating system: known again after a restart of the worker, and ended with all their descendants.

use std::{fs, path::Path, time::Duration};

use durable::{Clock, after};
use durable_local::SystemClock;
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use serde::{Deserialize, Serialize};

/// How often a process is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// The variable by which a job's processes are known, wherever they went.
pub(crate) const MARK: &str = "FIBREFLOW_JOB_ID";

/// A process that leads a group, told from any later one with its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pid: i32,
    /// When it started, in ticks since the machine did.
    ticks: Option<u64>,
    /// Which start of the machine that was.
    boot: Option<String>,
    pub(crate) started_at: Timestamp,
}

impl Process {
    pub(crate) fn new(pid: i32, started_at: Timestamp) -> Self {
        Self { pid, ticks: ticks(pid), boot: boot(), started_at }
    }

    /// Whether it is still there.
    pub(crate) fn is_alive(&self) -> bool {
        self.ticks.is_some() && self.boot == boot() && ticks(self.pid) == self.ticks
    }

    /// Whether anybody of its group is still there.
    pub(crate) fn has_group(&self) -> bool {
        self.boot == boot()
            && Pid::from_raw(self.pid).is_some_and(|group| test_kill_process_group(group).is_ok())
    }

    /// Asks its group to end.
    fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks its group to end, and gives it this long. `look` is called now and then.
    pub(crate) async fn wind_down(&self, grace: Duration, mut look: impl FnMut()) {
        self.terminate();
        let end = after(SystemClock.now(), grace);
        while self.has_group() && SystemClock.now() < end {
            look();
            SystemClock.sleep_until(after(SystemClock.now(), LOOK)).await;
        }
    }

    /// Ends its group.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // A group is there as long as a member is, so its number is nobody else's.
        if self.has_group()
            && let Some(group) = Pid::from_raw(self.pid)
        {
            let _ = kill_process_group(group, signal);
        }
    }
}

/// Ends whoever of a job left its group: what carries its mark.
pub(crate) fn kill_marked(job: &str) {
    let mark = format!("{MARK}={job}");
    let Ok(entries) = fs::read_dir("/proc") else { return };
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
        if environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
            && let Some(pid) = Pid::from_raw(pid)
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// When a process started; `None` when there is none, or only what is left of one until its parent has looked.
fn ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The name, in parentheses, may have spaces and parentheses of its own.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    fields.nth(18).filter(|_| state != "Z" && state != "X")?.parse().ok()
}

fn boot() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_a_later_one_with_its_number() {
        let own = Process::new(i32::try_from(std::process::id()).unwrap(), Timestamp::UNIX_EPOCH);
        assert!(own.is_alive());
        assert!(!Process { ticks: own.ticks.map(|ticks| ticks + 1), ..own.clone() }.is_alive());
        assert!(!Process { boot: Some("another".into()), ..own.clone() }.is_alive());
        assert!(!Process::new(i32::MAX, own.started_at).is_alive());
    }
}
