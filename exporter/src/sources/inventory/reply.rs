//! A list as the console sends it, read while it comes: what is kept of it grows with what differs in it, and not with its length.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufReader, Read};

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use super::tally::{Server, Servers, Tally};
use crate::snapshot::Label;

/// Twice as many as a console of this vendor is built for.
const MAX_AGENTS: usize = 200_000;
/// Each has an installation of its own.
const MAX_SERVERS: usize = 10_000;
const READ_AT_ONCE: usize = 64 * 1024;

/// The interface's word for a question that was answered.
const ANSWERED: i64 = 1;

/// Why a reply is no list. It is not quoted: whoever has sent it may have written our token into it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoList {
    #[error("is no JSON from line {line}, column {column} on")]
    NotJson { line: usize, column: usize },
    #[error("is JSON of another kind (line {line}, column {column})")]
    OtherJson { line: usize, column: usize },
    #[error("ends before it is whole")]
    CutShort,
    #[error("has more than {0} entries")]
    TooMany(usize),
    #[error("has the result_code {0}")]
    Refused(i64),
}

/// The agents of a reply; `most` of each kind are named.
///
/// # Errors
/// See [`NoList`].
pub(super) fn agents(reply: impl Read, most: usize) -> Result<Tally, NoList> {
    let mut tally = Tally::new(most);
    read(reply, MAX_AGENTS, |entry| {
        tally.add(&entry.managing_server_id.0, &entry.product.0, &entry.host_name.0, &entry.isolation_status.0);
    })?;
    Ok(tally)
}

/// The servers of a reply.
///
/// # Errors
/// See [`NoList`].
pub(super) fn servers(reply: impl Read) -> Result<Servers, NoList> {
    let mut servers = BTreeMap::new();
    read(reply, MAX_SERVERS, |entry| {
        let host = (!entry.host_name.0.is_empty()).then(|| Label::new(&entry.host_name.0));
        let server = Server { id: Label::new(&entry.entity_id.0), host, product: Label::new(&entry.product.0) };
        servers.insert(Server::key(&entry.entity_id.0), server);
    })?;
    Ok(servers)
}

/// What is of use of an agent, or of a server. Everything else is passed over.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    entity_id: Text,
    product: Text,
    managing_server_id: Text,
    host_name: Text,
    isolation_status: Text,
}

/// Empty where there is none.
#[derive(Default)]
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|text| Self(text.unwrap_or_default()))
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    ResultCode,
    ResultContent,
    #[serde(other)]
    Other,
}

fn read(reply: impl Read, most: usize, take: impl FnMut(Entry)) -> Result<(), NoList> {
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(READ_AT_ONCE, reply));
    let mut list = List { most, entries: 0, take };
    let told = Reply(&mut list).deserialize(&mut json).and_then(|told| json.end().map(|()| told));
    let (code, is_list) = told.map_err(|error| list.no_list(&error))?;
    match code {
        ANSWERED if is_list => Ok(()),
        ANSWERED => Err(NoList::OtherJson { line: 1, column: 1 }),
        code => Err(NoList::Refused(code)),
    }
}

/// What takes the entries, one after the other.
struct List<F> {
    most: usize,
    entries: usize,
    take: F,
}

impl<F> List<F> {
    fn no_list(&self, error: &serde_json::Error) -> NoList {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            Category::Eof | Category::Io => NoList::CutShort,
            Category::Syntax => NoList::NotJson { line, column },
            Category::Data if self.entries > self.most => NoList::TooMany(self.most),
            Category::Data => NoList::OtherJson { line, column },
        }
    }
}

/// The reply as a whole: its code, and whether its content is a list.
struct Reply<'a, F>(&'a mut List<F>);

impl<'de, F: FnMut(Entry)> DeserializeSeed<'de> for Reply<'_, F> {
    type Value = (i64, bool);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(Entry)> Visitor<'de> for Reply<'_, F> {
    type Value = (i64, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reply")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut code, mut is_list) = (None, None);
        while let Some(key) = map.next_key()? {
            match key {
                Key::ResultCode if code.is_none() => code = Some(map.next_value()?),
                Key::ResultContent if is_list.is_none() => is_list = Some(map.next_value_seed(Content(&mut *self.0))?),
                Key::ResultCode | Key::ResultContent => return Err(A::Error::custom("it stands there twice")),
                Key::Other => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok((code.ok_or_else(|| A::Error::missing_field("result_code"))?, is_list.unwrap_or_default()))
    }
}

/// The content: a list, or nothing where the question was refused.
struct Content<'a, F>(&'a mut List<F>);

impl<'de, F: FnMut(Entry)> DeserializeSeed<'de> for Content<'_, F> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(Entry)> Visitor<'de> for Content<'_, F> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        while let Some(entry) = seq.next_element()? {
            self.0.entries += 1;
            if self.0.entries > self.0.most {
                return Err(A::Error::custom("too many"));
            }
            (self.0.take)(entry);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agents_of(reply: &str) -> Result<usize, NoList> {
        agents(reply.as_bytes(), 10).map(|tally| tally.under(&Servers::new()).agents)
    }

    fn of(content: &str) -> String {
        format!(r#"{{"result_code":1,"result_description":"Operation successful","result_content":{content}}}"#)
    }

    const AGENT: &str = r#"{"entity_id":"e","product":"SLF_PRODUCT_OFFICESCAN_CE","managing_server_id":"S","ad_domain":"","folder_path":"Workgroup",
        "ip_address_list":"192.0.2.1","mac_address_list":"","host_name":"PC-01","isolation_status":"normal","capabilities":["cmd_isolate_agent"]}"#;

    #[test]
    fn a_list_is_taken_whatever_else_the_reply_has_and_in_any_order() {
        for (reply, count) in [
            (of("[]"), 0),
            (of(&format!("[{AGENT},{AGENT}]")), 2),
            (of(r#"[{},{"host_name":null,"new_field":{"a":[1,{}]}}]"#), 2),
            (format!(r#" {{"a":[{{}}],"result_content":[{AGENT}],"result_code":1}} "#), 1),
        ] {
            assert_eq!(agents_of(&reply), Ok(count), "{reply}");
        }
    }

    #[test]
    fn what_is_no_list_is_told_apart_and_never_quoted() {
        for (reply, why) in [
            ("<html>a login page</html>".to_owned(), NoList::NotJson { line: 1, column: 1 }),
            (String::new(), NoList::CutShort),
            (of(&format!("[{AGENT}]"))[..120].to_owned(), NoList::CutShort),
            (of("[]") + "x", NoList::NotJson { line: 1, column: of("[]").len() + 1 }),
            (r#"{"result_code":-3,"result_content":""}"#.to_owned(), NoList::Refused(-3)),
            (r#"{"result_code":0,"result_content":null}"#.to_owned(), NoList::Refused(0)),
            (r#"{"result_code":0,"result_content":{"a":1}}"#.to_owned(), NoList::Refused(0)),
            (r#"{"result_code":1}"#.to_owned(), NoList::OtherJson { line: 1, column: 1 }),
        ] {
            assert_eq!(agents_of(&reply), Err(why), "{reply}");
        }
        for reply in [
            "[]".to_owned(),
            "{}".to_owned(),
            r#"{"result_code":"1","result_content":[]}"#.to_owned(),
            r#"{"result_code":1,"result_code":1,"result_content":[]}"#.to_owned(),
            r#"{"result_code":1,"result_content":[],"result_content":[]}"#.to_owned(),
            of("7"),
            of("[7]"),
            of(r#"[{"host_name":7}]"#),
            of(r#"[{"host_name":"a","host_name":"b"}]"#),
        ] {
            let why = agents_of(&reply).expect_err("this is no list");
            assert!(matches!(why, NoList::OtherJson { .. }), "{reply}: {why}");
        }
    }

    #[test]
    fn a_list_that_is_longer_than_any_ends_there() {
        let servers_of =
            |count: usize| servers(of(&format!("[{}]", vec!["{}"; count].join(","))).as_bytes()).map(|_| ());
        assert_eq!(servers_of(MAX_SERVERS), Ok(()));
        assert_eq!(servers_of(MAX_SERVERS + 1), Err(NoList::TooMany(MAX_SERVERS)));
        // What follows is never looked at.
        let endless = of("[").as_bytes()[..70].to_vec();
        assert!(matches!(agents(endless.as_slice(), 1), Err(NoList::CutShort)));
    }

    /// serde_json goes down no further than 128, and passes over what is not of use without going down at all.
    #[test]
    fn depth_costs_nothing() {
        let deep = "[".repeat(1_000_000);
        for reply in [of(&deep), of(&format!(r#"[{{"a":{deep}"#)), format!(r#"{{"a":{deep}"#)] {
            assert!(agents_of(&reply).is_err());
        }
    }
}
