//! Where an item goes.

use std::path::Component;

use flow_runtime::ports::{Item, Location};

use crate::{Error, RemotePath};

/// What an item is there.
pub(super) struct Target {
    pub(super) path: RemotePath,
    /// Below `sendTo`; none where it is elsewhere.
    pub(super) rel_path: Option<String>,
}

/// Where an item goes: its location, taken as a path there, or else its `relPath`. A relative
/// directory is below `sendTo`, an absolute one is absolute there as well.
pub(super) fn target(base: &RemotePath, has_home: bool, item: &Item) -> Result<Target, Error> {
    let Some(location) = &item.location else {
        return Ok(Target {
            path: base.join(&item.message.rel_path)?,
            rel_path: Some(item.message.rel_path.trim_start_matches('/').to_owned()),
        });
    };
    let path = target_of(base, location)?;
    let rel_path = path.as_str().strip_prefix(base.as_str());
    let rel_path = rel_path
        // From a home nobody knows where it is, no absolute path is known to be below it.
        .filter(|_| !has_home || path.is_absolute() == base.is_absolute())
        .filter(|rest| base.as_str().is_empty() || rest.starts_with('/'))
        .map(|rest| rest.trim_start_matches('/').to_owned());
    Ok(Target { path, rel_path })
}

/// The path of a location there.
pub(super) fn target_of(base: &RemotePath, location: &Location) -> Result<RemotePath, Error> {
    let path = location.path();
    let mut text = String::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => {
                let name = name.to_str().ok_or_else(|| {
                    Error::permanent(format!("`{}` is not UTF-8 text", path.display()))
                })?;
                text.push('/');
                text.push_str(name);
            }
            Component::ParentDir | Component::Prefix(_) => {
                return Err(Error::permanent(format!(
                    "`{}` leads out of its directory",
                    path.display()
                )));
            }
        }
    }
    if path.is_absolute() {
        return RemotePath::of_url("//")?.join(&text);
    }
    base.join(&text)
}
