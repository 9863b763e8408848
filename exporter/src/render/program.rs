//! `kagiban_build_info`, `process_*`: the program itself, asked at each scrape.

use std::fmt;

use jiff::Timestamp;
use kagiban_process::log_lines;

use super::table::{Family, Kind, Samples, Value};
use crate::blocking::{self, LaneUsage};
use crate::platform::{Usage, usage};

/// What the program knows of itself.
#[derive(Clone, Debug)]
pub struct Program {
    started: Timestamp,
    usage: Usage,
    blocking: Vec<LaneUsage>,
    log_lines_dropped: u64,
}

impl Program {
    /// Asks the system.
    pub fn now(started: Timestamp) -> Self {
        Self { started, usage: usage(), blocking: blocking::usage(), log_lines_dropped: log_lines::dropped() }
    }

    /// Of which everything is known.
    #[cfg(test)]
    pub(super) fn sample() -> Self {
        let usage =
            Usage { cpu_seconds: Some(1.0), resident_bytes: Some(1), open_files: Some(1), max_open_files: Some(1) };
        let lane = LaneUsage { work: "files", limit: 1, running: 0, stuck: 0, refused: 0 };
        Self { started: Timestamp::UNIX_EPOCH, usage, blocking: vec![lane], log_lines_dropped: 0 }
    }
}

pub(super) const FAMILIES: &[Family<Program>] = &[
    Family {
        name: "kagiban_build_info",
        help: "What this program is, always 1.",
        kind: Kind::Gauge,
        samples: |_, out| {
            let build = [
                ("program", "kagiban-exporter"),
                ("version", env!("CARGO_PKG_VERSION")),
                ("os", std::env::consts::OS),
                ("arch", std::env::consts::ARCH),
            ];
            out.put(&build, true)
        },
    },
    Family {
        name: "process_start_time_seconds",
        help: "When the process was started, in seconds since 1970.",
        kind: Kind::Gauge,
        samples: |program, out| out.put(&[], program.started.as_second()),
    },
    Family {
        name: "process_cpu_seconds",
        help: "Processor time that the process has used.",
        kind: Kind::Counter,
        samples: |program, out| program.usage.cpu_seconds.map_or(Ok(()), |value| out.put(&[], value)),
    },
    Family {
        name: "process_resident_memory_bytes",
        help: "Memory that the process holds.",
        kind: Kind::Gauge,
        samples: |program, out| program.usage.resident_bytes.map_or(Ok(()), |value| out.put(&[], value)),
    },
    Family {
        name: "process_open_fds",
        help: "Files that the process has open.",
        kind: Kind::Gauge,
        samples: |program, out| program.usage.open_files.map_or(Ok(()), |value| out.put(&[], value)),
    },
    Family {
        name: "process_max_fds",
        help: "Files that the process may have open.",
        kind: Kind::Gauge,
        samples: |program, out| program.usage.max_open_files.map_or(Ok(()), |value| out.put(&[], value)),
    },
    Family {
        name: "kagiban_blocking_stuck",
        help: "Threads that work past their deadline and cannot be ended, by kind of work: a file system or a name server hangs.",
        kind: Kind::Gauge,
        samples: |program, out| each_lane(program, out, |lane| lane.stuck.into()),
    },
    Family {
        name: "kagiban_blocking_threads",
        help: "The most threads that each kind of work holds at once.",
        kind: Kind::Gauge,
        samples: |program, out| each_lane(program, out, |lane| lane.limit.into()),
    },
    Family {
        name: "kagiban_blocking_refused",
        help: "Work that was not done because every thread of its kind was taken until its deadline.",
        kind: Kind::Counter,
        samples: |program, out| each_lane(program, out, |lane| lane.refused.into()),
    },
    Family {
        name: "kagiban_log_lines_dropped",
        help: "Log lines that were dropped because whoever reads the log does not read on, or that could not be written.",
        kind: Kind::Counter,
        samples: |program, out| out.put(&[], program.log_lines_dropped),
    },
];

fn each_lane(program: &Program, out: &mut Samples<'_, '_>, value: fn(&LaneUsage) -> Value) -> fmt::Result {
    program.blocking.iter().try_for_each(|lane| out.put(&[("work", lane.work)], value(lane)))
}
