//! Writes the manual pages of both programs, one for each command, into a directory, with this date: `manual_pages DIRECTORY DATE`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

fn main() -> Result<()> {
    const USAGE: &str = "usage: manual_pages DIRECTORY DATE";
    let directory = std::env::args_os().nth(1).map(PathBuf::from).context(USAGE)?;
    let date = std::env::args().nth(2).context(USAGE)?;
    ensure!(directory.is_dir(), "{}: no such directory", directory.display());
    for program in [kagiban_exporter::cli::Cli::command(), kagiban_operator::cli::Cli::command()] {
        let source = format!("{} {}", program.get_name(), env!("CARGO_PKG_VERSION"));
        let mut program = program.disable_help_subcommand(true);
        // Gives each command its whole name.
        program.build();
        write(&program, &source, &directory, &date)?;
    }
    Ok(())
}

fn write(command: &Command, source: &str, directory: &Path, date: &str) -> Result<()> {
    Man::new(command.clone()).date(date).source(source).manual("Kagiban").generate_to(directory)?;
    let mut commands = command.get_subcommands().filter(|command| !command.is_hide_set());
    commands.try_for_each(|command| write(command, source, directory, date))
}
