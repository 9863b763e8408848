//! In which line of a file a field stands. Looked for only where there is something wrong with it.

use saphyr_parser::{Event, Parser};

/// The line, counted from 1, of a field of a document, or of an item of the list that the document is; of the innermost value on
/// the way to it that is written there, where it is not: one that is missing, or that an alias brings.
///
/// `path` is as the API server writes it: `spec.certificate.dnsNames[0]`.
pub(in crate::cluster) fn line(text: &str, number: usize, item: Option<usize>, path: &str) -> Option<usize> {
    let of_item = item.map(|item| [Step::Key("items"), Step::At(item)]);
    let wanted: Vec<_> = of_item.into_iter().flatten().chain(steps(path)).collect();
    let mut search = Search { wanted, documents: 0, open: Vec::new(), reached: 0, line: None };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.ok()?;
        if search.take(&event, span.start.line(), number) {
            break;
        }
    }
    search.line
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step<'a> {
    Key(&'a str),
    At(usize),
}

fn steps(path: &str) -> impl Iterator<Item = Step<'_>> {
    path.split(['.', '[']).filter(|step| !step.is_empty()).map(|step| {
        let index = step.strip_suffix(']').and_then(|index| index.parse().ok());
        index.map_or(Step::Key(step), Step::At)
    })
}

/// A mapping or a sequence that is being passed.
struct Open {
    /// Whether it lies on the way that is looked for.
    on_the_way: bool,
    inside: Inside,
}

enum Inside {
    /// With the key whose value is next, and its line.
    Mapping(Option<(String, usize)>),
    /// With the place of the next item.
    Sequence(usize),
}

struct Search<'a> {
    wanted: Vec<Step<'a>>,
    documents: usize,
    open: Vec<Open>,
    /// Steps of the way that were found.
    reached: usize,
    line: Option<usize>,
}

impl Search<'_> {
    /// Whether the search has ended.
    fn take(&mut self, event: &Event<'_>, line: usize, number: usize) -> bool {
        if let Event::DocumentStart(_) = event {
            self.documents += 1;
            return self.documents > number;
        }
        if self.documents != number {
            return false;
        }
        match event {
            Event::Scalar(text, ..) => {
                if let Some(Open { inside: Inside::Mapping(key @ None), .. }) = self.open.last_mut() {
                    *key = Some((text.to_string(), line));
                } else {
                    self.enter(line);
                }
            }
            Event::Alias(_) => {
                // Of a key that an alias brings, no name is known
                if let Some(Open { inside: Inside::Mapping(key @ None), .. }) = self.open.last_mut() {
                    *key = Some((String::new(), line));
                } else {
                    self.enter(line);
                }
            }
            Event::MappingStart(..) => {
                let on_the_way = self.enter(line);
                self.open.push(Open { on_the_way, inside: Inside::Mapping(None) });
            }
            Event::SequenceStart(..) => {
                let on_the_way = self.enter(line);
                self.open.push(Open { on_the_way, inside: Inside::Sequence(0) });
            }
            Event::MappingEnd | Event::SequenceEnd => drop(self.open.pop()),
            _ => {}
        }
        self.reached == self.wanted.len() && self.line.is_some()
    }

    /// A value begins: whether it is the next step of the way.
    fn enter(&mut self, line: usize) -> bool {
        let Some(Open { on_the_way, inside }) = self.open.last_mut() else {
            self.line = Some(line);
            return true;
        };
        let (step, line) = match inside {
            Inside::Mapping(key) => match key.take() {
                Some((name, line)) => (self.wanted.get(self.reached) == Some(&Step::Key(&name)), line),
                // A mapping that is a key
                None => {
                    *key = Some((String::new(), line));
                    (false, line)
                }
            },
            Inside::Sequence(next) => {
                *next += 1;
                (self.wanted.get(self.reached) == Some(&Step::At(*next - 1)), line)
            }
        };
        let is_step = *on_the_way && step;
        if is_step {
            self.reached += 1;
            self.line = Some(line);
        }
        is_step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "kind: Secret
---
# a comment
kind: List
items:
- kind: A
- kind: B
  spec:
    host: a
    names:
    - x
    - {y: 1,
       z: 2}
---
spec:
  host: b
  other: {host: c}
";

    #[test]
    fn the_line_of_a_field_is_found_and_of_one_that_is_missing_the_line_of_what_should_have_it() {
        for (number, item, path, expected) in [
            (1, None, "kind", 1),
            (2, Some(1), "spec.host", 9),
            (2, Some(1), "spec.names[0]", 11),
            (2, Some(1), "spec.names[1].z", 13),
            (2, Some(1), "spec.names[1].none", 12),
            (2, Some(1), "spec.none.host", 8),
            (2, Some(0), "spec.host", 6),
            (2, None, "", 4),
            (3, None, "spec.other.host", 17),
            (3, None, "spec", 15),
        ] {
            assert_eq!(line(TEXT, number, item, path), Some(expected), "{number} {item:?} {path}");
        }
        assert_eq!(line(TEXT, 4, None, "spec"), None);
    }
}
