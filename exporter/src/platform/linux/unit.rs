//! Where systemd lets the unit of the host API write, by the unit's files. Whoever runs a check in a shell has other limits.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kagiban_files::read_regular;

/// As the packages name it.
pub(super) const HOST_API_UNIT: &str = "kagiban-exporter-host-api.service";
/// The same of the one for metrics alone.
pub(super) const METRICS_UNIT: &str = "kagiban-exporter.service";

/// Where units lie; the first that has one of a name has it for all.
const DIRECTORIES: [&str; 5] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
/// Far more than people write.
const MAX_BYTES: u64 = 256 * 1024;
const MAX_DROP_INS: usize = 100;
/// systemd refuses aliases of aliases; a link may lead to another all the same.
const MAX_ALIASES: usize = 8;

/// What a unit may write to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceWrites {
    protect_system: String,
    protect_home: String,
    read_write: Vec<PathBuf>,
    read_only: Vec<PathBuf>,
}

/// The unit that systemd means by this name: where an alias is a link to the unit's file, the name of that. Blocks on the file system.
pub fn unit_behind(name: &str) -> String {
    unit_below(Path::new("/"), name)
}

fn unit_below(root: &Path, name: &str) -> String {
    let mut name = name.to_owned();
    // What names a service otherwise is the command itself, and no file's name.
    if name.contains(['/', ' ']) {
        return name;
    }
    for _ in 0..MAX_ALIASES {
        let mut paths = DIRECTORIES.iter().map(|directory| root.join(directory).join(&name));
        let file = paths.find(|path| fs::symlink_metadata(path).is_ok());
        let target = file.and_then(|file| fs::read_link(file).ok());
        // A masked unit is a link to what is no unit's file.
        let target = target.as_ref().and_then(|target| target.file_name()?.to_str());
        match target.filter(|target| target.contains('.') && *target != name) {
            Some(target) => name = target.to_owned(),
            None => break,
        }
    }
    name
}

/// What the unit's file and its drop-ins say; none where there is no such unit, or it is masked. Blocks on the file system.
pub fn host_api_service_writes() -> Option<ServiceWrites> {
    unit_writes(Path::new("/"))
}

fn unit_writes(root: &Path) -> Option<ServiceWrites> {
    let base = DIRECTORIES.iter().map(|directory| root.join(directory).join(HOST_API_UNIT));
    let base = base.into_iter().find(|path| fs::symlink_metadata(path).is_ok())?;
    let mut writes = ServiceWrites::default();
    writes.read(&text(&base)?);
    drop_ins(root).iter().filter_map(|path| text(path)).for_each(|text| writes.read(&text));
    Some(writes)
}

/// In the order of their names, whatever directory each lies in. One of a name in an earlier directory hides those in later ones.
fn drop_ins(root: &Path) -> Vec<PathBuf> {
    let mut by_name = BTreeMap::new();
    // Later ones take the place of earlier ones, so the strongest come last.
    for below in ["service.d".to_owned(), format!("{HOST_API_UNIT}.d")] {
        for directory in DIRECTORIES.iter().rev() {
            let entries = fs::read_dir(root.join(directory).join(&below)).into_iter().flatten();
            let paths = entries.take(MAX_DROP_INS).filter_map(|entry| Some(entry.ok()?.path()));
            let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "conf"));
            by_name.extend(paths.filter_map(|path| Some((path.file_name()?.to_owned(), path))));
        }
    }
    by_name.into_values().collect()
}

fn text(path: &Path) -> Option<String> {
    let file = read_regular(path, MAX_BYTES).ok()?;
    Some(String::from_utf8_lossy(&file.bytes).into_owned())
}

impl ServiceWrites {
    /// What the service is called.
    pub const fn service(&self) -> &'static str {
        HOST_API_UNIT
    }

    /// What lets it write there.
    pub fn fix(&self, directory: &Path) -> String {
        format!(
            "`systemctl edit {HOST_API_UNIT}` with ReadWritePaths=-{} below [Service], and restart it",
            directory.display()
        )
    }

    /// Whether a file in this directory can be replaced.
    pub fn may_write(&self, directory: &Path) -> bool {
        let directory = resolved(directory);
        let protected: &[&str] = match self.protect_system.as_str() {
            "strict" => &["/"],
            "full" => &["/usr", "/boot", "/efi", "/etc"],
            "" | "no" | "false" | "off" | "0" => &[],
            _ => &["/usr", "/boot", "/efi"],
        };
        let homes: &[&str] = match self.protect_home.as_str() {
            "" | "no" | "false" | "off" | "0" => &[],
            _ => &["/home", "/root", "/run/user"],
        };
        let depth = |path: &Path| path.components().count();
        let deepest = |paths: &mut dyn Iterator<Item = PathBuf>| {
            paths.filter(|path| directory.starts_with(path)).map(|path| depth(&path)).max().unwrap_or(0)
        };
        let built_in = protected.iter().chain(homes).map(PathBuf::from);
        let closed = deepest(&mut built_in.chain(self.read_only.iter().map(|path| resolved(path))));
        closed == 0 || deepest(&mut self.read_write.iter().map(|path| resolved(path))) > closed
    }

    /// Adds what one file says in `[Service]`.
    fn read(&mut self, text: &str) {
        let text = text.replace("\\\n", " ");
        let mut is_service = false;
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
            if line.starts_with('[') {
                is_service = line == "[Service]";
            }
            if let Some((key, value)) = line.split_once('=').filter(|_| is_service) {
                self.set(key.trim(), value.trim());
            }
        }
    }

    fn set(&mut self, key: &str, value: &str) {
        let below = |directory: &str| words(value).map(|name| Path::new(directory).join(name)).collect();
        let (list, paths): (_, Vec<PathBuf>) = match key {
            "ProtectSystem" => return value.clone_into(&mut self.protect_system),
            "ProtectHome" => return value.clone_into(&mut self.protect_home),
            "ReadWritePaths" | "ReadWriteDirectories" => (&mut self.read_write, paths(value)),
            "ReadOnlyPaths" | "ReadOnlyDirectories" | "InaccessiblePaths" | "InaccessibleDirectories" => {
                (&mut self.read_only, paths(value))
            }
            "StateDirectory" => return self.read_write.extend::<Vec<_>>(below("/var/lib")),
            "CacheDirectory" => return self.read_write.extend::<Vec<_>>(below("/var/cache")),
            "LogsDirectory" => return self.read_write.extend::<Vec<_>>(below("/var/log")),
            "RuntimeDirectory" => return self.read_write.extend::<Vec<_>>(below("/run")),
            _ => return,
        };
        // An empty value takes back what was said before.
        if paths.is_empty() {
            list.clear();
        }
        list.extend(paths);
    }
}

fn paths(value: &str) -> Vec<PathBuf> {
    // `-` is for what need not be there, `+` for what is below the unit's own root directory.
    words(value).map(|word| PathBuf::from(word.trim_start_matches(['-', '+']))).collect()
}

/// The words of a value, without their quotes.
fn words(value: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in value.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, c) if c.is_whitespace() => words.push(String::new()),
            (_, c) => words.last_mut().expect("it begins with one").push(c),
        }
    }
    words.into_iter().filter(|word| !word.is_empty())
}

/// systemd follows links, and so does whoever replaces a file there.
fn resolved(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host with the unit of the package, and these files besides.
    fn host(files: &[(&str, &str)]) -> Option<ServiceWrites> {
        let root = tempfile::tempdir().expect("a directory");
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            fs::write(path, text).expect("a file");
        };
        put(
            &format!("usr/lib/systemd/system/{HOST_API_UNIT}"),
            include_str!("../../../../examples/systemd/kagiban-exporter-host-api.service"),
        );
        files.iter().for_each(|(path, text)| put(path, text));
        unit_writes(root.path())
    }

    fn drop_in(directory: &str, name: &str) -> String {
        format!("{directory}/systemd/system/{HOST_API_UNIT}.d/{name}")
    }

    fn writes(files: &[(&str, &str)], directory: &str) -> bool {
        host(files).expect("a unit").may_write(Path::new(directory))
    }

    /// Holds A16: two names of one unit are one service.
    #[test]
    fn an_alias_is_the_unit_that_it_leads_to_and_a_mask_or_a_circle_leads_nowhere() {
        let root = tempfile::tempdir().expect("directory");
        let [units, ours] = ["usr/lib/systemd/system", "etc/systemd/system"].map(|at| root.path().join(at));
        for directory in [&units, &ours] {
            fs::create_dir_all(directory).expect("mkdir");
        }
        fs::write(units.join("ssh.service"), "[Service]").expect("written");
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, ours.join(name)).expect("linked");
        };
        link("/usr/lib/systemd/system/ssh.service", "sshd.service");
        link("sshd.service", "login.service");
        link("/dev/null", "masked.service");
        link("circle.service", "circle.service");
        for (name, unit) in [
            ("ssh.service", "ssh.service"),
            ("sshd.service", "ssh.service"),
            ("login.service", "ssh.service"),
            ("masked.service", "masked.service"),
            ("circle.service", "circle.service"),
            ("none.service", "none.service"),
            ("/opt/x/ctl stop", "/opt/x/ctl stop"),
        ] {
            assert_eq!(unit_below(root.path(), name), unit, "{name}");
        }
    }

    #[test]
    fn the_packages_unit_writes_to_powerchute_and_its_state_and_nowhere_else() {
        for (directory, may) in [
            ("/opt/APC/PowerChuteSerialShutdown/Agent", true),
            ("/var/lib/kagiban/rotations", true),
            ("/opt/APC/PowerChuteSerialShutdownX", false),
            ("/etc/web", false),
            ("/srv", false),
            ("/home/app/tls", false),
        ] {
            assert_eq!(writes(&[], directory), may, "{directory}");
        }
    }

    #[test]
    fn a_drop_in_opens_a_directory_and_a_later_one_may_close_it_again() {
        let opened = drop_in("etc", "override.conf");
        let opens = "[Service]\nReadWritePaths=-/etc/web \\\n  \"/srv/a b\"\n";
        assert!(writes(&[(&opened, opens)], "/etc/web") && writes(&[(&opened, opens)], "/srv/a b/tls"));
        assert!(writes(&[(&opened, opens)], "/opt/APC/PowerChuteSerialShutdown"), "what was open stays open");
        let elsewhere = [(opened.as_str(), "[Unit]\nReadWritePaths=/etc/web\n#ReadWritePaths=/etc/web\n")];
        assert!(!writes(&elsewhere, "/etc/web"), "another section, and a comment");
        let later = drop_in("usr/lib", "zz.conf");
        assert!(!writes(&[(&opened, opens), (&later, "[Service]\nReadWritePaths=\n")], "/etc/web"));
        // The administrator's hides the one of the same name of a package.
        let hidden = drop_in("usr/lib", "override.conf");
        assert!(!writes(&[(&hidden, opens), (&opened, "[Service]\n")], "/etc/web"));
        let deeper = [(opened.as_str(), "[Service]\nReadWritePaths=/srv\nReadOnlyPaths=/srv/fixed\n")];
        assert!(writes(&deeper, "/srv/tls") && !writes(&deeper, "/srv/fixed/tls"));
    }

    #[test]
    fn a_unit_of_the_administrators_own_says_how_much_is_closed() {
        let own = format!("etc/systemd/system/{HOST_API_UNIT}");
        for (protection, etc, srv, home) in [
            ("", true, true, true),
            ("ProtectSystem=no", true, true, true),
            ("ProtectSystem=yes\nProtectHome=yes", true, true, false),
            ("ProtectSystem=full", false, true, true),
            ("ProtectSystem=strict", false, false, false),
        ] {
            let files = [(own.as_str(), &*format!("[Service]\n{protection}\n"))];
            let found = ["/etc/web", "/srv/web", "/home/web"].map(|directory| writes(&files, directory));
            assert_eq!(found, [etc, srv, home], "{protection}");
        }
    }

    #[test]
    fn a_host_without_the_unit_says_nothing() {
        assert_eq!(unit_writes(tempfile::tempdir().expect("a directory").path()), None);
    }
}
