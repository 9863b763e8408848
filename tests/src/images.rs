//! Our own images, built as `make images` builds them, of the programs that were built for the tests: by buildah, in a root of Debian
//! packages, on a base that is made of such packages too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::debian_root::DebianRoot;
use crate::{process, release, scratch, tools};

/// What the build reads of the project.
const SOURCES: [&str; 5] =
    ["Cargo.toml", "Containerfile", "LICENSE", "tests/tools/artifacts.sh", "tests/tools/images.sh"];
/// buildah without a kernel's overlays or namespaces of its own.
const BUILDAH: &str = "export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot; ";

/// A command of buildah's, to be run in its root.
pub fn buildah(script: &str) -> String {
    format!("{BUILDAH}{script}")
}

/// The directory with the archives, their SBOMs and SHA256SUMS; made once for all tests of a program.
pub fn shared() -> Result<PathBuf> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    MADE.get_or_init(|| make().map_err(|error| format!("{error:#}"))).clone().map_err(anyhow::Error::msg)
}

/// The same, made anew.
pub fn make() -> Result<PathBuf> {
    let (root, base) = DebianRoot::unpack_for_images("images")?;
    root.put(&base, "/root/base.tar")?;
    for source in SOURCES {
        root.put(&tools::workspace().join(source), &format!("/src/{source}"))?;
    }
    let programs = release::programs()?;
    for file in fs::read_dir(&programs)? {
        let path = file?.path();
        root.put(&path, &format!("/programs/{}", path.file_name().unwrap_or_default().to_string_lossy()))?;
    }
    let epoch = release::EPOCH;
    root.bash(&buildah(&format!(
        "base=$(buildah from scratch); buildah add --quiet $base /root/base.tar /; \
         buildah commit --quiet --timestamp {epoch} $base localhost/base; \
         cd /; BASE=localhost/base KAGIBAN_BIN_DIR=/programs KAGIBAN_IMAGES=/out SOURCE_DATE_EPOCH={epoch} src/tests/tools/images.sh"
    )))?;
    root.bash("cd /out && sha256sum --check --quiet SHA256SUMS")?;
    let made = scratch::directory("built-images")?;
    for file in fs::read_dir(root.at("/out"))? {
        let path = file?.path();
        fs::copy(&path, made.join(path.file_name().unwrap_or_default()))?;
    }
    Ok(made)
}

/// One image, as its archive has it.
#[derive(Debug)]
pub struct Image {
    pub archive: PathBuf,
    pub config: Value,
    /// What the archive of the topmost layer holds, which is ours.
    layer: PathBuf,
}

impl Image {
    pub fn of(program: &str) -> Result<Self> {
        let archive = shared()?.join(format!("{program}-{}.oci.tar", env!("CARGO_PKG_VERSION")));
        let layout = scratch::directory("layout")?;
        process::run(Command::new("tar").arg("--extract").arg("--directory").arg(&layout).arg("--file").arg(&archive))?;
        let index = json(&layout.join("index.json"))?;
        let manifest = json(&blob(&layout, &index["manifests"][0])?)?;
        let config = json(&blob(&layout, &manifest["config"])?)?;
        let layer = blob(&layout, manifest["layers"].as_array().and_then(|it| it.last()).context("no layer")?)?;
        Ok(Self { archive, config, layer })
    }

    /// Mode, owner and path of each file and directory that we have put on the base.
    pub fn files(&self) -> Result<Vec<String>> {
        let told = process::run(
            Command::new("tar").args(["--list", "--verbose", "--numeric-owner", "--file"]).arg(&self.layer),
        )?;
        let line = |line: &str| {
            let words: Vec<_> = line.split_whitespace().collect();
            Some(format!("{} {} /{}", words.first()?, words.get(1)?, words.last()?))
        };
        told.lines().map(|it| line(it).with_context(|| format!("{it:?}"))).collect()
    }

    /// What a file of ours in it says.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        let directory = scratch::directory("layer")?;
        let member = path.trim_start_matches('/');
        process::run(
            Command::new("tar")
                .args(["--extract", "--file"])
                .arg(&self.layer)
                .arg("--directory")
                .arg(&directory)
                .arg(member),
        )?;
        Ok(fs::read(directory.join(member))?)
    }
}

fn blob(layout: &Path, descriptor: &Value) -> Result<PathBuf> {
    let digest = descriptor["digest"].as_str().with_context(|| format!("no digest: {descriptor}"))?;
    Ok(layout.join("blobs").join(digest.replace(':', "/")))
}

fn json(path: &Path) -> Result<Value> {
    serde_json::from_slice(&fs::read(path)?).with_context(|| format!("{}", path.display()))
}
