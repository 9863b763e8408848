//! How `plan` ends, as a pull request's check sees it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use kagiban_operator::cli::PlanExit;

/// It follows the `---` of the document before.
const GOOD: &str = concat!("\n", include_str!("support/good.yaml"));

fn plan(arguments: &[&str], manifest: &str) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kagiban-operator"))
        .arg("plan")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // one that ends before it reads has said why
    let _ = child.stdin.take().expect("a pipe").write_all(manifest.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// Holds B12: text that is no YAML ended with 1, as if something had been judged.
#[test]
fn a_plan_ends_as_its_help_says() {
    let offline = ["--offline", "-f", "-"];
    let no_cluster = ["--kubeconfig", "/no/such/kubeconfig", "-f", "-"];
    let (unknown_version, bad_name) = (GOOD.replace("v1alpha1", "v9"), GOOD.replace("name: ups-01", "name: UPS_01"));
    let (typo, broken) = (GOOD.replace("  host:", "  hots: x\n  host:"), format!("{GOOD}---\nbad: ["));
    let cases: [(&str, &[&str], &str, PlanExit, &str); 11] = [
        ("a good one", &offline, GOOD, PlanExit::Clear, "well-formed"),
        ("a version that is not known", &offline, &unknown_version, PlanExit::Wrong, "apiVersion"),
        ("a name that is none", &offline, &bad_name, PlanExit::Wrong, "metadata.name"),
        ("a field that is not known", &offline, &typo, PlanExit::Wrong, "spec.hots"),
        ("a wrong one among good ones", &offline, &format!("{GOOD}---{typo}"), PlanExit::Wrong, "spec.hots"),
        ("text that is no YAML", &offline, "bad: [", PlanExit::NoPlan, "is no YAML"),
        ("a good one before text that is no YAML", &offline, &broken, PlanExit::NoPlan, "is no YAML"),
        ("no resource", &offline, "kind: Secret\n", PlanExit::NoPlan, "no ManagedAgentCertificate"),
        ("no file", &["--offline", "-f", "/no/such/file"], "", PlanExit::NoPlan, "cannot open"),
        ("no cluster", &no_cluster, GOOD, PlanExit::NoPlan, "cannot read"),
        ("a wrong command line", &["--no-such-flag"], "", PlanExit::NoPlan, "--no-such-flag"),
    ];
    for (what, arguments, manifest, exit, words) in cases {
        let (code, text) = plan(arguments, manifest);
        assert_eq!(code, Some(exit.code().into()), "{what}: {text}");
        assert!(text.contains(words), "{what}: {text}");
    }
}
