//! What is mounted, and what the system is told to mount and has not: from `/proc/self/mountinfo`, `/etc/fstab` and the
//! administrator's mount units of systemd.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A host with containers has some thousand mounts of under 300 bytes each.
const MAX_MOUNTS_BYTES: u64 = 4 * 1024 * 1024;
const MAX_FSTAB_BYTES: u64 = 1024 * 1024;

const FSTAB: &str = "/etc/fstab";
/// Of the administrator and of programs that run. Those of the distribution mount nothing that an agent keeps files in.
const UNITS: [&str; 2] = ["/etc/systemd/system", "/run/systemd/system"];

/// Whether something is mounted at a path. Where the list cannot be read, nothing is.
pub(super) fn is_mounted(path: &Path) -> bool {
    read("/proc/self/mountinfo", MAX_MOUNTS_BYTES)
        .is_ok_and(|mounts| mounts.lines().filter_map(Mount::read).any(|it| it.point == path))
}

/// Where, above a directory or at it, a file system is to be mounted and none is. What is written into the directory would be hidden
/// by the mount. A directory whose place is not told, and a list that cannot be read, await none.
pub(super) fn awaited(directory: &Path) -> Option<PathBuf> {
    let directory = directory.canonicalize().ok()?;
    let mounts = read("/proc/self/mountinfo", MAX_MOUNTS_BYTES).ok()?;
    let fstab = read(FSTAB, MAX_FSTAB_BYTES).unwrap_or_default();
    awaited_of(&directory, &mounts, &fstab, has_unit)
}

fn awaited_of(directory: &Path, mounts: &str, fstab: &str, has_unit: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let mounts: Vec<_> = mounts.lines().filter_map(Mount::read).collect();
    let named: Vec<_> = fstab.lines().filter_map(mounted_by).collect();
    let is_named = |point: &Path| named.iter().any(|named| named == point) || has_unit(point);
    let above = directory.ancestors().filter(|point| point.parent().is_some());
    above.into_iter().find(|point| is_named(point) && !is_mounted_among(&mounts, point)).map(Path::to_owned)
}

/// A directory that is bound over itself, as a service manager does for what a service may write, shows what lay there before.
fn is_mounted_among(mounts: &[Mount], point: &Path) -> bool {
    let around = mounts.iter().filter(|it| it.point != point && point.starts_with(&it.point));
    let around = around.max_by_key(|it| it.point.components().count());
    let shows_the_same = |it: &&Mount| {
        around.is_some_and(|around| {
            let below = point.strip_prefix(&around.point).unwrap_or(point);
            it.device == around.device && it.root == around.root.join(below)
        })
    };
    mounts.iter().filter(|it| it.point == point).any(|it| !shows_the_same(&it))
}

/// A line of mountinfo.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    device: String,
    /// What of its file system is mounted.
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    fn read(line: &str) -> Option<Self> {
        let mut fields = line.split(' ').skip(2);
        let device = fields.next()?.to_owned();
        Some(Self { device, root: unescaped(fields.next()?)?, point: unescaped(fields.next()?)? })
    }
}

/// Where a line of fstab mounts at boot.
fn mounted_by(line: &str) -> Option<PathBuf> {
    let mut fields = line.split_ascii_whitespace();
    let (_, point) = (fields.next().filter(|first| !first.starts_with('#'))?, unescaped(fields.next()?)?);
    let options = fields.nth(1).unwrap_or_default();
    // One that is mounted by hand may never be.
    (point.is_absolute() && !options.split(',').any(|option| option == "noauto")).then(|| point.components().collect())
}

/// The octal escapes of both undone.
fn unescaped(field: &str) -> Option<PathBuf> {
    let mut parts = field.split('\\');
    let mut path = parts.next()?.to_owned();
    for part in parts {
        let (octal, rest) = part.split_at_checked(3)?;
        path.push(char::from(u8::from_str_radix(octal, 8).ok()?));
        path.push_str(rest);
    }
    Some(PathBuf::from(path))
}

fn has_unit(point: &Path) -> bool {
    // A unit that is masked is a link to nothing.
    let is_unit = |path: &Path| path.metadata().is_ok_and(|metadata| metadata.is_file());
    unit_name(point).is_some_and(|name| UNITS.iter().any(|units| is_unit(&Path::new(units).join(&name))))
}

/// As `systemd-escape --path --suffix=mount` names it.
fn unit_name(point: &Path) -> Option<String> {
    let escaped = |(index, byte): (usize, u8)| match byte {
        b'/' => "-".to_owned(),
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' => char::from(byte).to_string(),
        b'.' if index > 0 => ".".to_owned(),
        _ => format!("\\x{byte:02x}"),
    };
    let name: String = point.to_str()?.strip_prefix('/')?.bytes().enumerate().map(escaped).collect();
    Some(name + ".mount")
}

fn read(path: &str, limit: u64) -> io::Result<String> {
    let mut text = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read_from_its_line() {
        let line = r"36 35 98:0 /mnt1 /opt/agent\040files/key\134store rw,noatime master:1 - ext3 /dev/root rw";
        let mount = Mount::read(line).expect("a mount");
        assert_eq!(mount.point, Path::new("/opt/agent files/key\\store"));
        assert_eq!((mount.device.as_str(), mount.root.as_path()), ("98:0", Path::new("/mnt1")));
        assert_eq!(Mount::read("36 35 98:0 /mnt1"), None);
    }

    #[test]
    fn a_unit_is_named_as_systemd_names_it() {
        for (point, unit) in [
            ("/srv/tls", "srv-tls.mount"),
            ("/srv/my-tls", r"srv-my\x2dtls.mount"),
            ("/.a/.b c", r"\x2ea-.b\x20c.mount"),
        ] {
            assert_eq!(unit_name(Path::new(point)).as_deref(), Some(unit), "{point}");
        }
    }

    /// Holds A5.
    #[test]
    fn a_mount_is_awaited_where_the_system_is_told_of_it_and_has_not_made_it() {
        const ROOT: &str = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n";
        const FSTAB: &str = "# /dev/sdc /srv/web ext4\nUUID=1 / ext4 defaults 0 1\n/dev/sdb\t/srv/a\\040b/ ext4 nofail 0 2\n\
                             /dev/sdd /media/key vfat noauto,user 0 0\n/dev/sde none swap sw 0 0\n/dev/sdf\n";
        let awaited = |directory: &str, mounts: &str| {
            let mounts = format!("{ROOT}{mounts}");
            awaited_of(Path::new(directory), &mounts, FSTAB, |point| point == Path::new("/opt/unit"))
        };
        let at = |point: &str| Some(PathBuf::from(point));
        assert_eq!(awaited("/srv/a b", ""), at("/srv/a b"));
        assert_eq!(awaited("/srv/a b/tls/live", ""), at("/srv/a b"));
        assert_eq!(awaited("/opt/unit/tls", ""), at("/opt/unit"));
        for free in ["/srv", "/srv/a", "/srv/web", "/media/key", "/opt/units", "/"] {
            assert_eq!(awaited(free, ""), None, "{free}");
        }
        let mounted = "40 22 8:16 / /srv/a\\040b rw - ext4 /dev/sdb rw\n";
        assert_eq!(awaited("/srv/a b/tls", mounted), None);
        // What the unit of a service may write is bound over itself, before the mount and after it.
        let bound = "41 22 8:1 /srv/a\\040b /srv/a\\040b rw - ext4 /dev/sda1 rw\n";
        assert_eq!(awaited("/srv/a b/tls", bound), at("/srv/a b"));
        assert_eq!(awaited("/srv/a b/tls", &format!("{bound}{mounted}")), None);
        let bound_from_elsewhere = "41 22 8:1 /data /srv/a\\040b rw - ext4 /dev/sda1 rw\n";
        assert_eq!(awaited("/srv/a b/tls", bound_from_elsewhere), None);
    }
}
