//! The commands of the documentation: each is known here, with how it is run in `terminal.rs` or why it is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, bail, ensure};
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use kagiban_exporter::cli::Cli as Exporter;
use kagiban_operator::cli::Cli as Operator;

use crate::pages::{self, Page};
use crate::script::{self, Step};

const PART: [&str; 2] = ["<!-- commands: written by make docs -->\n", "<!-- end of commands -->\n"];
/// What users of an earlier version were told.
const HISTORY: &str = "CHANGELOG.md";
/// How a process of ours is named in `ps`; nobody types it.
const NAMES_OF_PROCESSES: [&str; 1] = ["kagiban-exporter supervise-command …"];

/// A command as it is typed, without comments and prompts, with single spaces.
pub(crate) type Typed = String;

#[test]
fn the_documentation_of_every_command_that_is_not_run_says_why() -> Result<()> {
    let typed = typed()?;
    let known: BTreeSet<_> = script::all().map(|step| step.command.to_owned()).collect();
    let unknown: Vec<_> = typed.iter().filter(|(command, _)| !known.contains(*command)).collect();
    ensure!(unknown.is_empty(), "commands that script.rs does not know:\n{}", lines(&unknown));
    let gone: Vec<_> = known.iter().filter(|command| !typed.contains_key(*command)).collect();
    ensure!(gone.is_empty(), "script.rs has commands that no page has:\n{gone:#?}");
    kagiban_docs::check_part("tests/README.md", PART, &part()?)
}

fn lines(commands: &[(&Typed, &Vec<String>)]) -> String {
    commands.iter().map(|(command, places)| format!("{}: {command}", places.join(", "))).collect::<Vec<_>>().join("\n")
}

/// How many are run, and why the others are not.
fn part() -> Result<String> {
    let (run, left_out): (Vec<_>, Vec<_>) = script::all().partition(|step| step.why_not.is_none());
    let mut out = String::new();
    writeln!(
        out,
        "\nOf the {} commands in the documentation {} are run, against real programs",
        run.len() + left_out.len(),
        run.len()
    )?;
    writeln!(out, "(`tests/book/script.rs`); these {} are not:\n", left_out.len())?;
    writeln!(out, "| command | why not |\n|---|---|")?;
    for Step { command, why_not, .. } in left_out {
        writeln!(out, "| `{}` | {} |", command.replace('|', "\\|"), why_not.unwrap_or_default())?;
    }
    Ok(out + "\n")
}

/// Every command, and where it stands.
fn typed() -> Result<BTreeMap<Typed, Vec<String>>> {
    let mut typed: BTreeMap<Typed, Vec<String>> = BTreeMap::new();
    for page in pages::all()?.values().filter(|page| page.path != Path::new(HISTORY)) {
        for (place, command) in of_page(page)? {
            typed.entry(command).or_default().push(place);
        }
    }
    ensure!(typed.len() > 50, "{} commands only", typed.len());
    Ok(typed)
}

fn of_page(page: &Page) -> Result<Vec<(String, Typed)>> {
    let mut found = Vec::new();
    for block in &page.blocks {
        let place = format!("{}:{}", page.path.display(), block.line);
        let commands = match block.language.as_str() {
            "console" => {
                ensure!(block.text.starts_with("$ "), "{place}: a terminal begins with `$ `");
                in_terminal(&block.text)
            }
            "sh" => in_script(&block.text),
            // Whole, with its functions and variables.
            "bash" => vec![format!("(the script of {})", page.path.display())],
            _ => Vec::new(),
        };
        ensure!(!commands.iter().any(String::is_empty), "{place}: an empty command");
        found.extend(commands.into_iter().map(|command| (place.clone(), command)));
    }
    Ok(found)
}

/// What stands behind `$ `, with the lines that continue it; the rest is what was printed.
fn in_terminal(text: &str) -> Vec<Typed> {
    let mut commands = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix("$ ") else { continue };
        commands.push(whole(command, &mut lines));
    }
    commands
}

/// Each line is a command, but for comments, lines that are continued, and loops.
fn in_script(text: &str) -> Vec<Typed> {
    let mut commands = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut command = whole(line, &mut lines);
        if command.starts_with("for ") {
            for line in lines.by_ref() {
                let line = without_comment(line);
                command = format!("{command} {}{}", if line == "done" { "; " } else { "" }, line);
                if line == "done" {
                    break;
                }
            }
        }
        if !command.is_empty() {
            commands.push(squeezed(&command));
        }
    }
    commands
}

fn whole<'a>(first: &str, lines: &mut impl Iterator<Item = &'a str>) -> Typed {
    let mut command = without_comment(first);
    while let Some(head) = command.strip_suffix('\\') {
        let next = lines.next().map(without_comment).unwrap_or_default();
        command = format!("{head} {next}");
    }
    squeezed(&command)
}

fn without_comment(line: &str) -> String {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if before.is_whitespace() => return line[..at].trim().to_owned(),
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
        before = c;
    }
    line.trim().to_owned()
}

fn squeezed(command: &str) -> Typed {
    command.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// In blocks and in running text, those that are run and those that are not.
#[test]
fn our_programs_take_every_command_line_that_is_documented() -> Result<()> {
    let mut seen = 0;
    for page in pages::all()?.values().filter(|page| page.path != Path::new(HISTORY)) {
        let in_blocks = of_page(page)?;
        let in_text = page.codes.iter().filter(|code| !NAMES_OF_PROCESSES.contains(&code.text.as_str()));
        let in_text = in_text.map(|code| (format!("{}:{}", page.path.display(), code.line), code.text.clone()));
        for (place, command) in in_blocks.into_iter().chain(in_text) {
            for words in simple_commands(&command) {
                if let Some(refused) = refused(&words) {
                    bail!("{place}: {}: {refused}", words.join(" "));
                }
                seen += usize::from(is_ours(&words));
            }
        }
    }
    ensure!(seen > 30, "{seen} command lines of our programs only");
    Ok(())
}

fn is_ours(words: &[String]) -> bool {
    words.len() > 1 && words.first().is_some_and(|program| program.starts_with("kagiban-") && !program.contains('.'))
}

/// What the program's own parser says against it.
fn refused(words: &[String]) -> Option<String> {
    if !is_ours(words) {
        return None;
    }
    let words = words.iter().map(|word| filled(word));
    let error = match words.clone().next()?.as_str() {
        "kagiban-exporter" => Exporter::try_parse_from(words).err()?,
        "kagiban-operator" => Operator::try_parse_from(words).err()?,
        other => return Some(format!("no program of ours is {other}")),
    };
    // In running text an argument may be left out: `kagiban-exporter rotation show`.
    let is_short = matches!(
        error.kind(),
        ErrorKind::MissingRequiredArgument
            | ErrorKind::DisplayHelp
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    (!is_short).then(|| error.to_string())
}

/// A word that the reader replaces, with something in its place.
fn filled(word: &str) -> String {
    let is_placeholder = word.chars().all(|c| c.is_ascii_uppercase() || c == '_') && word.len() > 1;
    if is_placeholder { word.to_lowercase() } else { word.to_owned() }
}

/// The words of each command of a line, as a shell reads them, but for what it would put in place of variables.
pub(crate) fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ' | '\n') => commands.last_mut().into_iter().for_each(|words| words.extend(word.take())),
            (None, '|' | ';' | '&') => {
                commands.last_mut().into_iter().for_each(|words| words.extend(word.take()));
                commands.push(Vec::new());
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    commands.last_mut().into_iter().for_each(|words| words.extend(word.take()));
    let without_sudo = |mut words: Vec<String>| {
        while words.first().is_some_and(|word| word == "sudo" || word == "do") {
            words.remove(0);
        }
        words
    };
    commands.into_iter().map(without_sudo).filter(|words| !words.is_empty()).collect()
}

#[test]
fn commands_are_read_as_a_shell_reads_them() {
    let terminal = "$ a --b \\\n    --c 'x # y'   # said\nprinted\n$ d | e\n";
    assert_eq!(in_terminal(terminal), ["a --b --c 'x # y'", "d | e"]);
    let text = "# said\nfor f in *; do\n    a \"$f\" || exit\ndone\nb\n";
    assert_eq!(in_script(text), ["for f in *; do a \"$f\" || exit ; done", "b"]);
    assert_eq!(simple_commands("sudo a 'b c' | d --e=\"f g\""), [vec!["a", "b c"], vec!["d", "--e=f g"]]);
}

#[test]
fn a_command_line_that_our_programs_do_not_take_is_refused() {
    let refused = |line: &str| simple_commands(line).iter().find_map(|words| refused(words));
    assert_eq!(refused("kagiban-exporter rotation show AGENT"), None);
    assert_eq!(refused("kagiban-exporter rotation show"), None);
    assert!(refused("kagiban-exporter --no-such-flag").is_some());
    assert!(refused("kubectl get mac | kagiban-operator plan --no-such-flag").is_some());
    assert!(refused("kagiban-exporter no-such-command now").is_some());
    assert!(refused("kagiban-none --once").is_some());
    Exporter::command().debug_assert();
}
