//! Where content goes, and where the files are that a flow sends: as the flow says, decided once.
//!
//! A flow that downloads places content on this machine; one that sends places it at the server
//! `sendTo` names, where a relative directory is below that URL and nothing here is looked at. Others
//! place nothing.

use std::path::{Path, PathBuf};

use flow_config::template::Context;
use flow_config::{Flow, Template};
use flow_message::{Message, Timestamp};

use crate::content::{Local, file_path};
use crate::filter::{self, Match, Placed, Roots};
use crate::ports::{Failure, Rejection};

/// Where content goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goes {
    Nowhere,
    Here,
    There,
}

/// What a flow says of places.
#[derive(Debug)]
pub(crate) struct Places {
    goes: Goes,
    /// `post_baseDir`, the directory where rules name none.
    directory: Option<Template>,
    base_dir: Option<Template>,
    /// The path of baseUrl counts as the beginning of relPath.
    base_url: bool,
}

impl Places {
    pub(crate) fn new(flow: &Flow) -> Self {
        let goes = if flow.send_to.is_some() {
            Goes::There
        } else if flow.download {
            Goes::Here
        } else {
            Goes::Nowhere
        };
        Self {
            goes,
            directory: flow
                .output
                .as_ref()
                .and_then(|output| output.base_dir.clone()),
            base_dir: flow.base_dir.clone(),
            base_url: flow.transfer.base_url_rel_path,
        }
    }

    /// Whether content goes anywhere.
    pub(crate) fn is_anywhere(&self) -> bool {
        self.goes != Goes::Nowhere
    }

    /// Whether it goes to another machine.
    pub(crate) fn is_there(&self) -> bool {
        self.goes == Goes::There
    }

    /// Where the content of `message` goes, by the rule that accepted it.
    pub(crate) fn place(
        &self,
        found: &Match<'_>,
        message: &Message,
        local: &Local,
        born: Timestamp,
    ) -> Result<Placed, Rejection> {
        let joined;
        let path = match &message.rename {
            Some(path) => path,
            None if self.base_url => {
                let base = path_of(&message.base_url);
                joined = format!("{base}/{}", message.rel_path);
                &joined
            }
            None => &message.rel_path,
        };
        let here = match self.goes {
            Goes::There => Path::new(""),
            Goes::Here | Goes::Nowhere => &local.here,
        };
        let roots = Roots {
            here,
            directory: self.directory.as_ref(),
            base_dir: self.base_dir.as_ref(),
        };
        found.place(message, path, roots, born)
    }

    /// The file of this machine that a flow that sends takes what `message` announces from: below
    /// `baseDir`, or the one its `file:` URL names.
    ///
    /// # Errors
    /// `Permanent` where nothing says which file that is.
    pub(crate) fn source(
        &self,
        message: &Message,
        local: &Local,
        born: Timestamp,
    ) -> Result<PathBuf, Failure> {
        let named = file_path(message);
        let Some(base_dir) = &self.base_dir else {
            return named.ok_or_else(|| {
                let url = message.url();
                Failure::Permanent(format!(
                    "`{url}` is no file of this machine; `baseDir` would say where such files are here"
                ))
            });
        };
        let context = Context {
            now: born,
            message: Some(message),
            groups: &[],
        };
        let base_dir = local.here.join(base_dir.render(&context));
        match named {
            Some(named) if named.starts_with(&base_dir) => Ok(named),
            _ => {
                let elements = filter::elements(&message.rel_path)
                    .map_err(|rejection| Failure::Permanent(rejection.reason))?;
                Ok(base_dir.join(elements.join("/")))
            }
        }
    }
}

/// `message` with the path its file has without symbolic links. It is announced below the directory
/// it was announced below, or, where the links lead out of that, as a `file:` URL. Looks at the disk.
pub(crate) fn with_real_path(flow: &Flow, message: &Message) -> Message {
    let mut real = message.clone();
    let rendered = flow
        .output
        .as_ref()
        .and_then(|output| output.base_dir.as_ref());
    let context = Context {
        now: message.pub_time,
        message: Some(message),
        groups: &[],
    };
    let base = match rendered {
        Some(base_dir) => base_dir.render(&context),
        None => path_of(&message.base_url).to_owned(),
    };
    let base = PathBuf::from("/").join(base.trim_start_matches('/'));
    let file = base.join(message.rel_path.trim_start_matches('/'));
    // What is gone was in a directory that may still be there.
    let found = file.canonicalize().ok().or_else(|| {
        let parent = file.parent()?.canonicalize().ok()?;
        Some(parent.join(file.file_name()?))
    });
    let Some(found) = found else {
        return real;
    };
    let base = base.canonicalize().unwrap_or(base);
    match found.strip_prefix(&base) {
        Ok(below) => real.rel_path = below.to_string_lossy().into_owned(),
        Err(_) => {
            real.base_url = "file:/".into();
            real.rel_path = found.to_string_lossy().trim_start_matches('/').to_owned();
        }
    }
    real
}

/// The path of a URL as messages write it.
fn path_of(url: &str) -> &str {
    let rest = url.split_once(':').map_or(url, |(_, rest)| rest);
    match rest.strip_prefix("//") {
        Some(rest) => rest.find('/').map_or("", |slash| &rest[slash..]),
        None => rest,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use flow_config::{SafeUrl, Template};
    use flow_message::{Message, Timestamp};

    use super::{Places, path_of, with_real_path};
    use crate::content::Local;
    use crate::filter;
    use crate::testing::plain_flow;

    fn message(base_url: &str, rel_path: &str) -> Message {
        Message::new(Timestamp::from_unix(0, 0), base_url, rel_path)
    }

    #[test]
    fn what_is_sent_is_below_the_base_directory_or_named_by_its_url() {
        let check = |base_dir: Option<&str>, message: &Message| {
            let mut flow = plain_flow();
            flow.base_dir = base_dir.map(|text| Template::parse(text).unwrap());
            let local = Local::new(&flow, "/here".into());
            Places::new(&flow)
                .source(message, &local, Timestamp::from_unix(0, 0))
                .map(|path| path.to_str().unwrap().to_owned())
                .map_err(|failure| failure.to_string())
        };
        let web = message("http://host/top/", "a/b");
        let file = message("file:/data/", "a/b");
        let mut elsewhere = file.clone();
        elsewhere.retrieve_path = Some("real/b".into());
        for (base_dir, message, expected) in [
            (Some("/data"), &web, "/data/a/b"),
            (Some("rel"), &web, "/here/rel/a/b"),
            (None, &file, "/data/a/b"),
            (None, &elsewhere, "/data/real/b"),
            (Some("/data"), &file, "/data/a/b"),
            (Some("/data"), &elsewhere, "/data/real/b"),
            // As another machine sees it.
            (Some("/mnt/data"), &file, "/mnt/data/a/b"),
        ] {
            assert_eq!(check(base_dir, message).as_deref(), Ok(expected));
        }
        let lost = check(None, &web).unwrap_err();
        assert!(
            lost.starts_with("`http://host/top/a/b` is no file of this machine"),
            "{lost}"
        );
        for hostile in ["../x", "a/../../x", "a\nb"] {
            let message = message("http://host/", hostile);
            assert!(check(Some("/data"), &message).is_err(), "{hostile}");
        }
    }

    #[test]
    fn what_is_sent_is_placed_as_the_flow_says() {
        let check = |set: fn(&mut flow_config::Flow), message: &Message| {
            let mut flow = plain_flow();
            flow.send_to = Some(SafeUrl::parse("sftp://host/").unwrap());
            flow.filters.accept_unmatched = true;
            flow.filters.placement.mirror = true;
            set(&mut flow);
            let local = Local::new(&flow, "/here".into());
            let places = Places::new(&flow);
            assert!(places.is_there());
            let found = filter::rules(&flow.filters, message).unwrap();
            let placed = places.place(&found, message, &local, Timestamp::from_unix(0, 0));
            placed.unwrap().location.path().to_str().unwrap().to_owned()
        };
        let plain = message("http://host/root", "a/b");
        assert_eq!(check(|_| {}, &plain), "a/b");
        fn directory(flow: &mut flow_config::Flow, text: &str) {
            flow.filters.placement.directory = Some(Template::parse(text).unwrap());
        }
        assert_eq!(check(|flow| directory(flow, "in/x"), &plain), "in/x/a/b");
        assert_eq!(check(|flow| directory(flow, "/in"), &plain), "/in/a/b");
        assert_eq!(
            check(|flow| flow.transfer.base_url_rel_path = true, &plain),
            "root/a/b"
        );
        let posted = |flow: &mut flow_config::Flow| {
            let mut output = crate::testing::output();
            output.base_dir = Some(Template::parse("/out").unwrap());
            flow.output = Some(output);
        };
        assert_eq!(check(posted, &plain), "/out/a/b");
        let mut renamed = plain.clone();
        renamed.rename = Some("/new/name".into());
        assert_eq!(check(|_| {}, &renamed), "new/name");
        let whole = message("file:/", "data/tree/a/b");
        let base = |flow: &mut flow_config::Flow| {
            flow.base_dir = Some(Template::parse("/data/tree").unwrap());
        };
        assert_eq!(check(base, &whole), "a/b");
        assert_eq!(
            check(base, &message("file:/", "data/trees/a")),
            "data/trees/a"
        );
        assert!(Path::new(&check(base, &plain)).is_relative());
    }

    #[test]
    fn rules_may_see_where_links_lead() {
        let home = tempfile::tempdir().unwrap();
        let base = home.path().canonicalize().unwrap();
        std::fs::create_dir_all(base.join("tree/d")).unwrap();
        std::fs::create_dir(base.join("else")).unwrap();
        std::fs::write(base.join("else/x"), "").unwrap();
        std::os::unix::fs::symlink("d", base.join("tree/in")).unwrap();
        std::os::unix::fs::symlink("../else", base.join("tree/out")).unwrap();
        let tree = format!("file:{}/tree/", base.display());
        let real = |path: &str| {
            let real = with_real_path(&plain_flow(), &message(&tree, path));
            real.url()
        };
        assert_eq!(real("in/gone"), format!("{tree}d/gone"));
        assert_eq!(real("out/x"), format!("file:{}/else/x", base.display()));
        assert_eq!(real("no/such"), format!("{tree}no/such"));
    }

    #[test]
    fn urls_have_paths() {
        for (url, expected) in [
            ("http://host/a/b", "/a/b"),
            ("http://host", ""),
            ("file:/a", "/a"),
            ("file:///a", "/a"),
            ("sftp://me@host//a", "//a"),
        ] {
            assert_eq!(path_of(url), expected, "{url}");
        }
    }
}
