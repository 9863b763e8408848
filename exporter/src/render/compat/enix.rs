//! x509-certificate-exporter, by enix: the names and labels of its version 4.

use std::fmt;

use super::super::certificates::{SightedCertificate, each};
use super::super::table::{Family, Kind, Samples, Value};
use super::Unique;
use crate::snapshot::Snapshot;

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "x509_cert_not_after",
        help: "When the certificate expires, in seconds since 1970.",
        kind: Kind::Gauge,
        samples: |snapshot, out| in_files(snapshot, out, |at| at.seen.facts.not_after.into()),
    },
    Family {
        name: "x509_cert_not_before",
        help: "When the certificate becomes valid, in seconds since 1970.",
        kind: Kind::Gauge,
        samples: |snapshot, out| in_files(snapshot, out, |at| at.seen.facts.not_before.into()),
    },
    Family {
        name: "x509_cert_expired",
        help: "Whether the certificate was expired when its file was last looked at.",
        kind: Kind::Gauge,
        samples: |snapshot, out| in_files(snapshot, out, |at| (at.seen.facts.not_after <= at.looked_at).into()),
    },
    Family {
        name: "x509_cert_error",
        help: "Whether the file, or a part of it, could not be read.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            let mut unique = Unique::default();
            for file in snapshot.passes().flat_map(|(_, pass)| pass.files()) {
                unique.put(out, &place(file.path.as_str()), !file.is_whole())?;
            }
            Ok(())
        },
    },
];

fn in_files(
    snapshot: &Snapshot,
    out: &mut Samples<'_, '_>,
    value: fn(&SightedCertificate<'_>) -> Value,
) -> fmt::Result {
    let mut unique = Unique::default();
    each(snapshot, |at| {
        if at.place.path.is_empty() {
            return Ok(());
        }
        let facts = &at.seen.facts;
        let [filename, filepath] = place(at.place.path);
        let labels = [
            filename,
            filepath,
            ("serial_number", &*decimal(facts.serial.as_str())),
            ("subject_CN", facts.subject_cn.as_ref().map_or("", |name| name.as_str())),
            ("issuer_CN", facts.issuer_cn.as_ref().map_or("", |name| name.as_str())),
        ];
        unique.put(out, &labels, value(at))
    })
}

fn place(path: &str) -> [(&'static str, &str); 2] {
    // A Windows path has the other separator.
    let filename = path.rsplit(['/', '\\']).next().unwrap_or(path);
    [("filename", filename), ("filepath", path)]
}

/// A serial number as decimal digits; RFC 5280 allows twenty bytes, more than any integer type of ours. What is no
/// hexadecimal number stays as it is.
pub(super) fn decimal(hexadecimal: &str) -> String {
    let (sign, magnitude) = hexadecimal.strip_prefix('-').map_or(("", hexadecimal), |magnitude| ("-", magnitude));
    // Little-endian, one decimal digit each.
    let mut digits = vec![0_u32];
    for c in magnitude.chars() {
        let Some(mut carry) = c.to_digit(16) else { return hexadecimal.to_owned() };
        for digit in &mut digits {
            let value = *digit * 16 + carry;
            *digit = value % 10;
            carry = value / 10;
        }
        while carry > 0 {
            digits.push(carry % 10);
            carry /= 10;
        }
    }
    let digits = digits.iter().rev().filter_map(|digit| char::from_digit(*digit, 10));
    sign.chars().chain(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_is_written_in_decimal_however_long_it_is() {
        assert_eq!(decimal("0"), "0");
        assert_eq!(decimal("ff"), "255");
        assert_eq!(
            decimal("ffffffffffffffffffffffffffffffffffffffff"),
            "1461501637330902918203684832716283019655932542975"
        );
        assert_eq!((decimal("-1"), decimal("-4d")), ("-1".to_owned(), "-77".to_owned()));
        assert_eq!(decimal("none"), "none");
    }

    #[test]
    fn a_file_has_its_name_and_its_path() {
        assert_eq!(place("/srv/certs/a.pem"), [("filename", "a.pem"), ("filepath", "/srv/certs/a.pem")]);
        assert_eq!(place(r"C:\certs\a.pem")[0], ("filename", "a.pem"));
    }
}
