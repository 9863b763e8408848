//! `kagiban-operator enroll`: the first certificates of a host API, and the operator's for all of them.
//!
//! ```text
//!   command line ──ca──> a CA that may sign: of files, of a Secret, or a new one
//!                         │
//!   names, duration ──────┴──identity──> keys and chains ─contents─> texts of files          (both pure)
//!                                                                    │
//!                                        output: all of it or nothing┴──report──> what to put where
//! ```
//!
//! It signs by `certificate`, as the issuer does, and writes by `kagiban_files`, as the exporter does.

mod ca;
mod contents;
mod identity;
mod output;
mod report;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use kagiban_process::system::StandardOutput;

use crate::certificate::{MadeAuthority, Usage};
use crate::cli::EnrollArgs;
use ca::Ca;
use identity::{Identity, Names};
use output::{Output, Target};
use report::Report;

/// What a new CA of the agents' certificates calls itself.
const FLEET_CA: &str = "Fleet CA";

/// What is written where; none of what is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Places {
    host: Option<PathBuf>,
    client: Option<SecretOutput>,
    /// The Secret with the agents' CA has a file of its own: a renewal is put over that of the client, and would lose the only copy
    /// of the CA's key in it.
    issuer: Option<PathBuf>,
    ca: Option<PathBuf>,
}

/// Where the Secret with the client certificate is written. On the standard output that of the agents' CA follows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum SecretOutput {
    File(PathBuf),
    Stdout,
}

/// What was signed for whom.
struct Signed {
    host: Option<Identity>,
    client: Option<Identity>,
}

/// Signs and writes what the command line asks for, and tells what to do with it.
///
/// # Errors
/// When the CA cannot be used, or something is there already or cannot be written. Nothing has changed then.
pub async fn enroll(args: &EnrollArgs) -> anyhow::Result<()> {
    let places = Places::of(args);
    places.check(args.renew)?;
    // Before anything is made
    let stdout = (places.client == Some(SecretOutput::Stdout)).then(StandardOutput::open).transpose();
    let stdout = stdout.context("the Secret would be lost; nothing was written")?;
    let now = Timestamp::now();
    let ca = Ca::find(args, now).await?;
    let signed = sign(args, &places, &ca, now)?;
    let issuer = args.new_issuer.as_ref().map(|_| MadeAuthority::new(FLEET_CA, now)).transpose();
    let issuer = issuer.context("no CA could be made for the agents")?;
    let manifest = signed.client.as_ref().map(|client| contents::client_secret(args, client, ca.anchor()));
    let issuer_manifest = issuer.as_ref().and_then(|made| contents::issuer_secret(args, made));

    let mut output = Output::default();
    if let (Some(path), Some(files)) = (&places.ca, ca.files()) {
        output.add(path, &files, Target::Free)?;
    }
    if let (Some(path), Some(host)) = (&places.host, &signed.host) {
        let settings = contents::settings(args);
        output.add(path, &contents::host_files(host, ca.anchor(), &settings), target(path, args.renew))?;
    }
    output.publish()?;
    match (&places.client, stdout, &manifest) {
        (Some(SecretOutput::File(path)), _, Some(manifest)) => {
            let client = output::SecretFile { path, bytes: manifest.as_bytes(), target: target(path, args.renew) };
            let issuer = places.issuer.as_deref().zip(issuer_manifest.as_ref());
            let issuer =
                issuer.map(|(path, text)| output::SecretFile { path, bytes: text.as_bytes(), target: Target::Free });
            output::write_secrets(issuer, &client)?;
        }
        (Some(SecretOutput::Stdout), Some(mut stdout), Some(manifest)) => {
            let texts = [manifest.as_str()].into_iter();
            let mut texts = texts.chain(issuer_manifest.iter().flat_map(|text| ["---\n", text.as_str()]));
            let printed = texts.try_for_each(|text| stdout.write(text.as_bytes()));
            printed.context("the Secret cannot be printed; nothing was written")?;
        }
        (Some(SecretOutput::Stdout), None, _) | (None, ..) | (.., None) => {}
    }
    let left = output.keep();
    let report =
        Report { args, places: &places, ca: &ca, signed: &signed, issuer: issuer.as_ref(), left: &left }.to_string();
    // Where the Secret goes to the standard output, nothing else does
    let told = if places.client == Some(SecretOutput::Stdout) {
        std::io::stderr().write_all(report.as_bytes())
    } else {
        std::io::stdout().write_all(report.as_bytes())
    };
    told.context("all is written, and what to do with it cannot be printed")
}

fn sign(args: &EnrollArgs, places: &Places, ca: &Ca, now: Timestamp) -> anyhow::Result<Signed> {
    let issue = |names: &Names, usage| {
        ca.check_names(names)?;
        let issued = identity::issue(ca.authority(), names, usage, args.duration, now);
        issued.with_context(|| format!("{names} cannot be certified by {}", ca.origin()))
    };
    let host = args.host.as_ref().filter(|_| places.host.is_some());
    let host = host.map(|host| issue(&Names::of_host(host, &args.extra_name), Usage::Server)).transpose()?;
    let client = places.client.is_some().then(|| issue(&Names::of_client(&args.client_name), Usage::Client));
    Ok(Signed { host, client: client.transpose()? })
}

impl Places {
    fn of(args: &EnrollArgs) -> Self {
        let here = args.output == Path::new(".");
        // Not `./NAME`: it is shown in commands that people copy
        let below = |name: &str| if here { PathBuf::from(name) } else { args.output.join(name) };
        let secret = format!("{}.yaml", args.client_secret.name);
        let client = match &args.client_output {
            Some(path) if path == Path::new("-") => SecretOutput::Stdout,
            Some(path) => SecretOutput::File(path.clone()),
            None => SecretOutput::File(below(&secret)),
        };
        let is_printed = client == SecretOutput::Stdout;
        Self {
            host: args.host.as_ref().map(|host| below(host.as_str())),
            issuer: args.new_issuer.as_ref().filter(|_| !is_printed).map(|name| below(&format!("{name}.yaml"))),
            // With a new CA there can be no client certificate yet
            client: (args.client || args.new_ca.is_some()).then_some(client),
            ca: args.new_ca.clone(),
        }
    }

    /// Before anything is signed: what must not be there.
    fn check(&self, renew: bool) -> anyhow::Result<()> {
        if let Some(path) = self.ca.as_ref().filter(|path| is_there(path)) {
            let directory = path.display();
            anyhow::bail!(
                "{directory} is there already: --new-ca makes a directory. If a CA is in it, use that: --ca-cert \
                 {directory}/{} --ca-key {directory}/{}",
                ca::CERTIFICATE,
                ca::KEY
            );
        }
        let client = self.client.as_ref().and_then(SecretOutput::file);
        if let Some(path) = &self.issuer {
            anyhow::ensure!(
                client != Some(path),
                "{} would hold both Secrets: give --new-issuer another name than the client's Secret has",
                path.display()
            );
            anyhow::ensure!(
                !is_there(path),
                "{} is there already, perhaps with the only copy of the key of the agents' CA, and is never replaced: leave out \
                 --new-issuer to keep that CA, or move the file away to make another one",
                path.display()
            );
        }
        let mut ours = self.host.iter().chain(client);
        match ours.find(|path| !renew && is_there(path)) {
            Some(path) => anyhow::bail!(
                "{} is there already: give --renew to put a new key and certificate in its place",
                path.display()
            ),
            None => Ok(()),
        }
    }
}

impl SecretOutput {
    const fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::File(path) => Some(path),
            Self::Stdout => None,
        }
    }
}

fn is_there(path: &Path) -> bool {
    // A link that leads nowhere is there, too
    std::fs::symlink_metadata(path).is_ok()
}

fn target(path: &Path, renew: bool) -> Target {
    if renew && is_there(path) { Target::Taken } else { Target::Free }
}
