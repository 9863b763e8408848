//! What is known of a product.

use std::time::Duration;

use crate::alert::AlertFacts;
use crate::notice::{Mark, Notice};
use crate::os::Os;

/// How a product gets its next certificate.
#[derive(Clone, Copy, Debug)]
pub enum Class {
    /// It takes a key and a chain from us.
    Push,
    /// It renews its own when told.
    Trigger(Renewal),
    /// It only lets us look.
    Observe,
}

/// The fixed knowledge about one product.
#[derive(Clone, Copy, Debug)]
pub struct ProductFacts {
    /// What configuration, the host API and the cluster's resource call it.
    pub id: &'static str,
    /// What an agent of it is called on a host that has one, in proposals and in the documentation.
    pub agent: &'static str,
    pub class: Class,
    /// Where it installs itself, the likeliest first. Discovery tries them all.
    pub directories: fn(Os) -> &'static [&'static str],
    /// File names of its keystore, relative to its directory, their parts divided by slashes, the likeliest first.
    pub keystores: &'static [&'static str],
    /// The alias it loads its key from, exactly as written; `None` where the host's configuration must say.
    pub alias: Option<&'static str>,
    /// The alias that its vendor has the certificate of the CA imported under, beside the key.
    pub ca_alias: Option<&'static str>,
    /// The TCP port of its TLS endpoint.
    pub port: Option<u16>,
    /// Where it reads its store's password from.
    pub password_ini: Option<PasswordIni>,
    /// Whether it shuts its host down at a power failure, as a UPS's agent does.
    pub shuts_host_down: bool,
    /// Its service, unless the host's configuration says otherwise.
    pub service: fn(Os) -> Option<ServiceFacts>,
    /// The file in its directory that it writes its events to.
    pub event_log: Option<&'static str>,
    /// Files in its directory without which it no longer starts: replaced at most, never removed.
    pub protected: &'static [&'static str],
    /// What its vendor's hardening list speaks of.
    pub hardening: Option<Hardening>,
    /// What its vendor has published about the end of its certificate.
    pub notice: Option<Notice>,
    /// Its parts that have a certificate each, as the notice names them.
    pub parts: &'static [Part],
    /// How its alerts read, where it is looked at through them.
    pub alerts: Option<AlertFacts>,
    /// The programs on other hosts that take its certificate, where it can tell of them.
    pub clients: Option<ClientFacts>,
    /// What those programs log of a server that they cannot authenticate, where its vendor says that they do.
    pub client_log: Option<ClientLogFacts>,
}

impl ProductFacts {
    /// A product of which only the host's configuration knows anything: for what a product's own facts leave out.
    pub(crate) const BY_CONFIGURATION: Self = Self {
        id: "",
        agent: "",
        class: Class::Observe,
        directories: |_| &[],
        keystores: &[],
        alias: None,
        ca_alias: None,
        port: None,
        password_ini: None,
        shuts_host_down: false,
        service: |_| None,
        event_log: None,
        protected: &[],
        hardening: None,
        notice: None,
        parts: &[],
        alerts: None,
        clients: None,
        client_log: None,
    };
}

/// A part of a product, which is installed into a directory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// As its vendor's notice names it, and the last name of its directory, in small or capital letters.
    pub name: &'static str,
    /// The package that says its release, where packages do.
    pub package: Option<&'static str>,
    /// The program in its directory whose file version says its release, where file versions do.
    pub program: Option<&'static str>,
}

/// What says the release of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseMark {
    /// A package, by its name.
    Package(&'static str),
    /// A program, by the name of its file in the part's directory.
    Program(&'static str),
}

impl Part {
    /// What says its release on such a host; none where its vendor names nothing.
    pub fn release_mark(&self, os: Os) -> Option<ReleaseMark> {
        match os {
            Os::Linux => self.package.map(ReleaseMark::Package),
            Os::Windows => self.program.map(ReleaseMark::Program),
        }
    }
}

impl ReleaseMark {
    /// What the notice knows it by.
    pub const fn mark(self) -> Mark {
        match self {
            Self::Package(_) => Mark::Package,
            Self::Program(_) => Mark::FileVersion,
        }
    }
}

/// How a product is told to renew its certificate: programs with their arguments, never through a shell, unless the host's
/// configuration says otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Renewal {
    pub renew: fn(Os) -> Option<&'static [CommandWord]>,
    /// Writes a backup before that, a ZIP archive whose name has to say so.
    pub backup: fn(Os) -> Option<&'static [CommandWord]>,
    /// Brings back what was there before.
    pub back: fn(Os) -> Option<&'static [CommandWord]>,
}

impl Renewal {
    /// A product whose programs only the host's configuration knows.
    pub const BY_CONFIGURATION: Self = Self { renew: |_| None, backup: |_| None, back: |_| None };
}

/// A program, or one of its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandWord {
    /// As it stands here.
    Fixed(&'static str),
    /// A file below the product's directory, its parts divided by slashes.
    Below(&'static str),
    /// A password that the host's configuration names a file of.
    Password,
    /// The file of the backup.
    Backup,
    /// The file that a list of clients is written to.
    ClientList,
}

/// What is known of a product's clients: its parts on other hosts, which take the certificate of its server.
#[derive(Clone, Copy, Debug)]
pub struct ClientFacts {
    /// Writes a list of those whose certificate is not the server's, unless the host's configuration names another program.
    pub list: fn(Os) -> Option<&'static [CommandWord]>,
    /// What one that lacks it is given: the certificate, below the product's directory, its parts divided by slashes.
    pub certificate: &'static str,
    /// The directory of the programs that go with it, written alike.
    pub files: &'static str,
}

/// What is known of the log of a product's clients. How an entry reads no vendor has published: the host's configuration says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLogFacts {
    /// How often a client sends its log to its server: what it has logged since is not known there.
    pub sent_every: Duration,
}

/// Where the things of a hardening list lie, and what they are like while nobody has followed it.
#[derive(Clone, Copy, Debug)]
pub struct Hardening {
    /// Its own Java, relative to its directory's parent, which is the folder that it was installed into.
    pub jre: &'static str,
    /// Relative to the Java.
    pub cacerts: &'static str,
    /// Relative to the Java: says its version.
    pub release: &'static str,
    /// What Java's stores are delivered with.
    pub default_password: &'static str,
    /// Where it keeps its command files, relative to its directory.
    pub command_files: &'static str,
    /// The JARs that its vendor has signed, relative to its directory; a `*` stands for the beginning of a name.
    pub signed_jars: &'static [&'static str],
    /// Files with secrets in the clear that are to be removed, in its directory or the folder above.
    pub left_behind: &'static [&'static str],
    /// The certificate that it makes for itself: self-issued, with such a key, signed so.
    pub factory_key: &'static str,
    pub factory_signature: &'static str,
}

/// An INI value that holds the store's password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordIni {
    /// Relative to the product's directory.
    pub file: &'static str,
    /// The copy that the product keeps of it, in the same directory.
    pub backup: Option<&'static str>,
    pub section: &'static str,
    pub key: &'static str,
    /// In characters; the product refuses shorter ones.
    pub min_password: usize,
}

/// What is known of a product's service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceFacts {
    /// What the system's service manager calls it.
    Name(&'static str),
    Commands(ServiceCommands),
}

/// How a service is stopped and started: programs with their arguments, never through a shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceCommands {
    pub stop: &'static [&'static str],
    pub start: &'static [&'static str],
}
