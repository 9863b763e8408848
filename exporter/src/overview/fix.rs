//! What to do about a reason. The reasons are stated where they are made; each that a source can fail for has a line here, which a
//! test holds.

use kagiban_agents::Product;

use crate::snapshot::{Backend, KEY_NOT_PROVEN, SourceKind};
use crate::ups::UpsFault;

/// A certificate is near its end.
pub(crate) const RENEW: &str = concat!(
    "have a new one made, by its CA or by its product; the operator does it for agents that a ManagedAgentCertificate names, see ",
    online!("docs/rotation.md")
);
/// The certificate of the host's own API is near its end.
pub(crate) const ENROLL: &str = "make a new one with `kagiban-operator enroll HOST --renew`";
/// The vendor's notice has steps for a certificate that ends.
pub(crate) fn reinstall(product: Product) -> String {
    let page = online!("docs/runbooks/KagibanProductAffected.md");
    format!(
        "its product makes a new one when it is installed again: `kagiban-operator explain {product}` tells the vendor's steps, see {page}"
    )
}
/// The vendor's notice has a module, or a version, that mends a problem.
pub(crate) fn mend(product: Product) -> String {
    let page = online!("docs/runbooks/KagibanProductAffected.md");
    format!(
        "apply the vendor's module, or update: `kagiban-operator explain {product}` tells what for; then say so in the configuration of the \
         agent (moduleApplied, version), see {page}"
    )
}
/// Terminals fail to authenticate themselves.
pub(crate) const AUTHENTICATION_FAILS: &str = concat!(
    "apply the vendor's module on each of these terminals, by hand: nothing can be sent to them any more; see ",
    online!("docs/runbooks/KagibanSkyseaAuthenticationFails.md")
);
/// The communication engine may stop.
pub(crate) const ENGINE_STOPS: &str = concat!(
    "restart the system on a day that suits, or apply the vendor's module; see ",
    online!("docs/runbooks/KagibanSkyseaEngineStops.md")
);
/// The folder of logs was touched without right, or seems so.
pub(crate) const FOLDER_TOUCHED: &str = "see in the product's log who has touched the folder; where the alert is a false one, write down the data \
                                         server's name and the four conditions under `falseAlert`";
/// Clients do not have the certificate of their server.
pub(crate) fn clients(product: Product) -> String {
    let page = online!("docs/runbooks/KagibanClientsWithoutCertificate.md");
    format!(
        "wait for those that are switched off; give the others the certificate by hand, as `kagiban-operator explain {product}` tells, or by a program under `clients.repair`; see {page}"
    )
}
/// The same, where the configuration has them repaired.
pub(crate) const REPAIRED_BY_ITSELF: &str = concat!(
    "nothing at first: a running exporter gives it to them by itself, by clients.repair, on mains and beside no rotation of the agent, unless \
     kagiban_clients_repair_held has a reason, which its page and its log tell in words; one that was tried is tried again an hour later, then after two, four and so on, and once a day in the end. One whose name is handed to no program \
     (none of a host, such as with kana, or one of this host) is given it by hand; see ",
    online!("docs/products/apex-one.md")
);
/// The same, where nobody knows their names.
pub(crate) const COLUMN_UNKNOWN: &str =
    concat!("set clients.list.column: without names none is repaired; see ", online!("docs/products/apex-one.md"));
/// Clients stay without the certificate, whatever was tried.
pub(crate) const NOT_REPAIRED: &str = concat!(
    "install the agent on them again, as the vendor's notice says; see ",
    online!("docs/runbooks/KagibanClientsNotRepaired.md")
);
/// Clients could not authenticate their server.
pub(crate) const CLIENTS_REFUSE: &str = concat!(
    "see which certificate the server has, and which of its clients do not have it; see ",
    online!("docs/runbooks/KagibanClientsRefuseServer.md")
);
/// The log of clients is not exported any more.
pub(crate) const LOG_OF_CLIENTS_OLD: &str = concat!(
    "export the log again, and see why that was not done; see ",
    online!("docs/runbooks/KagibanClientLogNotExported.md")
);
/// Alerts are dated ahead.
pub(crate) const DATED_AHEAD: &str = "name the time zone of the hosts that log them under `observe.timeZone`, or `clientLogs.timeZone`, such as Asia/Tokyo; else set their \
                                      clocks";
/// A check of hardening failed.
pub(crate) const HARDEN: &str = concat!(online!("docs/hardening.md"), " says how, check by check");
/// Rotations of an agent are frozen.
pub(crate) const FROZEN: &str =
    concat!("see ", online!("docs/runbooks/KagibanRotationFrozen.md"), "; nothing is rotated until the freeze ends");
/// An agent does not do its work.
pub(crate) const FUNCTION: &str =
    concat!("see the agent's own log, and ", online!("docs/runbooks/KagibanAgentFunctionLost.md"));
/// The host API's certificate is for another name than the host's.
pub(crate) const OTHER_NAME: &str = "make one with `kagiban-operator enroll HOST`, where HOST is the name under `host` here and \
                                     `spec.host` in the resource, or correct `host`";
/// No UPS is configured.
pub(crate) const NAME_UPS: &str = concat!(
    "name each under `ups`: apcupsd, NUT, SNMP or PowerChute's web interface; see ",
    online!("examples/exporter.yaml")
);
pub(crate) const BUG: &str = "see the log: a panic of kagiban-exporter is to be reported with it, and where the system gave no thread its limit is to be raised (TasksMax)";
pub(crate) const HANGS: &str =
    "a file system does not answer; find it with `findmnt` and the kernel's log, and mount it again";
const PERMISSION: &str = "let the account that kagiban-exporter runs as read it, by a group or an ACL; for rotations the exporter \
                          runs as root";
const DISK: &str = "the file system gives an error for it; see the kernel's log";
const BATTERY_DRIVER: &str = "see the driver of the battery in the Device Manager: Windows waits for it";
const LINKS: &str = "its symbolic links lead in a circle; correct them";
const NOT_REGULAR: &str = "name a regular file in the configuration";

/// What to do about a reason for which a source of this kind, or a part of it, could not be looked at.
pub(crate) fn of_source(kind: SourceKind, reason: &str) -> Option<&'static str> {
    let of_all = match reason {
        "panic" => Some(BUG),
        "permission_denied" => Some(PERMISSION),
        "read_failed" => Some(DISK),
        "symlink_loop" => Some(LINKS),
        "not_regular" => Some(NOT_REGULAR),
        _ => None,
    };
    match kind {
        SourceKind::Agent | SourceKind::File | SourceKind::Health => of_file(reason).or(of_all),
        SourceKind::Alerts => of_alerts(reason).or(of_all),
        SourceKind::Clients => of_clients(reason).or(of_all),
        SourceKind::Function => of_function(reason).or(of_all),
        SourceKind::Inventory => of_inventory(reason).or(of_all),
        SourceKind::Release => of_release(reason).or(of_all),
        SourceKind::Host => of_host(reason).or(of_all),
        SourceKind::Tls => of_endpoint(reason).or(of_all),
        // They know more than their reason: see `of_ups`.
        SourceKind::Ups => None,
    }
}

fn of_file(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "bad_password" => "put the store's present password into the first line of its passwordFile",
        "busy" | "timeout" => HANGS,
        "malformed" => "it is damaged, or no certificate; write it again, or take it out of the paths",
        "no_certificate" => "it holds none; name another file, or exclude it",
        "not_found" => "correct its path in the configuration, or take it out",
        "password_needed" => {
            "its certificates are encrypted; name a passwordFile whose first line is the store's password"
        }
        "password_unreadable" => {
            "make passwordFile a file of the exporter's account with mode 0600, the password in its first line"
        }
        "too_expensive" => "its iteration count is beyond any that is in use; write the store again with a usual one",
        "too_large" => "it is larger than any store of certificates; name another file, or exclude it",
        "too_many_files" => "raise maxFiles of this rule, or exclude what is no certificate",
        "unsupported_algorithm" => {
            "write the store again with current algorithms, by `keytool -importkeystore` for example"
        }
        "unsupported_format" => "write it as PKCS#12, JKS or PEM",
        _ => return None,
    })
}

fn of_endpoint(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "bad_address" => "write the address as host:port",
        "bad_server_name" => "set serverName to the name that is in the certificate",
        "busy" => "as many look-ups hang as may; see whether the name servers of this host answer",
        "ca_unreadable" => "correct caFile: a readable file with certificates in PEM",
        "closed" => "see the service's log; the port may be another program's",
        "connect" => "start the service, or correct its address; see that no firewall is between",
        "dns" => "correct the name, or see that the name servers of this host answer",
        "malformed" => "the certificate that is served cannot be read; have it issued again",
        "no_certificate" => "the service has none, or asks for a key exchange without; see its TLS settings",
        "not_tls" => "the port speaks another protocol; correct the address",
        "protocol" | "tls_alert" => "see the service's log for why it refuses the handshake",
        "timeout" => {
            "see that the service is not overloaded, that the port is its TLS port, and that no firewall drops packets"
        }
        _ => return None,
    })
}

fn of_host(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "bus" => {
            "let the exporter reach the system's D-Bus (`/run/dbus/system_bus_socket`), and see that systemd-logind runs"
        }
        "busy" | "timeout" => "what is asked does not answer; see systemd-logind, and the file system of the event log",
        "events_passed_over" => {
            "see in the Application log who writes so much under the name of PowerChute, and what the agent says itself"
        }
        "malformed" => "the event log is damaged; see what the agent says, and let it begin a new one",
        "not_found" => "correct the path of the event log in the configuration, or take it out",
        "too_large" => "let the agent begin a new event log",
        _ => return None,
    })
}

fn of_alerts(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "busy" | "timeout" => HANGS,
        "cut_short" => {
            "see what exports the log: it was stopped, or still writes; have it write elsewhere and move the file"
        }
        "not_found" => {
            "correct the path under `observe` or `clientLogs` in the configuration, or take it out; export the log of clients there"
        }
        "not_regular" => "name a file, or a folder of mails that has `new` and `cur`",
        "too_large" => "export fewer days of the log, or into several files",
        "too_many_files" => "move old mails and logs away, or name fewer of them",
        "unfinished" => {
            "wait for the next looks, which go on with what was not read yet; if it stays, move old mails and logs away"
        }
        "unknown_format" => {
            "look at the file, and name the columns under `clientLogs.columns`: the vendor has published none"
        }
        _ => return None,
    })
}

fn of_clients(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "busy" | "timeout" => HANGS,
        "cut_short" => {
            "see whether the disk is full and whether the program was killed; run it by hand to see its list"
        }
        "empty" => {
            "run the program by hand; where its list is empty when every client has the certificate, set clients.list.emptyIsNone"
        }
        "exposed" => {
            "let nobody but administrators write the program of clients.list.command and the directories above it"
        }
        "failed" | "not_written" => "run the program by hand as the account of kagiban-exporter, and see what it says",
        "in_use" => "wait: another kagiban-exporter asks for the list, and it is asked for again by itself",
        "no_space" => "make room where the state directory lies: what is written to a full disk is cut",
        "not_started" | "not_runnable" => "correct clients.list.command or directory in the configuration",
        "state_directory" => {
            "let the exporter write to its state directory: the list is written there, where nobody else may read it"
        }
        "timed_out" => "see whether the server's own services answer; raise clients.list.deadline if it needs longer",
        "too_large" => "see what the program writes: it is more than the list of any server's clients",
        "unknown_format" => {
            "see what the program writes, and send us a list without its names: the vendor has published no columns"
        }
        _ => return None,
    })
}

/// What can be said of any; the message has more, such as by how much a clock is off.
fn of_inventory(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "busy" => "look-ups or files hang; see whether the name servers of this host and its file systems answer",
        "ca_unreadable" => "correct apexCentral.caFile: a readable file with certificates in PEM",
        "connect" => "correct apexCentral.url; see that no firewall is between",
        "cut_short" => "see the server's log, and any proxy between: the list ended before it was whole",
        "dns" => "correct the name in apexCentral.url, or see that the name servers of this host answer",
        "key_unreadable" => {
            "make apexCentral.apiKeyFile a file of the exporter's account with mode 0600, the API key in its first line"
        }
        "not_http" | "unknown_format" => {
            "see what answers at apexCentral.url: it is not the Automation API of Apex Central"
        }
        "redirect" => "write the server's own address under apexCentral.url: no redirect is followed",
        "refused" => "look the result code up in the vendor's guide to the Automation API",
        "status" => "see the log of Apex Central, and that apexCentral.url is its own",
        "timeout" => "raise apexCentral.timeout, or see why the server takes so long for its lists",
        "tls" => {
            "correct apexCentral.caFile, or the name in url: the certificate has to be for it, in its time and of an authority that is trusted"
        }
        "too_large" => "see what answers at apexCentral.url: it lists more than any console manages",
        "unauthorized" => {
            "compare applicationId and apiKeyFile with the console's Automation API Access Settings, and the clocks of both hosts: a token \
             counts for seconds"
        }
        _ => return None,
    })
}

fn of_release(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "busy" => HANGS,
        "failed" | "lost" | "not_started" | "too_much_output" => {
            "run `rpm -q` of the package as the account of kagiban-exporter, and mend the database of packages"
        }
        "malformed" => "install the product again: its program is damaged",
        "timeout" => "see whether rpm waits for another one, and find a file system that hangs with `findmnt`",
        "too_large" => "see what lies in the place of the product's program",
        _ => return None,
    })
}

fn of_function(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "bad_address" => "write endpoint.address as host:port",
        "bad_server_name" => "set endpoint.serverName to a name",
        "busy" => {
            "as many look-ups or reads hang as may; see whether the name servers and the disks of this host answer"
        }
        "dns" => "correct the name in endpoint.address, or see that the name servers of this host answer",
        "exposed" => {
            "let nobody but administrators write the program of verify.function.command and the directories above it"
        }
        "malformed" => "the event log is damaged; see what the agent says, and let it begin a new one",
        "not_asked" => "run the command of verify.function by hand, or ask its path, as kagiban-exporter's account",
        "not_started" | "not_runnable" => "correct the command of verify.function in the configuration",
        "timeout" => HANGS,
        "too_large" => "let the agent begin a new event log",
        _ => return None,
    })
}

/// What to do about a chain that is not trusted.
pub(crate) fn of_chain(reason: &str) -> Option<&'static str> {
    Some(match reason {
        KEY_NOT_PROVEN => "see who listens on the port: it shows a certificate whose key it has not shown to have",
        "bad_signature" | "malformed" | "unsupported_algorithm" | "wrong_purpose" => {
            "have the certificate issued again, for a server and with current algorithms"
        }
        "expired" => RENEW,
        "name_mismatch" => "set serverName to a name that is in the certificate, or have it issued for this one",
        "no_roots" => {
            "name the authority's certificate as caFile of this address, under tlsEndpoints or in the agent's endpoint"
        }
        "not_yet_valid" => "see the clocks of this host and of the authority",
        "other" => "see the log of kagiban-exporter for what is wrong with it",
        "revoked" => "replace the certificate: its authority has revoked it",
        "self_signed" => "have it issued by your authority; PowerChute comes with one that it made for itself",
        "unknown_issuer" => {
            "name the authority's certificate as caFile of this address, under tlsEndpoints or in the agent's endpoint, or have the service send the chain up to one that is trusted"
        }
        _ => return None,
    })
}

/// What to do about a UPS that was not heard.
pub(crate) const fn of_ups(fault: UpsFault, backend: Backend) -> &'static str {
    match fault {
        UpsFault::Auth => match backend {
            Backend::WindowsPower => BATTERY_DRIVER,
            Backend::Apcupsd => "apcupsd knows no users; see what answers on its port",
            Backend::Nut => "correct user and passwordFile: a user of upsd.users",
            Backend::PowerchuteWeb => "correct user and passwordFile: the login of the agent's web interface",
            Backend::Snmp => {
                "correct the community, or user, protocols and passwords: as they stand in the card's settings"
            }
        },
        UpsFault::BadEncoding => "write the password file as UTF-8",
        UpsFault::Busy => {
            "somebody else is logged on to the agent, or logins have to wait; it is asked again by itself"
        }
        UpsFault::CommLost => "see the cable between the UPS and what answers for it",
        UpsFault::Connect => match backend {
            Backend::Apcupsd => {
                "start apcupsd; its apcupsd.conf needs NETSERVER on, and NISIP and NISPORT as configured here"
            }
            Backend::Nut => "start upsd; its upsd.conf needs a LISTEN line for this address",
            Backend::PowerchuteWeb => "start the PowerChute agent, or correct its address",
            Backend::Snmp => "correct the address of the card; see that no firewall is between",
            Backend::WindowsPower => BATTERY_DRIVER,
        },
        UpsFault::DataStale => "see the driver of this UPS: upsd has heard nothing new of it",
        UpsFault::Dns => "correct the name, or see that the name servers of this host answer",
        UpsFault::DriverNotConnected => "start the driver of this UPS: `upsdrvctl start`",
        UpsFault::LoginCutOff => {
            "wait: an earlier login to the agent has not ended, and a second one could lock its user out"
        }
        UpsFault::NoBattery => {
            "connect the UPS by USB; where another program drives it, such as PowerChute, ask that one in place of windowsPower"
        }
        UpsFault::NotFound => "correct the path of the password file",
        UpsFault::NotRegular => NOT_REGULAR,
        UpsFault::Panic => BUG,
        UpsFault::PermissionDenied => PERMISSION,
        UpsFault::Protocol => "see what answers on this port: it does not speak the protocol that is configured",
        UpsFault::ReadFailed => match backend {
            Backend::WindowsPower => BATTERY_DRIVER,
            Backend::Apcupsd | Backend::Nut | Backend::PowerchuteWeb | Backend::Snmp => DISK,
        },
        UpsFault::StateDirectory => {
            "let the exporter write to its state directory: it counts logins there, so that none locks the user out"
        }
        UpsFault::SymlinkLoop => LINKS,
        UpsFault::Timeout => match backend {
            Backend::Snmp => {
                "see that the card is reachable by UDP, that SNMP is on, and that its access list has this host; a wrong community is \
                 not answered either"
            }
            Backend::WindowsPower => BATTERY_DRIVER,
            Backend::Apcupsd | Backend::Nut | Backend::PowerchuteWeb => {
                "see that what is asked is not overloaded, and that no firewall drops packets"
            }
        },
        UpsFault::Tls => "correct caFile or serverName of this UPS: the TLS of what is asked is not trusted",
        UpsFault::TooLarge => "see what answers on this port: it says more than any UPS does",
        UpsFault::UnknownUps => "name a UPS that upsd lists: `upsc -l`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::TrustVerdict;
    use crate::sources;

    /// A person who reads of a fault reads what to do.
    #[test]
    fn every_reason_that_a_source_can_fail_for_has_a_fix() {
        let mut known = 0;
        for (kind, reasons) in sources::reasons() {
            for reason in reasons {
                known += 1;
                let fix = of_source(kind, reason);
                assert!(fix.is_some_and(|fix| fix.len() > 20), "{kind:?} {reason}");
            }
        }
        assert!(known > 50, "{known}");
        assert_eq!(of_source(SourceKind::File, "made_up"), None);
    }

    #[test]
    fn every_reason_for_which_a_chain_is_refused_has_a_fix() {
        let own = [KEY_NOT_PROVEN, "no_roots"];
        let missing: Vec<_> =
            TrustVerdict::REASONS.into_iter().chain(own).filter(|reason| of_chain(reason).is_none()).collect();
        assert_eq!(missing, [""; 0]);
    }
}
