//! What this process uses: processor time and resident memory.

use anyhow::Result;
use std::time::Duration;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Processor time of the process so far, and its resident memory in bytes. An error where the system does not tell.
pub fn usage() -> Result<(Duration, u64)> {
    let mut system = System::new()?;
    Ok(of(&mut system, Pid::from_u32(std::process::id())))
}

/// Of a process; zero of one that is not there.
pub fn of(system: &mut System, process: Pid) -> (Duration, u64) {
    let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[process]), false, what);
    let process = system.process(process);
    process.map_or_else(Default::default, |p| (Duration::from_millis(p.accumulated_cpu_time()), p.memory()))
}
