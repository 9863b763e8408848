//! The list of the clients whose certificate is not the server's, as the server's own program has written it: CSV, of which no vendor has
//! published a column.
//!
//! ```text
//!   bytes ──decoded──> text ──separator──> rows ──configuration, heading, or the look of their cells──> the column of the names ──> count, names
//! ```
//!
//! What cannot be understood counts as a client without a name, and never as none: an empty list proves that every client came over, and one
//! without a name that its client did.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use crate::config::ListColumn;
use crate::platform;
use crate::snapshot::{ClientName, LackingClients};
use crate::sources::heading::{client_in, is_machine, plain};
use crate::sources::rows::{self, Endless, LastCell, Rows, is_blank};
use crate::sources::text::is_garbled;

/// More clients than any server has.
const MAX_ROWS: usize = 200_000;
/// Rows by which it is told which column has the names, where no heading tells it, and columns that are looked at.
const SAMPLE: usize = 100;
pub(super) const MAX_COLUMNS: usize = 32;

/// What other columns are called: by them a heading is known as one.
const OTHERS: [&str; 19] = [
    "domain",
    "fqdn",
    "group",
    "guid",
    "hostname",
    "ip",
    "ipaddress",
    "mac",
    "macaddress",
    "name",
    "platform",
    "status",
    "version",
    "ipアドレス",
    "macアドレス",
    "グループ",
    "ステータス",
    "ドメイン",
    "バージョン",
];
/// Those of all of them that a host may be called by: one of them alone does not tell a heading from a client.
const HOSTS_TOO: [&str; 18] = [
    "agent", "client", "computer", "device", "domain", "fqdn", "group", "guid", "host", "ip", "mac", "machine", "name",
    "pc", "platform", "status", "terminal", "version",
];

/// Why a file is no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoList {
    #[error(
        "it is empty; where your release writes nothing when every client has the certificate, say so by clients.list.emptyIsNone"
    )]
    Empty,
    #[error("it ends in the middle of a row: its program was stopped, or still writes")]
    CutShort,
    #[error(
        "it is no list of clients: it has one row, which is neither a heading that is known nor surely a client; look at what the program \
         writes, and where it is the heading of an empty list, name its word under clients.list.column"
    )]
    Unknown,
    #[error("it is in more than one encoding, or in none that is known; have its program write all of it in one")]
    Garbled,
    #[error("neither commas nor tabs divide all of its rows alike, and it has both; look at what the program writes")]
    Undivided,
    #[error(
        "a row stands within a cell of another one: a quotation mark at the beginning of a name or a comment hides the rows up to the next one; \
         have its program write them doubled, or take the mark away from the computer"
    )]
    Swallowed,
    #[error(
        "it has no column that is called, or as far to the right, as clients.list.column says; look at what the program writes"
    )]
    NoColumn,
    #[error("it has more than {MAX_ROWS} rows")]
    TooMany,
}

impl NoList {
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::CutShort => "cut_short",
            Self::Garbled | Self::Undivided | Self::Swallowed | Self::Unknown | Self::NoColumn => "unknown_format",
            Self::TooMany => "too_large",
        }
    }
}

/// The clients of a list, of which at most `most` are named.
///
/// # Errors
/// See [`NoList`].
pub(super) fn read(bytes: &[u8], most: usize, configured: Option<&ListColumn>) -> Result<LackingClients, NoList> {
    let text = platform::decoded(bytes);
    if text.trim().is_empty() {
        return Err(NoList::Empty);
    }
    // What comes of a character, or half of one, that was cut.
    if text.ends_with('\u{fffd}') {
        return Err(NoList::CutShort);
    }
    if is_garbled(bytes, &text) {
        return Err(NoList::Garbled);
    }
    let divided = Rows::of(&text).ok_or(NoList::Undivided)?;
    let shape = shape(&text, divided, configured)?;
    let (mut seen, mut listed, hasher) = (HashSet::new(), Named::up_to(most), RandomState::new());
    let mut is_heading = shape.heading.is_some();
    let _ = rows::each(&text, divided, |cells| {
        if is_blank(cells) || std::mem::take(&mut is_heading) {
            return;
        }
        // A row that stands there twice is one client.
        if seen.insert(hasher.hash_one(cells)) {
            listed.take(shape.names.index().and_then(|at| cells.get(at)).copied());
        }
    });
    let is_told = shape.heading == Some(Words::Sure);
    if shape.heading.is_some() && !is_told && listed.count == 0 {
        return Err(NoList::Unknown);
    }
    let is_complete = !listed.is_cut
        && match shape.names {
            Names::Told(_) if is_told => listed.blank == 0,
            // The configuration's number alone: rows that are none of clients may be a message.
            Names::Told(_) => listed.nameless == 0 && listed.count > 1,
            // Words of a message look like names.
            Names::OnlyColumn | Names::Guessed(_) => false,
            Names::Unknown => is_told && listed.count == 0,
        };
    Ok(LackingClients {
        count: listed.count,
        named: listed.names,
        others: Vec::new(),
        nameless: listed.nameless,
        is_column_unknown: matches!(shape.names, Names::Unknown),
        is_complete,
    })
}

/// Whether a configured word can be one of a heading.
pub(super) fn is_word(word: &str) -> bool {
    !plain(word).is_empty()
}

/// How the rows are to be read.
struct Shape {
    /// Of the first row, where that is one.
    heading: Option<Words>,
    names: Names,
}

/// By what a row is taken for a heading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    /// Its words, or the configuration's.
    Sure,
    /// A word that a host may be called by, or that no host can be called so.
    Guessed,
}

/// Which column has the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// By the heading or the configuration.
    Told(usize),
    /// There is no other one.
    OnlyColumn,
    /// No other one could have them.
    Guessed(usize),
    Unknown,
}

impl Names {
    const fn index(self) -> Option<usize> {
        match self {
            Self::Told(at) | Self::Guessed(at) => Some(at),
            Self::OnlyColumn => Some(0),
            Self::Unknown => None,
        }
    }
}

/// The clients so far.
struct Named {
    count: usize,
    names: Vec<ClientName>,
    taken: HashSet<ClientName>,
    most: usize,
    /// A name was left out for want of room.
    is_cut: bool,
    /// Rows without a name that a host can have.
    nameless: usize,
    /// Those of them that have nothing in its place: whoever they are may be anybody.
    blank: usize,
}

impl Named {
    fn up_to(most: usize) -> Self {
        Self { count: 0, names: Vec::new(), taken: HashSet::new(), most, is_cut: false, nameless: 0, blank: 0 }
    }

    /// Two clients of one name are two, and named once.
    fn take(&mut self, cell: Option<&str>) {
        self.count += 1;
        let Some(name) = cell.and_then(client_in) else {
            self.nameless += 1;
            self.blank += usize::from(cell.is_none_or(|cell| cell.trim().is_empty()));
            return;
        };
        if self.taken.contains(&name) {
            return;
        }
        if self.names.len() == self.most {
            self.is_cut = true;
            return;
        }
        self.taken.insert(name.clone());
        self.names.push(name);
    }
}

/// What a look at all rows tells of them.
fn shape(text: &str, divided: Rows, configured: Option<&ListColumn>) -> Result<Shape, NoList> {
    let (mut count, mut first, mut widest, mut narrowest, mut hidden) = (0, Vec::new(), 0, usize::MAX, 0);
    let mut columns: Vec<Column> = Vec::new();
    let read = rows::each(text, divided, |cells| {
        if is_blank(cells) {
            return;
        }
        widest = widest.max(cells.len());
        narrowest = narrowest.min(cells.len());
        hidden = rows::hidden(cells, divided.separator).iter().map(|(_, row)| row.len()).fold(hidden, usize::max);
        if count == 0 {
            first = cells.iter().take(MAX_COLUMNS).map(|&cell| cell.to_owned()).collect();
        } else if count <= SAMPLE {
            columns.resize_with(columns.len().max(cells.len().min(MAX_COLUMNS)), Column::default);
            columns.iter_mut().zip(cells).for_each(|(column, cell)| column.note(cell));
        }
        count += 1;
    });
    match read {
        Err(Endless) | Ok(LastCell::Open) => return Err(NoList::CutShort),
        // As many cells as a row has, which may be the one that hides it.
        Ok(LastCell::Closed) if hidden > 0 && hidden >= narrowest => return Err(NoList::Swallowed),
        Ok(LastCell::Closed) if count > MAX_ROWS => return Err(NoList::TooMany),
        Ok(LastCell::Closed) => {}
    }
    // Half a name may be that of another client.
    if count > 1 && !text.ends_with(['\n', '\r']) {
        return Err(NoList::CutShort);
    }
    let known = Heading::of(&first);
    let told = known.as_ref().and_then(|known| known.names);
    let heading = match &known {
        Some(known) if known.is_sure => Some(Words::Sure),
        Some(_) => Some(Words::Guessed),
        None => first.iter().all(|cell| client_in(cell).is_none()).then_some(Words::Guessed),
    };
    match configured {
        Some(ListColumn::Heading(word)) => {
            let at = first.iter().position(|cell| plain(cell) == plain(word)).ok_or(NoList::NoColumn)?;
            return Ok(Shape { heading: Some(Words::Sure), names: Names::Told(at) });
        }
        Some(ListColumn::Number(number)) => {
            let at = number.saturating_sub(1);
            // Each of its clients would have no name.
            return if at < widest { Ok(Shape { heading, names: Names::Told(at) }) } else { Err(NoList::NoColumn) };
        }
        None => {}
    }
    let mut rows = count.min(SAMPLE + 1);
    if heading.is_none() {
        columns.resize_with(columns.len().max(first.len()), Column::default);
        columns.iter_mut().zip(&first).for_each(|(column, cell)| column.note(cell));
    } else {
        rows = rows.saturating_sub(1);
    }
    let names = match (told, heading) {
        (Some(at), Some(Words::Sure)) => Names::Told(at),
        (Some(at), _) => Names::Guessed(at),
        // A word alone may be a message.
        (None, _) if rows < 2 => Names::Unknown,
        (None, _) if widest == 1 => Names::OnlyColumn,
        (None, _) => only_one(&columns, rows).map_or(Names::Unknown, Names::Guessed),
    };
    Ok(Shape { heading, names })
}

/// What the cells of a column are, in the first rows.
#[derive(Default)]
struct Column {
    names: HashSet<String>,
    addresses: HashSet<String>,
}

impl Column {
    fn note(&mut self, cell: &str) {
        match client_in(cell) {
            Some(name) if is_address(&name) => _ = self.addresses.insert(name.as_str().to_owned()),
            Some(name) if !is_identifier(&name) => _ = self.names.insert(name.as_str().to_ascii_lowercase()),
            Some(_) | None => {}
        }
    }
}

/// The one that alone has names, else the one that alone has addresses. Clients differ by theirs, and share domains: it has another one in
/// each row.
fn only_one(columns: &[Column], rows: usize) -> Option<usize> {
    let of = |number: fn(&Column) -> usize| {
        let mut with =
            columns.iter().enumerate().map(|(at, column)| (at, number(column))).filter(|(_, number)| *number > 0);
        (with.next(), with.next())
    };
    let names = of(|column| column.names.len());
    let found = if names.0.is_some() { names } else { of(|column| column.addresses.len()) };
    match found {
        (Some((at, number)), None) if number == rows => Some(at),
        _ => None,
    }
}

/// A first row with words that name columns.
struct Heading {
    /// The column with the names, where the words tell it.
    names: Option<usize>,
    /// It is no client: two of its words name columns, or one that no host is called by.
    is_sure: bool,
}

impl Heading {
    /// None where no word of it is known, and where it has an address: then it may be a client.
    fn of(cells: &[String]) -> Option<Self> {
        if cells.iter().any(|cell| cell.trim().parse::<IpAddr>().is_ok()) {
            return None;
        }
        let cells: Vec<String> = cells.iter().map(|cell| plain(cell)).collect();
        let known: Vec<_> = cells.iter().filter(|cell| is_machine(cell) || OTHERS.contains(&cell.as_str())).collect();
        let called = |word: &str| cells.iter().position(|cell| cell == word);
        let machine = cells.iter().position(|cell| is_machine(cell));
        let names = machine.or_else(|| called("hostname")).or_else(|| called("name")).or_else(|| called("fqdn"));
        let is_sure = known.len() > 1 || known.iter().any(|word| !HOSTS_TOO.contains(&word.as_str()));
        (!known.is_empty()).then_some(Self { names, is_sure })
    }
}

fn is_address(name: &ClientName) -> bool {
    name.as_str().parse::<IpAddr>().is_ok()
}

/// A number, a version, or what looks like a GUID or the address of a network card: nobody calls a host so.
fn is_identifier(name: &ClientName) -> bool {
    let text = name.as_str();
    let is_hex = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b".-".contains(&byte));
    !is_address(name) && (is_number || text.split('-').count() >= 5 && text.split('-').all(is_hex))
}

#[cfg(test)]
mod tests {
    use encoding_rs::SHIFT_JIS;
    use proptest::prelude::*;

    use super::*;
    use crate::sources::text::testing::encoded;

    fn listed(bytes: &[u8]) -> Result<(usize, Vec<String>), NoList> {
        read(bytes, 100, None).map(|list| (list.count, list.named.iter().map(ToString::to_string).collect()))
    }

    fn names(text: &str) -> Vec<String> {
        let (count, names) = listed(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(count, names.len(), "{text:?}");
        names
    }

    #[test]
    fn a_list_is_read_in_every_encoding_that_its_program_may_write() {
        let text = "コンピュータ名,ドメイン,IPアドレス\r\n経理-01,本社,192.0.2.1\r\nPC-02,本社,192.0.2.2\r\n";
        for (encoding, bytes) in encoded(text) {
            assert_eq!(listed(&bytes), Ok((2, vec!["経理-01".to_owned(), "PC-02".to_owned()])), "{encoding}");
        }
    }

    #[test]
    fn the_names_are_found_with_a_heading_or_without_and_in_whichever_column() {
        for (text, expected) in [
            ("Endpoint\r\nPC-01\r\nPC-02\r\n", &["PC-01", "PC-02"][..]),
            ("Domain,Endpoint Name,IP Address\nWG,PC-01,192.0.2.1\nWG,PC-02,192.0.2.2\n", &["PC-01", "PC-02"]),
            ("\"ＩＰ　アドレス\",\"エンドポイント\"\n\"192.0.2.1\",\"PC-01\"\n", &["PC-01"]),
            ("IP address\tComputer\n192.0.2.1\tPC-01\n", &["PC-01"]),
            // Without a heading.
            ("PC-01\nPC-02\n", &["PC-01", "PC-02"]),
            ("PC-01,192.0.2.1\nPC-02,192.0.2.2\n", &["PC-01", "PC-02"]),
            (
                "3f2504e0-4f89-11d3-9a0c-0305e82c3301,14.0,PC-01\n8f2504e0-4f89-11d3-9a0c-0305e82c3301,14.0,PC-02\n",
                &["PC-01", "PC-02"],
            ),
            ("192.0.2.1\n192.0.2.2\n", &["192.0.2.1", "192.0.2.2"]),
            ("WG\\PC-01\r\n\r\nWG\\PC-02\r\r\n", &["PC-01", "PC-02"]),
            // Of a heading that is not known.
            ("What it is,Where it is\nPC-01,192.0.2.1\nPC-02,192.0.2.2\n", &["PC-01", "PC-02"]),
            // A client may be called as a column is.
            ("client,192.0.2.1\nPC-02,192.0.2.2\n", &["client", "PC-02"]),
        ] {
            assert_eq!(names(text), expected, "{text:?}");
        }
    }

    fn read_by(text: &str, column: Option<&ListColumn>) -> Result<LackingClients, NoList> {
        read(text.as_bytes(), 100, column)
    }

    /// A list of the same columns that has become shorter would have others in their place, and its clients would be taken for repaired.
    #[test]
    fn where_more_columns_than_one_could_have_the_names_none_is_named_unless_the_configuration_tells_which() {
        let lists = [
            "WG,192.0.2.1,PC-01\nWG,192.0.2.2,PC-02\n",
            "WG,192.0.2.1,PC-01\n",
            "WG,192.0.2.1\nWG,192.0.2.2\n",
            "PC-01\n",
            "ERROR\n",
        ];
        for text in lists {
            let list = read_by(text, None).expect("a list");
            let rows = text.lines().count();
            assert_eq!((list.count, list.nameless, list.named.len()), (rows, rows, 0), "{text:?}");
            assert!(list.is_column_unknown && !list.is_complete, "{text:?}");
        }
        let third = ListColumn::Number(3);
        for (text, names, is_complete) in
            [(lists[0], &["PC-01", "PC-02"][..], true), (lists[1], &["PC-01"], false), ("a,b,c\n1,2\n", &["c"], false)]
        {
            let list = read_by(text, Some(&third)).expect("a list");
            let named: Vec<_> = list.named.iter().map(ClientName::as_str).collect();
            assert_eq!((&named[..], list.is_complete, list.is_column_unknown), (names, is_complete, false), "{text:?}");
        }
        for text in &lists[2..] {
            assert_eq!(read_by(text, Some(&third)).err(), Some(NoList::NoColumn), "no row has it: {text:?}");
        }
        let word = ListColumn::Heading("Kanri name".to_owned());
        for (text, expected) in [
            ("No,KANRI_NAME\n1,PC-01\n", Ok((1, 1, true))),
            ("No,Kanri Name\n", Ok((0, 0, true))),
            ("1,PC-01\n", Err(NoList::NoColumn)),
            ("ERROR\n", Err(NoList::NoColumn)),
        ] {
            let told = read_by(text, Some(&word)).map(|list| (list.count, list.named.len(), list.is_complete));
            assert_eq!(told, expected, "{text:?}");
        }
    }

    /// What a computer calls itself, or a comment of it, begins with one, and the server's program does not double it.
    #[test]
    fn a_quotation_mark_hides_no_client_without_a_word() {
        for text in [
            "Endpoint,Comment\nPC-01,\"a\nPC-02,b\nPC-03,c\"\n",
            "Endpoint,Comment\n\"PC-01,a\nPC-02\",b\n",
            "Comment,Endpoint\n\"a,PC-01\nb\",PC-02\n",
            // The heading has more cells than the rows, or another row has a comment of two lines.
            "Endpoint,IP,Comment,\nPC-01,192.0.2.1,\"x\nPC-02,192.0.2.2,y\nPC-03,192.0.2.3,z\"\nPC-04,192.0.2.4,w\n",
            "Endpoint,Comment,IP\nPC-01,\"x,192.0.2.1\nPC-02,\"a\nb\",192.0.2.2\nPC-03,c,192.0.2.3\n",
            "Endpoint\n\"PC-01\r\nPC-02\"\n",
            "Endpoint\n\"PC-01\rPC-02\"\n",
        ] {
            assert_eq!(read_by(text, None).err(), Some(NoList::Swallowed), "{text:?}");
        }
        let in_two_lines = "Endpoint,Comment\nPC-01,\"a\nb\"\nPC-02,c\n";
        assert_eq!(read_by(in_two_lines, None).map(|list| list.count).ok(), Some(2));
    }

    /// Else a client that was tried would count as repaired.
    #[test]
    fn a_list_is_complete_only_where_it_is_known_which_names_it_has() {
        for (text, is_complete) in [
            ("Endpoint\nPC-01\n", true),
            ("Endpoint\n", true),
            ("Domain,Computer\nWG,PC-01\n", true),
            // Words of a message look like names.
            ("PC-01\nPC-02\n", false),
            ("Done\nSuccess\nCompleted\n", false),
            ("エラー\n証明書がありません\n", false),
            ("PC-01,192.0.2.1\nPC-02,192.0.2.2\n", false),
            // A client may be called so.
            ("PC\nPC-02\nPC-03\n", false),
            // Whoever it is has no name in its place; of what no host is called it is known who it is not.
            ("Endpoint,IP address\nPC-01,192.0.2.1\n,192.0.2.2\n", false),
            ("Endpoint,IP address\nPC-01,192.0.2.1\nthe one below,192.0.2.2\n", true),
            ("It has failed.\nPC-01\nPC-02 or so\n", false),
        ] {
            assert_eq!(read_by(text, None).map(|list| list.is_complete), Ok(is_complete), "{text:?}");
        }
        let cut =
            |most| read(b"Endpoint\nPC-01\nPC-01\nPC-02\n", most, None).map(|list| (list.is_complete, list.nameless));
        assert_eq!((cut(1), cut(2)), (Ok((false, 0)), Ok((true, 0))));
    }

    #[test]
    fn a_client_that_is_called_as_a_column_is_and_stands_alone_is_no_heading() {
        for only in ["PC\n", "CLIENT\n", "Host", "TERMINAL,WG\n", "STATUS\n"] {
            assert_eq!(read_by(only, None).map(|list| list.count), Err(NoList::Unknown), "{only:?}");
        }
        let told = ListColumn::Heading("Computer".to_owned());
        assert_eq!(read_by("Computer\n", Some(&told)).map(|list| (list.count, list.is_complete)), Ok((0, true)));
    }

    #[test]
    fn a_list_with_a_heading_alone_is_that_of_no_client_and_an_empty_file_is_told_as_one() {
        for none in ["Endpoint\r\n", "Endpoint,IP address\n", "コンピュータ名", "\u{feff}端末,ドメイン\r\n\r\n"]
        {
            assert_eq!(listed(none.as_bytes()), Ok((0, Vec::new())), "{none:?}");
        }
        for empty in ["", "\u{feff}", "\r\n", " \n"] {
            assert_eq!(listed(empty.as_bytes()), Err(NoList::Empty), "{empty:?}");
        }
    }

    /// The names would be in another column, or in none.
    #[test]
    fn rows_are_divided_by_what_divides_all_of_them_alike() {
        for (text, expected) in [
            ("Endpoint\tSite\nPC-01\tTokyo, Japan\nPC-02\tOsaka\n", &["PC-01", "PC-02"][..]),
            ("Endpoint,Site\nPC-01,Tokyo\tJapan\nPC-02,Osaka\n", &["PC-01", "PC-02"]),
            ("Site\tEndpoint\nTokyo, Japan\tPC-01\nOsaka, Japan\tPC-02\n", &["PC-01", "PC-02"]),
            ("Endpoint\tSite\tNote\nPC-01\tTokyo, Japan\ta, b, c\n", &["PC-01"]),
            // Each has one cell less.
            ("Endpoint,Site,Note\nPC-01,Tokyo\nPC-02\n", &["PC-01", "PC-02"]),
        ] {
            assert_eq!(names(text), expected, "{text:?}");
        }
        for text in ["Endpoint\tSite, Note\nPC-01\n", "Endpoint,Site\nPC-01\tTokyo\n", "a, b\nc\td\n"] {
            assert_eq!(read_by(text, None).map(|list| list.count), Err(NoList::Undivided), "{text:?}");
        }
        assert_eq!(NoList::Undivided.reason(), "unknown_format");
    }

    /// A client of the rows that cannot be read would count as repaired.
    #[test]
    fn a_list_in_more_than_one_encoding_is_refused() {
        let cp932 = |text: &str| SHIFT_JIS.encode(text).0.into_owned();
        let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let utf_8 = |text: &str| text.as_bytes().to_vec();
        for (name, bytes) in [
            ("UTF-8, then CP932", [utf_8("端末,場所\r\nPC-01,本社\r\n"), cp932("PC-02,本社\r\n")].concat()),
            ("CP932, then UTF-8", [cp932("端末,場所\r\nPC-01,本社\r\n"), utf_8("経理-02,本社\r\n")].concat()),
            ("UTF-16, then ASCII", [utf_16("Endpoint\r\nPC-01\r\n"), utf_8("PC-02\r\nPC-03\r\n")].concat()),
            ("with a mark, then ASCII", [utf_16("\u{feff}Endpoint\r\nPC-01\r\n"), utf_8("PC-2\r\n")].concat()),
            ("ASCII, then UTF-16", [utf_8("Endpoint\r\nPC-1\r\n"), utf_16("PC-02\r\n")].concat()),
            ("none", b"Endpoint\r\nPC-01\r\n\xff\xfd\r\n".to_vec()),
        ] {
            assert_eq!(listed(&bytes).map_err(NoList::reason), Err("unknown_format"), "{name}");
        }
        let kana = cp932("端末,場所\r\nPC-01,ﾎﾝｼｬ\r\nPC-02,ｼｮｳｶﾞｲ\r\n");
        assert_eq!(listed(&kana).map(|(count, _)| count), Ok(2));
    }

    /// An empty list is a proof: no failure may be taken for one.
    #[test]
    fn what_is_no_list_is_never_the_list_of_no_client() {
        for other in ["The database cannot be reached.", "エラーが発生しました: 12\r\n"] {
            assert_eq!(listed(other.as_bytes()), Err(NoList::Unknown), "{other:?}");
        }
        assert_eq!(listed(b"\0\0\0"), Err(NoList::Garbled));
        assert_eq!(listed(b"ERROR\n"), Ok((1, Vec::new())));
        assert_eq!(listed("The database cannot be reached.\nCode 12\n".as_bytes()).map(|(count, _)| count), Ok(1));
    }

    #[test]
    fn a_list_that_was_cut_is_refused_where_that_can_be_told() {
        let text = "Endpoint,Domain\r\nPC-01,\"a,b\"\r\n経理,本社\r\n";
        let utf_16: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        for cut in [
            &utf_16[..utf_16.len() - 1],
            &text.as_bytes()[..text.len() - 3],
            b"Endpoint,Domain\nPC-01",
            b"Endpoint\n\"PC-0",
            b"Endpoint\r\nPC-0",
            b"Endpoint,IP address\nPC-01,192.0",
            b"Endpoint,Domain\nPC-01,",
        ] {
            assert_eq!(listed(cut), Err(NoList::CutShort), "{cut:?}");
        }
    }

    #[test]
    fn a_client_is_counted_once_for_each_row_that_differs_and_named_once() {
        let (count, named) =
            listed(b"Endpoint,GUID\nPC-01,1\nPC-01,1\nPC-01,2\nno name of a host,3\n").expect("a list");
        assert_eq!((count, named), (3, vec!["PC-01".to_owned()]));
        let (count, named) = listed(b"Endpoint\nPC-01\npc-01\nPc-02\n").expect("a list");
        assert_eq!((count, named), (3, vec!["PC-01".to_owned(), "Pc-02".to_owned()]));
        let list = read_by("Endpoint\nPC-01\nno name of a host\n\"\"\n", None).expect("a list");
        assert_eq!((list.count, list.nameless), (2, 1), "an empty row is none");
    }

    #[test]
    fn a_long_list_is_counted_whole_and_named_in_part_and_one_without_an_end_is_refused() {
        let rows = |number: usize| (0..number).map(|at| format!("PC-{at}\n")).collect::<String>();
        let list = read(rows(MAX_ROWS).as_bytes(), 100, None).expect("a list");
        assert_eq!((list.count, list.named.len(), list.left_out()), (MAX_ROWS, 100, MAX_ROWS - 100));
        assert_eq!(read(rows(MAX_ROWS + 1).as_bytes(), 100, None), Err(NoList::TooMany));
        assert_eq!(read(rows(3).as_bytes(), 0, None).map(|list| list.left_out()), Ok(3));
        assert_eq!(read(format!("a\n\"{}", rows(10_000)).as_bytes(), 100, None), Err(NoList::CutShort));
        // A wide row, and one with a long cell.
        assert_eq!(
            read(format!("PC-01{}\n", ",x".repeat(100_000)).as_bytes(), 100, None).map(|list| list.count),
            Ok(1)
        );
        assert_eq!(read(format!("PC-01,{}\n", "x".repeat(10_000)).as_bytes(), 100, None).map(|list| list.count), Ok(1));
    }

    proptest! {
        #[test]
        fn no_file_is_too_strange_to_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..200), most in 0_usize..4) {
            if let Ok(list) = read(&bytes, most, None) {
                prop_assert!(list.named.len() <= most.min(list.count));
                prop_assert!(list.nameless <= list.count && (list.is_complete || list.count > 0));
            }
        }

        #[test]
        fn every_client_of_a_list_is_named(names in proptest::collection::hash_set("[A-Z]{3}-[0-9]{2,5}", 1..50), heading in any::<bool>()) {
            prop_assume!(heading || names.len() > 1);
            let head = if heading { "Endpoint,Version\r\n" } else { "" };
            let text: String = names.iter().map(|name| format!("{name},14.0\r\n")).collect();
            let list = read(format!("{head}{text}").as_bytes(), 100, None).expect("a list");
            let named: HashSet<_> = list.named.iter().map(ToString::to_string).collect();
            prop_assert_eq!((list.count, named), (names.len(), names));
        }
    }
}
