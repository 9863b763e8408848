//! What clients have logged of a server that they could not authenticate: CSV that was exported from the server. No vendor has published a
//! column of it, or a word.
//!
//! What cannot be understood is told as that, and never as a log without failures.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::entry::{Entry, EntryKind, time_in};
use crate::config::{ClientLogsConfig, ListColumn, LogColumns, MOST_LOG_COLUMNS};
use crate::platform;
use crate::snapshot::Sender;
use crate::sources::heading::{client_in, is_machine, plain};
use crate::sources::rows::{self, LastCell, Rows, is_blank};
use crate::sources::text::{digest, is_damaged, is_mixed, narrowed};

/// What a column with the time of an entry is called, as [`plain`] has it, the likeliest first. One of when the server got it is none.
const TIMES: [&str; 12] = [
    "date/time",
    "datetime",
    "dateandtime",
    "timestamp",
    "日時",
    "発生日時",
    "検出日時",
    "ログ日時",
    "date",
    "日付",
    "time",
    "時刻",
];

/// A day and a time of day have more.
const FIGURES_OF_A_TIME: usize = 9;

/// How the log of a product's clients is read.
#[derive(Clone, Debug)]
pub(super) struct ClientLogReading {
    /// Narrowed, in small letters.
    words: Vec<String>,
    columns: LogColumns,
    zone: TimeZone,
}

/// What a log tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ClientLog {
    /// In their order, each with the digest of its row: wherever the row comes to stand, it is the same.
    pub(super) failures: Vec<(u64, Entry)>,
    /// Why there may be others.
    pub(super) fault: Option<LogFault>,
}

/// Why not all of a log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LogFault {
    #[error(
        "it ends in the middle of a row, or has a quotation mark without a second one: what exports it was stopped, or still writes; or it is no \
         text, such as a workbook of Excel that is called .csv"
    )]
    CutShort,
    #[error(
        "neither commas nor tabs divide all of its rows alike, and it has both: look at the file, and export it with one of them"
    )]
    Undivided,
    #[error(
        "it is in more than one encoding, or in none that is known: export it anew, and put no exports together that differ in it"
    )]
    Garbled,
    #[error(
        "it has no row that names the columns of the client and the time, and that of clientLogs.columns.failure where it is set; or a failure \
         before it, or below one that lacks the latter. Look at the file: where it is empty, or neither commas nor tabs divide it, export it \
         anew; else name the words of its heading, or the numbers of its columns, under clientLogs.columns"
    )]
    NoHeading,
    #[error(
        "it has a row with fewer columns than its heading or clientLogs.columns names: look at the file, and name those that all of its rows \
         have, or export it with all of them"
    )]
    NoColumn,
    #[error(
        "a row with the words of a failure has more columns than its heading, and they are in none that clientLogs.columns.failure names: a \
         message has what divides the columns, without quotation marks; export it with tabs, or do not set clientLogs.columns.failure"
    )]
    Wider,
    #[error(
        "a row stands within a cell of another one: a quotation mark at the beginning of a cell hides the rows up to the next one; export it with \
         its quotation marks doubled"
    )]
    Swallowed,
    #[error(
        "no row has a time in the column that clientLogs.columns.time numbers: it is empty, or no log; an export without an entry has its \
         heading, so name the words of that instead of numbers"
    )]
    NoEntry,
    #[error(
        "a failure has no time such as 2026/06/01 08:00:00 in its column: name another one under clientLogs.columns.time, or export it so"
    )]
    NoTime,
    #[error("it is larger than 16 MiB: export fewer days, or into several files")]
    TooLarge,
}

impl LogFault {
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::CutShort => "cut_short",
            Self::Undivided
            | Self::Garbled
            | Self::Swallowed
            | Self::NoHeading
            | Self::NoColumn
            | Self::Wider
            | Self::NoEntry
            | Self::NoTime => "unknown_format",
            Self::TooLarge => "too_large",
        }
    }
}

/// Which columns of a log tell what.
#[derive(Clone, Copy, Debug)]
struct Columns {
    client: usize,
    time: usize,
    /// Any, where none is named.
    failure: Option<usize>,
}

impl Columns {
    /// As many cells as a row has that has all of them.
    fn width(self) -> usize {
        1 + self.client.max(self.time).max(self.failure.unwrap_or_default())
    }

    /// Whether this first row names columns that are told by numbers: a word stands in the place of the time, and no time of whatever kind.
    fn are_named_in(self, cells: &[&str]) -> bool {
        cells.get(self.time).is_some_and(|cell| !cell.trim().is_empty() && !cell.contains(char::is_numeric))
    }
}

impl ClientLogReading {
    pub(super) fn new(config: &ClientLogsConfig) -> Self {
        let zone = config.time_zone.as_ref().map_or_else(TimeZone::system, |zone| zone.0.clone());
        Self::of(&config.failure_words, config.columns.clone(), zone)
    }

    pub(super) fn of(words: &[String], columns: LogColumns, zone: TimeZone) -> Self {
        Self { words: words.iter().map(|word| written(word)).collect(), columns, zone }
    }

    /// What a log tells, of which these bytes are all there is.
    pub(super) fn read(&self, bytes: &[u8]) -> ClientLog {
        // What `copy` ends with where it has put exports together.
        let bytes = bytes.strip_suffix(b"\x1a").unwrap_or(bytes);
        let text = platform::decoded(bytes);
        let (whole, rest) = text.split_at(text.rfind(['\n', '\r']).map_or(0, |end| end + 1));
        // Half a name may be that of another client.
        let mut fault = (!rest.trim().is_empty()).then_some(LogFault::CutShort);
        let unread = |why| ClientLog { failures: Vec::new(), fault: fault.or(Some(why)) };
        // In the one encoding what is written in the other reads as names and words that nobody has.
        let is_damaged = is_damaged(bytes, &text);
        if is_mixed(bytes) && !is_damaged {
            return unread(LogFault::Garbled);
        }
        let Some(divided) = Rows::of(whole) else { return unread(LogFault::Undivided) };
        fault = fault.or(is_damaged.then_some(LogFault::Garbled));
        // How many columns there are: as a heading has, or the first row with a time where they are told by numbers.
        let numbered = self.numbered();
        let (mut columns, mut width) = (numbered, None);
        let (mut failures, mut is_first, mut widest) = (Vec::new(), true, 0);
        let read = rows::each(whole, divided, |cells| {
            if is_blank(cells) {
                return;
            }
            // Not before they are divided: a comma in full width is one of a message.
            let narrow: Vec<_> = cells.iter().map(|cell| narrowed(cell)).collect();
            let cells: &[&str] = &narrow.iter().map(String::as_str).collect::<Vec<_>>();
            widest = widest.max(cells.len());
            let may_be_heading = std::mem::take(&mut is_first);
            if let Some(heading) = self.heading(cells) {
                let named = cells.iter().rposition(|cell| !is_blank(&[cell])).map_or(0, |at| at + 1);
                (columns, width) = (heading.ok(), Some(named));
                return;
            }
            let Some(columns) = columns else {
                let is_failure = self.is_any_failure(cells) && !self.is_title(cells);
                fault = fault.or(is_failure.then_some(LogFault::NoHeading));
                return;
            };
            let is_timed = self.time(columns, cells).is_some();
            width = width.or_else(|| is_timed.then_some(cells.len()));
            if self.hides_entry(columns, cells, divided.separator) {
                fault = fault.or(Some(LogFault::Swallowed));
            }
            // Such as a heading that nobody knows, below which the columns are others.
            if !is_timed
                && !may_be_heading
                && cells.iter().filter(|cell| !is_blank(&[cell])).count() >= width.unwrap_or(usize::MAX)
            {
                fault = fault.or(Some(LogFault::NoTime));
            }
            if cells.len() < columns.width() && !self.is_title(cells) {
                fault = fault.or(Some(LogFault::NoColumn));
            }
            if self.is_failure(columns, cells) && !self.is_title(cells) {
                match self.failure(columns, cells) {
                    Some(entry) => failures.push((digest(cells), entry)),
                    None if may_be_heading && columns.are_named_in(cells) => {}
                    None => fault = fault.or(Some(LogFault::NoTime)),
                }
            } else if self.is_failure_beyond(columns, width.filter(|_| numbered.is_none()), cells) {
                fault = fault.or(Some(LogFault::Wider));
            }
        });
        if read != Ok(LastCell::Closed) {
            fault = Some(LogFault::CutShort);
        }
        let of_whole = match columns {
            None => Some(LogFault::NoHeading),
            // It has titles alone, or is divided by what we do not know.
            Some(columns) if (1..columns.width()).contains(&widest) => Some(LogFault::NoColumn),
            // Whatever it is, nothing says that it is a log.
            Some(_) => width.is_none().then_some(LogFault::NoEntry),
        };
        ClientLog { failures, fault: fault.or(of_whole) }
    }

    /// Where the configuration has numbers alone: then no heading is needed.
    fn numbered(&self) -> Option<Columns> {
        let LogColumns { client, time, failure } = &self.columns;
        let number = |column: &ListColumn| match column {
            ListColumn::Number(number) => Some(number.saturating_sub(1)),
            ListColumn::Heading(_) => None,
        };
        let failure = match failure {
            Some(column) => Some(number(column)?),
            None => None,
        };
        Some(Columns { client: number(client.as_ref()?)?, time: number(time.as_ref()?)?, failure })
    }

    /// Where this row is one that names the columns: what it says of each that is not told by a number. One that lacks the column of
    /// failures says nothing of the rows below it, and neither does a heading before it. A row with a time is none.
    fn heading(&self, cells: &[&str]) -> Option<Result<Columns, LogFault>> {
        if self.numbered().is_some() || cells.iter().any(|cell| time_in(cell, &self.zone).is_some()) {
            return None;
        }
        let words: Vec<_> = cells.iter().take(MOST_LOG_COLUMNS).map(|cell| plain(cell)).collect();
        let named = |column: &ListColumn| match column {
            ListColumn::Number(number) => Some(number.saturating_sub(1)),
            ListColumn::Heading(word) => words.iter().position(|it| *it == plain(word)),
        };
        let machine = || words.iter().position(|word| is_machine(word));
        let of_time = || TIMES.iter().find_map(|time| words.iter().position(|word| word == time));
        let LogColumns { client, time, failure } = &self.columns;
        // By numbers alone any row would be one.
        let is_by_words = [client, time].into_iter().any(|column| !matches!(column, Some(ListColumn::Number(_))));
        let client = client.as_ref().map_or_else(machine, named)?;
        let time = time.as_ref().map_or_else(of_time, named)?;
        match failure.as_ref().map(named) {
            None => Some(Ok(Columns { client, time, failure: None })),
            Some(Some(failure)) => Some(Ok(Columns { client, time, failure: Some(failure) })),
            Some(None) => is_by_words.then_some(Err(LogFault::NoHeading)),
        }
    }

    fn is_failure(&self, columns: Columns, cells: &[&str]) -> bool {
        match columns.failure {
            Some(at) => cells.get(at).is_some_and(|cell| self.has_word(cell)),
            None => self.is_any_failure(cells),
        }
    }

    fn is_any_failure(&self, cells: &[&str]) -> bool {
        cells.iter().any(|cell| self.has_word(cell))
    }

    fn has_word(&self, cell: &str) -> bool {
        let cell = written(cell);
        self.words.iter().any(|word| cell.contains(word))
    }

    /// A row that is no entry: an entry has more than one cell with something in it, or the time of one that nothing has divided.
    fn is_title(&self, cells: &[&str]) -> bool {
        let is_divided = cells.iter().filter(|cell| !cell.trim().is_empty()).count() > 1;
        let figures = || cells.iter().flat_map(|cell| cell.chars()).filter(char::is_ascii_digit).count();
        !is_divided && (!self.is_any_failure(cells) || figures() < FIGURES_OF_A_TIME)
    }

    /// Whether the words stand behind the last column: what divides the columns is in a message. Where columns are told by numbers nobody
    /// knows how many there are, so that no other one to the right of the failure's may have them.
    fn is_failure_beyond(&self, columns: Columns, width: Option<usize>, cells: &[&str]) -> bool {
        let beyond =
            |failure: usize| self.is_any_failure(cells.get(width.unwrap_or(failure + 1)..).unwrap_or_default());
        columns.failure.is_some_and(beyond)
    }

    /// Whether an entry stands within a cell of this row.
    fn hides_entry(&self, columns: Columns, cells: &[&str], separator: u8) -> bool {
        let is_entry = |(alone, row): &(usize, Vec<&str>)| {
            let row: Vec<_> = row.iter().map(|cell| cell.trim().trim_matches('"')).collect();
            let own = &row[..*alone];
            row.len() >= columns.width() && self.any_time(own).is_some() || own.len() > 1 && self.is_any_failure(own)
        };
        rows::hidden(cells, separator).iter().any(is_entry)
    }

    /// None where it has no time: a client's own time alone tells whether it is news.
    fn failure(&self, columns: Columns, cells: &[&str]) -> Option<Entry> {
        let at = self.time(columns, cells)?;
        let client =
            cells.get(columns.client).filter(|cell| !cell.contains('\u{fffd}')).and_then(|cell| client_in(cell));
        Some(Entry { kind: EntryKind::Failed(Sender::client(client)), at: Some(at) })
    }

    fn time(&self, columns: Columns, cells: &[&str]) -> Option<Timestamp> {
        self.time_at(columns.time, cells)
    }

    fn any_time(&self, cells: &[&str]) -> Option<Timestamp> {
        (0..cells.len()).find_map(|at| self.time_at(at, cells))
    }

    fn time_at(&self, at: usize, cells: &[&str]) -> Option<Timestamp> {
        let time = cells.get(at)?;
        // The day and the time of day may stand in two cells.
        let in_two = || time_in(&format!("{time} {}", cells.get(at + 1)?), &self.zone);
        time_in(time, &self.zone).or_else(in_two)
    }
}

/// In whatever width and case it is written.
fn written(text: &str) -> String {
    narrowed(text).trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use encoding_rs::{ISO_2022_JP, SHIFT_JIS};
    use proptest::prelude::*;

    use super::*;
    use crate::snapshot::ClientName;
    use crate::sources::text::testing::encoded;

    const WORD: &str = "サーバ認証に失敗";
    const HEADING: &str = "日時,コンピュータ名,ドメイン,内容\r\n";
    const ROWS: &str = "2026/06/01 09:00:00,PC-0012,本社,サーバ認証に失敗しました\r\n\
                        2026/06/01 09:00:01,PC-0013,本社,パターンファイルを更新しました\r\n\
                        2026/06/01 09:00:02,本社\\経理-01,本社,\"サーバ認証に失敗, 通知を破棄\"\r\n";

    fn reading(columns: LogColumns) -> ClientLogReading {
        let words = [WORD, "Server Authentication failed"].map(str::to_owned);
        ClientLogReading::of(&words, columns, TimeZone::get("Asia/Tokyo").expect("a zone"))
    }

    fn named(word: &str) -> Option<ListColumn> {
        Some(ListColumn::Heading(word.to_owned()))
    }

    fn failure(client: &str, at: &str) -> Entry {
        let sender = ClientName::parse(client).map_or(Sender::Unreadable, Sender::Client);
        Entry { kind: EntryKind::Failed(sender), at: Some(at.parse().expect("a time")) }
    }

    fn both() -> Vec<Entry> {
        vec![failure("PC-0012", "2026-06-01T00:00:00Z"), failure("経理-01", "2026-06-01T00:00:02Z")]
    }

    fn read_by(columns: LogColumns, bytes: &[u8]) -> (Vec<Entry>, Option<LogFault>) {
        let ClientLog { failures, fault } = reading(columns).read(bytes);
        (failures.into_iter().map(|(_, entry)| entry).collect(), fault)
    }

    fn read(text: &str) -> (Vec<Entry>, Option<LogFault>) {
        read_by(LogColumns::default(), text.as_bytes())
    }

    #[test]
    fn a_log_is_read_in_every_encoding_that_a_console_may_export() {
        let text = format!("{HEADING}{ROWS}");
        for (encoding, bytes) in encoded(&text) {
            assert_eq!(read_by(LogColumns::default(), &bytes), (both(), None), "{encoding}");
        }
    }

    #[test]
    fn line_ends_headings_and_widths_are_taken_as_they_come() {
        for text in [
            format!("{HEADING}{ROWS}").replace("\r\n", "\n"),
            format!("{HEADING}{ROWS}").replace("\r\n", "\r"),
            format!("{HEADING}{ROWS}").replacen("\r\n", "\n", 2),
            format!("サーバ認証ログ,,,\n\n{HEADING}{ROWS}"),
            format!("{HEADING}{ROWS}").replace("認証に失敗", "認証に失敗").replace(':', "："),
            format!("{HEADING}{ROWS}").replace(WORD, "ＳＥＲＶＥＲ authentication FAILED"),
            // Two exports in one file, of which the second has its columns in another order.
            format!(
                "{HEADING}{}Endpoint,Date,Time,Message\n経理-01,2026-06-01,9:00:02,Server authentication failed\n",
                &ROWS[..ROWS.find("\r\n").expect("a row") + 2]
            ),
            format!("{HEADING}{ROWS}").replace(", 通知", " 通知").replace(',', "\t"),
        ] {
            assert_eq!(read(&text), (both(), None), "{text}");
        }
    }

    #[test]
    fn a_column_that_no_known_word_names_is_told_by_the_configuration() {
        let text = format!("発生,対象,ドメイン,内容\n{ROWS}");
        assert_eq!(read(&text), (Vec::new(), Some(LogFault::NoHeading)), "nothing is taken by guess");
        let words = LogColumns { client: named("対象"), time: named("発生"), failure: named("内容") };
        assert_eq!(read_by(words.clone(), text.as_bytes()), (both(), None));
        let number = |number| Some(ListColumn::Number(number));
        let mixed = LogColumns { client: number(2), ..words.clone() };
        assert_eq!(read_by(mixed, text.as_bytes()), (both(), None));
        let numbers = LogColumns { client: number(2), time: number(1), failure: number(4) };
        for text in [&text[..], ROWS, &format!("時,{WORD},x,{WORD}\n{ROWS}")] {
            assert_eq!(read_by(numbers.clone(), text.as_bytes()), (both(), None), "{text}");
        }
        assert_eq!(read_by(words, format!("{HEADING}{ROWS}").as_bytes()).1, Some(LogFault::NoHeading));
        let elsewhere = LogColumns { failure: named("ドメイン"), ..LogColumns::default() };
        assert_eq!(read_by(elsewhere, format!("{HEADING}{ROWS}").as_bytes()), (Vec::new(), None));
    }

    #[test]
    fn what_is_no_log_of_clients_is_never_one_without_failures() {
        for text in ["", "\r\n", "日時,内容\n2026/06/01 09:00:00,x\n", ROWS, "<html>\n</html>\n"] {
            assert_eq!(read(text), (Vec::new(), Some(LogFault::NoHeading)), "{text:?}");
        }
        assert_eq!(read(HEADING), (Vec::new(), None), "no entry");
    }

    #[test]
    fn a_failure_without_a_time_of_its_own_is_not_counted_and_told() {
        let text = format!("{HEADING}{ROWS}").replace("2026/06/01 09:00:00", "06/01/2026 9:00 AM");
        assert_eq!(read(&text), (both()[1..].to_vec(), Some(LogFault::NoTime)));
    }

    #[test]
    fn a_failure_without_a_name_of_a_client_is_one_of_somebody() {
        for name in ["-", "other", "Other", "unreadable"] {
            let (failures, fault) = read(&format!("{HEADING}2026/06/01 09:00:00,{name},x,{WORD}\n"));
            assert_eq!((failures, fault), (vec![failure("", "2026-06-01T00:00:00Z")], None), "{name}");
        }
        let (failures, _) = read(&format!("{HEADING}2026/06/01 09:00:00,other.example.com,x,{WORD}\n"));
        assert_eq!(failures, [failure("other.example.com", "2026-06-01T00:00:00Z")]);
    }

    #[test]
    fn a_log_whose_rows_lack_a_named_column_or_are_divided_otherwise_is_never_one_without_failures() {
        let told = |columns: &LogColumns, text: &str| {
            let (failures, fault) = read_by(columns.clone(), text.as_bytes());
            (failures, fault.map(LogFault::reason))
        };
        let number = |number| Some(ListColumn::Number(number));
        let numbers = LogColumns { client: number(2), time: number(1), failure: number(4) };
        let anywhere = LogColumns { failure: None, ..numbers.clone() };
        let heading = LogColumns { failure: named("内容"), ..LogColumns::default() };
        for text in [
            "ログ\n2026/06/01 09:00:00\tPC-0012\t本社\tサーバ認証に失敗, 破棄\n",
            "2026/06/01 09:00:00,PC-0012,本社\n",
            "日時,コンピュータ名\n",
            "2026/06/01 09:00:00;PC-0012;本社;サーバ認証に失敗\n",
            "<html>\n</html>\n",
        ] {
            assert_eq!(told(&numbers, text), (Vec::new(), Some("unknown_format")), "{text}");
        }
        assert_eq!(told(&anywhere, "<html>\n</html>\n"), (Vec::new(), Some("unknown_format")));
        let (short, title) = ("2026/06/01 09:00:03,PC-0014,本社\n", "合計 3 件\n");
        for (columns, before) in [(&numbers, ""), (&heading, HEADING)] {
            let text = format!("{before}{ROWS}");
            assert_eq!(told(columns, &format!("{text}{short}")), (both(), Some("unknown_format")), "{text}");
            assert_eq!(told(columns, &format!("{title}{text}{title}")), (both(), None), "{text}");
        }
        for columns in [&numbers, &anywhere] {
            for text in ["", "\n", "Export failed, access denied\n", "<p>a, b</p>, c, d\n", HEADING] {
                assert_eq!(
                    told(columns, text),
                    (Vec::new(), Some("unknown_format")),
                    "nothing says that it is a log: {text}"
                );
            }
            let harmless = ROWS.lines().nth(1).expect("a row");
            assert_eq!(told(columns, &format!("{harmless}\r\n")), (Vec::new(), None));
        }
    }

    #[test]
    fn a_message_with_what_divides_the_columns_hides_no_failure() {
        let heading = LogColumns { failure: named("内容"), ..LogColumns::default() };
        let number = |number| Some(ListColumn::Number(number));
        let numbers = LogColumns { client: number(2), time: number(1), failure: number(4) };
        for columns in [&heading, &numbers] {
            // A comma in full width divides nothing, and a quotation mark in full width begins nothing.
            for message in ["証明書が不正です，サーバ認証に失敗", "＂サーバ認証に失敗"] {
                let text = format!("{HEADING}{ROWS}").replacen("サーバ認証に失敗しました", message, 1);
                assert_eq!(read_by(columns.clone(), text.as_bytes()), (both(), None), "{message}");
            }
            let wider =
                format!("{HEADING}{ROWS}2026/06/01 09:00:03,PC-0014,本社,証明書が不正です,サーバ認証に失敗\r\n");
            assert_eq!(read_by(columns.clone(), wider.as_bytes()), (both(), Some(LogFault::Wider)));
        }
    }

    /// Whoever writes into two messages would hide what stands between them.
    #[test]
    fn a_quotation_mark_in_a_message_hides_no_row_without_a_word() {
        let hiding = "2026/06/01 09:00:03,PC-0014,本社,\"x\n2026/06/01 09:00:04,PC-0015,本社,サーバ認証に失敗\n\"\n";
        assert_eq!(read(&format!("{HEADING}{ROWS}{hiding}")).1, Some(LogFault::Swallowed));
        let in_two_lines = "2026/06/01 09:00:03,PC-0014,本社,\"更新\nしました, 1 件, 済\"\n";
        assert_eq!(read(&format!("{HEADING}{ROWS}{in_two_lines}")), (both(), None));
        // The mark is in the first cell of one row, and in the first of the next.
        let first = "\"2026/06/01 09:00:03,PC-0014,本社,x\n2026/06/01 09:00:04\",PC-0015,本社,サーバ認証に失敗\n";
        assert_eq!(read(&format!("{HEADING}{ROWS}{first}")).1, Some(LogFault::Swallowed));
    }

    #[test]
    fn a_log_in_two_encodings_or_with_bytes_of_none_is_never_one_without_failures() {
        let text = format!("{HEADING}{ROWS}");
        let of_shift_jis = |text: &str| SHIFT_JIS.encode(text).0.into_owned();
        let number = |number| Some(ListColumn::Number(number));
        let numbers = LogColumns { client: number(2), time: number(1), failure: None };
        for (bytes, is_read) in [
            ([text.as_bytes(), &of_shift_jis(ROWS)].concat(), [true, true]),
            ([&of_shift_jis(&text), ROWS.as_bytes()].concat(), [false, true]),
            ([&of_shift_jis(&text)[..], b"x\xff,y,z\n"].concat(), [false, false]),
            ([b"\xef\xbb\xbf", &of_shift_jis(&text)[..]].concat(), [false, false]),
            (ISO_2022_JP.encode(&format!("Date/Time,Endpoint,Message\n{ROWS}")).0.into_owned(), [false, false]),
        ] {
            for (columns, is_read) in [&LogColumns::default(), &numbers].into_iter().zip(is_read) {
                let (failures, fault) = read_by(columns.clone(), &bytes);
                assert_eq!(fault, Some(LogFault::Garbled), "{bytes:?}");
                assert_eq!(failures == both(), is_read, "{failures:?}");
                assert!(both().starts_with(&failures), "no name is another's: {failures:?}");
            }
        }
    }

    #[test]
    fn a_healthy_log_is_told_as_one_whatever_stands_around_its_entries() {
        let with_words = format!("検索条件: サーバ認証に失敗\r\n{HEADING}{ROWS}サーバ認証に失敗: 2 件\r\n");
        let received = "日時,コンピュータ名,内容,受信日時\n2026/06/01 09:00:00,PC-0012,サーバ認証に失敗,2026/06/01 09:10:00\n\
                        2026/06/01 09:00:02,経理-01,サーバ認証に失敗,2026/06/01 09:10:00\n\
                        2026/06/01 09:00:03,PC-0014,\"更新しました\n1 件\",2026/06/01 09:10:00\n";
        for text in [&with_words[..], received, &format!("{HEADING}{ROWS}合計,3\r\n")] {
            assert_eq!(read(text), (both(), None), "{text}");
        }
    }

    #[test]
    fn entries_below_a_heading_that_nobody_knows_or_within_a_cell_are_told() {
        let failure = LogColumns { failure: named("内容"), ..LogColumns::default() };
        let number = |number| Some(ListColumn::Number(number));
        let numbers = LogColumns { client: number(2), time: number(1), failure: number(4) };
        let unknown =
            format!("{HEADING}{ROWS}内容,発生,対象,ドメイン\r\nサーバ認証に失敗,2026/06/01 09:00:03,PC-0014,本社\r\n");
        assert_eq!(read_by(failure.clone(), unknown.as_bytes()).1, Some(LogFault::NoTime));
        let beyond = "2026/06/01 09:00:03,PC-0014,本社,証明書が不正です,サーバ認証に失敗\r\n";
        for text in [format!("{beyond}{ROWS}"), format!("{HEADING}{beyond}{ROWS}")] {
            assert_eq!(read_by(numbers.clone(), text.as_bytes()).1, Some(LogFault::Wider), "{text}");
        }
        let with_comma = format!("{}{ROWS}{beyond}", HEADING.replace("\r\n", ",\r\n"));
        assert_eq!(read_by(failure, with_comma.as_bytes()).1, Some(LogFault::Wider));
        for time in ["２０２６／０６／０１　０９：００：０４", "06/01/2026 9:00 AM", "\"2026/06/01 09:00:04\""]
        {
            let hidden = format!("2026/06/01 09:00:03,PC-0014,本社,\"x\n{time},PC-0015,本社,サーバ認証に失敗\n\"\n");
            let (_, fault) = read(&format!("{HEADING}{ROWS}{hidden}"));
            assert!(fault.is_some(), "{time}");
        }
    }

    /// A message may have whatever a program has written into it.
    #[test]
    fn a_character_that_nobody_knows_refuses_no_log() {
        for (from, to) in [("パターン", "\u{1b}[0mパターン"), ("パターン", "\u{fffd}パターン")] {
            assert_eq!(read(&format!("{HEADING}{ROWS}").replace(from, to)), (both(), None), "{to:?}");
        }
        let text = format!("{HEADING}{ROWS}");
        for bytes in [text.as_bytes(), &SHIFT_JIS.encode(&text).0] {
            let put_together = [bytes, b"\x1a"].concat();
            assert_eq!(read_by(LogColumns::default(), &put_together), (both(), None), "as `copy` has it");
        }
    }

    #[test]
    fn below_a_heading_that_lacks_the_column_of_failures_none_is_read_by_the_heading_before_it() {
        let columns = LogColumns { failure: named("内容"), ..LogColumns::default() };
        let second = |rows: &str| format!("{HEADING}{ROWS}コンピュータ名,ドメイン,日時,結果\r\n{rows}");
        for rows in ["", "PC-0014,本社,2026/06/01 09:00:03,サーバ認証に失敗\r\n"] {
            let told = read_by(columns.clone(), second(rows).as_bytes());
            assert_eq!(told, (both(), Some(LogFault::NoHeading)), "{rows}");
        }
        let number = |number| Some(ListColumn::Number(number));
        let mixed = LogColumns { client: number(3), time: number(1), failure: named("内容") };
        // The day and the time of day in two cells, what stands at an end, and an export without an entry behind it.
        let two = format!("日付,時刻,コンピュータ名,ドメイン,内容\r\n{}合計 3 件\r\n", ROWS.replace(" 09", ",09"));
        let (failures, fault) = read_by(mixed.clone(), two.as_bytes());
        assert_eq!((failures, fault), (both(), None));
        let twice = format!("{two}日付,時刻,コンピュータ名,ドメイン,内容\r\n");
        assert_eq!(read_by(mixed, twice.as_bytes()), (both(), None));
        let third = format!("{}{HEADING}2026/06/01 09:00:03,PC-0014,本社,x\r\n", second(""));
        assert_eq!(read_by(columns, third.as_bytes()), (both(), None), "nothing stood below the second");
    }

    #[test]
    fn a_failure_before_the_first_heading_is_told() {
        let (first, rest) = ROWS.split_at(ROWS.find("\r\n").expect("a row") + 2);
        assert_eq!(read(&format!("{first}{HEADING}{ROWS}")), (both(), Some(LogFault::NoHeading)));
        let harmless = rest.split_at(rest.find("\r\n").expect("a row") + 2).0;
        assert_eq!(read(&format!("{harmless}{HEADING}{ROWS}")), (both(), None));
    }

    #[test]
    fn a_first_row_with_a_failure_is_a_heading_only_where_a_word_stands_in_the_place_of_its_time() {
        let number = |number| Some(ListColumn::Number(number));
        let numbers = LogColumns { client: number(2), time: number(1), failure: None };
        for (time, fault) in
            [("06/01/2026 9:00 AM", Some(LogFault::NoTime)), ("", Some(LogFault::NoTime)), ("時", None)]
        {
            let text = format!("{time},PC-0014,x,{WORD}\n{ROWS}");
            assert_eq!(read_by(numbers.clone(), text.as_bytes()), (both(), fault), "{time}");
        }
    }

    #[test]
    fn a_log_that_is_cut_anywhere_names_no_other_client_and_says_so() {
        let text = format!("{HEADING}{ROWS}");
        for bytes in [text.as_bytes().to_vec(), SHIFT_JIS.encode(&text).0.into_owned()] {
            for end in 0..bytes.len() - 2 {
                let (failures, fault) = read_by(LogColumns::default(), &bytes[..end]);
                assert!(both().starts_with(&failures), "{end}: {failures:?}");
                let is_row_end = matches!(bytes[..end].last(), Some(b'\n' | b'\r'));
                assert!(fault.is_some() || is_row_end, "{end}");
            }
        }
    }

    #[test]
    fn a_quotation_mark_without_a_second_one_is_told() {
        let text = format!("{HEADING}{}\"x,y\n{}", &ROWS, "a,b,c\n".repeat(10_000));
        assert_eq!(read(&text), (both(), Some(LogFault::CutShort)));
        assert_eq!(read(&format!("{HEADING}{ROWS}\"x,y\n")), (both(), Some(LogFault::CutShort)));
    }

    #[test]
    fn a_row_is_the_same_wherever_it_stands() {
        let digests = |text: &str| {
            let log = reading(LogColumns::default()).read(text.as_bytes());
            log.failures.into_iter().map(|(digest, _)| digest).collect::<Vec<_>>()
        };
        let last = ROWS.rsplit("\r\n").nth(1).expect("a row");
        assert_eq!(digests(&format!("{HEADING}{last}\n")), digests(&format!("{HEADING}{ROWS}"))[1..]);
    }

    proptest! {
        #[test]
        fn a_damaged_log_tells_of_clients_that_stand_there_or_of_none(
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
            is_marked in any::<bool>(),
        ) {
            let text = format!("{HEADING}{ROWS}");
            let mut bytes = if is_marked { [b"\xef\xbb\xbf", text.as_bytes()].concat() } else { SHIFT_JIS.encode(&text).0.into_owned() };
            for (index, byte) in edits {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            let (failures, _) = read_by(LogColumns::default(), &bytes);
            let shown = narrowed(&platform::decoded(&bytes));
            for entry in failures {
                prop_assert!(entry.at.is_some());
                if let EntryKind::Failed(Sender::Client(name)) = entry.kind {
                    prop_assert!(shown.contains(name.as_str()), "{name} is not in {shown}");
                }
            }
        }
    }
}
