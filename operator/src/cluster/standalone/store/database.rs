//! The file: private, of one process, durable at each commit, and of a version that is known.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use kagiban_files::{WriteError, create_private_directory, is_readable_by_others, write_new_guarded};
use rusqlite::{Connection, OpenFlags};

use crate::mends::make_private;

/// In the directory of the state.
const FILE: &str = "state.db";
const LOCK: &str = "lock";
/// In SQLite's header, so that another program's file is known as that: "Kgbn".
const APPLICATION: i32 = 0x4b67_626e;
/// Of the tables.
const VERSION: i32 = 2;
/// Of whoever looks into the file with a tool of SQLite.
const BUSY: Duration = Duration::from_secs(5);

const TABLES: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO meta VALUES ('version', '0'), ('epoch', '0');
    CREATE TABLE resources (
        namespace TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, source TEXT NOT NULL, object TEXT NOT NULL,
        PRIMARY KEY (namespace, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT, namespace TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL,
        kind TEXT NOT NULL, reason TEXT NOT NULL, note TEXT NOT NULL,
        first INTEGER NOT NULL, last INTEGER NOT NULL, count INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX events_of ON events (namespace, name, last);
    CREATE INDEX events_by_age ON events (last);
    CREATE TABLE leases (
        namespace TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, lease TEXT NOT NULL,
        PRIMARY KEY (namespace, name)
    ) STRICT, WITHOUT ROWID;
";

/// How long a process that was ended from outside may take until it is gone. One that ends by itself has let go before it says so.
const END_OF_ANOTHER: Duration = Duration::from_secs(3);
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// What came with version 2.
const BY_HAND: &str = "
    CREATE TABLE by_hand (
        namespace TEXT NOT NULL, name TEXT NOT NULL, rotate TEXT, declared_rotate TEXT,
        paused INTEGER NOT NULL, declared_paused INTEGER NOT NULL,
        PRIMARY KEY (namespace, name)
    ) STRICT, WITHOUT ROWID;
";

/// Why there is no state to work with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the state's directory cannot be used: {0}")]
    Directory(#[from] WriteError),
    #[error(
        "{}: another kagiban-operator works with this state; end it first, or give each its own --state",
        .0.display()
    )]
    Held(PathBuf),
    #[error("{path}: {1}", path = .0.display())]
    Io(PathBuf, io::Error),
    #[error("{}: others may read it: {}, and see who may enter its directory", .0.display(), make_private())]
    Open(PathBuf),
    #[error("{}: it is no regular file", .0.display())]
    NotRegular(PathBuf),
    #[error("{}: it is no state of kagiban-operator; give another --state", .0.display())]
    Foreign(PathBuf),
    #[error(
        "{path}: it was written by a later version of kagiban-operator (its tables have version {1}, and this one knows \
         {VERSION}): run that version",
        path = .0.display()
    )]
    Later(PathBuf, i32),
    #[error(
        "{path}: it is damaged ({1}): put a copy of the whole directory back, or move it away; without it every host is looked at \
         anew, nothing is rotated for that, and --lineage must name what the hosts obey",
        path = .0.display()
    )]
    Damaged(PathBuf, String),
    #[error("{path}: {1}", path = .0.display())]
    Sql(PathBuf, rusqlite::Error),
    #[error("the system gives no thread for the state: {0}")]
    Thread(io::Error),
}

/// The file's connection, and what keeps others from it.
pub(super) fn open(directory: &Path) -> Result<(Connection, File), OpenError> {
    create_private_directory(directory)?;
    let lock = lock(&directory.join(LOCK))?;
    let path = directory.join(FILE);
    prepare(&path)?;
    let sql = |error| OpenError::Sql(path.clone(), error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let mut connection = Connection::open_with_flags(&path, flags).map_err(sql)?;
    let application = pragma(&connection, "application_id").map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => OpenError::Foreign(path.clone()),
        _ => OpenError::Sql(path.clone(), error),
    })?;
    let version = pragma(&connection, "user_version").map_err(sql)?;
    match (application, version) {
        (0, 0) if is_empty(&connection).map_err(sql)? => {}
        (APPLICATION, 1..=VERSION) => {}
        (APPLICATION, version) => return Err(OpenError::Later(path, version)),
        _ => return Err(OpenError::Foreign(path)),
    }
    // Before anything is written to it
    let check: String = connection.query_row("PRAGMA quick_check(1)", (), |row| row.get(0)).map_err(sql)?;
    if check != "ok" {
        return Err(OpenError::Damaged(path, check));
    }
    set_up(&mut connection, version).map_err(sql)?;
    Ok((connection, lock))
}

/// Held until the process ends, however it does.
fn lock(path: &Path) -> Result<File, OpenError> {
    // Whoever may open it may hold it
    prepare(path)?;
    let failed = |error| OpenError::Io(path.to_owned(), error);
    let file = File::options().write(true).open(path).map_err(failed)?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if began.elapsed() < END_OF_ANOTHER => sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(OpenError::Held(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

/// A file that nobody else may open, empty where there was none. SQLite gives its other files the rights of the first one, and takes
/// an empty file for a new database.
fn prepare(path: &Path) -> Result<(), OpenError> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err(OpenError::NotRegular(path.to_owned())),
        Ok(_) if is_readable_by_others(path) => Err(OpenError::Open(path.to_owned())),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(write_new_guarded(path, b"")?),
        Err(error) => Err(OpenError::Io(path.to_owned(), error)),
    }
}

/// `version` is that of the tables that are there; 0 where there are none.
fn set_up(connection: &mut Connection, version: i32) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))?;
    if mode != "wal" {
        // As on a file system without shared memory. All holds with the older journal too
        tracing::warn!(mode, "the state has no write-ahead log here; each write takes longer");
    }
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;")?;
    if version < VERSION {
        let transaction = connection.transaction()?;
        if version < 1 {
            transaction.execute_batch(TABLES)?;
        }
        transaction.execute_batch(BY_HAND)?;
        transaction
            .execute_batch(&format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"))?;
        transaction.commit()?;
    }
    Ok(())
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i32> {
    connection.query_row(&format!("PRAGMA {name}"), (), |row| row.get(0))
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", (), |row| row.get(0))
}
