//! The server's directory, as the double finds and changes it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

use crate::{archive, list};

/// Below its directory: that of the program, and the certificate.
const PROGRAM_BELOW: [&str; 4] = ["PCCSRV", "Admin", "Utility", "CertificateManager"];
const CERTIFICATE_BELOW: [&str; 4] = ["PCCSRV", "Pccnt", "Common", "OfcNTCer.dat"];
const NAME: &str = "OfficeScan Server NTSG";
/// Three years, as the vendor says.
const LIFETIME: Duration = Duration::from_secs(3 * 365 * 24 * 60 * 60);
/// Longer than any test waits.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) struct Server {
    directory: PathBuf,
}

impl Server {
    /// The server whose program this is.
    pub(crate) fn of(program: &Path) -> Result<Self> {
        let mut place = program.parent();
        for name in PROGRAM_BELOW.iter().rev() {
            let here = place.filter(|it| it.file_name().is_some_and(|it| it.eq_ignore_ascii_case(name)));
            place = here.and_then(Path::parent);
        }
        let directory = place.with_context(|| format!("{}: no place in a server's directory", program.display()))?;
        let server = Self { directory: directory.to_owned() };
        fs::create_dir_all(server.own(""))?;
        Ok(server)
    }

    /// Whether it does what it is asked for.
    pub(crate) fn goes_on(&self, option: &str) -> Result<bool> {
        writeln!(File::options().create(true).append(true).open(self.own("ran"))?, "{option}")?;
        if self.is_told("hangs", option) {
            thread::sleep(FOREVER);
        }
        if self.is_told("fails", option) {
            bail!("{option} has failed");
        }
        Ok(!self.is_told("does-nothing", option))
    }

    pub(crate) fn back_up(&self, password: &str, to: &Path) -> Result<()> {
        ensure!(
            to.extension().is_some_and(|it| it.eq_ignore_ascii_case("zip")),
            "the path is not that of a zip archive"
        );
        let pem = fs::read_to_string(self.own("server.pem")).context("no certificate")?;
        Ok(fs::write(to, archive::of(&format!("{}\n{pem}", sealed(password))))?)
    }

    pub(crate) fn restore(&self, password: &str, from: &Path) -> Result<()> {
        let bytes = fs::read(from).with_context(|| from.display().to_string())?;
        let text = archive::contents(&bytes).context("no zip archive of this program")?;
        let (seal, pem) = text.split_once('\n').context("no zip archive of this program")?;
        ensure!(seal == sealed(password), "wrong password");
        self.put(&CertificateDer::from_pem_slice(pem.as_bytes()).context("no certificate in it")?, pem, "-r")
    }

    pub(crate) fn renew(&self) -> Result<()> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, NAME);
        params.not_before = SystemTime::now().into();
        params.not_after = (SystemTime::now() + LIFETIME).into();
        let certificate = params.self_signed(&key)?;
        let pem = key.serialize_pem() + &certificate.pem();
        self.put(certificate.der(), &pem, "-c")
    }

    pub(crate) fn list(&self, to: &Path) -> Result<()> {
        let ours = sha256(&fs::read(self.certificate())?);
        let agents = self.agents();
        let others = agents.iter().filter(|(_, has)| *has != ours).map(|(name, _)| name.as_str());
        let encoding = fs::read_to_string(self.own("encoding")).unwrap_or_default();
        Ok(fs::write(to, list::of(others, encoding.trim())?)?)
    }

    /// In its place, and with the agents.
    fn put(&self, der: &[u8], pem: &str, option: &str) -> Result<()> {
        fs::write(self.own("server.pem"), pem)?;
        if self.is_told("writes-half", option) {
            return Ok(fs::write(self.certificate(), &der[..der.len() / 2])?);
        }
        let beside = self.certificate().with_extension("new");
        fs::create_dir_all(beside.parent().unwrap_or(&self.directory))?;
        fs::write(&beside, der)?;
        fs::rename(beside, self.certificate())?;
        let away = fs::read_to_string(self.own("away")).unwrap_or_default();
        let is_away = |name: &str| away.lines().any(|line| line.trim() == name);
        let agents = self.agents().into_iter().map(|(name, has)| {
            let has = if is_away(&name) { has } else { sha256(der) };
            format!("{name} {has}\n")
        });
        Ok(fs::write(self.own("agents"), agents.collect::<String>())?)
    }

    fn agents(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.own("agents")).unwrap_or_default();
        let agent = |line: &str| line.rsplit_once(' ').map(|(name, has)| (name.to_owned(), has.to_owned()));
        text.lines().filter_map(agent).collect()
    }

    fn is_told(&self, what: &str, option: &str) -> bool {
        fs::read_to_string(self.own(what)).is_ok_and(|options| options.split_whitespace().any(|it| it == option))
    }

    fn certificate(&self) -> PathBuf {
        CERTIFICATE_BELOW.iter().fold(self.directory.clone(), |path, name| path.join(name))
    }

    fn own(&self, name: &str) -> PathBuf {
        self.directory.join("double").join(name)
    }
}

/// What stands for the product's encryption: an archive is opened by the password that it was made with.
fn sealed(password: &str) -> String {
    sha256(format!("double {password}").as_bytes())
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
