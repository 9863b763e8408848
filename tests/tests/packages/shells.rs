//! Completions and manual pages, where the package puts them.

use anyhow::{Result, ensure};
use kagiban_tests::debian_root::DebianRoot;
use kagiban_tests::packages::Packages;
use kagiban_tests::tools;

#[test]
fn shells_complete_commands_and_every_command_has_a_manual_page() -> Result<()> {
    let root = DebianRoot::unpack("shells")?;
    root.put(&Packages::shared()?.deb, "/root/1.deb")?;
    root.put(&tools::ours("kagiban-operator")?, "/usr/bin/kagiban-operator")?;
    root.run("dpkg", &["--install", "/root/1.deb"])?;

    let loads = "_completion_loader kagiban-exporter || [ $? = 124 ]";
    let (rotation, thaw) =
        (completed_by_bash("rot", "kagiban-exporter"), completed_by_bash("rotation th", "kagiban-exporter"));
    let told =
        root.bash(&format!("set +u; . /usr/share/bash-completion/bash_completion; {loads}; {rotation} {thaw}"))?;
    ensure!(told == "rotation\nthaw\n", "{told}");
    let told =
        root.bash(&format!(". <(kagiban-operator completion bash); {}", completed_by_bash("pl", "kagiban-operator")))?;
    ensure!(told == "plan\n", "{told}");

    // An option with a dot must not be in its way.
    for (words, expected) in [("rot", "rotation"), ("rotation th", "thaw"), ("--web.conf", "--web.config.file")] {
        let told = root.run("fish", &["-c", &format!("complete --do-complete 'kagiban-exporter {words}'")])?;
        let told: Vec<_> = told.lines().filter_map(|line| line.split('\t').next()).collect();
        ensure!(told == [expected], "fish completes {words:?} with {told:?}");
    }

    let zsh = "autoload -U compinit && compinit -D -u && autoload +X $_comps[kagiban-exporter] && whence -w $_comps[kagiban-exporter]";
    let told = root.run("zsh", &["-fec", zsh])?;
    ensure!(told == "_kagiban-exporter: function\n", "{told}");

    let pages = root.bash("cd /usr/share/man/man1 && ls kagiban-exporter*.1.gz")?;
    for command in ["", "-check", "-completion", "-keystore-list", "-rotation-thaw", "-shutdown-clear"] {
        let page = format!("kagiban-exporter{command}.1.gz");
        ensure!(pages.lines().any(|line| line == page), "{page} is not among {pages}");
    }
    for page in pages.lines() {
        let render = format!("MANWIDTH=100 man --warnings=w --local-file /usr/share/man/man1/{page}");
        let warnings = root.bash(&format!("{render} 2>&1 >/dev/null"))?;
        ensure!(warnings.is_empty(), "{page}: {warnings}");
        let rendered = root.bash(&render)?;
        let name = page.trim_end_matches(".1.gz");
        ensure!(rendered.starts_with(&format!("{name}(1)")) && rendered.contains("SYNOPSIS"), "{page}: {rendered}");
    }
    let commands = root.run("/usr/bin/kagiban-exporter", &["--help"])?;
    let commands = commands.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    for command in commands
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|it| !it.is_empty() && *it != "help")
    {
        ensure!(pages.contains(&format!("kagiban-exporter-{command}.1.gz")), "no page of {command}");
    }
    Ok(())
}

/// What bash would put in the place of the last word, as its completion function is told it.
fn completed_by_bash(words: &str, program: &str) -> String {
    let last = words.rsplit(' ').next().unwrap_or(words);
    let count = words.split(' ').count();
    let function = format!("_{}", program.replace('-', "__"));
    format!(
        "COMP_WORDS=({program} {words}); COMP_CWORD={count}; {function} {program} '{last}' ''; printf '%s\\n' \"${{COMPREPLY[@]}}\";"
    )
}
