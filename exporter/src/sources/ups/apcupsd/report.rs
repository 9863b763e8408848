//! apcupsd's status report: records of `KEY      : text`.

use std::collections::BTreeMap;

use crate::ups::meaning;

/// The largest report of a real device has some 70 records.
const MAX_RECORDS: usize = 256;

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordError {
    #[error("a record is not of the form `KEY : text`")]
    Unexpected,
    #[error("more than {MAX_RECORDS} records")]
    TooMany,
}

/// Keys with their texts, both without the blanks around them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StatusReport(BTreeMap<String, String>);

impl StatusReport {
    /// Takes the next record; its line end belongs to it.
    pub(super) fn take(&mut self, record: &[u8]) -> Result<(), RecordError> {
        // The text of a device may hold any byte, but neither of us can send a NUL within a text.
        let record = String::from_utf8_lossy(record);
        let (key, text) = record.split_once(':').ok_or(RecordError::Unexpected)?;
        let key = key.trim();
        let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ');
        if !is_key || text.contains('\0') {
            return Err(RecordError::Unexpected);
        }
        if self.0.len() == MAX_RECORDS {
            return Err(RecordError::TooMany);
        }
        self.0.insert(key.to_owned(), text.trim().to_owned());
        Ok(())
    }

    /// What was said, unless it was that there is nothing to say.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        meaning(self.0.get(key)?)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, text)| (key.as_str(), text.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, proptest};

    use super::*;

    #[test]
    fn a_record_is_a_key_and_all_that_follows_the_first_colon() {
        let mut report = StatusReport::default();
        for record in
            ["BCHARGE  : 100.0 Percent\n", "MASTER   : 127.0.0.1:3551\n", "END APC  : 2026-11-23\n", "UPSNAME  : \n"]
        {
            report.take(record.as_bytes()).expect("a record");
        }
        assert_eq!(report.text("BCHARGE"), Some("100.0 Percent"));
        assert_eq!(report.text("MASTER"), Some("127.0.0.1:3551"));
        assert_eq!((report.text("END APC"), report.text("UPSNAME")), (Some("2026-11-23"), None));
    }

    #[test]
    fn what_says_nothing_is_not_there() {
        let mut report = StatusReport::default();
        report.take(b"XOFFBATT : N/A\n").expect("a record");
        report.take(b"SENSE    : Unknown\n").expect("a record");
        report.take(b"MODEL    : (null)\n").expect("a record");
        for key in ["XOFFBATT", "SENSE", "MODEL", "LINEV"] {
            assert_eq!(report.text(key), None, "{key}");
        }
        assert_eq!(report.all().count(), 3);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for record in
            [&b"Invalid command\n"[..], b": text\n", b"STATUS\0: ONLINE\n", b"STATUS : ON\0LINE\n", b"<html>: x"]
        {
            assert_eq!(StatusReport::default().take(record), Err(RecordError::Unexpected), "{record:?}");
        }
    }

    #[test]
    fn records_beyond_the_limit_are_not_kept() {
        let mut report = StatusReport::default();
        let last = (0..=MAX_RECORDS).map(|n| report.take(format!("KEY{n} : 1").as_bytes())).find(Result::is_err);
        assert_eq!(last, Some(Err(RecordError::TooMany)));
        assert_eq!(report.all().count(), MAX_RECORDS);
    }

    proptest! {
        #[test]
        fn no_record_is_too_much(records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..20)) {
            let mut report = StatusReport::default();
            let taken = records.iter().filter(|record| report.take(record).is_ok()).count();
            prop_assert!(report.all().count() <= taken);
        }
    }
}
