//! Windows, from version 10 and Server 2016 on: the service control manager and the Application log.

mod hosted;
mod registration;
mod sys;
mod system_log;
#[cfg(test)]
mod testing;

use std::ffi::OsString;
use std::path::PathBuf;

pub use hosted::{announce, asked_by_manager, is_hosted, run_as_service, system_goes_down, watch_system};
use kagiban_files::trust_service_account;
pub use kagiban_files::{check_unexposed, check_unexposed_program, check_way, read_unexposed};
pub use registration::{
    REGISTERS_ITSELF, register_service, registered_service, reload_service, service_directory, start_service,
    stop_service, unregister_service,
};
pub use system_log::EVENT_SOURCES;
pub(crate) use system_log::SystemLog;

use crate::program::ServiceProgram;

/// Has the account of a service, [`ServiceProgram::account`], counted among administrators, and let into the directories that this
/// program makes.
pub fn trust_account_of(program: &'static ServiceProgram) {
    trust_service_account(program.name);
}

const PROGRAM_DATA: &str = r"C:\ProgramData";

/// Where a program keeps what it must know again: below the directory of what programs keep for all accounts.
pub fn state_directory(name: &str) -> PathBuf {
    below(std::env::var_os("ProgramData"), name)
}

fn below(told: Option<OsString>, name: &str) -> PathBuf {
    let told = told.map(PathBuf::from).filter(|path| path.is_absolute());
    told.unwrap_or_else(|| PathBuf::from(PROGRAM_DATA)).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory_lies_below_what_windows_says_or_in_its_usual_place() {
        for (told, found) in [
            (None, r"C:\ProgramData\kagiban"),
            (Some(""), r"C:\ProgramData\kagiban"),
            (Some("data"), r"C:\ProgramData\kagiban"),
            (Some(r"D:\Data"), r"D:\Data\kagiban"),
        ] {
            assert_eq!(below(told.map(OsString::from), "kagiban"), PathBuf::from(found), "{told:?}");
        }
    }
}
