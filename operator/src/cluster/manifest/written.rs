//! A file as it is written, before anything is built of it: how much its aliases stand for, and which words stand in it without
//! quotes. One pass over the events of the parser; an alias is never followed.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::{ManifestFileError, differing, shown, yaml_1_1};

/// Values of all documents of a file, once aliases stand for what they name. One with ten thousand resources has half a million.
const MOST_VALUES: usize = 1_000_000;
/// How many times more they may stand for than is written. Resources that share a `spec` come to six.
const MOST_REPEATED: usize = 10;
/// What a file may stand for however little is written.
const FREE_VALUES: usize = 10_000;
const FREE_BYTES: usize = 4 << 20;
/// The same at which `serde_yaml`, which reads the file after this, gives up.
const MAX_DEPTH: usize = 128;

/// What stands in a file, document by document.
#[derive(Debug, Default)]
pub(super) struct Written(Vec<Document>);

/// The first word without quotes that kubectl reads otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    path: String,
    word: String,
}

#[derive(Debug, Default)]
struct Document {
    /// In all of it.
    first: Option<Rc<Word>>,
    /// In each item of its list, where it is written out.
    items: Option<BTreeMap<usize, Rc<Word>>>,
    /// Once aliases stand for what they name.
    values: usize,
}

impl Written {
    /// # Errors
    /// When it is no YAML, its aliases stand for more than may be read, or something is in it that readers of YAML take differently.
    pub(super) fn of(text: &str) -> Result<Self, ManifestFileError> {
        differing::in_text(text).map_err(ManifestFileError::Refused)?;
        let mut reading = Reading::default();
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| ManifestFileError::NoYaml(error.to_string()))?;
            let refused = |what| ManifestFileError::Refused(format!("line {}: {what}", span.start.line()));
            reading.take(event).map_err(refused)?;
        }
        let Reading { total, nodes, documents, .. } = reading;
        let values = MOST_VALUES.min(FREE_VALUES + MOST_REPEATED.saturating_mul(nodes));
        let bytes = FREE_BYTES.saturating_add(MOST_REPEATED.saturating_mul(text.len()));
        if total.values > values || total.bytes > bytes {
            return Err(ManifestFileError::Refused(format!(
                "its aliases stand for more than {values} values or {} MiB: write out what they stand for, or split the file",
                bytes >> 20
            )));
        }
        Ok(Self(documents))
    }

    /// Whether another reader has found as many values in a document. Text without any is one document without a value to it.
    pub(super) fn is_alike(&self, document: usize, values: usize) -> bool {
        match self.0.get(document) {
            Some(document) => document.values == values,
            None => document == 0 && values <= 1,
        }
    }

    /// The first word of a document, or of one `item` of the list that it is, that is text here and something else to kubectl, with
    /// what to do about it.
    pub(super) fn ambiguous(&self, document: usize, item: Option<usize>) -> Option<String> {
        let Some(document) = self.0.get(document) else {
            return Some(
                "its documents are not told apart alike by two readers of YAML: begin each with a line ---".to_owned(),
            );
        };
        let word = match (item, &document.items) {
            (Some(item), Some(items)) => items.get(&item),
            _ => document.first.as_ref(),
        };
        word.map(|word| {
            let Word { path, word } = &**word;
            let what = yaml_1_1::meaning(word).unwrap_or("something else");
            format!("{path}: kubectl reads {word} as {what}: put it in quotes, or write what is meant")
        })
    }
}

/// How much a value is, itself and all in it.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    values: usize,
    bytes: usize,
}

impl Size {
    const fn and(self, other: Self) -> Self {
        Self { values: self.values.saturating_add(other.values), bytes: self.bytes.saturating_add(other.bytes) }
    }
}

/// A value that was read whole.
#[derive(Clone, Debug, Default)]
struct Node {
    size: Size,
    first: Option<Rc<Word>>,
    items: Option<BTreeMap<usize, Rc<Word>>>,
}

/// A mapping or a sequence that is being read.
#[derive(Debug)]
struct Open {
    anchor: usize,
    node: Node,
    inside: Inside,
}

#[derive(Debug)]
enum Inside {
    /// With the key whose value is next, where there is one.
    Mapping(Option<String>),
    /// With the place of the next item.
    Sequence(usize),
}

#[derive(Debug, Default)]
struct Reading {
    open: Vec<Open>,
    /// By the parser's number.
    anchors: HashMap<usize, Node>,
    /// As many as are written.
    nodes: usize,
    total: Size,
    documents: Vec<Document>,
}

impl Reading {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        if let Event::Scalar(.., Some(tag)) | Event::MappingStart(_, Some(tag)) | Event::SequenceStart(_, Some(tag)) =
            &event
        {
            return Err(differing::tag(tag));
        }
        match event {
            Event::DocumentStart(_) => self.documents.push(Document::default()),
            Event::Alias(anchor) => {
                // One that stands in what it names is the reader's to refuse.
                let named = self.anchors.get(&anchor).map(|node| Node { items: None, ..node.clone() });
                self.put(named.unwrap_or_default(), None, true);
            }
            Event::Scalar(text, style, anchor, _) => {
                // In quotes it is a merge key to one reader and a name to another.
                let is_key = matches!(self.open.last(), Some(Open { inside: Inside::Mapping(None), .. }));
                if is_key && text == differing::MERGE {
                    return Err(differing::merge_key());
                }
                let is_other = style == ScalarStyle::Plain && yaml_1_1::meaning(&text).is_some();
                let first = is_other.then(|| Rc::new(Word { path: String::new(), word: shown(&text) }));
                let node = Node { size: Size { values: 1, bytes: text.len() }, first, items: None };
                self.keep(anchor, &node);
                self.put(node, Some(&text), false);
            }
            Event::MappingStart(anchor, _) => self.enter(anchor, Inside::Mapping(None))?,
            Event::SequenceStart(anchor, _) => self.enter(anchor, Inside::Sequence(0))?,
            Event::MappingEnd | Event::SequenceEnd => {
                if let Some(Open { anchor, node, .. }) = self.open.pop() {
                    self.keep(anchor, &node);
                    self.put(node, None, false);
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn enter(&mut self, anchor: usize, inside: Inside) -> Result<(), String> {
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("values lie more than {MAX_DEPTH} deep in each other"));
        }
        let is_list = match (self.open.as_slice(), &inside) {
            ([Open { inside: Inside::Mapping(Some(key)), .. }], Inside::Sequence(_)) => key == "items",
            _ => false,
        };
        let size = Size { values: 1, bytes: 0 };
        let node = Node { size, first: None, items: is_list.then(BTreeMap::new) };
        self.open.push(Open { anchor, node, inside });
        Ok(())
    }

    fn keep(&mut self, anchor: usize, node: &Node) {
        // The parser counts from one.
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
    }

    /// Puts a value into what is being read; `key` is its text where it may be one.
    fn put(&mut self, node: Node, key: Option<&str>, is_alias: bool) {
        self.nodes += 1;
        let Some(Open { node: outer, inside, .. }) = self.open.last_mut() else {
            self.total = self.total.and(node.size);
            if let Some(document) = self.documents.last_mut() {
                *document = Document { first: node.first, items: node.items, values: node.size.values };
            }
            return;
        };
        outer.size = outer.size.and(node.size);
        match inside {
            Inside::Sequence(next) => {
                let at = *next;
                *next += 1;
                if let (Some(items), Some(word)) = (&mut outer.items, &node.first) {
                    items.insert(at, Rc::clone(word));
                }
                if outer.first.is_none() {
                    outer.first = node.first.map(|word| word.below(&format!("[{at}]")));
                }
            }
            Inside::Mapping(expected @ None) => {
                let name = key.unwrap_or_default();
                if outer.first.is_none() {
                    // A key that is such a word is told with its own path.
                    outer.first = node.first.map(|word| word.below(name));
                }
                // What an alias names as a key is not looked up: it is told without its name.
                *expected = Some(if is_alias { String::new() } else { name.to_owned() });
            }
            Inside::Mapping(expected) => {
                let name = expected.take().unwrap_or_default();
                let is_top = self.open.len() == 1;
                let Some(Open { node: outer, .. }) = self.open.last_mut() else { return };
                if is_top && name == "items" {
                    outer.items = node.items;
                }
                if outer.first.is_none() {
                    outer.first = node.first.map(|word| word.below(&name));
                }
            }
        }
    }
}

impl Word {
    fn below(&self, name: &str) -> Rc<Self> {
        let path = match self.path.chars().next() {
            None => shown(name),
            Some('[') => format!("{}{}", shown(name), self.path),
            Some(_) => format!("{}.{}", shown(name), self.path),
        };
        Rc::new(Self { path, word: self.word.clone() })
    }
}

#[cfg(test)]
mod tests {
    use kagiban_crds::host_setup::yaml_scalar;
    use proptest::prelude::*;

    use super::*;

    fn first(text: &str) -> Option<String> {
        Written::of(text).expect("YAML").ambiguous(0, None)
    }

    /// Holds B12: 260 KB of a pull request took seven gigabytes of whoever planned it, and 14 KB two, when values alone were counted.
    #[test]
    fn aliases_that_stand_for_far_more_than_is_written_are_refused_before_anything_is_built() {
        let repeated = |what: &str, times: usize| {
            let uses: Vec<_> = (0..times).map(|index| format!("y{index}: *x\n")).collect();
            format!("x: &x {what}\n{}", uses.concat())
        };
        assert!(Written::of(&repeated(&format!("[{}]", "1,".repeat(20_000)), 20_000)).is_err());
        assert!(Written::of(&repeated(&format!("[{}]", "{a: b},".repeat(800)), 800)).is_err());
        assert!(Written::of(&repeated(&"w".repeat(1 << 20), 100)).is_err());
        let nested = (1..8).fold("a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n".to_owned(), |text, level| {
            let before = format!("*a{},", level - 1).repeat(10);
            format!("{text}a{level}: &a{level} [{before}]\n")
        });
        assert!(Written::of(&nested).is_err());
        // What is told of a word is bounded, however long the word and its keys are: each item of a list may have one.
        let long = format!("x: &x {}\nkind: List\nitems: [{}]\n", "0".repeat(100_000), "{a: *x},".repeat(40));
        let told = Written::of(&long).expect("forty are no bomb").ambiguous(0, Some(7)).expect("a number to kubectl");
        assert!(told.len() < 300, "{}", told.len());
        let key = format!("kind: List\nitems: [{{? {} : on}}]\n", "k".repeat(100_000));
        assert!(Written::of(&key).expect("YAML").ambiguous(0, Some(0)).is_some_and(|told| told.len() < 300));
        assert!(Written::of(&"[".repeat(1_000)).is_err(), "too deep");
        let shared = repeated("{a: b, c: [d, e, f, g]}", 10_000);
        for fine in ["a: &a {b: c}\nd: *a\ne: [*a, 1.5, ~, true, -1]", "", "---\n---\n", &shared] {
            assert!(Written::of(fine).is_ok(), "{fine:.100}");
        }
        assert!(Written::of("bad: [").is_err());
    }

    /// Holds B12: a plan was green for an agent named `on`, which kubectl makes a boolean of, and the API server refuses.
    #[test]
    fn a_word_that_kubectl_reads_otherwise_is_told_unless_it_is_quoted() {
        for (text, path) in [
            ("spec: {agent: {name: on}}", "spec.agent.name: "),
            ("spec: {rotation: {paused: yes}}", "spec.rotation.paused: "),
            ("labels: {a: Off}", "labels.a: "),
            ("labels: {n: x}", "labels.n: "),
            ("names: [a, 010]", "names[1]: "),
            ("size: 2_048", "size: "),
            ("size: 1_000.5", "size: "),
            ("size: 0x_1f", "size: "),
            ("size: 0b1_0", "size: "),
            ("size: 1_0e3", "size: "),
            ("list: [{a: [yes]}]", "list[0].a[0]: "),
            // Where it stands in quotes elsewhere, and where an alias brings it.
            ("a: on # not \"on\"\nb: \"on\"", "a: "),
            ("a: &a {b: on}\nspec: *a", "a.b: "),
        ] {
            let told = first(text).unwrap_or_default();
            assert!(told.starts_with(path) && told.contains("kubectl"), "{text}: {told:?}");
        }
        for text in [
            "a: 'on'",
            "a: \"010\"",
            "{\"yes\": \"no\"}",
            "a: |\n  on\n",
            "a: true",
            "a: 10",
            "a: 0",
            "a: once",
            "a: 192.0.2.1",
            "a: 2160h",
            "a: oN",
            "a: 1_a",
            "a: _1",
            "a: 0x_g",
        ] {
            assert_eq!(first(text), None, "{text}");
        }
    }

    #[test]
    fn a_word_is_told_of_the_document_and_the_item_that_it_is_in() {
        let written = Written::of("a: 1\n---\nkind: List\nitems: [{a: b}, {c: [on]}]\n---\nb: off\n").expect("YAML");
        let told = |document, item| written.ambiguous(document, item);
        assert_eq!((told(0, None), told(1, Some(0))), (None, None));
        assert!(told(1, Some(1)).is_some_and(|told| told.starts_with("c[0]: ")));
        assert!(told(2, None).is_some_and(|told| told.starts_with("b: ")));
        // Of a list that an alias names, each item is told what the whole has.
        let text = "x: &x [{a: b}, {c: on}]\nkind: List\nitems: *x";
        assert!(Written::of(text).expect("YAML").ambiguous(0, Some(0)).is_some());
    }

    proptest! {
        /// What our programs write for a person is text to kubectl too.
        #[test]
        fn no_text_that_our_programs_write_is_a_word_that_kubectl_reads_otherwise(
            text in prop_oneof![any::<String>(), "[-+.~]?[0-9_xobef]{1,6}", "(?i)y|n|yes|no|on|off|true|null"]
        ) {
            let written = yaml_scalar(&text);
            prop_assert_eq!(first(&format!("a: {written}\nb: [{written}]\n")), None);
        }
    }
}
