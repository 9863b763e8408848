//! What each command asks, and what it prints.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use kagiban_crds::host_api::RotationState;
use serde::Serialize as _;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::client::{AskError, Client};
use super::{describe, manifests, table};
use crate::cli::{
    ConfirmDeletionsArgs, EventsArgs, GetArgs, LocalCommand, ManyArgs, NamedArgs, Output, RotateArgs, WaitArgs, WaitFor,
};
use crate::cluster::{is_name, key_of, rotate_word};
use crate::foreign::{in_one_line, is_seen};

/// What `kubectl` calls one.
const KIND: &str = "managedagentcertificate.kagiban.dev";
/// What somebody may write for the kind who has `kubectl` in his fingers.
const KINDS: [&str; 4] = ["mac", "managedagentcertificate", "managedagentcertificates", KIND];
/// Between two looks at what is waited for.
const WAIT_PAUSE: Duration = Duration::from_millis(500);

/// Asks, and prints what is told.
///
/// # Errors
/// When nobody answers, or what is asked cannot be.
pub async fn run(command: &LocalCommand) -> anyhow::Result<()> {
    let told = match command {
        LocalCommand::Get(args) => get(args).await?,
        LocalCommand::Describe(args) => describe_all(args).await?,
        LocalCommand::Events(args) => events(args).await?,
        LocalCommand::Wait(args) => {
            let waited = wait(args).await;
            if waited.is_err() {
                // That it is not taken may be why it is not there
                warn_of_manifests(&args.named.state.state).await?;
            }
            return waited;
        }
        LocalCommand::Rotate(args) => rotate(args).await?,
        LocalCommand::Pause(args) => each(args, "pause", "").await?,
        LocalCommand::Resume(args) => each(args, "resume", "").await?,
        LocalCommand::ConfirmDeletions(args) => confirm_deletions(args).await?,
        LocalCommand::Export(args) => export(args).await?,
    };
    print(&told)
}

async fn get(args: &GetArgs) -> anyhow::Result<String> {
    let (found, is_named) = asked_for(&args.of).await?;
    let with_namespace = args.of.state.namespace.is_none() && !is_named;
    if found.is_empty() {
        remark("No resources found.")?;
    }
    print(&listed(found, args.output, is_named, with_namespace, Timestamp::now())?)?;
    warn_of_manifests(&args.of.state.state).await?;
    Ok(String::new())
}

/// As `kubectl` prints warnings: beside what is asked for. An operator that cannot tell of any has answered what it was asked.
async fn warn_of_manifests(state: &Path) -> anyhow::Result<()> {
    let Ok(answer) = Client::new(state).get("/notes").await else { return Ok(()) };
    for note in answer["notes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        remark(&in_one_line(&format!("Warning: {note}")))?;
    }
    Ok(())
}

/// Resources as they are printed: one that was asked for by its name alone, or a list.
///
/// # Errors
/// When one cannot be written as text.
pub fn listed(
    found: Vec<Value>,
    output: Option<Output>,
    is_named: bool,
    with_namespace: bool,
    now: Timestamp,
) -> anyhow::Result<String> {
    let one = is_named && found.len() == 1;
    Ok(match output {
        None | Some(Output::Wide) if found.is_empty() => String::new(),
        None => table::resources(&found, false, with_namespace, now),
        Some(Output::Wide) => table::resources(&found, true, with_namespace, now),
        Some(Output::Name) => {
            found.iter().map(|object| format!("{KIND}/{}\n", in_one_line(&key_of(object).1))).collect()
        }
        Some(Output::Json) => in_json(&one_or_list(found, one))?,
        Some(Output::Yaml) => in_yaml(&one_or_list(found, one))?,
    })
}

async fn describe_all(args: &ManyArgs) -> anyhow::Result<String> {
    let (found, _) = asked_for(args).await?;
    let client = Client::new(&args.state.state);
    let mut told = Vec::new();
    for object in &found {
        let (namespace, name) = key_of(object);
        let events = client.get(&format!("/events/{namespace}/{name}")).await?;
        let events = events.as_array().map(Vec::as_slice).unwrap_or_default();
        told.push(describe(object, events, Timestamp::now()));
    }
    // An operator that cannot tell it has answered what it was asked
    told.extend(client.get("/installation").await.ok().as_ref().and_then(speaker));
    Ok(told.join("\n\n"))
}

/// Who speaks to the hosts of all that is described, in the words of the page.
fn speaker(installation: &Value) -> Option<String> {
    let lineage = in_one_line(installation["lineage"].as_str()?);
    // One of an earlier version does not tell
    let epoch = installation["epoch"].as_u64().map(|epoch| format!(", in epoch {epoch}")).unwrap_or_default();
    Some(format!(
        "kagiban-operator speaks to these hosts for the installation {lineage}{epoch}. A host that obeys another one says so in Blocked.\n"
    ))
}

async fn events(args: &EventsArgs) -> anyhow::Result<String> {
    let client = Client::new(&args.state.state);
    let namespace = args.state.namespace.as_deref();
    let found = match &args.name {
        None => client.get(&path("events", namespace)).await?,
        Some(name) => {
            let names = found(&client, namespace, &[bare(name).to_owned()]).await?;
            let (namespace, name) = names.first().context("no name")?;
            client.get(&format!("/events/{namespace}/{name}")).await?
        }
    };
    let events = found.as_array().map(Vec::as_slice).unwrap_or_default();
    let with_namespace = namespace.is_none() && args.name.is_none();
    if events.is_empty() {
        remark("No events found.")?;
        return Ok(String::new());
    }
    Ok(table::events(events, with_namespace, Timestamp::now()))
}

async fn export(args: &ManyArgs) -> anyhow::Result<String> {
    let (found, _) = asked_for(args).await?;
    ensure!(!found.is_empty(), "there are no resources");
    let installation = Client::new(&args.state.state).get("/installation").await?;
    manifests::exported(&found, installation["lineage"].as_str().unwrap_or_default(), in_yaml)
}

/// Prints each as soon as it is so. An operator that only starts, and a manifest that it has only now, are waited for too.
async fn wait(args: &WaitArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.named.state.state);
    let mut patience = Patience::of(args);
    let names = loop {
        match named(&client, &args.named).await {
            Ok(names) => break names,
            // It is gone already. Of several, the others are named again without it
            Err(error) if args.wait_for == WaitFor::Delete && is_not_found(&error) && args.named.names.len() == 1 => {
                return Ok(());
            }
            Err(error) => patience.pause(error).await?,
        }
    };
    for (namespace, name) in names {
        let mut was_there = false;
        loop {
            let object = match client.get(&format!("/resources/{namespace}/{name}")).await {
                Ok(object) => Some(object),
                Err(AskError::NotFound) if args.wait_for == WaitFor::Delete => None,
                Err(AskError::NotFound) if was_there => bail!("{KIND}/{name}: deleted while it was waited for"),
                Err(error) => {
                    patience.pause(anyhow::Error::new(error).context(format!("{KIND}/{name}"))).await?;
                    continue;
                }
            };
            was_there |= object.is_some();
            match (&args.wait_for, object) {
                (WaitFor::Delete, None) => break,
                (WaitFor::Condition { kind, status }, Some(object)) if is_met(&object, kind, status) => break,
                _ => patience.ensure(&name)?,
            }
            sleep(WAIT_PAUSE).await;
        }
        let met = if args.wait_for == WaitFor::Delete { "deleted" } else { "condition met" };
        print(&format!("{KIND}/{name} {met}\n"))?;
    }
    Ok(())
}

/// How long what is not so yet is waited for.
struct Patience<'a> {
    wait_for: &'a WaitFor,
    deadline: Instant,
    /// A person is told once why nothing happens.
    told: bool,
}

impl<'a> Patience<'a> {
    fn of(args: &'a WaitArgs) -> Self {
        Self { wait_for: &args.wait_for, deadline: Instant::now() + args.timeout.as_duration(), told: false }
    }

    /// After an answer that may be another in a moment; any other ends the command at once.
    async fn pause(&mut self, error: anyhow::Error) -> anyhow::Result<()> {
        let may_come = match error.downcast_ref::<AskError>() {
            Some(AskError::NobodyThere(_) | AskError::Broken(_) | AskError::Silent) => true,
            Some(AskError::NotFound) => *self.wait_for != WaitFor::Delete,
            Some(AskError::Forbidden(_) | AskError::Io(..) | AskError::Refused(_)) | None => false,
        };
        if !may_come {
            return Err(error);
        }
        if Instant::now() >= self.deadline {
            return Err(error.context(format!("timed out waiting for {}", self.wait_for)));
        }
        if !std::mem::replace(&mut self.told, true) {
            remark(&in_one_line(&format!("still waiting: {error:#}")))?;
        }
        sleep(WAIT_PAUSE).await;
        Ok(())
    }

    fn ensure(&self, name: &str) -> anyhow::Result<()> {
        ensure!(Instant::now() < self.deadline, "timed out waiting for {} on {KIND}/{name}", self.wait_for);
        Ok(())
    }
}

async fn rotate(args: &RotateArgs) -> anyhow::Result<String> {
    let value = args.value.clone().unwrap_or_else(|| Timestamp::now().to_string());
    let told = each(&args.named, "rotate", &value).await?;
    if args.wait {
        wait_for_rotation(args, &rotate_word(&value)).await?;
    }
    Ok(told)
}

/// Tells what the resource says of it, as it changes.
async fn wait_for_rotation(args: &RotateArgs, word: &str) -> anyhow::Result<()> {
    let client = Client::new(&args.named.state.state);
    let deadline = Instant::now() + args.timeout.as_duration();
    for (namespace, name) in named(&client, &args.named).await? {
        let mut last = String::new();
        loop {
            let object = client.get(&format!("/resources/{namespace}/{name}")).await;
            let object = object.with_context(|| format!("{KIND}/{name}"))?;
            match rotation_of(&object, word) {
                Asked::Done(told) => break print(&format!("{KIND}/{name} {told}\n"))?,
                Asked::Ended(told) => bail!("{KIND}/{name}: {told}"),
                Asked::Owed => {}
            }
            let said = on_the_way(&object);
            ensure!(Instant::now() < deadline, "timed out waiting for {KIND}/{name}, which is not rotated yet: {said}");
            if said != last && !said.is_empty() {
                remark(&format!("{KIND}/{name}: {said}"))?;
                last = said;
            }
            sleep(WAIT_PAUSE).await;
        }
    }
    Ok(())
}

/// What became of a rotation or a repair that was asked for by a word, in words.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// A leaf that answers it is in force, or the repair has ended well.
    Done(String),
    /// Without one. A rotation is tried again by the operator, and nobody need wait for that; a repair is not.
    Ended(String),
    Owed,
}

fn rotation_of(object: &Value, word: &str) -> Asked {
    let status = &object["status"];
    if status["handledRotate"] == word {
        let is_repaired = object["spec"]["repair"].is_object();
        return if is_repaired { repair_of(object) } else { Asked::Done(format!("rotated: {}", leaf(object))) };
    }
    let rotation = &status["rotation"];
    let is_its = rotation["rotate"] == word;
    let state = serde_json::from_value::<RotationState>(rotation["state"].clone());
    match state {
        Ok(state) if is_its && state.is_decided() && state != RotationState::Committed => {
            let state = rotation["state"].as_str().unwrap_or_default();
            Asked::Ended(format!("the rotation has ended as {state}: {}", ended(object)))
        }
        _ => Asked::Owed,
    }
}

/// A repair answers its word however it ended: how, is told by its condition alone.
fn repair_of(object: &Value) -> Asked {
    let Some(repaired) = conditions(object).iter().find(|condition| condition["type"] == "Repaired") else {
        return Asked::Owed;
    };
    let told = || told_by(repaired);
    match (repaired["status"].as_str(), repaired["reason"].as_str()) {
        (Some("True"), _) => Asked::Done(format!("repaired: {}", told())),
        (Some("Unknown"), Some("NotProven")) => Asked::Done(format!("not proven: {}", told())),
        (Some("False"), _) => Asked::Ended(told()),
        _ => Asked::Owed,
    }
}

/// What keeps it, or else what is done about it, to a person; empty while nothing is known yet.
fn on_the_way(object: &Value) -> String {
    let said = ["Blocked", "Reconciling"].map(|kind| condition(object, kind));
    said.into_iter().find(|said| !said.is_empty()).unwrap_or_default()
}

/// Why the newest rotation was none, as its host has said.
fn ended(object: &Value) -> String {
    let reason = object["status"]["history"][0]["reason"].as_str().unwrap_or("for no reason that is known");
    in_one_line(&format!("{reason}; `kagiban-operator describe` shows its events"))
}

fn leaf(object: &Value) -> String {
    let leaf = &object["status"]["leaf"];
    let word = |name: &str| leaf[name].as_str().unwrap_or_default();
    in_one_line(&format!("{} is in force, valid until {}", word("sha256"), word("notAfter")))
}

fn conditions(object: &Value) -> &[Value] {
    object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn condition(object: &Value, kind: &str) -> String {
    let found = conditions(object).iter().find(|condition| condition["type"] == kind && condition["status"] == "True");
    found.map(told_by).unwrap_or_default()
}

fn told_by(condition: &Value) -> String {
    let word = |name: &str| condition[name].as_str().unwrap_or_default();
    in_one_line(&format!("{}: {}", word("reason"), word("message")))
}

async fn confirm_deletions(args: &ConfirmDeletionsArgs) -> anyhow::Result<String> {
    let answer = Client::new(&args.state).post("/confirm-deletions", "").await?;
    Ok(format!("{}\n", answer["outcome"].as_str().unwrap_or_default()))
}

/// Asks the same of each of them, and says at once what came of it. One that is refused keeps nothing from the others.
async fn each(args: &NamedArgs, what: &str, body: &str) -> anyhow::Result<String> {
    let client = Client::new(&args.state.state);
    let names = named(&client, args).await?;
    let mut refused = 0;
    for (namespace, name) in &names {
        match client.post(&format!("/resources/{namespace}/{name}/{what}"), body).await {
            Ok(answer) => {
                let outcome = in_one_line(answer["outcome"].as_str().unwrap_or_default());
                print(&format!("{KIND}/{name} {outcome}\n"))?;
            }
            Err(error) if names.len() == 1 => return Err(error).context(format!("{KIND}/{name}")),
            Err(error) => {
                refused += 1;
                remark(&in_one_line(&format!("{KIND}/{name}: {error}")))?;
            }
        }
    }
    ensure!(refused == 0, "{refused} of {} were refused", names.len());
    Ok(String::new())
}

/// Those that are named, of which there must be one.
async fn named(client: &Client, args: &NamedArgs) -> anyhow::Result<Vec<(String, String)>> {
    let names = without_kind(&args.names);
    ensure!(!names.is_empty(), "name the resources; `kagiban-operator get` lists them");
    found(client, args.state.namespace.as_deref(), &names).await
}

/// `kubectl` waits for a condition of what the resource says now.
fn is_met(object: &Value, kind: &str, status: &str) -> bool {
    let generation = object["metadata"]["generation"].as_i64().unwrap_or_default();
    conditions(object).iter().any(|condition| {
        let is_it = condition["type"].as_str().is_some_and(|it| it.eq_ignore_ascii_case(kind));
        let is_so = condition["status"].as_str().is_some_and(|it| it.eq_ignore_ascii_case(status));
        is_it && is_so && condition["observedGeneration"].as_i64().is_none_or(|seen| seen >= generation)
    })
}

fn without_kind(names: &[String]) -> Vec<String> {
    let names = match names {
        [kind, rest @ ..] if KINDS.contains(&kind.as_str()) => rest,
        names => names,
    };
    names.iter().map(|name| bare(name).to_owned()).collect()
}

fn bare(name: &str) -> &str {
    match name.split_once('/') {
        Some((kind, name)) if KINDS.contains(&kind) => name,
        _ => name,
    }
}

/// All, or those that are named; and whether they are.
async fn asked_for(args: &ManyArgs) -> anyhow::Result<(Vec<Value>, bool)> {
    let client = Client::new(&args.state.state);
    let namespace = args.state.namespace.as_deref();
    let names = without_kind(&args.names);
    if names.is_empty() {
        return Ok((list(&client, namespace).await?, false));
    }
    let mut objects = Vec::new();
    for (namespace, name) in found(&client, namespace, &names).await? {
        let object = client.get(&format!("/resources/{namespace}/{name}")).await;
        objects.push(object.with_context(|| format!("{KIND}/{name}"))?);
    }
    Ok((objects, true))
}

async fn list(client: &Client, namespace: Option<&str>) -> anyhow::Result<Vec<Value>> {
    match client.get(&path("resources", namespace)).await? {
        Value::Array(found) => Ok(found),
        _ => bail!("the operator's answer is no list"),
    }
}

/// The namespaces and the names of those that are meant. Where no namespace is said, all are listed, once.
async fn found(client: &Client, namespace: Option<&str>, names: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    for name in names {
        ensure!(is_name(name), "{name:?} is no name of a resource");
    }
    if let Some(namespace) = namespace {
        return Ok(names.iter().map(|name| (namespace.to_owned(), name.clone())).collect());
    }
    let all: Vec<_> = list(client, None).await?.iter().map(key_of).collect();
    let of = |name: &String| {
        let mut keys = all.iter().filter(|(_, other)| other == name);
        let Some(key) = keys.next() else { return Err(AskError::NotFound).context(format!("{KIND}/{name}")) };
        if let Some((other, _)) = keys.next() {
            bail!("{name} stands in the namespaces {} and {other}: say which with -n", key.0);
        }
        Ok(key.clone())
    };
    names.iter().map(of).collect()
}

fn is_not_found(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(AskError::NotFound))
}

fn path(what: &str, namespace: Option<&str>) -> String {
    namespace.map_or_else(|| format!("/{what}"), |namespace| format!("/{what}/{namespace}"))
}

fn one_or_list(mut found: Vec<Value>, one: bool) -> Value {
    match found.pop() {
        Some(object) if one => object,
        last => {
            found.extend(last);
            json!({"apiVersion": "v1", "kind": "List", "items": found, "metadata": {"resourceVersion": ""}})
        }
    }
}

/// For a person, and not for what reads the output.
fn remark(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stderr(), "{text}").context("a remark cannot be printed")
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("the answer cannot be printed")
}

fn in_json(value: &Value) -> anyhow::Result<String> {
    let halves = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect();
    Ok(escaped(&unescaped_json(value)?, halves))
}

/// Indented as `kubectl` does it.
fn unescaped_json(value: &Value) -> anyhow::Result<String> {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))?;
    text.push(b'\n');
    Ok(String::from_utf8(text)?)
}

/// As `kubectl` does it: what readers of YAML 1.1 take for something else than text is quoted, and lines are not folded.
fn in_yaml(value: &Value) -> anyhow::Result<String> {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    let text = serde_saphyr::to_string_with_options(value, options)?;
    // No style of YAML but one escapes what cannot be seen; JSON is YAML too, and does
    if text.chars().all(|c| c == '\n' || is_seen(c)) {
        return Ok(text);
    }
    // By eight digits where JSON has two halves, which readers of YAML refuse
    Ok(escaped(&unescaped_json(value)?, |c| match u32::from(c) {
        code @ ..=0xffff => format!("\\u{code:04x}"),
        code => format!("\\U{code:08x}"),
    }))
}

/// Nothing in a text of JSON reaches a terminal as a command: what cannot be seen stands within quotes there.
fn escaped(text: &str, escape: impl Fn(char) -> String) -> String {
    let mut told = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || is_seen(c) {
            told.push(c);
        } else {
            told.push_str(&escape(c));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::cluster::standalone::{ManifestTrust, Places, Standalone};
    use crate::cluster::{Cluster as _, watch};
    use crate::freshness::Freshness;
    use crate::metrics::Metrics;

    const MANIFEST: &str = include_str!("../../tests/support/good.yaml");

    fn wait_for(state: &Path, namespace: Option<&str>, wait_for: &str, timeout: &str) -> LocalCommand {
        let state = state.to_str().expect("UTF-8");
        let words = ["kagiban-operator", "wait", "ups-01", "--state", state, "--for", wait_for, "--timeout", timeout];
        let namespace = namespace.into_iter().flat_map(|namespace| ["-n", namespace]);
        match Cli::try_parse_from(words.into_iter().chain(namespace)).expect("a command").command {
            Some(Command::Local(command)) => command,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_operator_of_an_earlier_version_tells_no_epoch() {
        assert_eq!(speaker(&json!({})), None);
        let told = speaker(&json!({"lineage": "tokyo"})).expect("a lineage");
        assert!(told.contains("the installation tokyo. ") && !told.contains("epoch"), "{told}");
    }

    /// As in a script that starts the operator in the line before.
    #[tokio::test]
    async fn an_operator_that_only_starts_and_a_manifest_that_comes_are_waited_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let (state, manifests) = (at("state"), at("manifests"));
        std::fs::create_dir(&manifests).expect("a directory");
        let waited = async {
            for namespace in [None, Some("default")] {
                run(&wait_for(&state, namespace, "condition=Ready", "60s")).await?;
            }
            anyhow::Ok(())
        };
        let late = async {
            let early = run(&wait_for(&state, None, "condition=Ready", "0s")).await;
            let said = format!("{:#}", early.expect_err("nobody is there"));
            assert!(said.starts_with("timed out waiting for condition=Ready=True: no kagiban-operator"), "{said}");
            let places = Places {
                manifests: manifests.clone(),
                trust: ManifestTrust::Anybody,
                secrets: None,
                state: state.clone(),
                every: Duration::from_millis(20),
                confirm_deletions: false,
            };
            let metrics = Arc::new(Metrics::new(None));
            let (standalone, tenure, following) =
                Standalone::open(places, None, "me".to_owned(), metrics).await.expect("a state");
            let following = tokio::spawn(following);
            for namespace in [None, Some("default")] {
                let early = run(&wait_for(&state, namespace, "condition=Ready", "0s")).await;
                let said = format!("{:#}", early.expect_err("it is not read"));
                let expected = format!("timed out waiting for condition=Ready=True: {KIND}/ups-01: not found");
                assert_eq!(said, expected);
            }
            let client = Client::new(&state);
            assert_eq!(client.get("/notes").await.expect("it is told"), json!({"notes": []}));
            let installation = client.get("/installation").await.expect("it is told");
            let told = speaker(&installation).expect("a lineage");
            let expected = format!("for the installation {}, in epoch {}. ", tenure.lineage, tenure.epoch);
            assert!(told.contains(&expected), "{told}: {expected}");
            std::fs::write(manifests.join("b.yaml"), "a: 1\n---\nbad: [\n").expect("a file");
            let noted = loop {
                let told = client.get("/notes").await.expect("it is told");
                match told["notes"][0].as_str() {
                    Some(note) => break note.to_owned(),
                    None => sleep(Duration::from_millis(10)).await,
                }
            };
            assert!(noted.starts_with("b.yaml") && noted.contains("stays until it is corrected"), "{noted}");
            let gone = run(&wait_for(&state, None, "delete", "0s")).await;
            gone.expect("there is none");
            std::fs::write(manifests.join("a.yaml"), MANIFEST).expect("a file");
            let mac = loop {
                let found = watch::all(standalone.watch(None, Freshness::new(Instant::now()))).await;
                match found.expect("a list").first() {
                    Some(object) => break object.readable().expect("a resource").clone(),
                    None => sleep(Duration::from_millis(10)).await,
                }
            };
            let early = run(&wait_for(&state, None, "condition=Ready", "0s")).await;
            let said = format!("{:#}", early.expect_err("it is not ready"));
            assert_eq!(said, format!("timed out waiting for condition=Ready=True on {KIND}/ups-01"));
            let ready = json!({"conditions": [{
                "type": "Ready", "status": "True", "reason": "X", "message": "", "lastTransitionTime": "2026-03-01T12:00:00Z",
            }]});
            let ready = serde_json::from_value(ready).expect("a status");
            standalone.write_status(&mac, &ready).await.expect("it is written");
            following.abort_handle()
        };
        let (waited, following) = tokio::join!(waited, late);
        waited.expect("it came");
        following.abort();
    }

    #[test]
    fn a_rotation_is_waited_for_until_its_word_is_answered_or_it_has_ended_without() {
        let object = |handled: &str, word: &str, state: &str| json!({"status": {"handledRotate": handled, "rotation": {"rotate": word, "state": state}}});
        let unknown = "for no reason that is known; `kagiban-operator describe` shows its events";
        for (object, expected) in [
            (object("new", "new", "Committed"), Asked::Done("rotated:  is in force, valid until ".to_owned())),
            (object("old", "new", "Requested"), Asked::Owed),
            (
                object("old", "new", "RolledBack"),
                Asked::Ended(format!("the rotation has ended as RolledBack: {unknown}")),
            ),
            // That of before
            (object("old", "old", "RolledBack"), Asked::Owed),
            // Its leaf is not verified yet
            (object("old", "new", "Committed"), Asked::Owed),
            (json!({}), Asked::Owed),
        ] {
            assert_eq!(rotation_of(&object, "new"), expected, "{object}");
        }
    }

    /// A failed one and one without proof were printed as a certificate that is served.
    #[test]
    fn a_repair_that_is_waited_for_ends_as_its_condition_says() {
        let object = |handled: &str, status: &str, reason: &str| {
            json!({
                "spec": {"repair": {}},
                "status": {
                    "handledRotate": handled,
                    "rotation": {"rotate": "new", "state": "RolledBack"},
                    "conditions": [{"type": "Repaired", "status": status, "reason": reason, "message": "as it is"}],
                },
            })
        };
        let told = str::to_owned;
        for (object, expected) in [
            (object("new", "True", "Repaired"), Asked::Done(told("repaired: Repaired: as it is"))),
            (object("new", "Unknown", "NotProven"), Asked::Done(told("not proven: NotProven: as it is"))),
            (object("new", "False", "RepairFailed"), Asked::Ended(told("RepairFailed: as it is"))),
            // What it was first seen with counts as answered, and nothing is run for it
            (object("new", "False", "NotAsked"), Asked::Ended(told("NotAsked: as it is"))),
            // Somebody has asked for another since
            (object("new", "Unknown", "Requested"), Asked::Owed),
            (json!({"spec": {"repair": {}}, "status": {"handledRotate": "new"}}), Asked::Owed),
        ] {
            assert_eq!(rotation_of(&object, "new"), expected, "{object}");
        }
    }

    #[test]
    fn a_condition_of_an_older_generation_is_not_met() {
        let object = |seen: i64, status: &str| {
            json!({
                "metadata": {"generation": 2},
                "status": {"conditions": [{"type": "Ready", "status": status, "observedGeneration": seen}]},
            })
        };
        assert!(is_met(&object(2, "True"), "ready", "true"));
        assert!(!is_met(&object(1, "True"), "Ready", "True"));
        assert!(!is_met(&object(2, "False"), "Ready", "True"));
        assert!(is_met(&object(2, "False"), "Ready", "False"));
        assert!(!is_met(&json!({}), "Ready", "True"));
    }

    #[test]
    fn yaml_says_the_same_to_readers_of_every_version_and_hides_nothing() {
        let object = json!({
            "metadata": {"creationTimestamp": "2026-11-29T05:00:00Z"},
            "spec": {"words": ["on", "yes", "0x10", "1:20", "1_000", "null", "plain", ""], "number": 8, "is": true, "lines": "a\nb\n"},
            "long": "word ".repeat(40),
        });
        let text = in_yaml(&object).expect("YAML");
        for line in [
            "- \"on\"",
            "- \"yes\"",
            "- \"1:20\"",
            "- \"1_000\"",
            "- plain",
            "number: 8",
            "is: true",
            "lines: |",
            "  - \"null\"",
        ] {
            assert!(text.contains(line) || text.contains(&line.replace('"', "'")), "{line} is not in\n{text}");
        }
        assert_eq!(serde_yaml::from_str::<Value>(&text).expect("read again"), object);
        let hostile = json!({"note": "a\u{202e}b\u{1b}[2J\u{e0041}", "on": "on"});
        let text = in_yaml(&hostile).expect("YAML");
        assert!(text.chars().all(|c| c == '\n' || is_seen(c)), "{text:?}");
        assert_eq!(serde_yaml::from_str::<Value>(&text).expect("read again"), hostile);
    }

    #[test]
    fn names_may_be_written_as_for_kubectl() {
        for (words, names) in [
            (&["mac", "ups-01"][..], &["ups-01"][..]),
            (&["mac/ups-01", "ups-02"], &["ups-01", "ups-02"]),
            (&["managedagentcertificates"], &[]),
            (&["mac", "mac"], &["mac"]),
            (&["ups-01"], &["ups-01"]),
        ] {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(without_kind(&words), names);
        }
    }
}
