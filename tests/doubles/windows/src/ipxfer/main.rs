//! A double of `IpXfer.exe` of Apex One, on a client, not the product: it does only what the vendor's notice documents.
//!
//! ```text
//!   -e FILE [-pwd PASSWORD]   the client takes the server's certificate
//! ```
//!
//! It is copied to a directory of the client, `temp` for example. What the product keeps on a client stands in `double` beside that
//! directory: `name`, what the server calls the client; `server`, the server's directory; `password`, the unload password, where one is
//! set. What the server knows of the client is what the double of `CertificateManager.exe` has: a line of `double/agents` there.
//!
//! Tests tell it to fail by files in `double`: `fails` (it ends with 1), `does-nothing` (it ends with 0), `hangs`. `ran` has a line for
//! each call, without the password.

use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};

/// Longer than any test waits.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

fn main() -> ExitCode {
    match done(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stdout(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn done(arguments: &[String]) -> Result<()> {
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let (file, password) = match words[..] {
        ["-e", file] => (file, None),
        ["-e", file, "-pwd", password] => (file, Some(password)),
        _ => bail!("unknown command line"),
    };
    let own = own(&env::current_exe()?)?;
    writeln!(File::options().create(true).append(true).open(own.join("ran"))?, "-e")?;
    if own.join("hangs").exists() {
        thread::sleep(FOREVER);
    }
    ensure!(!own.join("fails").exists(), "-e has failed");
    let wanted = fs::read_to_string(own.join("password")).ok();
    ensure!(wanted.as_deref().map(str::trim) == password, "wrong unload password");
    let certificate = fs::read(file).with_context(|| file.to_owned())?;
    if own.join("does-nothing").exists() {
        return Ok(());
    }
    report(&own, &hex::encode(Sha256::digest(certificate)))
}

fn own(program: &Path) -> Result<PathBuf> {
    let client = program.parent().and_then(Path::parent).context("no place on a client")?;
    let own = client.join("double");
    ensure!(own.is_dir(), "{}: no client is there", client.display());
    Ok(own)
}

/// The server hears which certificate the client has.
fn report(own: &Path, has: &str) -> Result<()> {
    let read = |name: &str| fs::read_to_string(own.join(name)).with_context(|| name.to_owned());
    let (name, server) = (read("name")?, read("server")?);
    let agents = Path::new(server.trim()).join("double/agents");
    let known = fs::read_to_string(&agents).context("the server's agents")?;
    let line = |line: &str| match line.rsplit_once(' ') {
        Some((known, _)) if known == name.trim() => format!("{known} {has}\n"),
        _ => format!("{line}\n"),
    };
    let beside = agents.with_extension("new");
    fs::write(&beside, known.lines().map(line).collect::<String>())?;
    Ok(fs::rename(beside, agents)?)
}
