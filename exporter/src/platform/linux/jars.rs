//! The signatures of JARs, by jarsigner: PowerChute's own Java has none, a JDK has.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::program::ask;
use crate::platform::{Answer, JarError, JarSeal};

/// Under it programs that do not end are counted, apart from those of agents: no agent has such a name.
const ASKED_BY: &str = "jarsigner, asked for signatures";
/// It says a line or two, and some warnings about whoever has signed.
const MAX_ANSWER: usize = 64 * 1024;
/// Its words are looked at, and whoever owns a JAR decides how large it is once it is unpacked.
const LIMITS: [&str; 2] = ["-J-Duser.language=en", "-J-Xmx256m"];

/// What this jarsigner says of a JAR.
///
/// # Errors
/// When it says nothing that is known here.
pub async fn jar_seal(jarsigner: &Path, jar: &Path, deadline: Duration) -> Result<JarSeal, JarError> {
    let word = |path: &Path| path.to_string_lossy().into_owned();
    let asked = async |options: &[&str]| {
        let options = LIMITS.iter().chain(&["-verify"]).chain(options).map(|option| (*option).to_owned());
        let argv: Vec<_> = std::iter::once(word(jarsigner)).chain(options).chain([word(jar)]).collect();
        ask(ASKED_BY, &argv, deadline, MAX_ANSWER).await
    };
    let answer = asked(&[]).await?;
    let seal = read(&answer).ok_or_else(|| JarError::NoAnswer { status: answer.status.clone() })?;
    // Apart: here it prints the names of files, which may be words of its own answers.
    Ok(match seal {
        JarSeal::Whole { .. } => JarSeal::Whole { signers: signers(&asked(&["-verbose:summary"]).await?) },
        JarSeal::Broken | JarSeal::Unsigned => seal,
    })
}

/// A file whose name looks like a signer adds one, and takes none away.
fn signers(answer: &Answer) -> BTreeSet<String> {
    answer
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("- Signed by "))
        .map(|name| name.trim().to_owned())
        .collect()
}

/// A file that was added to a signed JAR is only warned of.
fn read(answer: &Answer) -> Option<JarSeal> {
    let says = |words: &str| answer.text.lines().any(|line| line.trim().starts_with(words));
    match answer.is_success {
        true if says("jar verified") && says("This jar contains unsigned entries") => Some(JarSeal::Broken),
        true if says("jar verified") => Some(JarSeal::Whole { signers: BTreeSet::new() }),
        true if says("jar is unsigned") || answer.text.contains("will be treated as unsigned") => {
            Some(JarSeal::Unsigned)
        }
        false if says("jarsigner: java.lang.SecurityException") => Some(JarSeal::Broken),
        true | false => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;
    use crate::platform::testing::TRUE;

    fn run(directory: &Path, program: &str, arguments: &[&str]) {
        let done = Command::new(program).current_dir(directory).args(arguments).output();
        let done = done
            .unwrap_or_else(|error| panic!("{program}: {error}; install a JDK, for example openjdk-17-jdk-headless"));
        assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    }

    #[tokio::test]
    async fn the_jarsigner_of_a_jdk_tells_a_whole_jar_from_one_that_was_changed_or_never_signed() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path();
        for (name, text) in [("one.class", "one"), ("two.class", "two")] {
            fs::write(at.join(name), text).expect("written");
        }
        run(at, "jar", &["--create", "--file", "plain.jar", "one.class"]);
        let store = ["-keystore", "store", "-storepass", "changeit"];
        let key = ["-genkeypair", "-alias", "vendor", "-keyalg", "EC", "-dname", "CN=vendor"];
        run(at, "keytool", &[&key[..], &store].concat());
        for jar in ["whole.jar", "added.jar", "changed.jar"] {
            fs::copy(at.join("plain.jar"), at.join(jar)).expect("copied");
            run(at, "jarsigner", &[&store[..], &[jar, "vendor"]].concat());
        }
        run(at, "jar", &["--update", "--file", "added.jar", "two.class"]);
        fs::write(at.join("one.class"), "another").expect("written");
        run(at, "jar", &["--update", "--file", "changed.jar", "one.class"]);
        for (jar, seal) in [
            ("whole.jar", JarSeal::Whole { signers: BTreeSet::from(["\"CN=vendor\"".to_owned()]) }),
            ("added.jar", JarSeal::Broken),
            ("changed.jar", JarSeal::Broken),
            ("plain.jar", JarSeal::Unsigned),
        ] {
            let seen = jar_seal(Path::new("jarsigner"), &at.join(jar), Duration::from_secs(60)).await;
            assert_eq!(seen.ok(), Some(seal), "{jar}");
        }
        fs::write(at.join("none.jar"), "no JAR").expect("written");
        let none = jar_seal(Path::new("jarsigner"), &at.join("none.jar"), Duration::from_secs(60)).await;
        assert_eq!(none.map_err(|error| error.reason()), Err("failed"));
    }

    #[tokio::test]
    async fn a_program_that_says_nothing_of_a_jar_is_no_answer() {
        let missing = jar_seal(Path::new("/no/such/jarsigner"), Path::new("/a.jar"), Duration::from_secs(20)).await;
        assert_eq!(missing.map_err(|error| error.reason()), Err("not_started"));
        let silent =
            jar_seal(Path::new(TRUE.trim_matches(['[', ']'])), Path::new("/a.jar"), Duration::from_secs(20)).await;
        assert_eq!(silent.map_err(|error| error.reason()), Err("failed"));
    }
}
