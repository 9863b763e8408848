//! What was made, and what a person does with it next.

use std::fmt;
use std::path::PathBuf;

use kagiban_crds::host_setup::{CERTIFICATE_FILE, CLIENT_CA_FILE, KEY_FILE, below, is_of_windows};
use kagiban_files::WriteError;

use super::ca::{self, Ca};
use super::contents::SETTINGS;
use super::identity::Identity;
use super::{Places, SecretOutput, Signed};
use crate::certificate::MadeAuthority;
use crate::cli::EnrollArgs;

pub(super) struct Report<'a> {
    pub(super) args: &'a EnrollArgs,
    pub(super) places: &'a Places,
    pub(super) ca: &'a Ca,
    pub(super) signed: &'a Signed,
    pub(super) issuer: Option<&'a MadeAuthority>,
    /// What of the replaced could not be removed.
    pub(super) left: &'a [WriteError],
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.new_ca(f)?;
        self.host(f)?;
        self.client(f)?;
        if let Some(warning) = self.ca.warning() {
            writeln!(f, "warning: {warning}")?;
        }
        self.left.iter().try_for_each(|error| writeln!(f, "warning: the old files are not removed: {error}"))
    }
}

impl Report<'_> {
    fn new_ca(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(directory), Some(made)) = (&self.places.ca, self.ca.made()) else { return Ok(()) };
        let directory = directory.display();
        writeln!(f, "{directory}: a new CA for the host API, until {}", made.not_after)?;
        writeln!(
            f,
            "  Whoever has {directory}/{} can pass for every host and for the operator: keep it offline.",
            ca::KEY
        )?;
        writeln!(
            f,
            "  It signs the next host: kagiban-operator enroll HOST --ca-cert {directory}/{} --ca-key {directory}/{}\n",
            ca::CERTIFICATE,
            ca::KEY
        )
    }

    fn host(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(host), Some(directory), Some(identity)) = (&self.args.host, &self.places.host, &self.signed.host)
        else {
            return Ok(());
        };
        let (from, to) = (directory.display(), self.args.on_host.trim_end_matches(['/', '\\']));
        writeln!(f, "{from}: the host API of {host}, {}", until(identity))?;
        let on_windows = is_of_windows(&self.args.on_host);
        let configuration = below(&self.args.on_host, "exporter.yaml");
        if on_windows {
            writeln!(
                f,
                "  1. As an administrator of {host}, copy {CERTIFICATE_FILE}, {KEY_FILE} and {CLIENT_CA_FILE} of {from} into {to} there."
            )?;
        } else {
            writeln!(
                f,
                "  1. scp {from}/{CERTIFICATE_FILE} {from}/{KEY_FILE} {from}/{CLIENT_CA_FILE} root@{host}:{to}/"
            )?;
        }
        if self.args.renew {
            writeln!(f, "  2. The exporter reads them again by itself: nothing is restarted.")?;
        } else {
            let restart = if on_windows {
                "`kagiban-exporter service stop`, and then `kagiban-exporter service start`"
            } else {
                "with the package, a host whose agents are rotated runs kagiban-exporter-host-api in the place of kagiban-exporter"
            };
            writeln!(
                f,
                "  2. On {host}, in {configuration}: what `kagiban-exporter discover --host {host} -o config` prints, or, where there is \
                 a configuration already, what stands in {from}/{SETTINGS}.\n     `kagiban-exporter check --config.file={configuration}` \
                 tells what is missing. Then restart it: {restart}."
            )?;
        }
        writeln!(f, "  3. rm -r {from}\n")
    }

    fn client(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(identity) = &self.signed.client else { return self.known_client(f) };
        let (name, address) = (&self.args.client_name, &self.args.client_secret);
        let Some(SecretOutput::File(path)) = &self.places.client else {
            writeln!(f, "Secret {address}: the operator's client certificate {name}, {}", until(identity))?;
            return self.new_issuer(f);
        };
        writeln!(f, "{}: the operator's client certificate {name}, {}", path.display(), until(identity))?;
        self.new_issuer(f)?;
        let files: Vec<_> = [path].into_iter().chain(&self.places.issuer).collect();
        writeln!(f, "  1. {}", self.create(&files))?;
        writeln!(f, "     Not `apply`, which keeps a copy of the key in an annotation.")?;
        let they = if files.len() == 1 { "it" } else { "both" };
        writeln!(
            f,
            "     Without a cluster, in the place of this and of 3: move {they} below the --manifests of kagiban-operator standalone, \
             readable by its account alone."
        )?;
        writeln!(f, "  2. Resources name it: api: {{hostApi: {{tlsSecretRef: {{name: {}}}}}}}", address.name)?;
        if let Some(issuer) = &self.args.new_issuer {
            writeln!(f, "     and: issuerRef: {{kind: CASecret, name: {issuer}}}")?;
        }
        if let Some(host) = self.args.host.as_ref().filter(|_| !self.args.renew) {
            let namespace = address.namespace.as_deref().unwrap_or("NAMESPACE");
            writeln!(
                f,
                "     On {host}, this prints them: kagiban-exporter discover --host {host} --namespace {namespace} -o manifests"
            )?;
        }
        let files: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
        writeln!(f, "  3. rm {}", files.join(" "))
    }

    fn new_issuer(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(name), Some(made)) = (&self.args.new_issuer, self.issuer) else { return Ok(()) };
        match &self.places.issuer {
            Some(path) => {
                writeln!(f, "{}: a new CA of the agents' certificates, until {}", path.display(), made.not_after)
            }
            None => writeln!(f, "  and a new CA of the agents' certificates, {name}, until {}", made.not_after),
        }
    }

    fn create(&self, files: &[&PathBuf]) -> String {
        // Where it has no namespace of its own it gets that of the resources
        let namespace = if self.args.client_secret.namespace.is_some() { "" } else { "-n NAMESPACE " };
        let verb = if self.args.renew { "replace" } else { "create" };
        let files: Vec<_> = files.iter().map(|path| format!(" -f {}", path.display())).collect();
        format!("kubectl {namespace}{verb}{}", files.concat())
    }

    /// Who enrolls a further host has a client certificate, which must be for this host too.
    fn known_client(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(host) = self.args.host.as_ref().filter(|_| !self.args.renew) else { return Ok(()) };
        writeln!(
            f,
            "The operator's Secret must be for {host} too: its annotation {} names it, or a suffix such as *.example.com.",
            kagiban_crds::resource::ALLOWED_HOSTS_ANNOTATION
        )
    }
}

fn until(identity: &Identity) -> String {
    let end = &identity.leaf.not_after;
    if identity.shortened { format!("until {end}, when the CA ends") } else { format!("until {end}") }
}
