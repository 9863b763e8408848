//! Manifests: YAML with several documents, of which the ManagedAgentCertificates are taken. The only place that knows
//! the YAML reader.

mod differing;
mod lines;
mod written;
mod yaml_1_1;

pub(super) use lines::line;

use kagiban_crds::resource::{GROUP, ManagedAgentCertificate, ManagedAgentCertificateSpec};
use serde::Deserialize;
use serde_yaml::Value;

use self::written::Written;
use super::kubernetes::admission;

/// A file with ten thousand resources is under this.
pub const MAX_MANIFEST_BYTES: usize = 32 * 1024 * 1024;

/// Characters of what a file says that a message quotes.
const MAX_SHOWN: usize = 64;

/// Why nothing can be said of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestFileError {
    #[error("it is no YAML: {0}")]
    NoYaml(String),
    /// With what to write instead.
    #[error("{0}")]
    Refused(String),
}

/// One document that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("document {number}{}: {message}", name.as_deref().map(|n| format!(" ({n})")).unwrap_or_default())]
pub struct ManifestError {
    /// Counted from 1.
    pub number: usize,
    pub name: Option<String>,
    pub message: String,
}

/// One resource of a file.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Of its document, counted from 1.
    pub number: usize,
    pub mac: ManagedAgentCertificate,
    /// As it stands in the file, for the API server: it judges also what we would pass over.
    pub object: serde_json::Value,
}

/// What a file says of one object, whatever kind it is.
#[derive(Clone, Debug)]
pub(super) struct Document {
    /// Counted from 1. The items of a list have that of their list.
    pub(super) number: usize,
    /// Its place in the list that it is an item of.
    pub(super) item: Option<usize>,
    /// A word in it that `kubectl` reads otherwise, and what to do about it.
    pub(super) ambiguous: Option<String>,
    value: Value,
}

/// Each document that is one of ours, or says why it cannot be read; others are passed over. The items of a `kind: List`, which
/// `kubectl apply` takes too, are documents of their own.
///
/// # Errors
/// When the text is no YAML, or something is in it that readers of YAML take differently: what `kubectl` makes of it cannot be known.
pub fn read(text: &str) -> Result<Vec<Result<Manifest, ManifestError>>, ManifestFileError> {
    let read = |document: Result<Document, ManifestError>| match document {
        Ok(document) => document.is_ours().then(|| parse(&document.value, document.ambiguous, document.number)),
        Err(error) => Some(Err(error)),
    };
    Ok(documents(text)?.into_iter().filter_map(read).collect())
}

/// All that the text says, object by object; of a list, its items.
///
/// # Errors
/// See [`read`].
pub(super) fn documents(text: &str) -> Result<Vec<Result<Document, ManifestError>>, ManifestFileError> {
    let written = Written::of(text)?;
    let mut found = Vec::new();
    for (index, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let number = index + 1;
        let wrong = |message: String| ManifestError { number, name: None, message };
        let value = Value::deserialize(document)
            .map_err(|error| ManifestFileError::NoYaml(format!("document {number}: {error}")))?;
        if !written.is_alike(index, values(&value)) {
            return Err(ManifestFileError::Refused(format!("document {number}: {}", differing::structure())));
        }
        match listed(&value) {
            Ok(()) => {
                let document =
                    |(item, value)| Ok(Document { number, item, ambiguous: written.ambiguous(index, item), value });
                found.extend(items(value).into_iter().map(document));
            }
            Err(what) => found.push(Err(wrong(what))),
        }
    }
    Ok(found)
}

impl Document {
    pub(super) fn kind(&self) -> &str {
        word(&self.value, "kind")
    }

    pub(super) fn api_version(&self) -> &str {
        word(&self.value, "apiVersion")
    }

    /// Whether nothing is said in it at all, as between two lines `---`.
    pub(super) fn is_empty(&self) -> bool {
        self.value.is_null()
    }

    /// Whether it is one of ours, of whatever version.
    pub(super) fn is_ours(&self) -> bool {
        is_ours(&self.value)
    }

    /// As JSON, which is what the API server is given.
    ///
    /// # Errors
    /// When something in it is no JSON, such as a key that is no text.
    pub(super) fn object(&self) -> Result<serde_json::Value, String> {
        serde_json::to_value(&self.value).map_err(|error| error.to_string())
    }
}

/// A value and all in it, keys too.
fn values(value: &Value) -> usize {
    let within: usize = match value {
        Value::Mapping(fields) => fields.iter().map(|(key, value)| values(key) + values(value)).sum(),
        Value::Sequence(items) => items.iter().map(values).sum(),
        Value::Tagged(tagged) => values(&tagged.value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    };
    within + 1
}

/// Whether it lists what nobody could tell what it is, or is a list that does not say so. `kubectl` refuses the first, and takes
/// whatever has `items` for a list.
fn listed(value: &Value) -> Result<(), String> {
    let Some(items) = value.get("items") else { return Ok(()) };
    let kind = word(value, "kind");
    if !kind.ends_with("List") {
        return Err(differing::list(kind));
    }
    for (at, item) in items.as_sequence().into_iter().flatten().enumerate() {
        if word(item, "kind").is_empty() {
            return Err("an item of the list says no kind".to_owned());
        }
        if item.get("items").is_some() {
            return Err(differing::list_in_list(at));
        }
    }
    Ok(())
}

/// What a document holds: itself, or what a list of any kind lists, each with its place there.
fn items(value: Value) -> Vec<(Option<usize>, Value)> {
    if !word(&value, "kind").ends_with("List") {
        return vec![(None, value)];
    }
    match value {
        Value::Mapping(mut fields) => match fields.remove("items") {
            Some(Value::Sequence(items)) => items.into_iter().enumerate().map(|(at, item)| (Some(at), item)).collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn is_ours(value: &Value) -> bool {
    let group = word(value, "apiVersion").split('/').next();
    word(value, "kind") == "ManagedAgentCertificate" && group == Some(GROUP)
}

/// The beginning of what a file says: it may be said of each item of a list.
fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn parse(value: &Value, ambiguous: Option<String>, number: usize) -> Result<Manifest, ManifestError> {
    let name = value.get("metadata").and_then(|m| m.get("name")).and_then(Value::as_str).map(str::to_owned);
    let wrong = |message: String| ManifestError { number, name: name.clone(), message };
    let (version, ours) = (word(value, "apiVersion"), admission::api_version());
    if version != ours {
        return Err(wrong(format!("apiVersion {version:?}: this version knows {ours} only")));
    }
    if let Some(what) = ambiguous {
        return Err(wrong(what));
    }
    let object = serde_json::to_value(value).map_err(|error| wrong(error.to_string()))?;
    let mut read = object.clone();
    if let Some(schema) = admission::schema() {
        take_nulls(&mut read, schema, "").map_err(wrong)?;
    }
    let spec = read.get("spec").cloned().unwrap_or_default();
    let mac: ManagedAgentCertificate =
        serde_path_to_error::deserialize(read).map_err(|error| wrong(located(&error)))?;
    ManagedAgentCertificateSpec::read(spec).map_err(|error| wrong(error.to_string()))?;
    admission::check(&mac.metadata).map_err(wrong)?;
    Ok(Manifest { number, mac, object })
}

/// Judges members that are null as a server-side apply does: one with a default has that, one that is nullable may stand, and any
/// other is refused. An apply that is merged by the client leaves all of them out.
fn take_nulls(value: &mut serde_json::Value, schema: &serde_json::Value, path: &str) -> Result<(), String> {
    match (value, schema.get("properties").and_then(serde_json::Value::as_object)) {
        (serde_json::Value::Object(fields), Some(properties)) => {
            let known = |key: &String| properties.get(key);
            fields.retain(|key, value| !value.is_null() || known(key).is_none_or(|of| of.get("default").is_none()));
            for (key, value) in fields {
                let Some(schema) = known(key) else { continue };
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                if value.is_null() && schema.get("nullable").is_none() {
                    return Err(format!("{path}: it is null, which a server-side apply refuses: leave it out"));
                }
                take_nulls(value, schema, &path)?;
            }
            Ok(())
        }
        (serde_json::Value::Array(items), _) => {
            let Some(schema) = schema.get("items") else { return Ok(()) };
            items.iter_mut().enumerate().try_for_each(|(at, item)| take_nulls(item, schema, &format!("{path}[{at}]")))
        }
        _ => Ok(()),
    }
}

/// What is wrong, after the field that it is wrong with: the reader itself says only what it expected.
fn located(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let (path, what) = (error.path().to_string(), error.inner());
    if path == "." { what.to_string() } else { format!("{path}: {what}") }
}

impl Manifest {
    /// As [`ManifestError`] says it.
    pub fn wrong(&self, message: String) -> ManifestError {
        ManifestError { number: self.number, name: self.mac.metadata.name.clone(), message }
    }
}

/// The fields of an object as it stands in a file that the schema does not know. The API server refuses them.
pub(super) fn unknown_fields(object: &serde_json::Value) -> Vec<String> {
    let (Some(schema), Some(members)) = (admission::schema(), object.as_object()) else { return Vec::new() };
    // The schema says nothing of what all objects have
    let metadata = object.get("metadata").and_then(serde_json::Value::as_object);
    let of_metadata = metadata.into_iter().flat_map(serde_json::Map::keys);
    let of_metadata = of_metadata.filter(|key| !admission::OF_METADATA.contains(&key.as_str()));
    let mut found: Vec<_> = of_metadata.map(|key| format!("metadata.{key}")).collect();
    let owners = object.pointer("/metadata/ownerReferences").and_then(serde_json::Value::as_array);
    for (at, owner) in owners.into_iter().flatten().enumerate() {
        let fields = owner.as_object().into_iter().flat_map(serde_json::Map::keys);
        let unknown = fields.filter(|key| !admission::OF_OWNERS.contains(&key.as_str()));
        found.extend(unknown.map(|field| format!("metadata.ownerReferences[{at}].{field}")));
    }
    let mut own = members.clone();
    own.retain(|key, _| !["apiVersion", "kind", "metadata"].contains(&key.as_str()));
    add_unknown(&serde_json::Value::Object(own), schema, "", &mut found);
    found
}

fn add_unknown(value: &serde_json::Value, schema: &serde_json::Value, path: &str, found: &mut Vec<String>) {
    // An object of which no member is named has none
    let no_members = serde_json::Map::new();
    let is_object = schema.get("type").is_some_and(|kind| kind == "object");
    let properties = schema.get("properties").and_then(serde_json::Value::as_object);
    match (value, properties.or_else(|| is_object.then_some(&no_members))) {
        (serde_json::Value::Object(fields), Some(properties)) => {
            for (key, value) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match properties.get(key) {
                    Some(schema) => add_unknown(value, schema, &path, found),
                    None => found.push(path),
                }
            }
        }
        (serde_json::Value::Array(items), _) => {
            // Where no list belongs, nothing in it is known
            let nothing = serde_json::json!({"properties": {}});
            let schema = schema.get("items").unwrap_or(&nothing);
            for (at, item) in items.iter().enumerate() {
                add_unknown(item, schema, &format!("{path}[{at}]"), found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Result<Manifest, ManifestError>> {
        super::read(text).expect("YAML")
    }

    /// It follows the `---` of the document before.
    const GOOD: &str = concat!("\n", include_str!("../../tests/support/good.yaml"));

    #[test]
    fn other_kinds_are_passed_over_and_ours_are_read() {
        let text = format!("kind: Secret\napiVersion: v1\n---{GOOD}---{GOOD}");
        let found = read(&text);
        assert_eq!(found.iter().filter(|document| document.is_ok()).count(), 2, "{found:?}");
        assert_eq!(found.len(), 2);
    }

    /// Holds B12: `kubectl apply` takes lists, and a plan that passes over one is green for what it has not seen.
    #[test]
    fn the_items_of_a_list_are_read_too() {
        let item = |text: &str| text.trim().replace('\n', "\n  ");
        let bad = GOOD.replace("tls-service", "teapot");
        for kind in ["List", "ManagedAgentCertificateList"] {
            let list = format!("apiVersion: v1\nkind: {kind}\nitems:\n- {}\n- {}\n", item(GOOD), item(&bad));
            let found = read(&list);
            assert_eq!(found.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false], "{kind}: {found:?}");
        }
        assert!(read("apiVersion: v1\nkind: List\nitems: 7").is_empty());
        assert!(read("apiVersion: v1\nkind: List\nitems: [{apiVersion: kagiban.dev/v1alpha1}]")[0].is_err());
    }

    /// Holds B12: each of these hid a resource, or another host for one, from a plan that was green; `kubectl` applied it.
    #[test]
    fn what_two_readers_of_yaml_take_differently_is_refused_with_what_to_write_instead() {
        let ours = |from: &str, to: &str| {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD, "{from}");
            text
        };
        let kind = |to: &str| ours("kind: ManagedAgentCertificate", to);
        let name = |to: &str| ours("{name: ups-01", &format!("{{name: {to}"));
        let (tag, merge, line, directive) = ("the tag ", "the merge key <<", "the character U+", "begins with %");
        for (text, words) in [
            (kind("kind: !!binary TWFuYWdlZEFnZW50Q2VydGlmaWNhdGU="), tag),
            (kind("!!binary a2luZA==: ManagedAgentCertificate"), tag),
            (kind("kind: !foo ManagedAgentCertificate"), tag),
            (kind("kind: ! ManagedAgentCertificate"), tag),
            (kind("!foo kind: ManagedAgentCertificate"), tag),
            (kind("kind: !<tag:yaml.org,2002:str> ManagedAgentCertificate"), tag),
            (ours("\napiVersion", "\n--- !foo\napiVersion"), tag),
            (name("!!str ups-01"), tag),
            (name("!!str"), tag),
            ("kind: List\nitems: !foo [{kind: A}]".to_owned(), tag),
            ("kind: List\nitems: [!foo {kind: A}]".to_owned(), tag),
            (kind("kind: ConfigMap\n<<: {kind: ManagedAgentCertificate}"), merge),
            (kind("<<: {kind: ConfigMap}\nkind: ManagedAgentCertificate"), merge),
            (ours("\n  host:", "\n  <<: {host: evil.example.com}\n  host:"), merge),
            (ours("\n  host:", "\n  \"<<\": {host: evil.example.com}\n  host:"), merge),
            (name("ups-01, <<: {namespace: kube-system}"), merge),
            (name("ups-01, ? '<<' : [{name: other}]"), merge),
            (ours("\n  host:", "\n  # \u{2028}  paused: on\n  host:"), line),
            (ours("\n  host:", "\n  # \u{2029}  paused: on\n  host:"), line),
            (ours("\n  host:", "\n  # \u{85}  paused: on\n  host:"), line),
            (name("\"a\u{85}b\""), line),
            (format!("{GOOD}---\n\u{feff}{GOOD}"), line),
            (format!("%YAML 1.1\n---{GOOD}"), directive),
            (format!("\u{feff}%YAML 1.1\n---{GOOD}"), directive),
            (format!("%TAG !e! tag:yaml.org,2002:\r---{GOOD}"), directive),
            (format!("a: 1\r%TAG ! tag:yaml.org,2002:\r---{GOOD}"), directive),
            (format!("{GOOD}...\n%FOO bar\n---\n"), directive),
        ] {
            // In whatever document of the file it stands
            for text in [text.clone(), format!("kind: Secret\n---{GOOD}---\n{}", text.trim_start_matches('\u{feff}'))] {
                let error = super::read(&text).expect_err(&text).to_string();
                assert!(
                    error.starts_with("line ")
                        && error.contains(words)
                        && (error.contains(": leave it out") || error.contains("write out")),
                    "{text}: {error}"
                );
            }
        }
        let told = super::read(&format!("a: 1\nb: 2\nc: \u{2028}{GOOD}")).expect_err("refused").to_string();
        assert!(told.starts_with("line 3: ") && told.contains("U+2028") && told.contains("\\u2028"), "{told}");
        let told = super::read("a: 1\n---\nb: [c,\n  !!binary YQ==]").expect_err("refused").to_string();
        assert!(told.starts_with("line 4: the tag !!binary"), "{told}");
        // As text they are what they are
        let text = ours("metadata: {", "metadata: {annotations: {a: \"\\u2028 <<\", b: '!foo %', c: a%, d: <<}, ");
        assert!(read(&format!("\u{feff}# 100 %\n---{text}"))[0].is_ok());
    }

    /// Holds B12: 300 KB of directives took a minute of whoever planned them.
    #[test]
    fn directives_are_refused_before_a_parser_sees_them() {
        let broken = format!("{}bad: [", "%TAG !a! b\n".repeat(2));
        assert!(
            matches!(super::read(&broken), Err(ManifestFileError::Refused(_))),
            "a parser would say that it is no YAML"
        );
    }

    /// Holds B12: `kubectl` takes whatever has items for a list.
    #[test]
    fn what_has_items_and_does_not_say_that_it_is_a_list_is_refused() {
        let item = format!("- {}", GOOD.trim().replace('\n', "\n  "));
        for kind in ["ConfigMap", "ManagedAgentCertificate"] {
            for items in [&format!("\n{item}"), " {}", " ~", " []"] {
                let found = read(&format!("apiVersion: kagiban.dev/v1alpha1\nkind: {kind}\nitems:{items}\n---{GOOD}"));
                assert_eq!(found.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true], "{kind} {items}");
                let error = found[0].as_ref().expect_err("refused").to_string();
                assert!(error.starts_with("document 1: ") && error.contains("name it List"), "{error}");
            }
        }
        let nested = format!("kind: List\nitems:\n- {{kind: A}}\n- kind: B\n  items: [{{kind: A}}]\n---{GOOD}");
        let error = read(&nested)[0].as_ref().expect_err("refused").to_string();
        assert!(error.contains("items[1] has items itself"), "{error}");
    }

    /// Holds B12: what one reader takes for a comment another may take for a value.
    #[test]
    fn values_are_counted_alike_by_both_readers_or_the_file_is_refused() {
        for text in [
            "",
            "# only a comment\n",
            "---\n",
            "---\n---\n",
            "a: &a {b: [1, ~, x], ? [c] : d}\ne: *a\nf:\n",
            "---\n- |\n  a\n- \"b\"\n...\n---\n7\n",
        ] {
            assert_eq!(read(text).len(), 0, "{text:?}");
        }
        let written = Written::of("a: {b: c}\n---\nd\n").expect("YAML");
        let alike = |document, values| written.is_alike(document, values);
        assert!(alike(0, 5) && alike(1, 1));
        assert!(!alike(0, 4) && !alike(0, 6) && !alike(1, 2) && !alike(2, 1));
        let read = |text: &str| values(&serde_yaml::from_str::<Value>(text).expect("YAML"));
        assert_eq!(["a: {b: c}", "d", "[1, [2, 3], {4: 5}]", "~"].map(read), [5, 1, 8, 1]);
    }

    #[test]
    fn a_resource_that_cannot_be_read_says_which_and_why_and_the_next_is_still_read() {
        let bad = GOOD.replace("tls-service", "teapot");
        let found = read(&format!("{bad}---{GOOD}"));
        let error = found[0].as_ref().expect_err("no such product").to_string();
        assert!(error.starts_with("document 1 (ups-01): ") && error.contains("teapot"), "{error}");
        assert!(found[1].is_ok());
    }

    /// Holds B12: "invalid type: integer" was said of a file of a thousand fields, and not of which.
    #[test]
    fn what_does_not_fit_is_told_with_its_document_its_name_and_its_field() {
        for (from, to, words) in [
            ("certificate: {", "certificate: {duration: 90d, ", "spec.certificate.duration: "),
            ("certificate: {", "certificate: {duration: [24h], ", "spec.certificate.duration: "),
            ("dnsNames: [", "dnsNames: [{}, ", "spec.certificate.dnsNames[0]: "),
            ("product: tls-service", "product: teapot", "spec.agent.product: "),
            ("product: tls-service", "product: skysea", "spec: spec.certificate: this product can only be looked at"),
            ("product: tls-service, ", "", "spec.agent: missing field `product`"),
            ("  host:", "  #host:", "spec: missing field `host`"),
            ("metadata: {", "metadata: {labels: 7, ", "metadata.labels: "),
        ] {
            let wrong = GOOD.replace(from, to);
            assert_ne!(wrong, GOOD, "{from}");
            let found = read(&format!("kind: Secret\n---{GOOD}---{wrong}"));
            let error = found[1].as_ref().expect_err(to).to_string();
            assert!(error.starts_with(&format!("document 3 (ups-01): {words}")), "{to}: {error}");
        }
    }

    /// Holds B12: what stands behind it was not looked at, so that nothing can be said of the file.
    #[test]
    fn text_that_is_no_yaml_is_no_list_of_documents() {
        for text in ["bad: [", "\t", "a: b: c", "*unknown", "--- [\n---\na: 1", "\u{0}", &format!("{GOOD}---\nbad: [")]
        {
            assert!(super::read(text).is_err(), "{text:?}");
        }
        assert_eq!(read("").len(), 0);
    }

    /// Holds B12: `plan --offline` took a version that no API server has, and names that none takes.
    #[test]
    fn what_the_api_server_would_not_take_is_refused() {
        for (from, to, words) in [
            ("dev/v1alpha1", "dev/v9", "apiVersion \"kagiban.dev/v9\": this version knows kagiban.dev/v1alpha1 only"),
            ("dev/v1alpha1", "dev", "apiVersion"),
            ("dev/v1alpha1", "dev/v1alpha1/x", "apiVersion"),
            ("name: ups-01", "name: ''", "metadata.name is missing"),
            ("name: ups-01", "name: UPS_01", "metadata.name: it is no name"),
            ("name: ups-01", "name: ups/01", "metadata.name: it is no name"),
            ("name: ups-01", &format!("name: {}", "a".repeat(64)), "metadata.name: at most 63 characters"),
            ("name: ups-01", "name: ups-01, namespace: a.b", "metadata.namespace: "),
            ("name: ups-01", "name: ups-01, namespace: ''", "metadata.namespace: "),
            ("host: ups", "host: UPS", "spec.host"),
        ] {
            let found = read(&GOOD.replace(from, to));
            let error = found[0].as_ref().expect_err(to).to_string();
            assert!(error.contains(words), "{to}: {error}");
        }
        assert!(read(&GOOD.replace("kagiban.dev/", "kagiban.development/")).is_empty(), "another group's");
        assert!(read(&GOOD.replace("name: ups-01", "name: ups.01, namespace: fleet"))[0].is_ok());
    }

    /// Holds B12: `plan --offline` found nothing wrong with a field that the API server refuses.
    #[test]
    fn a_field_that_the_schema_does_not_know_is_found_wherever_it_stands() {
        let unknown = |from: &str, to: &str| {
            let found = read(&GOOD.replace(from, to));
            unknown_fields(&found[0].as_ref().expect("it can be read").object).into_iter().next()
        };
        assert_eq!(unknown("", ""), None);
        assert_eq!(unknown("metadata: {", "metadata: {labels: {a: b}, annotations: {c: d}, "), None);
        for (from, to, field) in [
            ("kind:", "sepc: {}\nkind:", "sepc"),
            ("metadata: {", "metadata: {label: {a: b}, ", "metadata.label"),
            (
                "metadata: {",
                "metadata: {ownerReferences: [{apiVersion: v1, kind: A, name: a, uid: b, namespace: c}], ",
                "metadata.ownerReferences[0].namespace",
            ),
            ("  host:", "  hots: x\n  host:", "spec.hots"),
            ("issuerRef: {", "issuerRef: {namespace: x, ", "spec.issuerRef.namespace"),
            ("certificate: {", "certificate: {renewbefore: 1h, ", "spec.certificate.renewbefore"),
        ] {
            assert_eq!(unknown(from, to).as_deref(), Some(field));
        }
    }
}
