//! The tables agree with the MIBs: `objects.tsv` holds, for every object that is asked for, what was taken from RFC 1628 and
//! PowerNet-MIB 4.5.8, and from public scrapers where they agree: object, name, scale, enum.

use std::collections::{BTreeMap, BTreeSet};

use super::super::oids::{Cell, Meaning, TREES};
use crate::ups::Quantity;

const OBJECTS: &str = include_str!("objects.tsv");

/// Scales that the scrapers leave out and the MIBs have.
const TENTHS: [&str; 5] =
    ["upsBatteryCurrent", "upsInputCurrent", "upsOutputCurrent", "upsConfigInputFreq", "upsConfigOutputFreq"];

#[derive(Debug)]
struct Fact {
    oid: String,
    scale: f64,
    numbers: BTreeMap<i64, String>,
}

fn facts() -> BTreeMap<&'static str, Fact> {
    let fact = |line: &'static str| {
        let [oid, name, scale, numbers] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let numbers: BTreeMap<String, String> =
            if numbers.is_empty() { BTreeMap::new() } else { serde_json::from_str(numbers).unwrap() };
        let numbers = numbers.into_iter().map(|(number, name)| (number.parse().unwrap(), name)).collect();
        let scale = if TENTHS.contains(&name) { 0.1 } else { scale.parse().unwrap_or(1.0) };
        (name, Fact { oid: oid.to_owned(), scale, numbers })
    };
    OBJECTS.lines().map(fact).collect()
}

/// From the MIB's unit, scaled, to the schema's.
fn unit(name: &str, quantity: Quantity) -> f64 {
    match quantity {
        Quantity::BatteryCharge | Quantity::Load => 0.01,
        _ if name == "upsEstimatedMinutesRemaining" || name == "upsConfigLowBattTime" => 60.0,
        // Ticks, of objects whose scale is nowhere said.
        _ if ["upsAdvConfigLowBatteryRunTime", "upsAdvConfigReturnDelay", "upsAdvConfigShutoffDelay"]
            .contains(&name) =>
        {
            0.01
        }
        _ => 1.0,
    }
}

fn check_scale(name: &str, quantity: Quantity, scale: f64, fact: &Fact) {
    let expected = fact.scale * unit(name, quantity);
    assert!((scale - expected).abs() < 1e-9, "{name}: {scale}, not {expected}");
}

#[test]
fn every_object_has_the_place_the_scale_and_the_numbers_of_its_mib() {
    let facts = facts();
    let fact = |name| facts.get(name).unwrap_or_else(|| panic!("{name} is in no MIB"));
    let mut seen = BTreeSet::new();
    for tree in TREES {
        for object in tree.scalars {
            let fact = fact(object.name);
            assert_eq!(tree.oid(object.at).to_string(), fact.oid, "{}", object.name);
            assert!(seen.insert(object.name), "{} twice", object.name);
            match &object.meaning {
                Meaning::Number(quantity, scale) | Meaning::Tenths(quantity, scale) => {
                    check_scale(object.name, *quantity, *scale, fact);
                }
                Meaning::Enum(known) => {
                    let known: BTreeMap<_, _> = known.iter().map(|(n, name, _)| (*n, (*name).to_owned())).collect();
                    assert_eq!(known, fact.numbers, "{}", object.name);
                }
                Meaning::Timer(_)
                | Meaning::Text(_)
                | Meaning::Date(_)
                | Meaning::Flags(_)
                | Meaning::Cause
                | Meaning::Lines(_) => {
                    assert!(fact.numbers.is_empty(), "{}", object.name);
                }
            }
        }
        for column in tree.columns {
            let fact = fact(column.name);
            assert_eq!(tree.oid(column.at).to_string(), fact.oid, "{}", column.name);
            assert!(seen.insert(column.name), "{} twice", column.name);
            match column.cell {
                Cell::Line(_, quantity, scale) | Cell::Phase(_, quantity, scale) | Cell::Feed(_, quantity, scale) => {
                    check_scale(column.name, quantity, scale, fact);
                }
                Cell::FeedPhases(_)
                | Cell::FeedKind(_)
                | Cell::AlarmDescription
                | Cell::GroupState
                | Cell::GroupPending => {}
            }
        }
    }
    assert_eq!(seen, facts.keys().copied().collect(), "and nothing else is in the list");
}

#[test]
fn the_more_precise_object_stands_after_the_plain_one() {
    for tree in TREES {
        let place = |name: &str| tree.scalars.iter().position(|object| object.name == name);
        for object in tree.scalars {
            let Some(rest) = object.name.strip_prefix("upsHighPrec") else { continue };
            let plain = place(&format!("upsAdv{rest}")).unwrap_or_else(|| panic!("{rest} has no plain one"));
            assert!(place(object.name) > Some(plain), "{rest}");
        }
    }
}
