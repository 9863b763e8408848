//! The images of both programs, and what the chart says of them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kagiban_tests::debian_root::DebianRoot;
use kagiban_tests::helm::Chart;
use kagiban_tests::images::{self, Image, buildah};
use kagiban_tests::ports::on_ports;
use kagiban_tests::process::Program;
use kagiban_tests::{handshake, http, release, scratch, tools};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(60);
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The objects of a release with both programs, and the pod of one of them.
fn chart(program: &str) -> Result<(Vec<Value>, Value)> {
    let objects = Chart::ours().render("default", &json!({"exporter": {"enabled": true}}))?;
    let kind = if program == "kagiban-operator" { "Deployment" } else { "DaemonSet" };
    let pod = objects.iter().find(|it| it["kind"] == kind).with_context(|| format!("no {kind}"))?;
    let pod = pod["spec"]["template"]["spec"].clone();
    Ok((objects, pod))
}

#[test]
fn an_image_is_what_the_chart_says_of_it() -> Result<()> {
    for program in release::PROGRAMS {
        let image = Image::of(program)?;
        let (_, pod) = chart(program)?;
        let container = &pod["containers"][0];
        let config = &image.config["config"];
        ensure!(container["image"] == format!("{program}:{VERSION}"), "{container}");
        let user = format!("{}:{}", pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]);
        ensure!(config["User"] == user.as_str(), "the chart says {user}: {config}");
        // The chart gives arguments only.
        ensure!(container["command"].is_null() && config["Cmd"].is_null(), "{container} {config}");
        ensure!(config["Entrypoint"] == json!([format!("/usr/bin/{program}")]), "{config}");
        let port = format!("{}/tcp", container["ports"][0]["containerPort"]);
        ensure!(config["ExposedPorts"] == json!({port: {}}), "{config}");

        let labels = &config["Labels"];
        for (label, expected) in
            [("title", program), ("version", VERSION), ("licenses", "Apache-2.0"), ("vendor", "Kagiban")]
        {
            ensure!(labels[format!("org.opencontainers.image.{label}")] == expected, "{label}: {labels}");
        }
        for label in ["description", "url"] {
            ensure!(labels[format!("org.opencontainers.image.{label}")].is_string(), "{label}: {labels}");
        }
    }
    Ok(())
}

#[test]
fn an_image_has_the_program_its_licence_and_its_sbom_besides_the_base() -> Result<()> {
    for program in release::PROGRAMS {
        let image = Image::of(program)?;
        let doc = format!("/usr/share/doc/{program}");
        let files: BTreeSet<String> =
            image.files()?.into_iter().filter(|line| !is_directory_of_the_base(line)).collect();
        let mut expected = BTreeSet::from([
            format!("-rwxr-xr-x 0/0 /usr/bin/{program}"),
            format!("drwxr-xr-x 0/0 {doc}/"),
            format!("-rw-r--r-- 0/0 {doc}/LICENSE"),
            format!("-rw-r--r-- 0/0 {doc}/{program}.cdx.json"),
        ]);
        if program == "kagiban-exporter" {
            expected.insert("drwxr-xr-x 65532/65532 /var/lib/kagiban/".to_owned());
        }
        assert_eq!(files, expected);
        let given = release::programs()?;
        for (there, here) in [
            (format!("/usr/bin/{program}"), program),
            (format!("{doc}/{program}.cdx.json"), &format!("{program}.cdx.json")),
        ] {
            let [there, here] =
                [image.read(&there)?, fs::read(given.join(here))?].map(|bytes| handshake::sha256(&bytes));
            ensure!(there == here, "another {program}");
        }
    }
    Ok(())
}

fn is_directory_of_the_base(line: &str) -> bool {
    ["/usr/", "/usr/bin/", "/usr/share/", "/usr/share/doc/", "/var/", "/var/lib/"]
        .iter()
        .any(|path| line == format!("drwxr-xr-x 0/0 {path}"))
}

#[test]
fn the_same_programs_give_the_same_images() -> Result<()> {
    let [first, second] = [images::shared()?, images::make()?].map(|it| fs::read_to_string(it.join("SHA256SUMS")));
    let (first, second) = (first?, second?);
    ensure!(first.lines().count() == 4 && first == second, "{first}\n{second}");
    Ok(())
}

#[test]
fn each_runs_as_the_user_and_with_the_arguments_of_the_chart() -> Result<()> {
    let (root, _) = DebianRoot::unpack_for_images("run-images")?;
    for program in release::PROGRAMS {
        root.put(&Image::of(program)?.archive, &format!("/{program}.tar"))?;
        let told = root.bash(&buildah(&format!(
            "buildah from --quiet --name {program} oci-archive:/{program}.tar >/dev/null; buildah run {program} -- /usr/bin/{program} --version"
        )))?;
        ensure!(told == format!("{program} {VERSION}\n"), "{told}");
    }
    exporter_serves(&root)?;

    let run = buildah("buildah run kagiban-operator -- /usr/bin/kagiban-operator run 2>&1 || echo \"ended with $?\"");
    let told = root.bash(&run)?;
    ensure!(told.contains("no cluster: give --kubeconfig") && told.ends_with("ended with 1\n"), "{told}");
    Ok(())
}

fn exporter_serves(root: &DebianRoot) -> Result<()> {
    let (objects, pod) = chart("kagiban-exporter")?;
    let map = objects.iter().find(|it| it["kind"] == "ConfigMap").context("no ConfigMap")?;
    fs::create_dir(root.at("/config"))?;
    fs::write(root.at("/config/exporter.yaml"), map["data"]["exporter.yaml"].as_str().context("a configuration")?)?;
    let words: Vec<&str> =
        pod["containers"][0]["args"].as_array().context("arguments")?.iter().filter_map(Value::as_str).collect();
    let directory = root.path().parent().context("no parent")?;
    on_ports(|[port]| {
        // In a pod the port is its own.
        let at = format!("--web.listen-address={}", port.address());
        let words = words.iter().map(|it| if it.starts_with("--web.listen-address=") { &at } else { *it });
        let words: Vec<_> = words.collect();
        let run = buildah(&format!(
            "buildah run --volume /config:/etc/kagiban/config:ro kagiban-exporter -- /usr/bin/kagiban-exporter {}",
            words.join(" ")
        ));
        let mut program = Program::start("contained", &root.command("bash", &["-euc", &run]), directory)?;
        let ready = || http::get(port.address(), "/-/ready").is_ok_and(|answer| answer.status == 200);
        program.wait_ready(DEADLINE, ready)?;
        let metrics = http::get(port.address(), "/metrics")?.body;
        ensure!(metrics.contains("kagiban_config_last_reload_successful 1"), "{metrics}");
        let status = status_of("/usr/bin/kagiban-exporter", &at)?;
        for line in
            ["Uid:\t65532\t65532\t65532\t65532", "Gid:\t65532\t65532\t65532\t65532", "CapEff:\t0000000000000000"]
        {
            ensure!(status.lines().any(|it| it == line), "{line} is not in {status}");
        }
        Ok(())
    })
}

/// What the kernel says of the only process with this program and this argument.
fn status_of(program: &str, argument: &str) -> Result<String> {
    let processes = fs::read_dir("/proc")?.flatten().map(|entry| entry.path());
    let mut found = processes.filter(|path| {
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        let mut words = line.split('\0');
        words.next() == Some(program) && words.any(|word| word == argument)
    });
    Ok(fs::read_to_string(found.next().context("it does not run")?.join("status"))?)
}

#[test]
fn without_a_builder_one_line_says_what_to_install() -> Result<()> {
    let path = scratch::directory("path")?;
    for program in ["bash", "dirname", "sed", "timeout"] {
        symlink(tools::on_path(program, program)?, path.join(program))?;
    }
    let says_what_to_install = || {
        let mut images = Command::new(tools::workspace().join("tests/tools/images.sh"));
        let output = images.env("PATH", &path).env("SOURCE_DATE_EPOCH", release::EPOCH).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(1) && output.stdout.is_empty(), "{output:?}");
        let expected = "images: missing buildah, podman or a docker whose daemon runs: apt-get install buildah\n";
        ensure!(said == expected, "{said}");
        Ok(())
    };
    says_what_to_install()?;
    // As it ends where its daemon cannot be reached
    let docker = path.join("docker");
    fs::write(&docker, "#!/usr/bin/env bash\nexit 1\n")?;
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755))?;
    says_what_to_install()
}

/// A builder that fails may have an image of that name from before, which it would export.
#[test]
fn a_build_that_fails_leaves_no_archive() -> Result<()> {
    let directory = scratch::directory("fails")?;
    let script = |path: &Path, text: &str| {
        fs::write(path, format!("#!/usr/bin/env bash\n{text}\n"))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
    };
    let [path, programs, out] = ["path", "programs", "out"].map(|name| directory.join(name));
    fs::create_dir(&path)?;
    fs::create_dir(&programs)?;
    script(&path.join("buildah"), "[ \"$1\" != build ] || { echo 'no such base' >&2; exit 125; }")?;
    for program in release::PROGRAMS {
        script(&programs.join(program), "")?;
        fs::write(programs.join(format!("{program}.cdx.json")), "{}")?;
    }
    let mut images = Command::new(tools::workspace().join("tests/tools/images.sh"));
    images.env("PATH", format!("{}:{}", path.display(), std::env::var("PATH")?));
    images.env("KAGIBAN_BIN_DIR", &programs).env("KAGIBAN_IMAGES", &out).env("SOURCE_DATE_EPOCH", release::EPOCH);
    let output = images.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1) && said.contains("no such base"), "{output:?}");
    ensure!(said.ends_with("buildah builds no image of kagiban-exporter; the lines above say why\n"), "{said}");
    let left: Vec<_> = fs::read_dir(&out)?.flatten().map(|entry| entry.file_name()).collect();
    ensure!(left == ["kagiban-exporter.cdx.json"], "{left:?}");
    Ok(())
}
