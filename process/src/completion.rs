//! What makes a shell complete a program's command line, from the command line itself.

use clap::{Args, Command, ValueEnum};
use clap_complete::shells::{Bash, Fish, Zsh};
use clap_complete::{Generator, generate};

#[derive(Clone, Debug, Args)]
pub struct CompletionArgs {
    /// The shell.
    pub shell: Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl CompletionArgs {
    /// The script that the shell reads.
    pub fn script(&self, command: &mut Command) -> String {
        let name = command.get_name().to_owned();
        match self.shell {
            Shell::Bash => with_one_name_for_each_command(&generated(Bash, command, &name), &name),
            Shell::Zsh => generated(Zsh, command, &name),
            Shell::Fish => without_dots_in_options(&generated(Fish, command, &name)),
        }
    }
}

fn generated(shell: impl Generator, command: &mut Command, name: &str) -> String {
    let mut script = Vec::new();
    generate(shell, command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Where a program's name has a hyphen, clap_complete 4.6.11 finds its commands by one name and keeps what completes them under
/// another, so that nothing below the first word is completed.
fn with_one_name_for_each_command(script: &str, name: &str) -> String {
    script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"))
}

/// fish's `argparse` takes no option with a dot, such as `--config.file`, and with one nothing is completed at all. It is used only
/// to find the command among the words, so both sides are given to it without dots.
fn without_dots_in_options(script: &str) -> String {
    const WORDS: &str = "(commandline -opc)";
    const OPTIONS: &str = "    string join \\n ";
    let line = |line: &str| match line.strip_prefix(OPTIONS) {
        Some(options) => format!("{OPTIONS}{}\n", options.replace('.', "-")),
        None => format!("{}\n", line.replace(WORDS, "(commandline -opc | string replace --all . -)")),
    };
    script.lines().map(line).collect()
}
