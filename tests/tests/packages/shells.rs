//! Completions and manual pages, where the package puts them.

use anyhow::{Result, ensure};
use kagiban_tests::debian_root::DebianRoot;
use kagiban_tests::packages::Packages;
use kagiban_tests::release;

#[test]
fn shells_complete_commands_and_every_command_has_a_manual_page() -> Result<()> {
    let root = DebianRoot::unpack("shells")?;
    root.put(&Packages::shared()?.deb, "/root/1.deb")?;
    root.put(&Packages::shared()?.operator_deb, "/root/2.deb")?;
    root.run("dpkg", &["--install", "/root/1.deb", "/root/2.deb"])?;

    let loads = "for it in kagiban-exporter kagiban-operator; do _completion_loader $it || [ $? = 124 ]; done";
    let completed = [("rot", "kagiban-exporter"), ("rotation th", "kagiban-exporter"), ("pl", "kagiban-operator")]
        .map(|(words, program)| completed_by_bash(words, program));
    let told =
        root.bash(&format!("set +u; . /usr/share/bash-completion/bash_completion; {loads}; {}", completed.join(" ")))?;
    ensure!(told == "rotation\nthaw\nplan\n", "{told}");

    // An option with a dot must not be in its way.
    for (line, expected) in [
        ("kagiban-exporter rot", "rotation"),
        ("kagiban-exporter rotation th", "thaw"),
        ("kagiban-exporter --web.conf", "--web.config.file"),
        ("kagiban-operator enr", "enroll"),
    ] {
        let told = root.run("fish", &["-c", &format!("complete --do-complete '{line}'")])?;
        let told: Vec<_> = told.lines().filter_map(|line| line.split('\t').next()).collect();
        ensure!(told == [expected], "fish completes {line:?} with {told:?}");
    }

    for program in release::PROGRAMS {
        let zsh = format!(
            "autoload -U compinit && compinit -D -u && autoload +X $_comps[{program}] && whence -w $_comps[{program}]"
        );
        let told = root.run("zsh", &["-fec", &zsh])?;
        ensure!(told == format!("_{program}: function\n"), "{told}");
    }

    let pages = root.bash("cd /usr/share/man/man1 && ls kagiban-*.1.gz")?;
    for command in [
        "exporter",
        "exporter-check",
        "exporter-completion",
        "exporter-keystore-list",
        "exporter-rotation-thaw",
        "exporter-shutdown-clear",
        "operator",
        "operator-enroll",
        "operator-plan",
    ] {
        let page = format!("kagiban-{command}.1.gz");
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
    for program in release::PROGRAMS {
        let help = root.run(program, &["--help"])?;
        let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        let commands = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        for command in commands.filter(|it| !it.is_empty() && *it != "help") {
            ensure!(pages.contains(&format!("{program}-{command}.1.gz")), "no page of {program} {command}");
        }
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
