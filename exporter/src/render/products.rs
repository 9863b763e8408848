//! `kagiban_product_*`: which releases of products are here, and whom their vendor's notice concerns.

use std::fmt;

use kagiban_agents::Concern;

use super::table::{Family, Kind};
use crate::snapshot::{Label, ReleaseSeen, Snapshot};

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "kagiban_product_info",
        help: "A part or component of a product that is installed, always 1. The release is as the vendor's notice names it, with both names where two have one mark, and is left out where the notice does not know the version.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |labels, seen| {
                let Some(version) = &seen.version else { return Ok(()) };
                let release = seen.concern.as_ref().map(Concern::release).unwrap_or_default();
                let told = [("release", release.as_str()), ("version", version.as_str())];
                out.put(&[&labels[..], &told].concat(), true)
            })
        },
    },
    Family {
        name: "kagiban_product_affected",
        help: "Whether this stops when the part's certificate ends, or whether the component has this problem, by the vendor's notice (1) or not (0); absent where the notice does not know the version, or it is not known whether the problem's conditions hold. What goes on is no reason.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |labels, seen| {
                let mut reasons = seen.concern.iter().flat_map(Concern::reasons);
                reasons.try_for_each(|(reason, has)| out.put(&[&labels[..], &[("reason", reason)]].concat(), has))
            })
        },
    },
    Family {
        name: "kagiban_product_certificate_not_after_timestamp_seconds",
        help: "When the part's certificate expires, in seconds since 1970. Its basis is `read`, the certificate itself, or `computed`, the day of the installation and the days that the vendor's notice gives the release, where the store cannot be read.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |labels, seen| match seen.certificate_end(snapshot) {
                Some(end) => out.put(&[&labels[..], &[("basis", end.basis())]].concat(), end.at()),
                None => Ok(()),
            })
        },
    },
];

type Labels<'a> = [(&'static str, &'a str); 4];

fn each(snapshot: &Snapshot, mut put: impl FnMut(Labels<'_>, &ReleaseSeen) -> fmt::Result) -> fmt::Result {
    for seen in snapshot.passes().flat_map(|(_, pass)| pass.releases()) {
        let agent = seen.agent.as_ref().map_or("", Label::as_str);
        let labels = [
            ("agent", agent),
            ("product", seen.product.id()),
            ("component", seen.part),
            ("directory", seen.directory.as_ref().map_or("", Label::as_str)),
        ];
        put(labels, seen)?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use kagiban_agents::{Mark, Os, Product};

    use super::super::only;
    use super::super::table::encode;
    use super::*;
    use crate::snapshot::{Board, Observation, Pass, SourceId, SourceKind};

    /// The agent of PowerChute Business Edition on Linux, which is told by its package.
    pub(in crate::render) fn release(package: Option<&str>) -> ReleaseSeen {
        let product = Product::PowerchuteBusinessEdition;
        let facts = product.facts();
        let (notice, part) = (facts.notice.as_ref().expect("a notice"), &facts.parts[1]);
        ReleaseSeen {
            agent: Some(Label::new("pcbe")),
            product,
            part: part.name,
            directory: Some(Label::new("/opt/pcbe/Agent")),
            version: package.map(Label::new),
            concern: package.and_then(|text| Concern::of(notice, part, Os::Linux, Mark::Package, text)),
            installed_at: package.map(|_| 1_000_000_000),
            keystores: vec![Label::new("/opt/pcbe/Agent/commkey")],
        }
    }

    /// The samples without the labels that all have.
    fn told(package: Option<&str>) -> Vec<String> {
        let board = Board::default();
        let id = SourceId::own(SourceKind::Release, Label::new("/opt/pcbe/Agent"));
        board.expect([(id.clone(), &[][..])]);
        let observation = Observation::Release(release(package));
        let (ended, took) = (Timestamp::UNIX_EPOCH, Duration::ZERO);
        board.publish(&id, Pass { observation, trouble: None, ended, took });
        let text = encode(FAMILIES, &only(&board.snapshot()));
        let common =
            r#"agent="pcbe",product="powerchute-business-edition",component="agent",directory="/opt/pcbe/Agent","#;
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples.map(|line| line.replace("kagiban_product_", "").replace(common, "")).collect()
    }

    #[test]
    fn a_release_is_told_with_what_its_notice_says_of_it() {
        let end = "certificate_not_after_timestamp_seconds{basis=\"computed\"}";
        assert_eq!(
            told(Some("pbeagent-7.0.0-419")),
            [
                r#"info{release="7.0",version="pbeagent-7.0.0-419"} 1"#.to_owned(),
                r#"affected{reason="console_login"} 1"#.to_owned(),
                r#"affected{reason="notifications"} 1"#.to_owned(),
                format!("{end} 1315360000"),
            ]
        );
        assert_eq!(
            told(Some("pbeagent-7.0.5-408")),
            [
                r#"info{release="7.0.5 or 8.0",version="pbeagent-7.0.5-408"} 1"#.to_owned(),
                r#"affected{reason="console_login"} 0"#.to_owned(),
                r#"affected{reason="notifications"} 0"#.to_owned(),
                format!("{end} 1630720000"),
            ]
        );
    }

    #[test]
    fn what_is_not_known_has_no_sample() {
        assert_eq!(told(Some("pbeagent-9.0.1-604")), [r#"info{version="pbeagent-9.0.1-604"} 1"#]);
        assert_eq!(told(None), [""; 0]);
    }
}
