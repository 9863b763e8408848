//! The SBOMs that lie beside programs, packages and images.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use kagiban_tests::{process, release, scratch, tools};
use serde_json::{Value, json};

/// Prints what is wrong with each file, by the schema of CycloneDX and the lists that it refers to.
const VALIDATE: &str = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
validator = JsonStrictValidator(SchemaVersion.V1_6)
for file in sys.argv[1:]:
    wrong = validator.validate_str(open(file).read())
    print('valid' if wrong is None else 'invalid')
";

fn sbom(program: &str) -> Result<Value> {
    let file = release::programs()?.join(format!("{program}.cdx.json"));
    Ok(serde_json::from_slice(&fs::read(file)?)?)
}

/// Each crate by name and version, with its component.
fn crates(bom: &Value) -> Result<BTreeMap<String, &Value>> {
    let components =
        bom["components"].as_array().context("no components")?.iter().chain([&bom["metadata"]["component"]]);
    components.map(|it| Ok((format!("{} v{}", text(it, "name")?, text(it, "version")?), it))).collect()
}

fn text<'a>(value: &'a Value, member: &str) -> Result<&'a str> {
    value[member].as_str().with_context(|| format!("no {member}: {value}"))
}

/// What `cargo tree` names of a program that is built by itself for the target of the releases.
fn tree(program: &str, edges: &str) -> Result<BTreeSet<String>> {
    let mut tree = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    tree.current_dir(tools::workspace()).args(["tree", "--locked", "--quiet", "--package", program, "--edges", edges]);
    let told = process::run(tree.args(["--target", "x86_64-unknown-linux-gnu", "--prefix", "none", "--no-dedupe"]))?;
    Ok(told.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect())
}

#[test]
fn an_sbom_is_valid_and_two_of_the_same_sources_are_the_same() -> Result<()> {
    let directory = scratch::directory("sbom")?;
    let mut broken = sbom("kagiban-exporter")?;
    broken["components"][0]["licenses"] = json!([{"license": {"id": "no licence of SPDX"}}]);
    fs::write(directory.join("broken"), broken.to_string())?;
    let again = directory.join("again");
    let mut write = Command::new(tools::workspace().join("tests/tools/sbom.py"));
    process::run(write.arg("kagiban-operator").arg(&again).env("SOURCE_DATE_EPOCH", release::EPOCH))?;
    let given = release::programs()?;
    let operator = given.join("kagiban-operator.cdx.json");
    ensure!(fs::read(&again)? == fs::read(&operator)?, "{} is another", again.display());

    let files = [&given.join("kagiban-exporter.cdx.json"), &operator, &directory.join("broken")];
    let told = process::run(Command::new(tools::cyclonedx()?).args(["-c", VALIDATE]).args(files))?;
    ensure!(told == "valid\nvalid\ninvalid\n", "{told}");
    Ok(())
}

#[test]
fn an_sbom_names_the_crates_that_a_program_is_built_of_and_which_of_them_are_linked() -> Result<()> {
    for program in release::PROGRAMS {
        let bom = sbom(program)?;
        let crates = crates(&bom)?;
        assert_eq!(crates.keys().cloned().collect::<BTreeSet<_>>(), tree(program, "normal")?);
        let linked = crates.iter().filter(|(_, it)| it["scope"] != "excluded").map(|(name, _)| name.clone());
        assert_eq!(linked.collect::<BTreeSet<_>>(), tree(program, "normal,no-proc-macro")?);
    }
    Ok(())
}

#[test]
fn every_crate_says_its_licence_and_is_known_by_its_purl_and_its_checksum() -> Result<()> {
    let members = fs::read_dir(tools::workspace())?.flatten().filter(|entry| entry.path().join("Cargo.toml").is_file());
    let members: BTreeSet<_> =
        members.map(|entry| format!("kagiban-{}", entry.file_name().to_string_lossy())).collect();
    let lock = fs::read_to_string(tools::workspace().join("Cargo.lock"))?;
    for program in release::PROGRAMS {
        let bom = sbom(program)?;
        let crates = crates(&bom)?;
        for (name, component) in &crates {
            let (short, version) = name.split_once(" v").context("a version")?;
            let ours = members.contains(short);
            // A name of ours on crates.io would be a stranger's.
            let kind = if ours { "generic" } else { "cargo" };
            ensure!(
                text(component, "purl")? == format!("pkg:{kind}/{short}@{}", version.replace('+', "%2B")),
                "{component}"
            );
            ensure!(component["licenses"][0]["expression"].is_string(), "{component}");
            let locked = format!("name = \"{short}\"\nversion = \"{version}\"\n");
            let checksum =
                lock.split("[[package]]\n").find(|package| package.starts_with(&locked)).and_then(|package| {
                    let line = package.lines().find_map(|line| line.strip_prefix("checksum = \""))?;
                    line.strip_suffix('"')
                });
            ensure!(ours || checksum.is_some(), "{name} is not in Cargo.lock");
            ensure!(component["hashes"][0]["content"].as_str() == checksum, "{component}");
        }
        let references: BTreeSet<_> = crates.values().map(|it| &it["bom-ref"]).map(Value::to_string).collect();
        ensure!(references.len() == crates.len(), "two of one reference");
        let edges = bom["dependencies"].as_array().context("no dependencies")?;
        for edge in edges {
            let ends = edge["dependsOn"].as_array().context("dependsOn")?.iter().chain([&edge["ref"]]);
            for end in ends {
                ensure!(references.contains(&end.to_string()), "{end} is no component");
            }
        }
        ensure!(edges.len() == crates.len(), "{} of {} say what they need", edges.len(), crates.len());
        let named =
            bom["metadata"]["component"]["name"] == program && bom["metadata"]["timestamp"] == "2025-06-15T15:06:40Z";
        ensure!(named, "{}", bom["metadata"]);
    }
    Ok(())
}

/// A release that was built otherwise would be described by an SBOM that is none of it.
#[test]
fn a_release_builds_each_program_by_itself() -> Result<()> {
    let script = fs::read_to_string(tools::workspace().join("tests/tools/release.sh"))?;
    let built: Vec<_> = script.lines().filter(|line| line.contains("zigbuild --")).collect();
    let expected = r#"        "$cargo" zigbuild --locked --release --target "$target.$glibc" -p "$program""#;
    ensure!(built == [expected], "{built:?}");
    Ok(())
}
