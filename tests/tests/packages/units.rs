//! The units of systemd: that they are read without a complaint, and how far they shut each program in.

use anyhow::{Context, Result, ensure};
use kagiban_tests::debian_root::DebianRoot;
use kagiban_tests::packages::Packages;

const UNITS: [&str; 3] = ["kagiban-exporter.service", "kagiban-exporter-host-api.service", "kagiban-operator.service"];
const MARKS: [&str; 2] = ["<!-- exposure -->\n", "<!-- end of exposure -->\n"];

/// The one is for a host whose agents are rotated: root, and so more than the other.
#[test]
fn the_documentation_has_the_exposure_of_each_unit_and_systemd_has_no_complaint() -> Result<()> {
    let root = DebianRoot::unpack("units")?;
    let packages = Packages::shared()?;
    root.put(&packages.deb, "/root/1.deb")?;
    root.put(&packages.operator_deb, "/root/2.deb")?;
    root.run("dpkg", &["--install", "/root/1.deb", "/root/2.deb"])?;
    let mut rows = Vec::new();
    for unit in UNITS {
        let path = format!("/usr/lib/systemd/system/{unit}");
        let said = root.bash(&format!("systemd-analyze verify {path} 2>&1"))?;
        ensure!(said.is_empty(), "{unit}: {said}");
        let told = root.bash(&format!("systemd-analyze security --no-pager --offline=true {path}"))?;
        let overall = told.lines().last().and_then(|line| line.split_once(": ")).context("no overall exposure")?.1;
        let words: Vec<_> = overall.split(' ').take(2).collect();
        ensure!(words.len() == 2 && words[0].parse::<f64>().is_ok_and(|it| it < 3.0), "{unit}: {overall}");
        rows.push(format!("| `{unit}` | {} |\n", words.join(" ")));
    }
    kagiban_docs::check_part("docs/hardening.md", MARKS, &format!("| unit | exposure |\n|---|---|\n{}", rows.concat()))
}
