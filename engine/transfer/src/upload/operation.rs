//! File operations: removing, renaming, linking, making directories (S§5.5).

use std::sync::Arc;

use flow_message::FileOp;
use flow_runtime::ports::{Content, Item, Rejection};

use super::Shared;
use super::target::{Target, target_of};
use crate::{Connection, Error, Kind, RemotePath};

impl Shared {
    /// Carries out a file operation (S§5.5); an `Ok(Err)` is a rejection. Where that can't be done,
    /// but content can stand in for it, content is sent.
    pub(super) async fn operate(
        &self,
        connection: &mut Connection,
        op: &FileOp,
        content: &Arc<dyn Content>,
        item: &Item,
        target: &Target,
    ) -> Result<Result<(), Rejection>, Error> {
        let known = op.remove
            || op.directory
            || op.rename.is_some()
            || op.link.is_some()
            || op.hlink.is_some();
        if !known {
            return refuse(503, "this version does not know the file operation".into());
        }
        let carrier = &self.carrier;
        let path = &target.path;
        if op.remove {
            // Tries that failed come back in any order: what is here again was announced again, and
            // may have been sent since.
            if item.attempt > 0 && !op.directory && content.open(item.id).is_ok() {
                let reason = "it is here again since, which another message announces";
                return refuse(410, reason.into());
            }
            self.forget_directories();
            let removed = match op.directory {
                true => carrier.bounded("removing", connection.rmdir(path)).await,
                false => carrier.bounded("removing", connection.remove(path)).await,
            };
            return match removed {
                // It is gone, which is what was wanted.
                Err(error) if error.kind() == Kind::NotFound => Ok(Ok(())),
                Err(error) if is_final(&error) => refuse(500, error.to_string()),
                done => done.map(Ok),
            };
        }
        self.make_directory(connection, path.parent()).await?;
        if let Some(old) = &op.rename {
            self.forget_directories();
            let old = self.placed(item, target, old)?;
            let renaming = connection.rename(&old, path);
            return match carrier.bounded("renaming", renaming).await {
                // Nobody sent the old one: what has the new name here is sent instead.
                Err(error) if error.kind() == Kind::NotFound || is_final(&error) => {
                    if op.directory || op.link.is_some() {
                        refuse(410, format!("there is nothing to rename: {error}"))
                    } else {
                        self.deliver(connection, content, item, path).await
                    }
                }
                done => done.map(Ok),
            };
        }
        if let Some(link) = op.link.as_deref() {
            // What is linked is sent as well: the link leads to where that is there.
            let link = match &item.other {
                Some(other) => relative(path, &target_of(&self.base, other)?),
                None => link.to_owned(),
            };
            if !stays_inside(target, item, &link) {
                let reason = format!("the link leads to `{link}`, which is outside of `sendTo`");
                return refuse(Rejection::BAD_NAME, reason);
            }
            let linking = connection.symlink(path, &link);
            return match carrier.bounded("linking", linking).await {
                Err(error) if is_final(&error) => refuse(500, error.to_string()),
                done => done.map(Ok),
            };
        }
        if let Some(existing) = &op.hlink {
            let existing = self.placed(item, target, existing)?;
            let linking = connection.hard_link(path, &existing);
            return match carrier.bounded("linking", linking).await {
                Err(error) if error.kind() == Kind::NotFound || is_final(&error) => {
                    self.deliver(connection, content, item, path).await
                }
                done => done.map(Ok),
            };
        }
        let settings = carrier.settings();
        let mode = item.message.mode.filter(|_| settings.perm_copy);
        let making = connection.mkdir_all(path, mode.or(settings.perm_directory));
        carrier.bounded("making a directory", making).await.map(Ok)
    }

    /// Where another path of the same message is: where the loop says, or else as its own, if that
    /// was mirrored.
    fn placed(&self, item: &Item, target: &Target, other: &str) -> Result<RemotePath, Error> {
        if let Some(location) = &item.other {
            return target_of(&self.base, location);
        }
        let own = item.message.rel_path.trim_start_matches('/');
        // The path there ends as the message's own does; what is in front was put there.
        match target.path.as_str().strip_suffix(own) {
            Some(front) => target.path.root().join(front)?.join(other),
            None => {
                let name = other.rsplit('/').next().unwrap_or(other);
                target.path.with_name(name)
            }
        }
    }
}

fn refuse(code: u16, reason: String) -> Result<Result<(), Rejection>, Error> {
    Ok(Err(Rejection { code, reason }))
}

/// Whether another try can't help.
fn is_final(error: &Error) -> bool {
    matches!(error.kind(), Kind::Permanent | Kind::Unsupported)
}

/// Whether a link at `target` that says `link` points below `sendTo`. Whoever announces links must
/// not make the next upload write elsewhere.
fn stays_inside(target: &Target, item: &Item, link: &str) -> bool {
    let own = item.message.rel_path.trim_matches('/');
    let rel_path = match &target.rel_path {
        Some(rel_path) => rel_path,
        // Somewhere else: below where its tree begins there.
        None if target.path.as_str().ends_with(own) => own,
        None => target.path.name(),
    };
    if link.starts_with('/') || link.chars().any(char::is_control) {
        return false;
    }
    let mut depth = rel_path.split('/').filter(|part| !part.is_empty()).count() as i64 - 1;
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        if depth < 0 {
            return false;
        }
    }
    true
}

/// The link that leads from `path` to `to`.
fn relative(path: &RemotePath, to: &RemotePath) -> String {
    let from: Vec<&str> = path.elements().collect();
    let to: Vec<&str> = to.elements().collect();
    let directories = &from[..from.len().saturating_sub(1)];
    let same = directories
        .iter()
        .zip(&to)
        .take_while(|(one, other)| one == other)
        .count()
        .min(to.len().saturating_sub(1));
    let up = std::iter::repeat_n("..", directories.len() - same);
    up.chain(to[same..].iter().copied())
        .collect::<Vec<_>>()
        .join("/")
}

#[cfg(test)]
mod tests {
    use super::relative;
    use crate::RemotePath;

    #[test]
    fn links_lead_there() {
        let path = |text: &str| RemotePath::default().join(text).unwrap();
        for (from, to, expected) in [
            ("a/l", "a/x", "x"),
            ("a/b/l", "a/x", "../x"),
            ("l", "a/x", "a/x"),
            ("a/l", "b/c/x", "../b/c/x"),
            ("a/b/l", "a/b", "../b"),
        ] {
            assert_eq!(relative(&path(from), &path(to)), expected, "{from} {to}");
        }
    }
}
