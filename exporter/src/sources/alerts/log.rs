//! The rows of an exported log: CSV.

use kagiban_agents::AlertFacts;

use super::client_log::LogFault;
use super::entry::{AlertReading, Columns, Entry};
use crate::sources::rows::{self, Rows};
use crate::sources::text::{decoded, digest, is_mixed, is_of_no_encoding, is_utf_16, narrowed};

/// The alerts of the end of a log, in their order, each with the digest of its row: wherever the row comes to stand, it is the same. And why there
/// may be alerts in other rows. The first and the last row may be cut: the log may be written to.
pub(super) fn read(log: &[u8], is_whole: bool, reading: &AlertReading) -> (Vec<(u64, Entry)>, Option<LogFault>) {
    let text = decoded(log, None, &reading.words());
    let read = rows(&text, true, reading).or_else(|| rows(&text, false, reading));
    let (entries, hides) = read.unwrap_or_default();
    let is_garbled = is_in_other_encodings(log, is_whole, &text);
    let fault = is_garbled.then_some(LogFault::Garbled).or(hides.then_some(LogFault::Swallowed));
    (entries, fault)
}

fn is_in_other_encodings(log: &[u8], is_whole: bool, text: &str) -> bool {
    let is_end = |byte: &u8| *byte == b'\n';
    let start = if is_whole { 0 } else { log.iter().position(is_end).map_or(log.len(), |at| at + 1) };
    let end = log.iter().rposition(is_end).map_or(start, |at| at + 1);
    let rows = log.get(start..end).unwrap_or_default();
    // What has few zeros is no UTF-16, or not all of it.
    let zeros = log.iter().filter(|byte| **byte == 0).count();
    let is_in_part = zeros > 0 && zeros < log.len() / 8;
    // Where nothing happened no word says which encoding it is, and the text may be of another one.
    let is_damaged = || text.contains('\u{fffd}') && is_of_no_encoding(rows);
    is_in_part || !is_utf_16(log) && (is_mixed(rows) || is_damaged())
}

/// The alerts, and whether a row hides one within a cell. None where a quotation mark has no second one, unless it is near the end: the log may be
/// written to.
fn rows(text: &str, quoted: bool, reading: &AlertReading) -> Option<(Vec<(u64, Entry)>, bool)> {
    let AlertFacts { failed, sender, .. } = reading.facts;
    // What stands behind the cell is of the row that hides it.
    let is_failure = |(own, row): &(usize, Vec<&str>)| {
        *own > 1 && row.iter().take(*own).any(|cell| cell.contains(failed) || cell.contains(sender))
    };
    let (mut entries, mut columns, mut hides) = (Vec::new(), Columns::default(), false);
    let divided = Rows { quoted, ..Rows::default() };
    let read = rows::each(text, divided, |cells| {
        hides |= rows::hidden(cells, divided.separator).iter().any(is_failure);
        // Not before they are divided: a mark in full width is one of a message.
        let narrow: Vec<_> = cells.iter().map(|cell| narrowed(cell)).collect();
        let cells: &[&str] = &narrow.iter().map(String::as_str).collect::<Vec<_>>();
        match reading.header(cells) {
            Some(header) => columns = header,
            None => entries.extend(reading.row(&columns, cells).map(|entry| (digest(cells), entry))),
        }
    });
    read.is_ok().then_some((entries, hides))
}

#[cfg(test)]
mod tests {
    use encoding_rs::{EUC_JP, ISO_2022_JP, SHIFT_JIS, UTF_8};

    use super::super::entry::tests::{failed, reading};
    use super::super::entry::{EntryKind, machine};
    use super::*;

    /// What the rows tell.
    fn entries(log: &[u8], reading: &AlertReading) -> Vec<Entry> {
        read(log, true, reading).0.into_iter().map(|(_, entry)| entry).collect()
    }

    fn fault(log: &[u8], is_whole: bool, reading: &AlertReading) -> Option<LogFault> {
        read(log, is_whole, reading).1
    }

    const AT: Option<&str> = Some("2017-06-13T00:08:07Z");
    const HEADER: &str = "端末機No.,日時,ログ種別,ログ詳細,アラート項目\r\n";
    const ROW: &str =
        "12,2017/06/13 09:08:07,認証失敗,\"送信元端末 [IPアドレス:192.0.2.10]\",SKYSEAセキュリティ通知/認証失敗\r\n";

    /// A task appends to what another program has written.
    #[test]
    fn a_log_in_two_encodings_or_with_bytes_of_none_is_told() {
        let in_shift_jis = |text: &str| SHIFT_JIS.encode(text).0.into_owned();
        let whole = format!("{HEADER}{ROW}");
        let (utf_8, cp932) = (whole.as_bytes(), &in_shift_jis(&whole)[..]);
        for log in [
            [utf_8, cp932].concat(),
            [cp932, utf_8].concat(),
            [b"\xef\xbb\xbf", cp932].concat(),
            [cp932, b"\xff\x80,x\n", cp932].concat(),
        ] {
            assert_eq!(fault(&log, true, &reading()), Some(LogFault::Garbled), "{log:?}");
        }
        // The end of one, of which the first row is cut, that is being written to.
        for log in [utf_8, cp932] {
            for (from, to) in (0..12).flat_map(|from| (1..12).map(move |less| (from, 3 * log.len() - less))) {
                let log = log.repeat(3);
                assert_eq!(fault(&log[from..to], from == 0, &reading()), None, "{from} {to}");
            }
        }
        let utf_16: Vec<_> = whole.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(fault(&[b"\xff\xfe", &utf_16[..]].concat(), true, &reading()), None);
        // Nothing happened, and no word of ours is there.
        let idle = "12,ログオン,経理-01,ウィンドウを開いた\r\n".repeat(3);
        for log in [&in_shift_jis(&idle)[..], idle.as_bytes()] {
            for (from, to) in (0..8).flat_map(|from| (0..8).map(move |less| (from, log.len() - less))) {
                assert_eq!(fault(&log[from..to], from == 0, &reading()), None, "{from} {to}");
            }
        }
    }

    /// Whoever writes one into two titles of windows would hide what happened between them.
    #[test]
    fn a_quotation_mark_hides_no_failure_without_a_word() {
        let hidden = format!("12,\"x\n{}12,y\",z\n", ROW.replace('"', ""));
        assert_eq!(fault(format!("{HEADER}{hidden}").as_bytes(), true, &reading()), Some(LogFault::Swallowed));
        let in_two_lines = format!("{HEADER}{ROW}12,2017/06/13 09:08:08,操作,\"a\nb, c\",d\n");
        assert_eq!(fault(in_two_lines.as_bytes(), true, &reading()), None);
        let in_full_width = format!("{HEADER}12,＂x\n{ROW}12,y＂,z\n");
        assert_eq!(fault(in_full_width.as_bytes(), true, &reading()), None);
        assert_eq!(entries(in_full_width.as_bytes(), &reading()), [failed("192.0.2.10", AT)]);
    }

    #[test]
    fn a_row_is_told_by_its_cells_with_a_header_or_without_and_wherever_they_stand() {
        for log in [
            format!("{HEADER}{ROW}"),
            ROW.to_owned(),
            "認証失敗,送信元端末 [IPアドレス:192.0.2.10],x,2017/06/13 9:08:07\n".to_owned(),
            "2017/06/13,9:08:07,システム,認証失敗,送信元端末 [IPアドレス:192.0.2.10]\n".to_owned(),
            format!("\u{feff}{HEADER}{ROW}"),
            ROW.replace(':', "："),
            // As the console is searched, by a keyword.
            "2017/06/13 09:08:07,システム,電子証明書の認証失敗,操作内容,送信元端末 [IPアドレス:192.0.2.10]\n"
                .to_owned(),
            // The time of the row is that of the column with its name.
            format!("受信日時,日時,ログ種別,ログ詳細\n2017/06/14 00:00:00,{}", &ROW[3..]),
        ] {
            assert_eq!(entries(log.as_bytes(), &reading()), [failed("192.0.2.10", AT)], "{log}");
        }
    }

    #[test]
    fn a_log_is_read_in_every_encoding() {
        for encoding in [UTF_8, SHIFT_JIS, EUC_JP, ISO_2022_JP] {
            let bytes = encoding.encode(&format!("{HEADER}{ROW}{ROW}")).0.into_owned();
            assert_eq!(entries(&bytes, &reading()).len(), 2, "{}", encoding.name());
        }
        let utf_16: Vec<u8> = format!("\u{feff}{HEADER}{ROW}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(entries(&utf_16, &reading()), [failed("192.0.2.10", AT)]);
    }

    #[test]
    fn other_rows_are_passed_over_and_line_ends_may_be_mixed() {
        let log =
            format!("{HEADER}1,2017/06/13 09:08:07,ログオン,\"a \"\"b\"\"\nc\",\n{}\r{ROW},,,\n\n", ROW.trim_end());
        assert_eq!(entries(log.as_bytes(), &reading()).len(), 2);
        let folder = "2017/06/13 09:08:07,ファイル,SKYSEAセキュリティ通知/ログ保存フォルダ不正アクセス\n";
        let kinds: Vec<_> = entries(folder.as_bytes(), &reading()).into_iter().map(|entry| entry.kind).collect();
        assert!(matches!(kinds[..], [EntryKind::Folder { is_false: false, .. }]), "{kinds:?}");
    }

    #[test]
    fn an_alert_about_the_folder_is_that_of_the_machine_that_a_column_names() {
        let log = "日時,コンピューター名,ログオンアカウント,アラート項目\n2017/06/13 09:08:07,master,admin,ログ保存フォルダ不正アクセス\n\
                   2017/06/13 09:08:07,other,admin,ログ保存フォルダ不正アクセス\n2017/06/13 09:08:07,master,,ログ保存フォルダ不正アクセス\n";
        let kinds = |log: &str| entries(log.as_bytes(), &reading()).into_iter().map(|it| it.kind).collect::<Vec<_>>();
        let folder = |name, is_false| EntryKind::Folder { machine: machine(name), is_false };
        assert_eq!(kinds(log), [folder("master", true), folder("other", false), folder("master", false)]);
        let without = kinds(&log.replace("コンピューター名", "x").replace("ログオンアカウント", "y"));
        assert_eq!(without.len(), 3, "a row that names no machine");
        assert!(without.iter().all(|kind| matches!(kind, EntryKind::Folder { is_false: false, .. })), "{without:?}");
    }

    #[test]
    fn a_row_is_the_same_wherever_it_stands() {
        let row = "認証失敗,送信元端末 [IPアドレス:192.0.2.10]\n";
        let other = "認証失敗,送信元端末 [IPアドレス:192.0.2.11]\n";
        let before = read(row.as_bytes(), true, &reading()).0;
        assert_eq!(read(format!("{other}{row}").as_bytes(), true, &reading()).0[1], before[0]);
    }

    #[test]
    fn a_row_that_is_cut_anywhere_tells_no_other_terminal() {
        let log = format!("{HEADER}{ROW}");
        for end in 0..log.len() {
            let read = entries(&log.as_bytes()[..end], &reading());
            assert!(read.is_empty() || read == [failed("192.0.2.10", AT)], "{end}: {read:?}");
        }
    }

    #[test]
    fn a_quotation_mark_without_a_second_one_hides_no_row() {
        let row = ROW.replace("2017/06/13 09:08:07", "\"2017/06/13 09:08:07\"");
        let log = format!("\"x,y\n{}{row}", "a,b,c\n".repeat(10_000));
        assert_eq!(entries(log.as_bytes(), &reading()), [failed("192.0.2.10", AT)]);
    }
}
