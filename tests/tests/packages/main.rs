//! Packages of kagiban-exporter, installed by dpkg and rpm in a root of Debian packages, and what comes with them.

mod ansible;
mod booted;
mod calls;
mod capabilities;
mod deb;
mod rpm;
mod shells;
mod units;

use std::fs;

use anyhow::{Result, ensure};
use kagiban_tests::handshake;
use kagiban_tests::packages::Packages;

#[test]
fn the_same_program_gives_the_same_packages() -> Result<()> {
    let [first, second] = [Packages::shared()?, Packages::make("1")?];
    for (one, other) in [(first.deb, second.deb), (first.rpm, second.rpm)] {
        ensure!(one.file_name() == other.file_name() && one != other, "{} and {}", one.display(), other.display());
        let [one, other] = [fs::read(&one)?, fs::read(&other)?].map(|bytes| handshake::sha256(&bytes));
        ensure!(one == other, "{one} and {other}");
    }
    Ok(())
}
