//! A directory, judged as it would be followed, without a state.

use std::path::Path;

use serde_json::Value;

use super::declared::{declared, located};
use super::directory::{Directory, LookError, ManifestTrust};
use crate::cluster::standalone::admission::Admission;

/// What would be taken of it, and what would not.
#[derive(Debug)]
pub(crate) struct Judged {
    /// As they would be kept.
    pub(crate) taken: Vec<Value>,
    /// With file and line.
    pub(crate) problems: Vec<String>,
}

/// # Errors
/// When not all of the directory can be seen.
pub(crate) fn judge(root: &Path, admission: &Admission) -> Result<Judged, LookError> {
    let mut directory = Directory::new(root.to_owned(), ManifestTrust::Anybody);
    let look = directory.look()?;
    let mut problems = look.problems();
    let (declared, _) = declared(&look, &mut problems);
    let mut taken = Vec::new();
    for (file, declared) in declared.values() {
        match admission.admit(&declared.object, None) {
            Ok(admitted) => taken.push(admitted),
            Err(errors) => problems.extend(located(Some(&directory), file, declared, &errors)),
        }
    }
    Ok(Judged { taken, problems: problems.iter().map(ToString::to_string).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_judged_as_it_would_be_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let good = include_str!("../../../../tests/support/good.yaml");
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("a file");
        write("a.yaml", good);
        // A rule of the CRD, after another document
        let of_another_class =
            good.replace("name: ups-01}", "name: ups-02}").replace("tls-service", "self-renewing-service");
        write("b.yaml", &format!("---\nkind: ConfigMap\napiVersion: v1\n---\n{of_another_class}"));
        write("c.yaml", "bad: [");
        write("d.yml", &format!("{}\n---\n{}", good.replace("ups-01", "ups-03"), good.replace("ups-01", "ups-03")));
        let admission = Admission::new().expect("the CRD is known");
        let Judged { taken, problems } = judge(directory.path(), &admission).expect("it can be seen");
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0]["spec"]["rotation"]["paused"], false, "with its defaults");
        let has = |words: &[&str]| problems.iter().any(|problem| words.iter().all(|word| problem.contains(word)));
        assert!(has(&["b.yaml:", "default/ups-02: spec", "renews its own certificate"]), "{problems:?}");
        assert!(has(&["c.yaml: it is no YAML"]), "{problems:?}");
        assert!(has(&["d.yml:", "stands in d.yml too"]), "{problems:?}");
        assert!(judge(&directory.path().join("none"), &admission).is_err());
    }
}
