use std::path::Path;

use jiff::Timestamp;
use kagiban_crds::resource::PAUSED_BY_HAND_ANNOTATION;
use kagiban_crds::{Epoch, Lineage};
use serde_json::{Value, json};

use super::*;
use crate::cluster::Lease;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().expect("a time")
}

fn manifest(host: &str) -> Value {
    json!({
        "apiVersion": "kagiban.dev/v1alpha1", "kind": "ManagedAgentCertificate",
        "metadata": {"namespace": "fleet", "name": "a"}, "spec": {"host": host}, "status": {"observedGeneration": -1},
    })
}

async fn call<T: Send + 'static>(
    store: &Store,
    work: impl FnOnce(&mut Session<'_>) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ClusterError> {
    store.call("patch", "x", work).await
}

async fn apply(store: &Store, object: Value) -> Applied {
    call(store, move |state| state.apply(&object, "a.yaml", now())).await.expect("it is written")
}

async fn get(store: &Store) -> Value {
    let found = call(store, |state| state.get("fleet", "a")).await.expect("it is read");
    found.map(|stored| stored.object).unwrap_or_default()
}

async fn change(
    store: &Store,
    version: Option<&str>,
    change: impl FnOnce(&mut Value) + Send + 'static,
) -> Result<Value, ClusterError> {
    let version = version.map(str::to_owned);
    let change = |object: &mut Value| {
        change(object);
        Ok(())
    };
    call(store, move |state| state.change(("fleet", "a"), None, version.as_deref(), change)).await
}

/// Opened anew as soon as the thread of the one before has let go.
async fn open(directory: &Path) -> Store {
    for _ in 0..500 {
        match Store::open(directory) {
            Err(OpenError::Held(_)) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            opened => return opened.expect("the state"),
        }
    }
    panic!("somebody holds it")
}

#[tokio::test]
async fn a_generation_grows_with_the_spec_alone_and_what_changes_nothing_is_not_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).await;
    let mut changes = store.changes();
    assert_eq!(apply(&store, manifest("a")).await, Applied::Created);
    let first = get(&store).await;
    assert_eq!((&first["metadata"]["generation"], &first["metadata"]["resourceVersion"]), (&json!(1), &json!("1")));
    assert_eq!(first["metadata"]["uid"].as_str().map(str::len), Some(36));
    assert_eq!(apply(&store, manifest("a")).await, Applied::Unchanged);
    assert_eq!(get(&store).await, first);
    let mut annotated = manifest("a");
    annotated["metadata"]["annotations"] = json!({"kagiban.dev/rotate": "now"});
    assert_eq!(apply(&store, annotated).await, Applied::Changed);
    let second = get(&store).await;
    assert_eq!((&second["metadata"]["generation"], &second["metadata"]["resourceVersion"]), (&json!(1), &json!("2")));
    assert_eq!(apply(&store, manifest("b")).await, Applied::Changed);
    let third = get(&store).await;
    assert_eq!((&third["metadata"]["generation"], &third["metadata"]["annotations"]), (&json!(2), &Value::Null));
    assert_eq!(third["metadata"]["uid"], first["metadata"]["uid"]);
    change(&store, None, |_| {}).await.expect("nothing to write");
    let shown: Vec<_> = std::iter::from_fn(|| changes.try_recv().ok()).map(|change| change.version).collect();
    assert_eq!(shown, [1, 2, 3]);
}

#[tokio::test]
async fn a_write_with_another_version_than_the_last_is_a_conflict() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).await;
    apply(&store, manifest("a")).await;
    let status = |text: &'static str| move |object: &mut Value| object["status"]["blockedBy"] = json!(text);
    let written = change(&store, Some("1"), status("Paused")).await.expect("the last version");
    assert_eq!(written["metadata"]["resourceVersion"], "2");
    assert_eq!(written["metadata"]["generation"], 1);
    let error = change(&store, Some("1"), status("OnBattery")).await.expect_err("an old version");
    assert!(matches!(error, ClusterError::Conflict { .. }), "{error}");
    assert_eq!(get(&store).await["status"]["blockedBy"], "Paused");
    let other = call(&store, |state| state.change(("fleet", "a"), Some("another"), None, |_| Ok(()))).await;
    assert!(matches!(other, Err(ClusterError::NotFound { .. })), "{other:?}");
}

#[tokio::test]
async fn one_that_is_held_is_deleted_when_it_is_let_go_and_created_anew_after_that() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).await;
    apply(&store, manifest("a")).await;
    let hold = |object: &mut Value| object["metadata"]["finalizers"] = json!(["kagiban.dev/rotation"]);
    let held = change(&store, Some("1"), hold).await.expect("it is held");
    let uid = held["metadata"]["uid"].as_str().expect("a uid").to_owned();
    let mut changes = store.changes();
    let delete = |uid: String| move |state: &mut Session<'_>| state.delete("fleet", "a", &uid, now());
    call(&store, delete("another".to_owned())).await.expect("nothing to delete");
    call(&store, delete(uid.clone())).await.expect("it is marked");
    let marked = get(&store).await;
    assert_eq!(
        (&marked["metadata"]["deletionTimestamp"], &marked["metadata"]["generation"]),
        (&json!("2026-03-01T12:00:00Z"), &json!(2))
    );
    assert_eq!(apply(&store, manifest("b")).await, Applied::Deleting);
    let let_go = |object: &mut Value| object["metadata"]["finalizers"] = json!([]);
    change(&store, None, let_go).await.expect("it is let go");
    assert_eq!(get(&store).await, Value::Null);
    let shown: Vec<_> = std::iter::from_fn(|| changes.try_recv().ok()).map(|change| change.gone).collect();
    assert_eq!(shown, [false, true]);
    assert_eq!(apply(&store, manifest("b")).await, Applied::Created);
    assert_ne!(get(&store).await["metadata"]["uid"], uid.as_str());
}

/// What a service manager was told before, the next start had to wait for.
#[tokio::test]
async fn a_state_that_is_closed_is_the_next_process_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    for _ in 0..20 {
        let store = open(directory.path()).await;
        let (closed, other) = (store.closed(), store.clone());
        apply(&store, manifest("a")).await;
        drop(store);
        assert!(!closed.within(std::time::Duration::ZERO), "somebody may ask still");
        drop(other);
        assert!(closed.within(std::time::Duration::from_secs(60)));
        let lock = std::fs::File::options().write(true).open(directory.path().join("lock")).expect("it is there");
        lock.try_lock().expect("nobody has it");
        let log = directory.path().join("state.db-wal");
        assert!(!log.exists(), "SQLite has written all that it had into the one file");
    }
}

#[tokio::test]
async fn the_state_is_of_one_process_and_each_has_a_higher_epoch() {
    let directory = tempfile::tempdir().expect("a directory");
    let lineage = |text: &str| text.parse::<Lineage>().expect("a lineage");
    let mut last = Epoch(0);
    for time in ["2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z", "2001-01-01T00:00:00Z"] {
        let store = open(directory.path()).await;
        assert!(matches!(Store::open(directory.path()), Err(OpenError::Held(_))));
        let time: Timestamp = time.parse().expect("a time");
        let epoch = call(&store, move |state| state.take_epoch(time)).await.expect("an epoch");
        assert!(epoch > last, "{epoch} after {last}");
        last = epoch;
        let made = lineage("made");
        let kept = call(&store, move |state| state.take_lineage(None, &made)).await.expect("a lineage");
        assert_eq!(kept, lineage("made"));
        let (said, made) = (lineage("other"), lineage("new"));
        let error = call(&store, move |state| state.take_lineage(Some(&said), &made)).await.expect_err("another");
        assert!(error.to_string().contains("made"), "{error}");
    }
    assert!(last > Epoch(1_700_000_000), "the clock went back, and the epoch did not");
}

/// What fails is not half written, and the next call works on what was there.
#[tokio::test]
async fn of_a_call_that_fails_nothing_is_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).await;
    let mut changes = store.changes();
    let failed = call(&store, |state| {
        state.apply(&manifest("a"), "a.yaml", now())?;
        Err::<(), _>(StoreError::Conflict)
    });
    assert!(matches!(failed.await, Err(ClusterError::Conflict { .. })));
    assert_eq!((get(&store).await, changes.try_recv().is_err()), (Value::Null, true));
    assert_eq!(call(&store, |state| state.version()).await.expect("a version"), 0);
    apply(&store, manifest("a")).await;
    drop(store);
    let store = open(directory.path()).await;
    assert_eq!(get(&store).await["spec"]["host"], "a");
}

#[tokio::test]
async fn the_same_event_is_counted_and_the_oldest_go() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).await;
    let event = |note: String, at: i64| WrittenEvent {
        namespace: "fleet".to_owned(),
        name: "a".to_owned(),
        uid: "u".to_owned(),
        kind: "Normal",
        reason: "X".to_owned(),
        note,
        at,
    };
    let events = call(&store, move |state| {
        state.tell(&event("same".to_owned(), 1))?;
        state.tell(&event("same".to_owned(), 5))?;
        for at in 0..100 {
            state.tell(&event(format!("note {at}"), 10 + at))?;
        }
        state.tell(&event("same".to_owned(), 500))?;
        state.tell(&event("note 99".to_owned(), 501))?;
        state.events(Some("fleet"), Some("a"))
    });
    let events = events.await.expect("events");
    assert_eq!(events.len(), 64);
    let last = &events[63];
    assert_eq!((&*last.note, last.first, last.last, last.count), ("note 99", 109, 501, 2));
    assert_eq!((&*events[62].note, events[62].count), ("same", 1), "the first ones had gone");
}

fn declared(rotate: Option<&str>, paused: bool) -> Value {
    let mut manifest = manifest("a");
    if let Some(value) = rotate {
        manifest["metadata"]["annotations"] = json!({"kagiban.dev/rotate": value});
    }
    manifest["spec"]["rotation"] = json!({"paused": paused});
    manifest
}

#[tokio::test]
async fn what_is_asked_for_by_hand_stays_until_the_manifest_says_something_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).await;
    let rotate = |object: &Value| object["metadata"]["annotations"]["kagiban.dev/rotate"].as_str().map(str::to_owned);
    let ask = |word: &'static str| call(&store, move |state| state.rotate_by_hand("fleet", "a", word));
    assert!(matches!(ask("first").await, Err(ClusterError::NotFound { .. })));
    apply(&store, declared(Some("file"), false)).await;
    ask("first").await.expect("it is there");
    let asked = get(&store).await;
    assert_eq!((rotate(&asked).as_deref(), &asked["metadata"]["generation"]), (Some("first"), &json!(1)));
    // The same file again, as after each of its other changes, and a new process
    assert_eq!(apply(&store, declared(Some("file"), false)).await, Applied::Unchanged);
    drop(store);
    let store = open(directory.path()).await;
    assert_eq!(apply(&store, declared(Some("file"), false)).await, Applied::Unchanged);
    call(&store, |state| state.rotate_by_hand("fleet", "a", "second")).await.expect("it is there");
    apply(&store, declared(Some("file"), false)).await;
    assert_eq!(rotate(&get(&store).await).as_deref(), Some("second"));
    apply(&store, declared(None, false)).await;
    assert_eq!(rotate(&get(&store).await).as_deref(), Some("second"), "that it is gone is no word");
    apply(&store, declared(Some("later"), false)).await;
    assert_eq!(rotate(&get(&store).await).as_deref(), Some("later"));
    apply(&store, declared(Some("file"), false)).await;
    assert_eq!(rotate(&get(&store).await).as_deref(), Some("file"), "what was asked for by hand is over");
}

#[tokio::test]
async fn a_pause_by_hand_outlasts_the_manifest_and_its_end_leaves_what_that_says() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).await;
    let pause = |pause: bool| call(&store, move |state| state.pause_by_hand("fleet", "a", pause));
    let told = async || {
        let object = get(&store).await;
        (object["spec"]["rotation"]["paused"].clone(), object["metadata"]["generation"].as_i64())
    };
    apply(&store, declared(None, false)).await;
    assert_eq!(pause(false).await.expect("it is there"), Pausing::Already);
    assert_eq!(pause(true).await.expect("it is there"), Pausing::Done);
    assert_eq!(pause(true).await.expect("it is there"), Pausing::Already);
    assert_eq!(told().await, (json!(true), Some(2)));
    let marked = get(&store).await["metadata"]["annotations"].clone();
    assert_eq!(marked, json!({PAUSED_BY_HAND_ANNOTATION: "true"}));
    assert_eq!(apply(&store, declared(None, false)).await, Applied::Unchanged);
    assert_eq!(pause(false).await.expect("it is there"), Pausing::Done);
    assert_eq!(told().await, (json!(false), Some(3)));
    // A manifest that was copied from what `get -o yaml` had printed is paused by itself
    let mut copied = declared(None, false);
    copied["metadata"]["annotations"] = marked;
    assert_eq!(apply(&store, copied).await, Applied::Unchanged);
    // Both
    assert_eq!(pause(true).await.expect("it is there"), Pausing::Done);
    apply(&store, declared(None, true)).await;
    assert_eq!(pause(false).await.expect("it is there"), Pausing::ByManifest);
    assert_eq!(pause(false).await.expect("it is there"), Pausing::ByManifest);
    assert_eq!(told().await, (json!(true), Some(4)));
    apply(&store, declared(None, false)).await;
    assert_eq!(told().await, (json!(false), Some(5)));
    // The pause of one whose file is away for a while stays
    assert_eq!(pause(true).await.expect("it is there"), Pausing::Done);
    let uid = get(&store).await["metadata"]["uid"].as_str().expect("a uid").to_owned();
    call(&store, move |state| state.delete("fleet", "a", &uid, now())).await.expect("it is gone");
    apply(&store, declared(None, false)).await;
    assert_eq!(told().await, (json!(true), Some(1)));
    assert_eq!(pause(false).await.expect("it is there"), Pausing::Done);
    assert_eq!(told().await, (json!(false), Some(2)));
}

/// One that was made before anything could be asked for by hand.
#[tokio::test]
async fn a_state_of_the_first_version_is_taken_over() {
    let directory = tempfile::tempdir().expect("a directory");
    apply(&open(directory.path()).await, manifest("a")).await;
    let old = || -> rusqlite::Result<()> {
        let connection = Connection::open(directory.path().join("state.db"))?;
        connection.execute_batch("DROP TABLE by_hand; PRAGMA user_version = 1")
    };
    drop(open(directory.path()).await);
    // The thread of the one before may have it for a moment
    while old().is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let store = open(directory.path()).await;
    call(&store, |state| state.rotate_by_hand("fleet", "a", "now")).await.expect("it is there");
}

#[tokio::test]
async fn a_lease_is_written_over_the_one_that_was_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).await;
    let put = |lease: Lease| call(&store, move |state| state.put_lease("fleet", "operator", &lease));
    let lease = Lease { holder: Some("me".to_owned()), epoch: Some(Epoch(7)), ..Lease::default() };
    let first = put(lease.clone()).await.expect("there was none");
    assert!(matches!(put(lease).await, Err(ClusterError::Conflict { .. })), "there is one");
    let second = put(Lease { holder: None, ..first.clone() }).await.expect("the last version");
    assert!(matches!(put(first).await, Err(ClusterError::Conflict { .. })));
    let read = call(&store, |state| state.lease("fleet", "operator")).await.expect("it is read");
    assert_eq!(read, Some(second));
}

#[tokio::test]
async fn a_file_of_somebody_else_or_of_a_later_version_is_refused_with_what_to_do() {
    let state = || {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state.db");
        (directory, path)
    };
    let (directory, path) = state();
    kagiban_files::write_new_guarded(
        &path,
        b"no database at all, but longer than the header of one is, which has 100 bytes".repeat(3).as_slice(),
    )
    .expect("a file");
    assert!(matches!(Store::open(directory.path()), Err(OpenError::Foreign(_))));
    let (directory, path) = state();
    Connection::open(&path).and_then(|it| it.execute_batch("CREATE TABLE x (y)")).expect("a database");
    kagiban_files::replace_guarded(&path, &std::fs::read(&path).expect("it is there")).expect("a private one");
    assert!(matches!(Store::open(directory.path()), Err(OpenError::Foreign(_))));
    let (directory, path) = state();
    drop(open(directory.path()).await);
    drop(open(directory.path()).await);
    Connection::open(&path).and_then(|it| it.execute_batch("PRAGMA user_version = 3")).expect("it is ours");
    let error = loop {
        match Store::open(directory.path()) {
            Err(OpenError::Held(_)) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            Err(error) => break error,
            Ok(_) => panic!("it was opened"),
        }
    };
    assert!(matches!(error, OpenError::Later(_, 3)) && error.to_string().contains("run that version"), "{error}");
    let held = directory.path().join("lock");
    assert!(held.is_file());
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_open_a_file_of_the_state_and_none_is_a_link() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let directory = tempfile::tempdir().expect("a directory");
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).expect("as systemd makes it");
    let store = open(directory.path()).await;
    apply(&store, manifest("a")).await;
    for name in ["lock", "state.db", "state.db-wal", "state.db-shm"] {
        let metadata = std::fs::metadata(directory.path().join(name)).expect(name);
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o600, "{name}");
    }
    let other = tempfile::tempdir().expect("a directory");
    symlink(directory.path().join("state.db"), other.path().join("state.db")).expect("a link");
    assert!(matches!(Store::open(other.path()), Err(OpenError::NotRegular(_))));
    drop(store);
    std::fs::set_permissions(directory.path().join("state.db"), PermissionsExt::from_mode(0o644)).expect("its mode");
    let error = loop {
        match Store::open(directory.path()) {
            Err(OpenError::Held(_)) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            Err(error) => break error,
            Ok(_) => panic!("it was opened"),
        }
    };
    assert!(matches!(error, OpenError::Open(_)), "{error}");
}
