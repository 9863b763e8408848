//! The alert rules that are shipped.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::tools;

/// Every rule file, in the order of their names.
pub fn files() -> Result<Vec<PathBuf>> {
    let directory = tools::workspace().join("charts/kagiban/rules");
    let mut files = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// Every rule, as its file has it.
pub fn all() -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for file in files()? {
        for group in parsed(&file)?["groups"].as_array().context("no groups")? {
            all.extend(group["rules"].as_array().context("no rules")?.iter().cloned());
        }
    }
    Ok(all)
}

/// Copies of the rule files in which each `for:` is a sixtieth: a minute is a second.
pub fn hurried(directory: &Path) -> Result<Vec<PathBuf>> {
    files()?
        .iter()
        .map(|file| {
            let mut rules = parsed(file)?;
            for group in rules["groups"].as_array_mut().context("no groups")? {
                for rule in group["rules"].as_array_mut().context("no rules")? {
                    if let Some(wait) = rule.get_mut("for") {
                        let (count, unit) =
                            wait.as_str().and_then(|w| w.split_at_checked(w.len() - 1)).context("for")?;
                        let seconds = count.parse::<u32>()? * if unit == "h" { 60 } else { 1 };
                        *wait = Value::from(format!("{seconds}s"));
                    }
                }
            }
            let copy = directory.join(file.file_name().context("no name")?);
            fs::write(&copy, serde_yaml::to_string(&rules)?)?;
            Ok(copy)
        })
        .collect()
}

fn parsed(file: &Path) -> Result<Value> {
    serde_yaml::from_str(&fs::read_to_string(file)?).with_context(|| format!("{}", file.display()))
}
