//! Writes the manual pages of kagiban-exporter, one for each command, into a directory, with this date: `manual_pages DIRECTORY DATE`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use kagiban_exporter::cli::Cli;

fn main() -> Result<()> {
    const USAGE: &str = "usage: manual_pages DIRECTORY DATE";
    let directory = std::env::args_os().nth(1).map(PathBuf::from).context(USAGE)?;
    let date = std::env::args().nth(2).context(USAGE)?;
    ensure!(directory.is_dir(), "{}: no such directory", directory.display());
    let mut program = Cli::command().disable_help_subcommand(true);
    // Gives each command its whole name.
    program.build();
    write(&program, &directory, &date)
}

fn write(command: &Command, directory: &Path, date: &str) -> Result<()> {
    let source = concat!("kagiban-exporter ", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone()).date(date).source(source).manual("Kagiban").generate_to(directory)?;
    let mut commands = command.get_subcommands().filter(|command| !command.is_hide_set());
    commands.try_for_each(|command| write(command, directory, date))
}
