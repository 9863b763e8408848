//! The objects, for the documentation.

use super::oids::{ALARM_DESCRIPTION, ALARMS, Cell, Meaning, Says, TREES, Tree, UPS_MIB, WELL_KNOWN_ALARMS};
use crate::sources::ups::documentation::Documented;
use crate::ups::{ALARM_METRIC, Quantity, Status};

pub(in crate::sources::ups) fn documented() -> Documented {
    let mut all = Documented::default();
    for tree in TREES {
        for object in tree.scalars {
            let named = named(tree, object.at, object.name);
            match &object.meaning {
                Meaning::Number(quantity, scale) | Meaning::Tenths(quantity, scale) => {
                    number(&mut all, *quantity, &named, *scale);
                }
                Meaning::Timer(quantity) | Meaning::Date(quantity) => number(&mut all, *quantity, &named, 1.0),
                Meaning::Text(_) => all.text("ups_info", named),
                Meaning::Enum(known) => {
                    for (value, name, says) in *known {
                        take(&mut all, says, &named, &format!("{} {value} ({name})", object.name));
                    }
                }
                Meaning::Flags(known) => {
                    for (flag, says) in *known {
                        take(&mut all, says, &named, &format!("{} flag {flag}", object.name));
                    }
                }
                Meaning::Cause | Meaning::Lines(_) => {}
            }
        }
        for column in tree.columns {
            let named = named(tree, column.at, column.name);
            match column.cell {
                Cell::Line(_, quantity, scale) | Cell::Phase(_, quantity, scale) | Cell::Feed(_, quantity, scale) => {
                    number(&mut all, quantity, &named, scale);
                }
                Cell::AlarmDescription => all.text(ALARM_METRIC, named),
                Cell::GroupState => all.text("ups_outlet_on", named),
                Cell::GroupPending | Cell::FeedPhases(_) | Cell::FeedKind(_) => {}
            }
        }
    }
    let alarms = UPS_MIB.oid(&WELL_KNOWN_ALARMS);
    for (value, name, says) in ALARMS {
        take(
            &mut all,
            says,
            &named(&UPS_MIB, &ALARM_DESCRIPTION, "upsAlarmDescr"),
            &format!("alarm {alarms}.{value} ({name})"),
        );
    }
    for status in [Status::OnBattery, Status::Online] {
        all.status(status, "upsOutputSource, upsSecondsOnBattery and the alarms together");
    }
    all
}

fn take(all: &mut Documented, says: &[Says], object: &str, value: &str) {
    for says in says {
        match says {
            Says::Holds(status) => all.status(*status, value),
            Says::Ended(_) => all.text("ups_self_test_result", object.to_owned()),
            Says::Alarm(_) => {
                all.text(ALARM_METRIC, object.to_owned());
                all.status(Status::Alarm, value);
            }
            Says::TransferCause(_) => all.text("ups_last_transfer_cause", object.to_owned()),
            Says::Beeps(_) => all.text("ups_beeper_status", object.to_owned()),
            Says::CommLost => all.status(Status::CommLost, value),
            Says::Critical => all.status(Status::ShuttingDown, value),
            Says::ShutdownCommanded => {}
        }
    }
}

fn number(all: &mut Documented, quantity: Quantity, named: &str, scale: f64) {
    all.text(quantity.facts().metric, if scale == 1.0 { named.to_owned() } else { format!("{named} × {scale}") });
}

fn named(tree: &Tree, at: &[u32], name: &str) -> String {
    format!("`{name}` {}", tree.oid(at))
}
