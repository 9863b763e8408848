//! The reasons for which a rotation did not commit, as docs/rotation.md explains them.

use std::fs;
use std::path::Path;

/// Whatever the code may say is explained, and nothing else is.
#[test]
fn every_reason_of_a_rotation_is_explained_and_every_explained_one_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("../docs/rotation.md")).expect("the docs");
    let (_, table) = text.split_once("| reason | what happened |").expect("the table");
    // What stands between backquotes in the first cell of a row
    let first_cells = table.lines().filter_map(|row| row.strip_prefix("| ")?.split(" | ").next());
    let explained: Vec<_> = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(explained.len() > 20, "{explained:?}");
    let mut code = String::new();
    read_sources(&root.join("src/rotation"), &mut code);
    // Why a command was not run is told as it is.
    for told in ["program", "service"] {
        code.push_str(&fs::read_to_string(root.join(format!("src/platform/{told}.rs"))).expect("a source"));
    }
    for reason in &explained {
        assert!(code.contains(&format!("\"{reason}\"")), "{reason} is explained and said nowhere");
    }
    let failures = code.split("RotationFailure::new(").skip(1);
    let said: Vec<_> = failures
        .filter_map(|failure| failure.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()))
        .collect();
    assert!(said.len() > 20, "failures are made otherwise now: {said:?}");
    for reason in said {
        assert!(explained.contains(&reason) || reason == "not_frozen", "{reason} is not explained");
    }
}

fn read_sources(directory: &Path, code: &mut String) {
    for entry in fs::read_dir(directory).expect("the room") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if !path.ends_with("tests") {
                read_sources(&path, code);
            }
        } else if !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).expect("a source");
            // What tests make up is no reason
            code.push_str(text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default());
        }
    }
}
