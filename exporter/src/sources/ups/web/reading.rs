//! From the words and numbers of a status page to a reading. They are in the page's language, and its numbers too.

use super::page::UiPage;
use crate::snapshot::{Label, Trouble, UpsTrouble};
#[cfg(test)]
use crate::sources::ups::documentation::Documented;
use crate::ups::{Quantity, Reading, Status, UpsFault, meaning};

/// The status words that are documented. Any other is counted as unknown, in the words of the page.
const STATUS_WORDS: &[(&str, Status)] = &[
    ("on line", Status::Online),
    ("online", Status::Online),
    ("オンライン", Status::Online),
    ("on battery", Status::OnBattery),
    ("low battery", Status::LowBattery),
    ("overload", Status::Overload),
    ("communication lost", Status::CommLost),
];

/// How a value is written.
enum Form {
    Percent,
    Time,
    Temperature,
    /// With one of these units, in lower case.
    With(&'static [&'static str]),
}

/// The values of the page. Agents show the load as a share of the watts, of the volt-amperes, or of both: where two give one
/// quantity the larger counts, which is what overloads.
const NUMBERS: &[(&str, Quantity, Form)] = &[
    ("BatteryCharge", Quantity::BatteryCharge, Form::Percent),
    ("RuntimeRemaining", Quantity::BatteryRuntime, Form::Time),
    ("VoltageDC", Quantity::BatteryVoltage, Form::With(&["v", "vdc"])),
    ("InputVoltage", Quantity::InputVoltage, Form::With(&["v", "vac"])),
    ("OutputVoltage", Quantity::OutputVoltage, Form::With(&["v", "vac"])),
    ("InputFrequency", Quantity::InputFrequency, Form::With(&["hz"])),
    ("OutputFrequency", Quantity::OutputFrequency, Form::With(&["hz"])),
    ("LoadCurrent", Quantity::OutputCurrent, Form::With(&["a", "amp", "amps"])),
    ("InternalTemp", Quantity::Temperature, Form::Temperature),
    ("RealPowerPct", Quantity::Load, Form::Percent),
    ("ApparentPowerPct", Quantity::Load, Form::Percent),
];

/// Languages whose numbers are written `1,234.5`.
const DECIMAL_POINT: &[&str] = &["en", "ja", "zh", "ko"];

pub(super) fn reading(page: &UiPage) -> Reading {
    let mut reading = Reading::default();
    if let Some(words) = page.values.get("DeviceStatus") {
        status(words, &mut reading);
    }
    let language = page.language.as_deref();
    let text = |id: &str| page.values.get(id).map(String::as_str);
    for (id, quantity, form) in NUMBERS {
        let Some(text) = text(id).and_then(meaning) else { continue };
        let value = match form {
            Form::Percent => with_unit(text, language, &["%", "％"]).map(|percent| percent / 100.0),
            Form::Time => seconds(text, language),
            Form::Temperature => celsius(text, language),
            Form::With(units) => with_unit(text, language, units),
        };
        let value = value.map(|value| reading.values.of(*quantity).map_or(value, |before| before.max(value)));
        match value {
            Some(value) => reading.values.put(*quantity, value),
            None => reading.values.refuse(*quantity),
        }
    }
    reading
}

/// What is left of a reading when the agent says that it has lost the UPS: nothing, for the numbers on its page are old.
///
/// # Errors
/// That the UPS is lost.
pub(super) fn heard(reading: Reading) -> Result<Reading, UpsTrouble> {
    if reading.statuses.contains(&Status::CommLost) {
        return Err(Trouble::new(
            UpsFault::CommLost,
            "the agent answers and says that it has lost the UPS; look at the cable between them",
        ));
    }
    Ok(reading)
}

/// Several states stand behind each other, separated by commas or slashes.
fn status(words: &str, reading: &mut Reading) {
    for word in words.split([',', '/', ';', '、', '・']).map(str::trim).filter(|word| !word.is_empty()) {
        let known = STATUS_WORDS.iter().find(|(known, _)| word.to_lowercase() == *known);
        match known {
            Some((_, status)) => {
                reading.statuses.insert(*status);
            }
            None if reading.unknown.len() < Reading::MAX_UNKNOWN => reading.unknown.push(Label::new(word)),
            None => {}
        }
    }
}

/// A number with one of these units, or with none.
fn with_unit(text: &str, language: Option<&str>, units: &[&str]) -> Option<f64> {
    let (value, unit) = number(text, language)?;
    let unit = unit.to_lowercase();
    (unit.is_empty() || units.contains(&unit.as_str())).then_some(value)
}

/// The page counts in minutes; a unit that says otherwise is believed, one that is not known makes the number useless.
fn seconds(text: &str, language: Option<&str>) -> Option<f64> {
    let (value, unit) = number(text, language)?;
    let unit = unit.trim_end_matches('.').to_lowercase();
    let factor = match unit.as_str() {
        "" | "min" | "mins" | "minute" | "minutes" | "分" | "分間" => 60.0,
        "s" | "sec" | "second" | "seconds" | "秒" => 1.0,
        "h" | "hr" | "hrs" | "hour" | "hours" | "時間" => 3600.0,
        _ => return None,
    };
    Some(value * factor)
}

/// `28.3°C / 82.9°F`, in either order or one of them.
fn celsius(text: &str, language: Option<&str>) -> Option<f64> {
    let parts = || text.split('/').filter_map(|part| number(part, language));
    let scale = |unit: &str, letter: char, sign: &str| {
        unit == sign || unit.trim_start_matches(['°', ' ']) == letter.to_string()
    };
    let in_celsius = parts().find(|(_, unit)| scale(unit, 'C', "℃")).map(|(value, _)| value);
    let in_fahrenheit = || parts().find(|(_, unit)| scale(unit, 'F', "℉")).map(|(value, _)| (value - 32.0) * 5.0 / 9.0);
    in_celsius.or_else(in_fahrenheit)
}

/// A number at the beginning of a text, and what follows it, trimmed. There is no second number in that.
fn number<'a>(text: &'a str, language: Option<&str>) -> Option<(f64, &'a str)> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix(['-', '−']) {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ',')).unwrap_or(digits.len());
    let (digits, unit) = digits.split_at(end);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) || unit.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let plain = match decimal_mark(digits, language) {
        Some(mark) => {
            let (whole, fraction) = digits.rsplit_once(mark)?;
            format!("{}.{fraction}", without_groups(whole)?)
        }
        None => without_groups(digits)?,
    };
    let value: f64 = plain.parse().ok()?;
    Some((if negative { -value } else { value }, unit.trim()))
}

/// Which mark begins the fraction, if one does: the last of two kinds; a single one, unless it can only group thousands.
fn decimal_mark(digits: &str, language: Option<&str>) -> Option<char> {
    let (point, comma) = (digits.rfind('.'), digits.rfind(','));
    match (point, comma) {
        (None, None) => None,
        (Some(point), Some(comma)) => Some(if point > comma { '.' } else { ',' }),
        (Some(_), None) => (digits.matches('.').count() == 1).then_some('.'),
        (None, Some(at)) => {
            let groups = digits.len() - at == 4 && language.is_some_and(|it| DECIMAL_POINT.contains(&it));
            (digits.matches(',').count() == 1 && !groups).then_some(',')
        }
    }
}

/// Digits, with groups of three where there are marks.
fn without_groups(digits: &str) -> Option<String> {
    let mut groups = digits.split(['.', ',']);
    let first = groups.next().filter(|first| !first.is_empty())?;
    let mut plain = first.to_owned();
    for group in groups {
        if group.len() != 3 {
            return None;
        }
        plain.push_str(group);
    }
    Some(plain)
}

/// The tables above, for the documentation.
#[cfg(test)]
pub(in crate::sources::ups) fn documented() -> Documented {
    let mut all = Documented::default();
    for (id, quantity, _) in NUMBERS {
        all.number(*quantity, id, 1.0);
    }
    for (words, status) in STATUS_WORDS {
        all.status(*status, words);
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(language: &str, values: &[(&str, &str)]) -> Reading {
        let values = values.iter().map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).collect();
        reading(&UiPage { language: Some(language.to_owned()), values, ..UiPage::default() })
    }

    #[test]
    fn a_page_becomes_a_reading_in_base_units() {
        let found = read(
            "en",
            &[
                ("DeviceStatus", "On Line"),
                ("BatteryCharge", "98.5 %"),
                ("RuntimeRemaining", "126 minutes"),
                ("VoltageDC", "54.0 VDC"),
                ("InputVoltage", "230.4 VAC"),
                ("OutputVoltage", "230"),
                ("InputFrequency", "50.00 Hz"),
                ("LoadCurrent", "1.2 A"),
                ("InternalTemp", "28.3°C / 82.9°F"),
                ("RealPowerPct", "12.0%"),
                ("ApparentPowerPct", "15.5%"),
            ],
        );
        assert_eq!(found.statuses, [Status::Online].into());
        for (quantity, value) in [
            (Quantity::BatteryCharge, 0.985),
            (Quantity::BatteryRuntime, 7560.0),
            (Quantity::BatteryVoltage, 54.0),
            (Quantity::InputVoltage, 230.4),
            (Quantity::OutputVoltage, 230.0),
            (Quantity::InputFrequency, 50.0),
            (Quantity::OutputCurrent, 1.2),
            (Quantity::Temperature, 28.3),
            (Quantity::Load, 0.155),
        ] {
            assert_eq!(found.values.of(quantity), Some(value), "{quantity:?}");
        }
        assert_eq!(found.values.of(Quantity::OutputFrequency), None, "what the page does not show is no sample");
    }

    #[test]
    fn a_status_in_another_language_is_known_or_counted_as_unknown() {
        assert_eq!(read("ja", &[("DeviceStatus", "オンライン")]).statuses, [Status::Online].into());
        let found = read("de", &[("DeviceStatus", "On Battery, Batteriebetrieb")]);
        assert_eq!(found.statuses, [Status::OnBattery].into());
        assert_eq!(found.unknown, [Label::new("Batteriebetrieb")]);
        let many = vec!["x"; 1000].join(",");
        assert_eq!(read("en", &[("DeviceStatus", &many)]).unknown.len(), Reading::MAX_UNKNOWN);
    }

    #[test]
    fn a_page_of_an_agent_that_has_lost_its_ups_is_no_reading() {
        let lost = read("en", &[("DeviceStatus", "Communication Lost"), ("BatteryCharge", "98 %")]);
        assert_eq!(heard(lost).map_err(|trouble| trouble.reason), Err(UpsFault::CommLost));
        let found = read("en", &[("DeviceStatus", "On Line"), ("BatteryCharge", "98 %")]);
        assert_eq!(heard(found.clone()), Ok(found));
    }

    #[test]
    fn a_number_is_read_in_the_language_of_its_page() {
        for (language, text, value) in [
            ("en", "54.0", Some(54.0)),
            ("de", "54,0", Some(54.0)),
            ("de", "54,025 V", Some(54.025)),
            ("en", "1,234", Some(1234.0)),
            ("en", "1,234.5", Some(1234.5)),
            ("de", "1.234,5", Some(1234.5)),
            ("ja", "-3.5", Some(-3.5)),
            ("en", "1,23,4.5", None),
            ("en", "1.2.3", None),
            ("en", "N/A", None),
            ("en", "", None),
            ("en", ".5", None),
            ("en", "--5", None),
            ("en", "1 to 2", None),
            ("en", "12 parsecs", None),
        ] {
            assert_eq!(with_unit(text, Some(language), &["v"]), value, "{language} {text}");
        }
    }

    #[test]
    fn a_runtime_says_its_unit_or_is_in_minutes() {
        for (text, value) in [
            ("126", Some(7560.0)),
            ("126 分", Some(7560.0)),
            ("90 sec", Some(90.0)),
            ("2 hours", Some(7200.0)),
            ("1 hr 20 min", None),
            ("2 Stunden", None),
        ] {
            assert_eq!(seconds(text, Some("en")), value, "{text}");
        }
        assert_eq!(celsius("50.0°F", None), Some(10.0));
        assert_eq!(celsius("28.0 ℃", None), Some(28.0));
        assert_eq!(celsius("28.0 K", None), None);
    }

    proptest! {
        #[test]
        fn no_text_brings_a_number_that_cannot_be(text in "\\PC{0,40}", language in "[a-z]{0,3}") {
            let found = read(&language, &[("BatteryCharge", &text), ("RuntimeRemaining", &text), ("DeviceStatus", &text)]);
            for quantity in [Quantity::BatteryCharge, Quantity::BatteryRuntime] {
                prop_assert!(found.values.of(quantity).is_none_or(|value| value.is_finite() && value >= 0.0));
            }
        }
    }
}
