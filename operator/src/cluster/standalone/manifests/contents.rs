//! What one file says: resources and Secrets, each with the line that it begins in; what is wrong; what is passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kagiban_crds::SecretName;
use kagiban_crds::resource::{ALLOWED_CLIENTS_ANNOTATION, ALLOWED_HOSTS_ANNOTATION, PURPOSE_LABEL};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cli::namespace;
use crate::cluster::manifest::{Document, documents, line};
use crate::cluster::{SecretClaims, SecretData};

use super::super::DEFAULT_NAMESPACE;

/// Values of a Secret together; the API server takes no more.
const MOST_SECRET_BYTES: usize = 1 << 20;
/// What is said of a Secret with a word that `kubectl` reads otherwise.
const AMBIGUOUS_SECRET: &str =
    "kubectl reads a word in this Secret as a boolean or a number, which is text here: put its values in quotes";
/// Problems of one file that are told.
const MOST_PROBLEMS: usize = 16;

/// A namespace and a name.
pub(in crate::cluster::standalone) type Key = (String, String);

/// Something that is not taken as it stands, for a person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Problem {
    /// Below the directory of manifests; empty for the directory itself.
    pub(super) file: String,
    pub(super) line: Option<usize>,
    pub(super) what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, what } = self;
        match line {
            _ if file.is_empty() => f.write_str(what),
            None => write!(f, "{file}: {what}"),
            Some(line) => write!(f, "{file}:{line}: {what}"),
        }
    }
}

/// Where something stands in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) number: usize,
    pub(super) item: Option<usize>,
    pub(super) line: Option<usize>,
}

/// A resource as it is written.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) key: Key,
    pub(super) object: Value,
    pub(super) place: Place,
}

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) resources: Vec<Declared>,
    pub(super) secrets: Vec<(Key, Place, SecretData)>,
    pub(super) problems: Vec<Problem>,
    /// Kinds that are somebody else's.
    pub(super) passed_over: BTreeSet<String>,
}

/// A Secret, as it is written. Other fields are passed over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Secret {
    #[serde(default)]
    metadata: SecretMetadata,
    #[serde(rename = "type")]
    kind: Option<String>,
    data: Option<BTreeMap<String, SecretString>>,
    string_data: Option<BTreeMap<String, SecretString>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SecretMetadata {
    name: Option<String>,
    namespace: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

impl Contents {
    /// `written` is a word that is another one whenever the file is.
    pub(super) fn of(file: &str, text: &str, written: &str) -> Self {
        let mut contents = Self::default();
        let documents = match documents(text) {
            Ok(documents) => documents,
            Err(error) => {
                contents.wrong(file, None, error.to_string());
                return contents;
            }
        };
        for document in documents {
            match document {
                Ok(document) => contents.take(file, text, &document, written),
                Err(error) => contents.wrong(file, line(text, error.number, None, ""), error.to_string()),
            }
        }
        contents
    }

    fn take(&mut self, file: &str, text: &str, document: &Document, written: &str) {
        let is_secret = document.kind() == "Secret" && document.api_version() == "v1";
        if !is_secret && !document.is_ours() {
            if !document.is_empty() {
                self.passed_over.insert(format!("{} {}", document.api_version(), document.kind()));
            }
            return;
        }
        let line = line(text, document.number, document.item, "");
        let place = Place { number: document.number, item: document.item, line };
        let object = match (&document.ambiguous, document.object()) {
            // The word is quoted, and may be a password
            (Some(_), _) if is_secret => return self.wrong(file, line, AMBIGUOUS_SECRET.to_owned()),
            (Some(what), _) => return self.wrong(file, line, what.clone()),
            (None, Err(error)) => return self.wrong(file, line, error),
            (None, Ok(object)) => object,
        };
        if is_secret {
            match secret(object, written) {
                Ok((key, data)) => self.secrets.push((key, place, data)),
                Err(what) => self.wrong(file, line, what),
            }
            return;
        }
        match keyed(object) {
            Ok((key, object)) => self.resources.push(Declared { key, object, place }),
            Err(what) => self.wrong(file, line, what),
        }
    }

    fn wrong(&mut self, file: &str, line: Option<usize>, what: String) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(Problem { file: file.to_owned(), line, what });
        }
    }
}

/// With the namespace that it has.
fn keyed(mut object: Value) -> Result<(Key, Value), String> {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return Err("metadata is missing".to_owned());
    };
    let name = metadata.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err("metadata.name is missing".to_owned());
    }
    let namespace = metadata.entry("namespace").or_insert(Value::Null);
    if namespace.is_null() {
        *namespace = json!(DEFAULT_NAMESPACE);
    }
    let namespace = namespace.as_str().ok_or("metadata.namespace is no text")?.to_owned();
    Ok(((namespace, name), object))
}

/// Nothing of its values is in an error.
fn secret(object: Value, written: &str) -> Result<(Key, SecretData), String> {
    let secret: Secret = Secret::deserialize(object).map_err(|_| {
        "it is no Secret: labels and annotations are text, data is text in base64, stringData is text".to_owned()
    })?;
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    let name: SecretName = name.parse().map_err(|error| format!("metadata.name: {error}"))?;
    let within = secret.metadata.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
    let within = namespace(within).map_err(|error| format!("metadata.namespace: {error}"))?;
    let mut values = BTreeMap::new();
    for (key, text) in secret.data.into_iter().flatten() {
        let digits: Zeroizing<Vec<u8>> =
            Zeroizing::new(text.expose_secret().bytes().filter(|b| !b"\r\n".contains(b)).collect());
        let value = STANDARD.decode(&*digits).map_err(|_| format!("data[{key}]: it is no base64"))?;
        values.insert(key, value);
    }
    for (key, text) in secret.string_data.into_iter().flatten() {
        values.insert(key, text.expose_secret().as_bytes().to_vec());
    }
    let size: usize = values.values().map(Vec::len).sum();
    if size > MOST_SECRET_BYTES {
        return Err(format!("data: Too long: may not be more than {MOST_SECRET_BYTES} bytes"));
    }
    let claims = claims(&name, secret.kind, secret.metadata.labels, secret.metadata.annotations);
    Ok(((within, name.to_string()), SecretData::new(values, claims, written.to_owned())))
}

fn claims(
    name: &SecretName,
    kind: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
) -> SecretClaims {
    let mut annotations = annotations.unwrap_or_default();
    SecretClaims {
        name: name.to_string(),
        kind: kind.unwrap_or_else(|| "Opaque".to_owned()),
        purpose: labels.and_then(|mut labels| labels.remove(PURPOSE_LABEL)),
        allowed_hosts: annotations.remove(ALLOWED_HOSTS_ANNOTATION),
        allowed_clients: annotations.remove(ALLOWED_CLIENTS_ANNOTATION),
    }
}

/// What a Secret says of itself, from a manifest of it without values: `name` is its directory's.
pub(in crate::cluster::standalone) fn claims_of(name: &SecretName, text: &str) -> Result<SecretClaims, String> {
    let mut documents = documents(text).map_err(|error| error.to_string())?.into_iter();
    let document = documents.next().ok_or("it says nothing")?.map_err(|error| error.to_string())?;
    if documents.next().is_some() || document.kind() != "Secret" || document.api_version() != "v1" {
        return Err("it must be one document with `apiVersion: v1` and `kind: Secret`".to_owned());
    }
    if let Some(what) = document.ambiguous {
        return Err(what);
    }
    let secret: Secret = Secret::deserialize(document.object()?)
        .map_err(|_| "it is no Secret: labels and annotations are text".to_owned())?;
    if secret.data.is_some() || secret.string_data.is_some() {
        return Err("it has values: they are the files beside it".to_owned());
    }
    if secret.metadata.name.is_some_and(|said| said != name.as_str()) {
        return Err("metadata.name is another one than its directory's: leave it out".to_owned());
    }
    Ok(claims(name, secret.kind, secret.metadata.labels, secret.metadata.annotations))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const SECRET: &str = "apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata:
  name: ca
  labels: {kagiban.dev/purpose: issuer}
  annotations: {kagiban.dev/allowed-hosts: '*.example.com'}
data:
  tls.crt: YWJj
  tls.key: ZGVm
stringData:
  tls.key: other
";

    fn contents(text: &str) -> Contents {
        Contents::of("a.yaml", text, "w")
    }

    #[test]
    fn a_secret_is_read_as_an_api_server_keeps_it() {
        let found = contents(SECRET);
        let [(key, place, data)] = &*found.secrets else { panic!("{:?}", found.problems) };
        assert_eq!((key.0.as_str(), key.1.as_str(), place.line), ("default", "ca", Some(1)));
        assert_eq!((data.bytes("tls.crt"), data.bytes("tls.key")), (Some(&b"abc"[..]), Some(&b"other"[..])));
        let claims = data.claims();
        assert_eq!(
            (claims.kind.as_str(), claims.purpose.as_deref(), claims.allowed_hosts.as_deref()),
            ("kubernetes.io/tls", Some("issuer"), Some("*.example.com"))
        );
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_told_without_its_values() {
        for (from, to, words) in [
            ("YWJj", "hunter22!", "data[tls.crt]: it is no base64"),
            ("tls.crt: YWJj", "tls.crt: [hunter22]", "it is no Secret"),
            ("name: ca", "name: C_A", "metadata.name"),
            ("name: ca", "name: ca\n  namespace: a.b", "metadata.namespace"),
            ("tls.key: other", "tls.key: 'x'\n  password: 0_22", "put its values in quotes"),
        ] {
            let found = contents(&SECRET.replace(from, to));
            let [problem] = &*found.problems else { panic!("{to}: {:?}", found.problems) };
            assert!(problem.what.contains(words) && problem.line == Some(1), "{problem:?}");
            assert!(!problem.what.contains("hunter22") && !problem.what.contains("0_22"), "{problem:?}");
            assert!(found.secrets.is_empty());
        }
    }

    #[test]
    fn other_kinds_are_passed_over_and_ours_get_the_namespace_of_kubectl() {
        let text = format!(
            "{SECRET}---\nkind: ConfigMap\napiVersion: v1\n---\n---\napiVersion: kagiban.dev/v1alpha1\n\
             kind: ManagedAgentCertificate\nmetadata: {{name: a}}\n---\napiVersion: kagiban.dev/v1alpha1\n\
             kind: ManagedAgentCertificate\nmetadata: {{name: b, namespace: fleet}}\n"
        );
        let found = contents(&text);
        let keys: Vec<_> = found.resources.iter().map(|declared| (&*declared.key.0, &*declared.key.1)).collect();
        assert_eq!(keys, [("default", "a"), ("fleet", "b")]);
        assert_eq!(found.passed_over.iter().collect::<Vec<_>>(), ["v1 ConfigMap"]);
        assert_eq!(found.resources[0].object["metadata"]["namespace"], "default");
        assert_eq!(found.problems, []);
    }

    #[test]
    fn what_a_secret_says_of_itself_stands_beside_its_values() {
        let name: SecretName = "ca".parse().expect("a name");
        let head = SECRET.split("\ndata:").next().expect("a head");
        assert_eq!(claims_of(&name, head).map(|claims| claims.purpose), Ok(Some("issuer".to_owned())));
        for (text, words) in [
            (SECRET.to_owned(), "it has values"),
            (head.replace("name: ca", "name: other"), "another one than its directory's"),
            (format!("{head}\n---\na: b\n"), "one document"),
            (String::new(), "one document"),
            ("a: [".to_owned(), "no YAML"),
        ] {
            let error = claims_of(&name, &text).expect_err(words);
            assert!(error.contains(words) || text.is_empty(), "{error}");
        }
    }

    /// Those of the example are what they are for.
    #[test]
    fn the_example_is_read() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/standalone");
        let read = |path: &str| std::fs::read_to_string(example.join(path)).expect(path);
        let found = contents(&read("manifests/ups-01.example.com-powerchute.yaml"));
        assert_eq!((found.resources.len(), found.problems.len()), (1, 0));
        for (secret, purpose) in [("fleet-client", "client-tls"), ("fleet-ca", "issuer")] {
            let claims =
                claims_of(&secret.parse().expect("a name"), &read(&format!("secrets/fleet/{secret}/.secret.yaml")));
            let claims = claims.expect(secret);
            assert_eq!((claims.purpose.as_deref(), claims.kind.as_str()), (Some(purpose), "kubernetes.io/tls"));
            assert_eq!(claims.allowed_hosts.as_deref(), Some("*.example.com"));
        }
    }
}
