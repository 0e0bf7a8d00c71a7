//! Compiled plugins on disk, so that only the first start pays for compiling.
//!
//! Compiled code is trusted code: who can write it runs in this process. So the directory has to
//! belong to us and be writable by nobody else, the same is asked of every file, and a file that
//! was cut short or damaged is noticed by its checksum. Nothing is ever loaded from elsewhere.
//!
//! One file per plugin and engine, `<sha256 of plugin and engine>.cwasm`: the compiled code, then
//! 32 bytes of SHA-256 of it. Written beside and renamed, so that processes may share it.

use std::hash::{Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::Error;

/// What was not used for this long makes room.
const KEEP: Duration = Duration::from_secs(90 * 86400);

/// A usable cache directory.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
    /// Says which engine, with which settings, compiled code is for.
    engine: u64,
}

impl Cache {
    /// Makes and checks the directory.
    pub(crate) fn open(directory: PathBuf, engine: &Engine) -> Result<Self, Error> {
        let unusable = |why: String| {
            Error::new(
                "plugin/cache",
                format!(
                    "the cache directory {} is not used: {why}",
                    directory.display()
                ),
            )
            .note("plugins are compiled at every start, which takes longer; nothing else changes")
        };
        make_private(&directory).map_err(|error| unusable(error.to_string()))?;
        check_owner(&directory).map_err(unusable)?;
        let mut hasher = std::hash::DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        env!("CARGO_PKG_VERSION").hash(&mut hasher);
        Ok(Self {
            directory,
            engine: hasher.finish(),
        })
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.directory
            .join(format!("{sha256}-{:016x}.cwasm", self.engine))
    }

    /// The compiled plugin, if it is here and whole.
    pub(crate) fn load(&self, engine: &Engine, sha256: &str) -> Option<Component> {
        let path = self.path(sha256);
        let mut file = std::fs::File::open(&path).ok()?;
        if !ours(&self.directory, &file.metadata().ok()?) {
            tracing::warn!(
                "{} is not used: somebody else may write to it",
                path.display()
            );
            return None;
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        let (code, sum) = bytes.split_at_checked(bytes.len().checked_sub(SHA256_OUTPUT_LEN)?)?;
        if digest(&SHA256, code).as_ref() != sum {
            tracing::warn!("{} is damaged and is compiled anew", path.display());
            return None;
        }
        // Says when it was last used; nothing depends on it.
        let _ = file.set_modified(SystemTime::now());
        deserialize(engine, code)
    }

    /// Keeps a compiled plugin. Failing to is no error: it is compiled again next time.
    pub(crate) fn store(&self, component: &Component, sha256: &str) {
        let path = self.path(sha256);
        let written = component
            .serialize()
            .map_err(|error| error.to_string())
            .and_then(|code| {
                let sum = digest(&SHA256, &code);
                self.write(&path, &[code.as_slice(), sum.as_ref()].concat())
                    .map_err(|error| error.to_string())
            });
        match written {
            Ok(()) => self.prune(),
            Err(error) => tracing::warn!("{} was not written: {error}", path.display()),
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
        let written =
            write_private(&unfinished, bytes).and_then(|()| std::fs::rename(&unfinished, path));
        if written.is_err() {
            let _ = std::fs::remove_file(&unfinished);
        }
        written
    }

    fn prune(&self) {
        let Ok(entries) = std::fs::read_dir(&self.directory) else {
            return;
        };
        for entry in entries.flatten() {
            let old = entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > KEEP));
            let path = entry.path();
            if old
                && path
                    .extension()
                    .is_some_and(|extension| extension == "cwasm" || extension == "tmp")
            {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

#[expect(
    unsafe_code,
    reason = "loading compiled code is unsafe by nature; see the module's first lines"
)]
fn deserialize(engine: &Engine, code: &[u8]) -> Option<Component> {
    // SAFETY: the code was written by `store` of a process of this user: the directory and the file
    // are ours and writable by nobody else, and the checksum says that the file is whole. Wasmtime
    // itself refuses code of another version or other settings.
    unsafe { Component::deserialize(engine, code) }.ok()
}

#[cfg(unix)]
fn make_private(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

#[cfg(unix)]
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)
}

/// Whether a file belongs to the owner of the directory, who we are, and only to them.
#[cfg(unix)]
fn ours(directory: &Path, file: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(directory).is_ok_and(|owner| owner.uid() == file.uid())
        && file.mode() & 0o022 == 0
}

/// Whether the directory is ours: a file made in it has the same owner.
#[cfg(unix)]
fn check_owner(directory: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(directory).map_err(|error| error.to_string())?;
    if metadata.mode() & 0o022 != 0 {
        return Err(format!(
            "others may write to it (mode {:o}); run `chmod 700` on it after emptying it",
            metadata.mode() & 0o777
        ));
    }
    let probe = directory.join(format!("owner.{}.tmp", std::process::id()));
    write_private(&probe, b"").map_err(|error| error.to_string())?;
    let owner = std::fs::metadata(&probe).map(|probe| probe.uid());
    let _ = std::fs::remove_file(&probe);
    match owner {
        Ok(owner) if owner == metadata.uid() => Ok(()),
        Ok(_) => Err("it belongs to somebody else".into()),
        Err(error) => Err(error.to_string()),
    }
}
