//! A double of `CertificateManager.exe` of Virus Buster Corp. and Apex One, not the product: it does only what the vendor's notices document.
//! It is copied to its place in a server's directory, and the rest of that directory is found from there.
//!
//! ```text
//!   -b PASSWORD ARCHIVE   backs the certificate up, into a zip archive
//!   -r PASSWORD ARCHIVE   restores it
//!   -c PASSWORD           makes a new one, which the agents are given
//!   -l FILE               lists the agents whose certificate is not the server's
//! ```
//!
//! The certificate is `PCCSRV/Pccnt/Common/OfcNTCer.dat`. What the product keeps in a certificate store of Windows, and what it knows of
//! its agents, stands in `double` in the server's directory: `server.pem`, the key; `agents`, a line for each with its name and the SHA-256
//! of the certificate that it has.
//!
//! Tests tell it to fail by files there: `fails` (it says so and ends with 1), `does-nothing` (it ends with 0), `hangs`, `writes-half`
//! (of the certificate, and ends with 0), each with the option it is for; `away` has the agents that get no certificate, a line each;
//! `encoding` that of the list: `utf-8`, `utf-8-bom`, `utf-16le` or `shift_jis`. `ran` has a line for each call, without the password.
//! The notices do not tell the columns of the list: it has one, the agent's name.

mod archive;
mod list;
mod server;

use std::env;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::server::Server;

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
    let option = words.first().copied().unwrap_or_default();
    let server = Server::of(&env::current_exe()?)?;
    if !server.goes_on(option)? {
        return Ok(());
    }
    match words[..] {
        ["-b", password, archive] => server.back_up(password, archive.as_ref()),
        ["-r", password, archive] => server.restore(password, archive.as_ref()),
        ["-c", _new_password] => server.renew(),
        ["-l", file] => server.list(file.as_ref()).context("the list"),
        _ => bail!("unknown command line"),
    }
}
