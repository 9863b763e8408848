//! What is asked before a program of the configuration is run by a source.

use std::time::Duration;

use tokio::time::Instant;

use crate::blocking::{self, Work};
use crate::platform::{self, Command};
use crate::snapshot::Trouble;

/// Some names are looked at in milliseconds, unless the file system hangs.
const LOOK_WITHIN: Duration = Duration::from_secs(5);

/// Whether nobody but administrators may exchange what a command runs, where that is asked for on this system. Others may exchange it
/// between two looks, so it is asked each time. `asked` is whose looks are counted together.
///
/// # Errors
/// `exposed`, with the setting that names the command; `busy` and `timeout`.
pub(crate) async fn unexposed(setting: &str, asked: &str, command: &Command) -> Result<(), Trouble> {
    if !platform::refuses_exposed() {
        return Ok(());
    }
    let (asked, command) = (asked.to_owned(), command.clone());
    let look = move || platform::exposed_part(&asked, &command);
    match blocking::run(Work::Host, Instant::now() + LOOK_WITHIN, look).await {
        Ok(None) => Ok(()),
        Ok(Some(exposed)) => {
            let why = "the program acts as the system, and does not run what others may exchange";
            Err(Trouble::new("exposed", format!("{setting}: {exposed}; {why}")))
        }
        Err(blocked) => Err(Trouble::new(blocked.reason(), blocked)),
    }
}
