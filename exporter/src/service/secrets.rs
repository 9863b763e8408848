//! Whether others may read the secrets of the configuration.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::blocking::{self, Work};
use crate::config::NamedFile;
use crate::platform::{self, HINTS};
use crate::snapshot::{Board, SecretFileSeen};

/// A mode that was changed is seen within this time.
const INTERVAL: Duration = Duration::from_secs(60);
const DEADLINE: Duration = Duration::from_secs(10);

/// One look at each file; the board is told. One that cannot be looked at is not accused.
pub(super) async fn look(files: &Arc<Vec<NamedFile>>, board: &Board) {
    let looking = Arc::clone(files);
    let look = move || {
        let seen = |file: &NamedFile| SecretFileSeen {
            setting: file.setting.clone(),
            path: file.path.display().to_string(),
            exposed: platform::is_readable_by_others(&file.path),
        };
        looking.iter().filter(|file| file.path.exists()).map(seen).collect::<Vec<_>>()
    };
    let Ok(seen) = blocking::run(Work::Config, Instant::now() + DEADLINE, look).await else { return };
    let before = board.snapshot().secret_files;
    if before == seen {
        return;
    }
    for file in seen.iter().filter(|file| file.exposed && !before.contains(file)) {
        let (setting, path) = (&file.setting, &file.path);
        warn!(setting, path, "others may read this secret; {} and change the secret", HINTS.make_private);
    }
    board.note_secret_files(seen);
}

pub(super) async fn watch(files: Vec<NamedFile>, board: Arc<Board>, stop: CancellationToken) {
    let files = Arc::new(files);
    loop {
        look(&files, &board).await;
        tokio::select! {
            () = sleep(INTERVAL) => {}
            () = stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::testing::set_mode;

    /// Holds A18: secrets that others may read are warned of.
    #[tokio::test]
    async fn a_secret_that_everybody_may_read_is_told_until_its_mode_is_mended() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("password");
        std::fs::write(&path, b"secret\n").expect("write");
        let file = |name: &str| NamedFile::secret(name, directory.path().join(name));
        let (files, board) = (Arc::new(vec![file("password"), file("not there")]), Board::default());
        for (mode, exposed) in [(0o644, true), (0o604, true), (0o600, false)] {
            set_mode(&path, mode);
            look(&files, &board).await;
            let seen: Vec<_> = board.snapshot().secret_files.iter().map(|file| file.exposed).collect();
            assert_eq!(seen, [exposed], "{mode:o}");
        }
    }
}
