//! `clientLogs` of an agent whose clients log that they could not authenticate its server: where what they have logged is exported to, and
//! how an entry of that reads.

use std::time::Duration;

use serde::Deserialize;

use super::clients::ListColumn;
use super::observe::ZoneName;
use super::values::{Interval, PathPattern};

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientLogsConfig {
    /// Logs that were exported from the server as CSV, by path or pattern.
    pub files: Vec<PathPattern>,
    /// An entry with one of them tells that a client could not authenticate the server. No vendor has published any, so there is no default.
    pub failure_words: Vec<String>,
    #[serde(default)]
    pub columns: LogColumns,
    /// That of the times in the log; by default this host's.
    #[serde(default)]
    pub time_zone: Option<ZoneName>,
    #[serde(default = "default_interval")]
    pub interval: Interval,
}

/// Which columns tell what; by default the heading tells it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct LogColumns {
    /// The name of the client.
    pub client: Option<ListColumn>,
    /// When the client has logged the entry.
    pub time: Option<ListColumn>,
    /// Where the words of a failure stand; by default anywhere in the row.
    pub failure: Option<ListColumn>,
}

/// Words for one thing in the languages of a console.
const MOST_WORDS: usize = 16;
const LONGEST_WORD: usize = 200;
/// Columns that are looked at.
pub const MOST_COLUMNS: usize = 64;

impl ClientLogsConfig {
    /// What is wrong with it, with the setting that it is about.
    pub(super) fn problem(&self) -> Option<String> {
        let wrong = |setting: &str, why: &str| Some(format!("clientLogs.{setting}: {why}"));
        if self.files.is_empty() {
            return wrong("files", "names none; name the files that the log is exported to, by path or pattern");
        }
        let words = &self.failure_words;
        if words.is_empty() || words.len() > MOST_WORDS {
            return wrong("failureWords", "must be one to 16; copy them from an entry of a failure in your console");
        }
        let is_word = |word: &String| word.chars().any(char::is_alphanumeric) && word.chars().count() <= LONGEST_WORD;
        if let Some(at) = words.iter().position(|word| !is_word(word)) {
            return wrong(&format!("failureWords[{at}]"), "must have a letter or a figure, and 200 characters at most");
        }
        let LogColumns { client, time, failure } = &self.columns;
        let is_column = |column: &ListColumn| match column {
            ListColumn::Number(number) => (1..=MOST_COLUMNS).contains(number),
            ListColumn::Heading(word) => word.chars().any(char::is_alphanumeric),
        };
        let of = [(client, "columns.client"), (time, "columns.time"), (failure, "columns.failure")];
        let (_, setting) =
            of.into_iter().find(|(column, _)| column.as_ref().is_some_and(|column| !is_column(column)))?;
        wrong(setting, "must be a word of the log's heading, or a number from 1 to 64")
    }
}

/// Whoever looks at the metrics an hour later than the clients need not wait longer.
const fn default_interval() -> Interval {
    Interval::new(Duration::from_mins(5))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parse;
    use super::*;
    use crate::platform::testing::native;

    fn client_logs(product: &str, logs: &str) -> Result<ClientLogsConfig, String> {
        let text = format!("agents: [{{name: av, product: {product}, directory: /d, clientLogs: {logs}}}]\n");
        let mut config = parse(&native(&text), Path::new("c")).map_err(|error| error.to_string())?;
        Ok(config.agents.remove(0).client_logs.expect("it is set"))
    }

    #[test]
    fn a_log_of_clients_is_named_with_the_words_of_a_failure() {
        for product in ["virus-buster-corp", "apex-one"] {
            let least = client_logs(product, "{files: [/x/*.csv], failureWords: [failed]}").expect("it is one");
            assert_eq!((least.files.len(), least.columns.client), (1, None));
            assert_eq!(least.interval.as_duration(), Duration::from_mins(5));
        }
        let whole = "{files: [/a.csv], failureWords: ['認証に失敗'], columns: {client: 2, time: 日時, failure: 内容}, timeZone: Asia/Tokyo, interval: 1m}";
        let whole = client_logs("virus-buster-corp", whole).expect("it is one");
        assert_eq!(whole.columns.client, Some(ListColumn::Number(2)));
        assert_eq!(whole.columns.time, Some(ListColumn::Heading("日時".to_owned())));
    }

    #[test]
    fn what_is_no_log_of_clients_is_refused_with_its_setting() {
        for (logs, setting, why) in [
            ("{files: [], failureWords: [a]}", "clientLogs.files", "names none"),
            ("{files: [a.csv], failureWords: [a]}", "clientLogs.files[0]", "absolute"),
            ("{files: [/a]}", "clientLogs", "failureWords"),
            ("{files: [/a], failureWords: []}", "clientLogs.failureWords", "copy them"),
            ("{files: [/a], failureWords: [a, ' - ']}", "clientLogs.failureWords[1]", "letter"),
            ("{files: [/a], failureWords: [a], columns: {client: 0}}", "clientLogs.columns.client", "from 1"),
            ("{files: [/a], failureWords: [a], columns: {time: '--'}}", "clientLogs.columns.time", "word"),
            ("{files: [/a], failureWords: [a], columns: {failure: 65}}", "clientLogs.columns.failure", "64"),
            ("{files: [/a], failureWords: [a], colour: red}", "clientLogs", "colour"),
        ] {
            let said = client_logs("virus-buster-corp", logs).expect_err("this must be refused");
            assert!(said.contains(&format!("agents[0].{setting}")) && said.contains(why), "{logs}: {said}");
        }
        let said =
            client_logs("powerchute-serial-shutdown", "{files: [/a], failureWords: [a]}").expect_err("no clients");
        assert!(said.contains("agents[0].clientLogs: ") && said.contains("no notice"), "{said}");
    }
}
