//! What `keystore list` says, against what Java and openssl say of the same file: entries, aliases, leaves, serial numbers and
//! dates, for a thousand stores and certificate files of many forms. `KAGIBAN_FORMS` asks for more, `KAGIBAN_FORMS_SEED` for
//! others.

mod dice;
mod facts;
mod forms;
mod java;
#[path = "../../../keystore/tests/suite/jvm.rs"]
mod jvm;
mod x509;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::process::Command;
use std::thread;

use dice::Dice;
use facts::{Facts, number, printed_by_openssl, seconds};
use forms::{ByJava, Form, Pool};
use java::{Entry, Java};
use serde_json::Value;

/// A thousand that others read too, within two minutes on two cores.
const FORMS: usize = 1_040;
const SEED: u64 = 20_261_126;
/// Most of what is made can be read by one of the two at least.
const MOST_UNJUDGED_IN: usize = 26;

/// What our program listed.
#[derive(Debug)]
struct Listed {
    /// Alias in lower case, kind, digests of the chain.
    entries: BTreeMap<String, (String, Vec<String>)>,
    certificates: Vec<Facts>,
}

#[test]
#[allow(clippy::print_stdout, reason = "who asks for more wants to know how many were compared")]
fn a_thousand_forms_are_listed_as_java_and_openssl_list_them() {
    let set = |name: &str| env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}: {value}")));
    let count = set("KAGIBAN_FORMS").map_or(FORMS, |count| usize::try_from(count).expect("a count"));
    let seed = set("KAGIBAN_FORMS_SEED").unwrap_or(SEED);
    let directory = tempfile::tempdir().expect("a directory");
    let (mut dice, mut java) = (Dice::new(seed), Java::start());
    let pool = Pool::new(directory.path(), &mut dice, &mut java);
    let known: BTreeMap<_, _> =
        pool.certificates.iter().map(|one| (one.facts.sha256.clone(), one.facts.clone())).collect();

    // Each form has dice of its own, so that two threads make the same as one.
    let make = |numbers: Vec<usize>, mut java: Java| -> (usize, Vec<String>) {
        let (mut unjudged, mut differences) = (0, Vec::new());
        for number in numbers {
            let mut dice = Dice::new(seed ^ (number as u64 + 1).wrapping_mul(0x00FF_51AF_D7ED_558C));
            let Some(form) = (0..50).find_map(|_| pool.make(&mut dice, number, &mut java)) else {
                differences.push(format!("form {number} could not be made"));
                continue;
            };
            let (judges, said) = judge(&form, &mut java, &known);
            unjudged += usize::from(judges == 0);
            differences.extend(said.map(|said| format!("form {number}, {}: {said}", form.what)));
        }
        (unjudged, differences)
    };
    let (even, odd) = (0..count).partition(|number| number % 2 == 0);
    let ((unjudged, mut differences), (more, others)) = thread::scope(|scope| {
        let other = scope.spawn(|| make(odd, Java::start()));
        (make(even, java), other.join().expect("it does not panic"))
    });
    differences.extend(others);
    assert!(
        differences.is_empty(),
        "{} of {count} differ (seed {seed}):\n{}",
        differences.len(),
        differences.join("\n")
    );
    let unjudged = unjudged + more;
    println!("{count} forms of seed {seed}: {} read by Java or openssl too, 0 differ", count - unjudged);
    assert!(unjudged * MOST_UNJUDGED_IN <= count, "neither Java nor openssl reads {unjudged} of {count}");
}

/// How many read the file too, and the first thing in which they differ from us.
fn judge(form: &Form, java: &mut Java, known: &BTreeMap<String, Facts>) -> (usize, Option<String>) {
    let ours = match list(form) {
        Ok(ours) => ours,
        Err(said) => return (1, Some(said)),
    };
    let digests: Vec<&str> = ours.certificates.iter().map(|one| one.sha256.as_str()).collect();
    for one in &ours.certificates {
        if known.get(&one.sha256) != Some(one) {
            return (1, Some(format!("we say {one:?}, openssl {:?}", known.get(&one.sha256))));
        }
    }
    let mut judges = 0;
    let same = |others: &[&str]| match form.is_ordered {
        true => others == digests,
        false => others.iter().collect::<BTreeSet<_>>() == digests.iter().collect::<BTreeSet<_>>(),
    };
    let arguments: Vec<&str> = form.openssl.iter().map(String::as_str).collect();
    if let Some(theirs) = Some(arguments).filter(|arguments| !arguments.is_empty()).and_then(|a| printed_by_openssl(&a))
    {
        judges += 1;
        if !same(&theirs.iter().map(String::as_str).collect::<Vec<_>>()) {
            return (judges, Some(format!("we list {digests:?}, openssl {theirs:?}")));
        }
    }
    let answer = match form.java {
        ByJava::Store(kind) => java.ask(&format!("list\t{kind}\t{}\t{}", form.path, hex::encode(&form.secret))),
        ByJava::Certificates => java.ask(&format!("read\t{}", form.path)),
    };
    let Some(theirs) = answer else { return (judges, None) };
    let facts = theirs.iter().flat_map(|entry| &entry.chain);
    let wrong = facts.clone().find(|one| known.get(&one.sha256) != Some(one));
    if let Some(wrong) = wrong {
        return (judges, Some(format!("Java says {wrong:?}, openssl {:?}", known.get(&wrong.sha256))));
    }
    let said = match form.java {
        ByJava::Store(_) => difference(&ours, &theirs),
        ByJava::Certificates => {
            let theirs: Vec<_> = facts.map(|one| one.sha256.as_str()).collect();
            (!same(&theirs)).then(|| format!("we list {digests:?}, Java {theirs:?}"))
        }
    };
    (judges + 1, said)
}

/// Of entries that are more than a certificate beside them.
fn difference(ours: &Listed, theirs: &[Entry]) -> Option<String> {
    let theirs: BTreeMap<_, _> = theirs
        .iter()
        .map(|entry| {
            let chain: Vec<_> = entry.chain.iter().map(|one| one.sha256.clone()).collect();
            (entry.alias.to_lowercase(), (entry.kind.clone(), chain))
        })
        .collect();
    (ours.entries != theirs).then(|| format!("we list {:?}, Java {theirs:?}", ours.entries))
}

fn list(form: &Form) -> Result<Listed, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kagiban-exporter"));
    command.args(["keystore", "list", "--output", "json", &form.path]);
    if let Some(password) = &form.password {
        command.arg("--password-file").arg(password);
    }
    let done = command.output().expect("the program was built");
    let error = String::from_utf8_lossy(&done.stderr).into_owned();
    // A store of secrets alone is listed too, and is told to have no certificate.
    if !done.status.success() && !error.contains("no_certificate") {
        return Err(error);
    }
    let listed: Value = serde_json::from_slice(&done.stdout).map_err(|_| error)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let each = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (mut entries, mut certificates) = (BTreeMap::new(), Vec::new());
    for entry in each(&listed["entries"]) {
        let chain: Vec<_> = each(&entry["chain"])
            .iter()
            .map(|one| Facts {
                sha256: text(&one["sha256"]),
                serial: number(&text(&one["serial"])),
                from: seconds(&text(&one["notBefore"])),
                until: seconds(&text(&one["notAfter"])),
            })
            .collect();
        let kind = text(&entry["kind"]);
        if kind != "certificate" {
            let digests = chain.iter().map(|one| one.sha256.clone()).collect();
            let alias = text(&entry["alias"]).to_lowercase();
            if entries.insert(alias.clone(), (kind, digests)).is_some() {
                return Err(format!("the alias {alias:?} is listed twice"));
            }
        }
        certificates.extend(chain);
    }
    Ok(Listed { entries, certificates })
}
