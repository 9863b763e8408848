//! The names of other exporters, as their users see them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::super::ExpositionFormat;
use super::super::tests::{body, certificate};
use crate::config::CompatSet;
use crate::snapshot::{
    Backend, Board, Contents, FileSeen, Label, Observation, Pass, Role, SourceId, SourceKind, Trouble, UpsSeen,
};
use crate::ups::Reading;

fn rendered(observation: Observation, compat: &[CompatSet]) -> String {
    let board = Board::default();
    let id = SourceId::own(SourceKind::File, Label::new("fleet"));
    board.expect([(id.clone(), &[][..])]);
    let ended = Timestamp::constant(1_790_000_000, 0);
    board.publish(&id, Pass { observation, trouble: None, ended, took: Duration::ZERO });
    let with = body(&board.snapshot(), ExpositionFormat::Text, compat);
    let ours = body(&board.snapshot(), ExpositionFormat::Text, &[]);
    with.strip_prefix(&ours).expect("our own names come first").to_owned()
}

fn ups(name: &str, backend: Backend, raw: &[(&str, &str)]) -> UpsSeen {
    let raw = raw.iter().map(|(key, text)| ((*key).into(), (*text).into())).collect();
    let reading = Reading { raw, ..Reading::default() };
    UpsSeen {
        ups: Label::new(name),
        backend,
        target: Label::new("127.0.0.1:1"),
        feeds_host: true,
        contradictions: 0,
        outcome: Ok(Box::new(reading)),
        refused: BTreeMap::new(),
        strong_snmp: None,
    }
}

#[test]
fn certificates_in_files_are_shown_under_both_other_names_and_once_each() {
    let contents = || {
        // A chain that is stored twice.
        let certificates = vec![certificate("a", 0, Role::Leaf, "ups-01"), certificate("b", 0, Role::Leaf, "ups-01")];
        Ok(Contents::whole("pem", None, certificates))
    };
    let file = |path: &str, outcome| Arc::new(FileSeen { path: Label::new(path), modified: None, outcome });
    let files = vec![
        file("/srv/certs/a.pem", contents()),
        file("/srv/certs/junk", Err(Trouble::new("malformed", "not a certificate"))),
    ];
    insta::assert_snapshot!(rendered(Observation::Files(files.into()), &[CompatSet::Enix, CompatSet::SslExporter]));
}

#[test]
fn what_apcupsd_does_not_say_is_left_out() {
    let said = [
        ("UPSNAME", "rack-b"),
        ("STATUS", "ONBATT LOWBATT"),
        ("BCHARGE", "9.0 Percent"),
        ("TIMELEFT", "12.5 Minutes"),
        ("ITEMP", "N/A"),
    ];
    let upses = vec![ups("b", Backend::Apcupsd, &said), ups("c", Backend::Nut, &[("battery.charge", "100")])];
    insta::assert_snapshot!(rendered(Observation::Upses(upses), &[CompatSet::ApcupsdExporter]));
}

#[test]
fn both_exporters_for_nut_show_every_ups_by_its_name() {
    let one =
        [("ups.status", "FSD OB LB DISCHRG NEW"), ("battery.charge", "40"), ("device.model", "Smart-UPS \"1500\"")];
    let two = [("ups.status", "OL"), ("ups.load", "12.5"), ("battery.runtime", "unknown")];
    let upses = vec![ups("one", Backend::Nut, &one), ups("two", Backend::Nut, &two)];
    insta::assert_snapshot!(rendered(Observation::Upses(upses), &[CompatSet::NutExporter, CompatSet::Hon95]));
}
