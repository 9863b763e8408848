//! Runs the commands of the documentation as they are written, in a shell, with names that are true here put in place of those of the pages.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use kagiban_tests::control_plane::ControlPlane;
use kagiban_tests::keystore::StoreType;
use kagiban_tests::nut::{Device, Nut};
use kagiban_tests::operator::THIS_MACHINE;
use kagiban_tests::stage::{Scene, Stage};
use kagiban_tests::{scratch, tools};

use crate::script::{HELM, ON_THE_STAGE, Step};

/// The namespace of the examples.
const NAMESPACE: &str = "fleet";
/// The longest that a command may take: `kubectl wait` of the pages has five minutes.
const LONGEST: &str = "360";

#[test]
fn the_commands_of_the_documentation_do_what_is_said() -> Result<()> {
    let scene = Scene {
        // It tells its certificates without a password.
        store_type: StoreType::Jks,
        password: "store-password".to_owned(),
        deletes_credentials: false,
        secret_password: Some("store-password".to_owned()),
    };
    let stage = Stage::set(NAMESPACE, &scene)?;
    let rack = Device { name: "rack", description: "", variables: "ups.status: OL\n" };
    let ups = Nut::start(&scratch::directory("terminal-ups")?, &[rack], None)?;
    let terminal = Terminal::on(&stage, &scene.password, &ups)?;
    ON_THE_STAGE.iter().try_for_each(|step| terminal.run(step))
}

#[test]
fn the_commands_of_helm_in_the_documentation_do_what_is_said() -> Result<()> {
    let plane = ControlPlane::start()?;
    let terminal = Terminal::at(plane.admin_kubeconfig())?;
    HELM.iter().try_for_each(|step| terminal.run(step))
}

/// A directory in which the names of the pages lead somewhere.
struct Terminal {
    directory: PathBuf,
    replaced: Vec<(&'static str, String)>,
    environment: BTreeMap<&'static str, PathBuf>,
}

impl Terminal {
    /// With the files of the repository, the programs, and a cluster.
    fn at(kubeconfig: &Path) -> Result<Self> {
        let directory = scratch::directory("terminal")?;
        let path = |name: &str| directory.join(name);
        for name in ["charts", "crds", "docs"] {
            symlink(tools::workspace().join(name), path(name))?;
        }
        run("cp", &["-r", &tools::workspace().join("examples").to_string_lossy(), &directory.to_string_lossy()])?;
        fs::write(path("every-metric.txt"), every_metric()?)?;
        let plan = format!(
            "case \" $* \" in *' --offline '*) ;; ' plan '*) set -- \"$@\" --allow-hosts {THIS_MACHINE};; esac"
        );
        fs::create_dir(path("bin"))?;
        for (name, program, first) in [
            ("kubectl", Command::new(tools::kubectl()?), ""),
            ("helm", Command::new(tools::helm()?), ""),
            ("upsc", tools::nut("bin/upsc")?, ""),
            ("kagiban-exporter", Command::new(tools::ours("kagiban-exporter")?), ""),
            // It contacts no host on this machine by itself.
            ("kagiban-operator", Command::new(tools::ours("kagiban-operator")?), plan.as_str()),
            ("sudo", Command::new("env"), ""),
        ] {
            put_program(&path("bin").join(name), &program, first)?;
        }
        // A copy: a command may change what it has in view.
        fs::copy(kubeconfig, path("kubeconfig"))?;
        let mut environment = BTreeMap::from([("KUBECONFIG", path("kubeconfig")), ("HOME", path("home"))]);
        for (name, home) in [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")] {
            environment.insert(name, path("helm").join(home));
        }
        Ok(Self { replaced: Vec::new(), directory, environment })
    }

    /// The same, with what a reader of the pages has at hand before the first command.
    fn on(stage: &Stage, password: &str, ups: &Nut) -> Result<Self> {
        let mut terminal = Self::at(ControlPlane::shared()?.admin_kubeconfig())?;
        let path = |name: &str| terminal.directory.join(name);
        let example = path("examples/quickstart/managedagentcertificate.yaml");
        let text = fs::read_to_string(&example)?;
        let here = text.replace("https://ups-01.example.com:9995", &stage.host.url());
        ensure!(here != text, "the example has no URL");
        fs::create_dir(path("fleet"))?;
        for file in [example, path("mac.yaml"), path("fleet/ups-01.yaml")] {
            fs::write(file, &here)?;
        }
        // As the host proposes it, which knows the password.
        let (resource, _) = here.split_once("  keystore:\n").context("the example sets no password")?;
        fs::write(path("mac.yaml"), resource)?;
        let issuer = &stage.fleet.issuer.identity;
        let client = stage.fleet.client_identity()?;
        let host_api_ca = &stage.fleet.transport.identity;
        fs::create_dir(path("host-api-ca"))?;
        for (name, text) in [
            ("fleet-ca.crt", issuer.certificate.as_str()),
            ("fleet-ca.key", &issuer.key),
            ("client.crt", &client.certificate),
            ("client.key", &client.key),
            ("host-api-ca/ca.crt", &host_api_ca.certificate),
            ("host-api-ca/ca.key", &host_api_ca.key),
            ("store-password.txt", password),
            ("pw", password),
        ] {
            fs::write(path(name), text)?;
        }
        symlink(stage.host.agent.keystore(), path("keystore"))?;
        symlink(stage.host.config_file(), path("exporter.yaml"))?;
        terminal.replaced = vec![
            ("ups-01.example.com:6547", stage.host.agent.address().to_string()),
            ("/etc/kagiban/exporter.yaml", "exporter.yaml".to_owned()),
            ("/opt/APC/PowerChuteSerialShutdown/Agent/keystore", "keystore".to_owned()),
            ("'*.example.com'", "'*.example.com,127.0.0.1'".to_owned()),
            ("UPS@localhost", format!("rack@{}", ups.address())),
            ("http://HOST:9996/metrics", format!("http://{}/metrics", stage.host.metrics_address())),
        ];
        for command in [
            "kubectl config set-context --current --namespace fleet",
            "openssl pkcs12 -export -in client.crt -inkey client.key -name web -out store.p12 -passout file:pw",
            "kubectl delete secret fleet-ca fleet-client powerchute-store",
        ] {
            terminal.type_in(command, &[0], "")?;
        }
        Ok(terminal)
    }

    fn run(&self, step: &Step) -> Result<()> {
        if !step.before.is_empty() {
            self.type_in(step.before, &[0], "").with_context(|| format!("before {}", step.command))?;
        }
        let mut command = step.command.to_owned();
        for (name, here) in step.with {
            ensure!(command.contains(name), "no {name} in {command}");
            command = command.replace(name, here);
        }
        for (name, here) in &self.replaced {
            command = command.replace(name, here);
        }
        self.type_in(&command, step.codes, step.prints).with_context(|| format!("documented as {}", step.command))?;
        if let Some((_, filter)) = step.command.split_once("http://HOST:9996/metrics | ") {
            // grep has the same exit code where it finds nothing and where it is given nothing.
            let (request, _) = command.split_once(" | ").context("no pipe")?;
            self.type_in(request, &[0], "\nkagiban_source_up{")?;
            // What a page looks for in the metrics is there, when it is.
            self.type_in(&format!("cat every-metric.txt | {filter}"), &[0], "")?;
        }
        Ok(())
    }

    /// In a shell that ends at the first failure, within a pipe too.
    fn type_in(&self, command: &str, codes: &[i32], prints: &str) -> Result<()> {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("timeout");
        shell.args([LONGEST, "bash", "-euo", "pipefail", "-c", command]).current_dir(&self.directory);
        shell.env("PATH", format!("{}:{path}", self.directory.join("bin").display())).env("NO_PROXY", "127.0.0.1");
        let output = shell.envs(&self.environment).stdin(Stdio::null()).output().context("no bash or timeout")?;
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.status.code().is_some_and(|code| codes.contains(&code)) {
            bail!("{command}: {}\n{text}", output.status);
        }
        ensure!(text.contains(prints), "{command} does not print {prints:?}:\n{text}");
        Ok(())
    }
}

/// A file that runs the program with its environment, after this.
fn put_program(file: &Path, program: &Command, first: &str) -> Result<()> {
    let set = program.get_envs().filter_map(|(name, value)| Some((name.to_str()?, value?.to_str()?)));
    let set: String = set.map(|(name, value)| format!("export {name}='{value}'\n")).collect();
    let program = program.get_program().to_string_lossy();
    fs::write(file, format!("#!/bin/sh\n{set}{first}\nexec {program} \"$@\"\n"))?;
    Ok(fs::set_permissions(file, fs::Permissions::from_mode(0o755))?)
}

/// A page with every metric of docs/metrics.md, each with the value 1.
fn every_metric() -> Result<String> {
    let page = fs::read_to_string(tools::workspace().join("docs/metrics.md"))?;
    let names = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    Ok(names.map(|(name, _)| format!("{name}{{}} 1\n")).collect())
}

fn run(program: &str, args: &[&str]) -> Result<()> {
    let status = Command::new(program).args(args).status().with_context(|| format!("no {program}"))?;
    ensure!(status.success(), "{program} {args:?}: {status}");
    Ok(())
}
