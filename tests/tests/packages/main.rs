//! Packages of both programs, installed by dpkg and rpm in a root of Debian packages, and what comes with them.

mod ansible;
mod booted;
mod calls;
mod capabilities;
mod deb;
mod operator;
mod restarts;
mod rpm;
mod shells;
mod state;
mod units;

use anyhow::{Result, ensure};
use kagiban_tests::packages::Packages;

#[test]
fn the_same_program_gives_the_same_packages() -> Result<()> {
    let [first, second] = [Packages::shared()?, Packages::make("1")?];
    let (one, other) = (first.checksums()?, second.checksums()?);
    // Two of each program, and what each is linked from.
    ensure!(one.lines().count() == 6 && one == other && first.deb != second.deb, "{one}\n{other}");
    Ok(())
}
