//! What an alert says: a line for each field in a mail, a cell for each in a row of an exported log.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use kagiban_agents::AlertFacts;

use crate::snapshot::Sender;
use crate::sources::text::{digest, narrowed};

/// One mail has one alert; who pastes them together sends no more than a page of them.
const MAX_IN_ONE_MAIL: usize = 1_000;
/// A header names several columns, and no other row does.
const COLUMNS_OF_A_HEADER: usize = 3;

/// The product is younger; what is before is no time, and an alert would be too old to be told.
const FIRST_YEAR: i16 = 2000;

/// One alert of interest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: EntryKind,
    /// None where its time cannot be read.
    pub(super) at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum EntryKind {
    /// A terminal that could not authenticate itself, or a client that could not authenticate its server.
    Failed(Sender),
    /// The folder of logs was touched without right, or seems so; on which machine, and whether it is the false alert of the notice there.
    Folder { machine: u64, is_false: bool },
}

/// How alerts are read.
#[derive(Clone, Debug)]
pub(super) struct AlertReading {
    pub(super) facts: AlertFacts,
    /// That of the host which has logged them.
    pub(super) zone: TimeZone,
    /// The [`machine`] on which an alert about the folder may be a false one.
    pub(super) false_on: Option<u64>,
}

/// A computer by its name, in whatever width and case it is written.
pub(super) fn machine(name: &str) -> u64 {
    digest(narrowed(name).trim().to_lowercase().as_str())
}

/// Where the columns of an exported log are, as far as a header tells.
#[derive(Debug, Default)]
pub(super) struct Columns {
    time: Option<usize>,
    computer: Option<usize>,
    account: Option<usize>,
}

impl AlertReading {
    /// What tells that a text is one of these alerts.
    pub(super) fn words(&self) -> Vec<&'static str> {
        let AlertFacts { fields, failed, sender, folder, .. } = self.facts;
        fields.iter().copied().chain([failed, sender, folder]).collect()
    }

    /// The alerts of a mail, in their order.
    pub(super) fn mail(&self, text: &str) -> Vec<Entry> {
        let text = narrowed(text);
        let (mut entries, mut fields, mut last) = (Vec::new(), BTreeMap::<&str, String>::new(), None);
        // Mails have the line ends of whoever handled them last.
        for line in text.split(['\n', '\r']).map(str::trim) {
            let is_rule = line.len() >= 4 && line.bytes().all(|byte| byte == b'-');
            let field = self.field(line);
            if is_rule || field.is_some_and(|(name, _)| fields.contains_key(name)) {
                entries.extend(self.entry_of(&std::mem::take(&mut fields)));
                last = None;
            }
            if entries.len() == MAX_IN_ONE_MAIL {
                return entries;
            }
            match (field, last) {
                _ if is_rule => {}
                (Some((name, value)), _) => {
                    fields.insert(name, value.to_owned());
                    last = Some(name);
                }
                (None, Some(name)) if !line.is_empty() => {
                    if let Some(value) = fields.get_mut(name) {
                        value.push_str(line);
                    }
                }
                (None, _) => {}
            }
        }
        entries.extend(self.entry_of(&fields));
        entries
    }

    /// The field that a line has, with its value.
    fn field<'a>(&self, line: &'a str) -> Option<(&'static str, &'a str)> {
        self.facts.fields.iter().find_map(|name| {
            let value = line.strip_prefix(*name)?.trim_start().strip_prefix(':')?;
            Some((*name, value.trim()))
        })
    }

    fn entry_of(&self, fields: &BTreeMap<&str, String>) -> Option<Entry> {
        let value = |name: &str| fields.get(name).map_or("", String::as_str);
        let AlertFacts { kind, detail, item, time, computer, account, .. } = self.facts;
        let has_failed = value(kind).trim() == self.facts.failed;
        let folder = || self.folder(machine(value(computer)), value(account));
        let kind = self.kind_of(has_failed, value(detail), value(item), folder)?;
        Some(Entry { kind, at: time_in(value(time), &self.zone) })
    }

    fn kind_of(
        &self,
        has_failed: bool,
        detail: &str,
        item: &str,
        folder: impl FnOnce() -> EntryKind,
    ) -> Option<EntryKind> {
        match self.sender(detail).filter(|_| has_failed) {
            Some(sender) => Some(EntryKind::Failed(sender)),
            None => item.contains(self.facts.folder).then(folder),
        }
    }

    /// The alert of a machine. It is no false one where nobody was logged on, whatever is configured: that changes by the hour.
    fn folder(&self, machine: u64, account: &str) -> EntryKind {
        let is_somebody = account.chars().any(char::is_alphanumeric);
        EntryKind::Folder { machine, is_false: self.false_on == Some(machine) && is_somebody }
    }

    /// Where a log's header is this row: which of its columns tells what.
    pub(super) fn header(&self, cells: &[&str]) -> Option<Columns> {
        let AlertFacts { fields, time, computer, account, shown_in, .. } = self.facts;
        let named = cells.iter().filter(|cell| fields.contains(&cell.trim()) || cell.trim() == shown_in).count();
        let of = |name: &str| cells.iter().position(|cell| cell.trim() == name);
        (named >= COLUMNS_OF_A_HEADER).then(|| Columns { time: of(time), computer: of(computer), account: of(account) })
    }

    /// The alert of a row, by the cells that tell it, wherever they stand: the notice does not say which columns an exported log has. The
    /// time is that of its column, else the first that stands there.
    pub(super) fn row(&self, columns: &Columns, cells: &[&str]) -> Option<Entry> {
        let with = |text: &str| cells.iter().find(|cell| cell.contains(text)).copied().unwrap_or_default();
        let at = |column: Option<usize>| cells.get(column?).copied();
        // Where no column names its machine, a row is that of one of its own.
        let folder = || {
            let machine = at(columns.computer).map_or_else(|| digest(cells), machine);
            self.folder(machine, at(columns.account).unwrap_or_default())
        };
        let has_failed = cells.iter().any(|cell| cell.contains(self.facts.failed));
        let kind = self.kind_of(has_failed, with(self.facts.sender), with(self.facts.folder), folder)?;
        let of_column = columns.time.and_then(|at| time_in(cells.get(at)?, &self.zone));
        let of_one_cell = || cells.iter().find_map(|cell| time_in(cell, &self.zone));
        let of_two_cells = || cells.windows(2).find_map(|pair| time_in(&pair.join(" "), &self.zone));
        Some(Entry { kind, at: of_column.or_else(of_one_cell).or_else(of_two_cells) })
    }

    /// The address in what is logged of a terminal that failed. None where it is no such text, or one that was cut.
    fn sender(&self, detail: &str) -> Option<Sender> {
        let (_, after) = detail.split_once(self.facts.sender)?;
        let (_, after) = after.split_once(self.facts.address)?;
        let (address, _) = after.split_once(']')?;
        // An IPv6 address may have the zone of the host that has logged it.
        let address = address.trim().split('%').next().unwrap_or_default();
        Some(address.parse().map_or(Sender::Unreadable, |address: IpAddr| Sender::Address(address.to_canonical())))
    }
}

/// YYYY/MM/DD hh:mm:ss, with other marks between the numbers of the day and fractions of a second where there are such.
pub(super) fn time_in(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let mut words = text.split([' ', '\t', 'T']).filter(|word| !word.is_empty());
    let (day, clock) = (words.next()?, words.next()?);
    let mut day = day.split(['/', '-']);
    let (year, month, date) = (day.next()?.parse().ok()?, day.next()?.parse().ok()?, day.next()?.parse().ok()?);
    let mut clock = clock.split(':');
    let (hour, minute) = (clock.next()?.parse().ok()?, clock.next()?.parse().ok()?);
    let second = clock.next().unwrap_or("0");
    let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
    let is_more = day.next().is_some() || clock.next().is_some() || words.next().is_some();
    if is_more || year < FIRST_YEAR || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let told = DateTime::new(year, month, date, hour, minute, second.parse().ok()?, 0).ok()?;
    Some(told.to_zoned(zone.clone()).ok()?.timestamp())
}

#[cfg(test)]
pub(super) mod tests {
    use kagiban_agents::Product;

    use super::*;

    /// As the notice has it, filled in.
    pub(in crate::sources::alerts) const MAIL: &str = "----------------------------------------------------\n\
        日時:2017/06/13 09:08:07\n端末機No.:0012\nコンピューター名:MASTER\nログオンアカウント:admin\nログオンユーザー名:管理者\n\
        ログカテゴリ:システム\nログ種別:認証失敗\nログ詳細:送信元端末 [IPアドレス:192.0.2.10]\n\
        アラート項目:SKYSEAセキュリティ通知/認証失敗\nアラート条件:\nアラート処理:メール\n\
        ----------------------------------------------------\n";

    pub(in crate::sources::alerts) fn reading() -> AlertReading {
        let facts = Product::Skysea.facts().alerts.expect("it is known by its alerts");
        AlertReading { facts, zone: TimeZone::get("Asia/Tokyo").expect("a zone"), false_on: Some(machine("Master")) }
    }

    pub(in crate::sources::alerts) fn failed(address: &str, at: Option<&str>) -> Entry {
        let sender = address.parse().map_or(Sender::Unreadable, Sender::Address);
        Entry { kind: EntryKind::Failed(sender), at: at.map(|at| at.parse().expect("a time")) }
    }

    const AT: Option<&str> = Some("2017-06-13T00:08:07Z");

    #[test]
    fn the_mail_of_the_notice_tells_the_terminal_that_failed_and_when_by_the_clock_of_the_host() {
        assert_eq!(reading().mail(MAIL), [failed("192.0.2.10", AT)]);
    }

    #[test]
    fn an_address_is_read_in_whatever_width_and_of_either_family() {
        for (written, address) in [
            ("送信元端末 [IPアドレス:2001:db8::1]", "2001:db8::1"),
            ("送信元端末［ＩＰアドレス：１９２．０．２．１０］", "192.0.2.10"),
            ("送信元端末 [IPアドレス: 192.0.2.10 ]", "192.0.2.10"),
            ("送信元端末 [IPアドレス:fe80::1%12]", "fe80::1"),
            ("送信元端末 [IPアドレス:::ffff:192.0.2.10]", "192.0.2.10"),
            ("送信元端末 [IPアドレス:***]", "***"),
            ("送信元端末 [IPアドレス:999.0.2.10]", "999.0.2.10"),
        ] {
            let mail = MAIL.replace("送信元端末 [IPアドレス:192.0.2.10]", written);
            assert_eq!(reading().mail(&mail), [failed(address, AT)], "{written}");
        }
    }

    #[test]
    fn colons_and_line_ends_are_taken_as_they_come() {
        for mail in [
            MAIL.replace(':', "："),
            MAIL.replace('\n', "\r\n"),
            MAIL.replace('\n', "\r"),
            MAIL.replacen('\n', "\r\n", 5),
            MAIL.replace("日時:", "　日時 ： "),
            MAIL.replace("[IPアドレス", "\n[IPアドレス"),
            MAIL.replace("----", ""),
        ] {
            assert_eq!(reading().mail(&mail), [failed("192.0.2.10", AT)], "{mail}");
        }
    }

    #[test]
    fn several_alerts_of_one_mail_are_several() {
        let other = MAIL.replace("192.0.2.10", "192.0.2.11").replace("----", "");
        let both = [failed("192.0.2.10", AT), failed("192.0.2.11", AT)];
        assert_eq!(reading().mail(&format!("{MAIL}{other}")), both);
        assert_eq!(reading().mail(&format!("{}{other}", MAIL.replace("----", ""))), both);
    }

    #[test]
    fn a_mail_without_all_that_makes_a_failed_authentication_is_none() {
        for (from, to) in [
            ("ログ種別:認証失敗", "ログ種別:ログオン"),
            ("ログ種別:認証失敗", "認証失敗"),
            ("送信元端末 [IPアドレス:192.0.2.10]", "端末 192.0.2.10"),
            ("192.0.2.10]\n", "192.0."),
        ] {
            assert_eq!(reading().mail(&MAIL.replace(from, to)), [], "{from} as {to}");
        }
        assert_eq!(reading().mail(""), []);
    }

    #[test]
    fn a_time_that_is_none_leaves_the_alert_without_one() {
        for time in [
            "2017/13/01 00:00:00",
            "YYYY/MM/DD hh:mm:ss",
            "",
            "2017/06/13",
            "192-0-2 9:08:07",
            "2017/06/13 9:08:07.x",
            "99999999999999999999/1/1 0:0:0",
        ] {
            let mail = MAIL.replace("2017/06/13 09:08:07", time);
            assert_eq!(reading().mail(&mail), [failed("192.0.2.10", None)], "{time}");
        }
    }

    #[test]
    fn the_alert_that_may_be_false_is_one_of_another_kind() {
        let mail = MAIL
            .replace("SKYSEAセキュリティ通知/認証失敗", "SKYSEAセキュリティ通知/ログ保存フォルダ不正アクセス")
            .replace("ログ種別:認証失敗", "ログ種別:ファイルアクセス");
        let at = AT.map(|at| at.parse().expect("a time"));
        let folder =
            |name: &str, is_false| [Entry { kind: EntryKind::Folder { machine: machine(name), is_false }, at }];
        assert_eq!(reading().mail(&mail), folder("MASTER", true));
        assert_eq!(reading().mail(&mail.replace("MASTER", "ＭＡＳＴＥＲ")), folder("MASTER", true));
        for (from, to, name) in [
            ("コンピューター名:MASTER", "コンピューター名:OTHER", "OTHER"),
            ("コンピューター名:MASTER", "コンピューター名:", ""),
            ("コンピューター名:MASTER\n", "", ""),
            ("ログオンアカウント:admin", "ログオンアカウント:", "MASTER"),
            ("ログオンアカウント:admin", "ログオンアカウント:-", "MASTER"),
            ("ログオンアカウント:admin\n", "", "MASTER"),
        ] {
            assert_eq!(reading().mail(&mail.replace(from, to)), folder(name, false), "{from} as {to}");
        }
        assert_eq!(AlertReading { false_on: None, ..reading() }.mail(&mail), folder("MASTER", false));
    }

    #[test]
    fn a_time_is_read_with_whatever_marks_it_is_written() {
        for time in [
            "2017-06-13 09:08:07",
            "2017/6/13 9:08:07.123",
            "2017-06-13T09:08:07.000000",
            "２０１７／０６／１３ ０９：０８：０７",
        ] {
            let mail = MAIL.replace("2017/06/13 09:08:07", time);
            assert_eq!(reading().mail(&mail), [failed("192.0.2.10", AT)], "{time}");
        }
    }
}
