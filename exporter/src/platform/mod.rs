//! The seam to the operating system: files, services, programs, power and boot. One file per system stands behind it,
//! and nothing else in this crate says `cfg(unix)`, `cfg(windows)` or assumes `/`.

mod files;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod process;

pub use files::{FileError, FileIdentity, FileRead};
#[cfg(target_os = "linux")]
pub use linux::{identify, is_readable_by_others, read_regular};
#[cfg(target_os = "linux")]
pub use process::{Request, Requests, Usage, host_name, usage};
