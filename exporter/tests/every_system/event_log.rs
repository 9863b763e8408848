//! The Application log of Windows, asked for events of an agent that is not there.

use std::path::Path;
use std::time::{Duration, Instant};

use winreg::RegKey;
use winreg::enums::HKEY_LOCAL_MACHINE;

use super::{CONFIG, Place, once, program, text};

/// As PowerChute's installer does.
const SOURCE: &str = r"SYSTEM\CurrentControlSet\Services\EventLog\Application\APCPBEAgent";
const UP: &str = "kagiban_source_up{source_kind=\"host\",source_name=\"Application/APCPBEAgent\"} ";

/// Wine's log answers nothing: then that is told, and nothing else is held up. On Windows itself the log answers.
#[test]
fn a_log_that_cannot_be_read_is_told_and_holds_up_nothing() {
    let (machine, place) = (RegKey::predef(HKEY_LOCAL_MACHINE), Place::new());
    let asked = place.configure(&format!("{CONFIG}shutdown: {{windowsEventLog: true}}\n"));
    let told = |config: &Path| {
        let begun = Instant::now();
        let output = once(config);
        let (metrics, log) = (text(&output.stdout), text(&output.stderr));
        assert!(begun.elapsed() < Duration::from_secs(15), "{log}");
        assert!(metrics.contains("\nx509_cert_not_after_timestamp_seconds{"), "{metrics}{log}");
        (metrics, log)
    };
    let check = || {
        let checked = program().arg("--config.check").arg("--config.file").arg(&asked).output();
        let checked = checked.expect("the program was built");
        text(&checked.stderr) + &text(&checked.stdout)
    };

    let (metrics, log) = told(&asked);
    assert!(metrics.contains(&format!("{UP}0")), "{metrics}");
    assert!(log.contains("Application: there is no source APCPBEAgent; "), "{log}");
    assert!(check().contains("shutdown.windowsEventLog: Application: there is no source APCPBEAgent; "), "{}", check());

    machine.create_subkey(SOURCE).expect("it can be registered");
    let (metrics, log) = told(&asked);
    assert!(!check().contains("windowsEventLog"), "{}", check());
    machine.delete_subkey_all(SOURCE).expect("it can be removed");
    let says_why = metrics.contains(&format!("{UP}0")) && log.contains("Application: the log cannot be read: ");
    assert!(says_why || metrics.contains(&format!("{UP}1")), "{metrics}{log}");
    assert!(!metrics.contains("\nhost_shutdown_trigger{trigger=\"powerchute_event\"} 1"), "{metrics}");

    // Beside an agent it is read by itself, and an agent that does not write there is none to complain of.
    let beside =
        format!("{CONFIG}discovery: {{enabled: false}}\nagents: [{{name: a, product: powerchute-business-edition}}]\n");
    let (metrics, log) = told(&place.configure(&beside));
    assert!(metrics.contains(&format!("{UP}1")), "{metrics}{log}");
}
