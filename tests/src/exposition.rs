//! A scrape, read apart: enough of the text format to ask what is there.

use std::collections::BTreeMap;

/// One line of a scrape.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Sample {
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// The series as PromQL writes it.
    pub fn series(&self) -> String {
        let labels: Vec<_> = self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        format!("{}{{{}}}", self.name, labels.join(","))
    }
}

/// Every sample of a scrape; a line that is none is left out.
pub fn samples(metrics: &str) -> Vec<Sample> {
    metrics.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect()
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').map_or((series, ""), |(name, rest)| (name, rest));
    let value = value.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels: labels_of(labels.strip_suffix('}').unwrap_or("")), value })
}

/// `a="x",b="y"`, where a value may hold an escaped quote, backslash or line end.
fn labels_of(text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    while let Some((name, quoted)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        rest = "";
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    rest = quoted[at + 1..].trim_start_matches(',');
                    break;
                }
                '\\' => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, c)) => value.push(c),
                    None => {}
                },
                c => value.push(c),
            }
        }
        labels.insert(name.to_owned(), value);
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_what_ends_it_elsewhere() {
        let found = samples("# HELP a b\na{b=\"x\\\"},y\",c=\"\\\\\\n\"} 1.5\nd 2\n");
        let labels = BTreeMap::from([("b".to_owned(), "x\"},y".to_owned()), ("c".to_owned(), "\\\n".to_owned())]);
        assert_eq!(found[0], Sample { name: "a".to_owned(), labels, value: 1.5 });
        assert_eq!(found[1], Sample { name: "d".to_owned(), labels: BTreeMap::new(), value: 2.0 });
    }
}
