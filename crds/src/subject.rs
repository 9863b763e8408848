//! What a certificate's subject says beside its common name: for a CA whose policy asks for it.

use serde::{Deserialize, Serialize};

/// X.520's upper bounds, in characters.
const LONGEST_ORGANIZATION: usize = 64;
const LONGEST_PLACE: usize = 128;
/// Of each kind. What makes requests and certificates here writes one of a kind, and a policy asks for no second one.
const MOST: usize = 1;

const NO_COUNTRY: &str = "at most one, two capital letters of ISO 3166";
const NO_NAME: &str = "at most one, of 1 to 64 characters, without control characters, and without a blank at its ends";
const NO_PLACE: &str =
    "at most one, of 1 to 128 characters, without control characters, and without a blank at its ends";

/// Attributes of a subject beside the common name, by the names that cert-manager's Certificate gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "resource", derive(schemars::JsonSchema), schemars(transform = open))]
pub struct CertificateSubject {
    /// C: two capital letters of ISO 3166.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(
        feature = "resource",
        schemars(length(max = 1), inner(length(min = 2, max = 2), regex(pattern = r"^[A-Z]{2}$")))
    )]
    pub countries: Vec<String>,
    /// ST: a state or province.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "resource", schemars(length(max = 1), inner(length(min = 1, max = 128), regex(pattern = TEXT))))]
    pub provinces: Vec<String>,
    /// L: a city.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "resource", schemars(length(max = 1), inner(length(min = 1, max = 128), regex(pattern = TEXT))))]
    pub localities: Vec<String>,
    /// O.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "resource", schemars(length(max = 1), inner(length(min = 1, max = 64), regex(pattern = TEXT))))]
    pub organizations: Vec<String>,
    /// OU.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "resource", schemars(length(max = 1), inner(length(min = 1, max = 64), regex(pattern = TEXT))))]
    pub organizational_units: Vec<String>,
}

/// Neither [`is_invisible`] nor a blank at an end.
#[cfg(feature = "resource")]
const TEXT: &str = concat!(
    r"^[^\x00-\x20\x7f-\x{9f}\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2060}-\x{206f}\x{feff}]",
    r"([^\x00-\x1f\x7f-\x{9f}\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2060}-\x{206f}\x{feff}]*",
    r"[^\x00-\x20\x7f-\x{9f}\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2060}-\x{206f}\x{feff}])?$"
);

/// A kind of attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectPart {
    Country,
    Province,
    Locality,
    Organization,
    OrganizationalUnit,
}

/// In which kind of string a part is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectText {
    Printable,
    Utf8,
}

impl SubjectPart {
    /// As OpenSSL has it, and so as a policy that asks for a match finds it in its CA's own subject, byte by byte: a country as
    /// PrintableString, which X.520 has it be, and all else as UTF-8.
    pub const fn text(self) -> SubjectText {
        match self {
            Self::Country => SubjectText::Printable,
            Self::Province | Self::Locality | Self::Organization | Self::OrganizationalUnit => SubjectText::Utf8,
        }
    }

    /// Its object identifier.
    pub const fn oid(self) -> &'static [u64] {
        match self {
            Self::Country => &[2, 5, 4, 6],
            Self::Province => &[2, 5, 4, 8],
            Self::Locality => &[2, 5, 4, 7],
            Self::Organization => &[2, 5, 4, 10],
            Self::OrganizationalUnit => &[2, 5, 4, 11],
        }
    }
}

/// What cannot stand in a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("subject.{field}: {message}")]
pub struct SubjectError {
    /// As it is written.
    pub field: &'static str,
    pub message: &'static str,
}

impl CertificateSubject {
    pub const fn is_empty(&self) -> bool {
        let Self { countries, provinces, localities, organizations, organizational_units } = self;
        countries.is_empty()
            && provinces.is_empty()
            && localities.is_empty()
            && organizations.is_empty()
            && organizational_units.is_empty()
    }

    /// Every attribute, in the order in which a subject has them: from the country down. The common name comes after them.
    pub fn parts(&self) -> impl Iterator<Item = (SubjectPart, &str)> {
        let kinds = [
            (SubjectPart::Country, &self.countries),
            (SubjectPart::Province, &self.provinces),
            (SubjectPart::Locality, &self.localities),
            (SubjectPart::Organization, &self.organizations),
            (SubjectPart::OrganizationalUnit, &self.organizational_units),
        ];
        kinds.into_iter().flat_map(|(part, values)| values.iter().map(move |value| (part, value.as_str())))
    }

    /// # Errors
    /// The first field that holds what cannot stand in a subject.
    pub fn check(&self) -> Result<(), SubjectError> {
        let is_country = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        let is_place = |text: &str| is_text(text, LONGEST_PLACE);
        let is_name = |text: &str| is_text(text, LONGEST_ORGANIZATION);
        check_field("countries", &self.countries, is_country, NO_COUNTRY)?;
        check_field("provinces", &self.provinces, is_place, NO_PLACE)?;
        check_field("localities", &self.localities, is_place, NO_PLACE)?;
        check_field("organizations", &self.organizations, is_name, NO_NAME)?;
        check_field("organizationalUnits", &self.organizational_units, is_name, NO_NAME)
    }
}

fn check_field(
    field: &'static str,
    values: &[String],
    fits: impl Fn(&str) -> bool,
    message: &'static str,
) -> Result<(), SubjectError> {
    if values.len() <= MOST && values.iter().all(|value| fits(value)) {
        Ok(())
    } else {
        Err(SubjectError { field, message })
    }
}

fn is_text(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.chars().count())
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && !text.chars().any(is_invisible)
}

/// Control characters, line ends, and what changes the direction of the text around it.
pub(crate) const fn is_invisible(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// An API server does not take a schema that closes an object; it refuses what it does not know by itself.
#[cfg(feature = "resource")]
fn open(schema: &mut schemars::Schema) {
    schema.remove("additionalProperties");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(organization: &str) -> CertificateSubject {
        CertificateSubject { organizations: vec![organization.to_owned()], ..CertificateSubject::default() }
    }

    #[test]
    fn what_x520_lets_stand_is_taken_and_nothing_longer_empty_or_invisible() {
        for good in ["A", "Example 株式会社", &"語".repeat(64)] {
            assert_eq!(of(good).check(), Ok(()), "{good}");
        }
        for bad in ["", " ", " A", "A ", "A\n", "A\u{202e}B", "\0", &"a".repeat(65)] {
            assert_eq!(of(bad).check().map_err(|error| error.field), Err("organizations"), "{bad:?}");
        }
        for (country, fits) in [("JP", true), ("jp", false), ("J", false), ("JPN", false), ("日本", false)] {
            let subject = CertificateSubject { countries: vec![country.to_owned()], ..CertificateSubject::default() };
            assert_eq!(subject.check().is_ok(), fits, "{country}");
        }
        let two =
            CertificateSubject { localities: vec!["Osaka".into(), "Kyoto".into()], ..CertificateSubject::default() };
        assert_eq!(two.check().map_err(|error| error.field), Err("localities"));
    }

    #[test]
    fn a_subject_goes_from_the_country_down() {
        let subject: CertificateSubject = serde_json::from_str(
            r#"{"organizationalUnits":["Fleet"],"organizations":["Example"],"localities":["Chuo"],"provinces":["Tokyo"],"countries":["JP"]}"#,
        )
        .expect("a subject");
        let told: Vec<_> = subject.parts().map(|(_, value)| value).collect();
        assert_eq!(told, ["JP", "Tokyo", "Chuo", "Example", "Fleet"]);
        assert!(!subject.is_empty() && CertificateSubject::default().is_empty());
        assert!(
            serde_json::from_str::<CertificateSubject>(r#"{"postalCodes":["1"]}"#).is_err(),
            "what is not put there is refused"
        );
    }
}
