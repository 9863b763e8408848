//! From facts to verdicts.

use kagiban_agents::Hardening;

use super::{Check, CheckResult, CheckSeen, HardeningFacts, JarAmiss, LeafMarks, SnmpSeen, StorePassword, Writers};
use crate::label::Label;
use crate::trouble::Trouble;

type Judged = (CheckResult, String);

/// Judges every check. Total: a check whose facts are missing is unknown.
pub fn verdicts(facts: &HardeningFacts, product: &Hardening) -> Vec<CheckSeen> {
    let judge = |check| match check {
        Check::KeystorePasswordChanged => keystore_password(facts, product),
        Check::FactoryCertificateReplaced => factory_certificate(facts, product),
        Check::CacertsPasswordChanged => cacerts_password(facts),
        Check::JreDirectoryProtected => protected(&facts.jre),
        Check::JreRecent => java(facts),
        Check::SnmpV1Disabled => known(&facts.snmp, |seen| snmp_v1(*seen)),
        Check::SnmpV3Strong => known(&facts.snmp, |seen| snmp_v3(*seen)),
        Check::CommandFilesProtected => protected(&facts.command_files),
        Check::InstallDirectoryProtected => protected(&facts.install),
        Check::ProtectedFilesPresent => known(&facts.missing, |missing| match missing.as_slice() {
            [] => passed("all are there"),
            missing => failed(format!("not there: {}", missing.join(", "))),
        }),
        Check::SilentInstallRemoved => known(&facts.left_behind, |left| match left {
            None => passed("none in the installation's folders"),
            Some(path) => failed(format!("{path} may hold the password in the clear")),
        }),
        Check::OldTlsRefused => old_tls(facts),
        Check::JarsSigned => known(&facts.jars, |seen| match &seen.amiss {
            None => passed(format!("{} JARs are as one and the same signer has signed them", seen.count)),
            Some(JarAmiss::NotWhole(jar)) => {
                failed(format!("{jar} was changed since it was signed, or nobody has signed it"))
            }
            Some(JarAmiss::OtherSigner(jar)) => failed(format!("{jar} is signed by another than the JARs before it")),
        }),
    };
    let seen = |check| {
        let (verdict, detail) = judge(check);
        CheckSeen { check, verdict, detail: Label::new(&detail) }
    };
    Check::ALL.into_iter().map(seen).collect()
}

/// The handbook names no default password of this store. So it is known to be unchanged in two cases: the one default that
/// the handbook does name, Java's, opens it; or nobody has set one while the certificate in it is still the factory's.
fn keystore_password(facts: &HardeningFacts, product: &Hardening) -> Judged {
    known(&facts.store_password, |password| match password {
        StorePassword::Default => failed(format!("the keystore opens with {:?}", product.default_password)),
        StorePassword::Own => passed("a password of its own opens the keystore"),
        StorePassword::Mismatch => {
            unknown("bad_password", "the password that is set does not open the keystore; was the agent restarted?")
        }
        StorePassword::NotTold if is_factory(&facts.stored, product) || is_factory(&facts.served, product) => {
            failed("no password is set, and the certificate is still the factory's".to_owned())
        }
        StorePassword::NotTold => {
            unknown("not_told", "no password is set, but the agent may have taken it out of its settings")
        }
    })
}

/// A factory's certificate in the keystore is served at the next start, whatever is served now.
fn factory_certificate(facts: &HardeningFacts, product: &Hardening) -> Judged {
    if is_factory(&facts.served, product) {
        return failed("the certificate that is served is as the agent makes it".to_owned());
    }
    if is_factory(&facts.stored, product) {
        return failed("the certificate in the keystore is as the agent makes it".to_owned());
    }
    known(&facts.served, |leaf| {
        passed(if leaf.self_issued { "self-signed, but not the agent's own make" } else { "issued by an authority" })
    })
}

fn is_factory(leaf: &Result<LeafMarks, Trouble>, product: &Hardening) -> bool {
    leaf.as_ref().is_ok_and(|leaf| leaf.is_factory(product))
}

fn cacerts_password(facts: &HardeningFacts) -> Judged {
    known(&facts.cacerts_open_by_default, |by_default| {
        if *by_default {
            failed("it opens with the password that every Java is delivered with".to_owned())
        } else {
            passed("the password that every Java is delivered with does not open it")
        }
    })
}

fn protected(writers: &Result<Writers, Trouble>) -> Judged {
    known(writers, |writers| match writers {
        Writers::Administrators => passed("only administrators may write there"),
        Writers::Others(path) => failed(format!("others may write {path}")),
        Writers::Unfinished => unknown("too_many_files", "there is more in it than is looked at"),
    })
}

fn java(facts: &HardeningFacts) -> Judged {
    let Some(minimum) = &facts.minimum_java else {
        return unknown("not_configured", "set minimumJavaVersion to have the version judged");
    };
    known(&facts.java, |version| {
        if version < minimum {
            failed(format!("Java {version} is older than {minimum}"))
        } else {
            passed(format!("Java {version}"))
        }
    })
}

/// Silence may be a wrong community. It counts only where the agent is seen to answer v3.
fn snmp_v1(seen: SnmpSeen) -> Judged {
    match seen.v1 {
        Some(true) => failed("the agent answers SNMP v1".to_owned()),
        Some(false) if seen.v3 => passed("the agent answers v3, and v1 with this community not"),
        Some(false) => unknown("no_answer", "the agent answers neither v1 nor v3: off, or other credentials"),
        None => unknown("not_configured", "set snmp.communityFile to have v1 asked"),
    }
}

fn snmp_v3(seen: SnmpSeen) -> Judged {
    if seen.v3_weak && !seen.v3_open {
        return failed("the user speaks with MD5, SHA-1 or DES".to_owned());
    }
    match (seen.v3, seen.v3_open, seen.v3_strong) {
        (_, true, _) => failed("the agent answers the user without authentication".to_owned()),
        (false, false, _) => unknown("no_answer", "the agent does not answer v3"),
        (true, false, Some(true)) => passed("the user speaks SHA-2 and AES"),
        (true, false, Some(false)) => {
            unknown("strength_not_seen", "the user does not answer to these protocols and passwords")
        }
        (true, false, None) => {
            unknown("strength_not_seen", "set snmp.auth and snmp.privacy to have the user's protocols tried")
        }
    }
}

/// Who refuses everything has refused nothing in particular: the port must be seen to speak TLS.
fn old_tls(facts: &HardeningFacts) -> Judged {
    known(&facts.old_tls, |accepted| match accepted {
        Some(version) => failed(format!("the agent speaks {version}")),
        None => known(&facts.served, |_| passed("it refuses TLS 1.0 and 1.1")),
    })
}

fn known<T>(fact: &Result<T, Trouble>, judge: impl FnOnce(&T) -> Judged) -> Judged {
    match fact {
        Ok(fact) => judge(fact),
        Err(trouble) => (CheckResult::Unknown(trouble.reason), trouble.message.to_string()),
    }
}

fn passed(detail: impl Into<String>) -> Judged {
    (CheckResult::Passed, detail.into())
}

const fn failed(detail: String) -> Judged {
    (CheckResult::Failed, detail)
}

fn unknown(reason: &'static str, detail: &str) -> Judged {
    (CheckResult::Unknown(reason), detail.to_owned())
}

#[cfg(test)]
mod tests {
    use kagiban_agents::Product;

    use super::*;
    use crate::health::{JarsSeen, JavaVersion};

    fn jars(amiss: JarAmiss) -> HardeningFacts {
        HardeningFacts { jars: Ok(JarsSeen { count: 7, amiss: Some(amiss) }), ..good() }
    }

    fn product() -> &'static Hardening {
        Product::PowerchuteSerialShutdown.facts().hardening.as_ref().expect("the handbook's product")
    }

    fn leaf(self_issued: bool, signature: &str) -> Result<LeafMarks, Trouble> {
        Ok(LeafMarks { self_issued, key: "RSA-2048".to_owned(), signature: signature.to_owned() })
    }

    fn version(text: &str) -> JavaVersion {
        text.parse().expect("a version")
    }

    /// Everything as the handbook wants it.
    fn good() -> HardeningFacts {
        HardeningFacts {
            served: leaf(false, "SHA256withRSA"),
            stored: leaf(false, "SHA256withRSA"),
            store_password: Ok(StorePassword::Own),
            cacerts_open_by_default: Ok(false),
            jre: Ok(Writers::Administrators),
            install: Ok(Writers::Administrators),
            command_files: Ok(Writers::Administrators),
            java: Ok(version("17.0.9")),
            minimum_java: Some(version("17.0.9")),
            missing: Ok(Vec::new()),
            left_behind: Ok(None),
            jars: Ok(JarsSeen { count: 7, amiss: None }),
            old_tls: Ok(None),
            snmp: Ok(SnmpSeen { v1: Some(false), v3: true, v3_open: false, v3_strong: Some(true), v3_weak: false }),
        }
    }

    fn other_than_passed(facts: &HardeningFacts) -> Vec<(&'static str, CheckResult)> {
        let seen = verdicts(facts, product());
        assert_eq!(seen.len(), Check::ALL.len());
        seen.iter().filter(|it| it.verdict != CheckResult::Passed).map(|it| (it.check.id(), it.verdict)).collect()
    }

    #[test]
    fn an_agent_that_was_hardened_passes_every_check() {
        assert_eq!(other_than_passed(&good()), []);
    }

    #[test]
    fn each_fault_fails_its_own_check_and_no_other() {
        use CheckResult::{Failed, Unknown};
        let factory = || leaf(true, "SHA512withRSA");
        let others = || Ok(Writers::Others(Label::new("/opt/x")));
        let snmp = |seen: SnmpSeen| HardeningFacts { snmp: Ok(seen), ..good() };
        let seen = SnmpSeen { v1: Some(false), v3: true, v3_open: false, v3_strong: Some(true), v3_weak: false };
        let trouble = || Trouble::new("permission_denied", "no");
        let cases: Vec<(HardeningFacts, &[(&str, CheckResult)])> = vec![
            (HardeningFacts { served: factory(), ..good() }, &[("factory_certificate_replaced", Failed)]),
            (HardeningFacts { stored: factory(), ..good() }, &[("factory_certificate_replaced", Failed)]),
            (HardeningFacts { served: leaf(true, "SHA256withRSA"), ..good() }, &[]),
            (
                HardeningFacts { served: Err(Trouble::new("connect", "no")), ..good() },
                &[("factory_certificate_replaced", Unknown("connect")), ("old_tls_refused", Unknown("connect"))],
            ),
            (
                HardeningFacts { store_password: Ok(StorePassword::Default), ..good() },
                &[("keystore_password_changed", Failed)],
            ),
            (
                HardeningFacts { store_password: Ok(StorePassword::NotTold), ..good() },
                &[("keystore_password_changed", Unknown("not_told"))],
            ),
            (
                HardeningFacts { store_password: Ok(StorePassword::NotTold), served: factory(), ..good() },
                &[("keystore_password_changed", Failed), ("factory_certificate_replaced", Failed)],
            ),
            (
                HardeningFacts { store_password: Ok(StorePassword::Mismatch), ..good() },
                &[("keystore_password_changed", Unknown("bad_password"))],
            ),
            (HardeningFacts { cacerts_open_by_default: Ok(true), ..good() }, &[("cacerts_password_changed", Failed)]),
            (HardeningFacts { jre: others(), ..good() }, &[("jre_directory_protected", Failed)]),
            (HardeningFacts { install: others(), ..good() }, &[("install_directory_protected", Failed)]),
            (HardeningFacts { command_files: others(), ..good() }, &[("command_files_protected", Failed)]),
            (
                HardeningFacts { jre: Ok(Writers::Unfinished), ..good() },
                &[("jre_directory_protected", Unknown("too_many_files"))],
            ),
            (HardeningFacts { java: Ok(version("17.0.8")), ..good() }, &[("jre_recent", Failed)]),
            (HardeningFacts { minimum_java: None, ..good() }, &[("jre_recent", Unknown("not_configured"))]),
            (HardeningFacts { missing: Ok(vec!["m11.bak"]), ..good() }, &[("protected_files_present", Failed)]),
            (
                HardeningFacts { left_behind: Ok(Some(Label::new("/x"))), ..good() },
                &[("silent_install_removed", Failed)],
            ),
            (HardeningFacts { old_tls: Ok(Some("TLS 1.0")), ..good() }, &[("old_tls_refused", Failed)]),
            (
                HardeningFacts { old_tls: Err(trouble()), ..good() },
                &[("old_tls_refused", Unknown("permission_denied"))],
            ),
            (jars(JarAmiss::NotWhole(Label::new("/x.jar"))), &[("jars_signed", Failed)]),
            (jars(JarAmiss::OtherSigner(Label::new("/x.jar"))), &[("jars_signed", Failed)]),
            (
                HardeningFacts { jars: Err(Trouble::new("not_configured", "no")), ..good() },
                &[("jars_signed", Unknown("not_configured"))],
            ),
            (snmp(SnmpSeen { v1: Some(true), ..seen }), &[("snmp_v1_disabled", Failed)]),
            (snmp(SnmpSeen { v3_open: true, ..seen }), &[("snmp_v3_strong", Failed)]),
            // Holds R13.
            (snmp(SnmpSeen { v3_strong: None, v3_weak: true, ..seen }), &[("snmp_v3_strong", Failed)]),
            (snmp(SnmpSeen { v3_strong: None, ..seen }), &[("snmp_v3_strong", Unknown("strength_not_seen"))]),
            (
                snmp(SnmpSeen { v3: false, ..seen }),
                &[("snmp_v1_disabled", Unknown("no_answer")), ("snmp_v3_strong", Unknown("no_answer"))],
            ),
        ];
        for (facts, expected) in cases {
            assert_eq!(other_than_passed(&facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn nothing_known_is_nothing_passed() {
        fn lost<T>() -> Result<T, Trouble> {
            Err(Trouble::new("permission_denied", "no"))
        }
        let facts = HardeningFacts {
            served: lost(),
            stored: lost(),
            store_password: lost(),
            cacerts_open_by_default: lost(),
            jre: lost(),
            install: lost(),
            command_files: lost(),
            java: lost(),
            minimum_java: Some(version("17")),
            missing: lost(),
            left_behind: lost(),
            jars: lost(),
            old_tls: lost(),
            snmp: lost(),
        };
        for seen in verdicts(&facts, product()) {
            assert_eq!(seen.verdict, CheckResult::Unknown("permission_denied"), "{:?}", seen.check);
        }
    }
}
