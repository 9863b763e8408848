//! Numbers as NUT writes them: with a point for the fraction, and nothing else but perhaps the unit that is expected there.

use crate::ups::{Unit, meaning};

/// What stands where a number is expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Written {
    /// A word for none, or no text.
    Nothing,
    Number(f64),
    /// Something that is no number of that unit.
    Unreadable,
}

/// Of a text in the unit of the protocol: a share is in per cent.
pub(super) fn written(text: &str, unit: Unit) -> Written {
    let Some(text) = meaning(text) else { return Written::Nothing };
    let bare = words(unit).iter().find_map(|word| {
        let (number, last) = text.split_at_checked(text.len().checked_sub(word.len())?)?;
        last.eq_ignore_ascii_case(word).then(|| number.trim_end())
    });
    text.parse().ok().or_else(|| bare?.parse().ok()).map_or(Written::Unreadable, Written::Number)
}

/// The longer ones first.
const fn words(unit: Unit) -> &'static [&'static str] {
    match unit {
        Unit::Ratio => &["%"],
        Unit::Seconds | Unit::SecondsCounted => &["seconds", "sec", "s"],
        Unit::Volts => &["V"],
        Unit::Amperes => &["A"],
        Unit::Hertz => &["Hz"],
        Unit::Watts => &["W"],
        Unit::VoltAmperes => &["VA"],
        Unit::Celsius => &["°C", "C"],
        Unit::Timestamp | Unit::Count | Unit::Counter => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_have_its_unit_and_nothing_else() {
        for (text, unit, expected) in [
            ("25.5", Unit::Volts, Written::Number(25.5)),
            (" 17 % ", Unit::Ratio, Written::Number(17.0)),
            ("17%", Unit::Ratio, Written::Number(17.0)),
            ("230 V", Unit::Volts, Written::Number(230.0)),
            ("500VA", Unit::VoltAmperes, Written::Number(500.0)),
            ("31 °C", Unit::Celsius, Written::Number(31.0)),
            ("1200 sec", Unit::Seconds, Written::Number(1200.0)),
            ("", Unit::Volts, Written::Nothing),
            ("N/A", Unit::Volts, Written::Nothing),
            ("25,5", Unit::Volts, Written::Unreadable),
            ("17 %", Unit::Volts, Written::Unreadable),
            ("500 VA", Unit::Watts, Written::Unreadable),
            ("2 minutes", Unit::Seconds, Written::Unreadable),
            ("soon", Unit::Seconds, Written::Unreadable),
            ("%", Unit::Ratio, Written::Unreadable),
            ("°", Unit::Celsius, Written::Unreadable),
        ] {
            assert_eq!(written(text, unit), expected, "{text:?} {unit:?}");
        }
    }
}
