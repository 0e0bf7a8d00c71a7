//! Applying what callbacks change.

use std::sync::Arc;

use flow_message::{Message, v03};
use serde_json::Value;

use crate::filter::{check_element, directory_below};
use crate::job::Live;
use crate::ports::{Edit, Failure};

/// Names that are fields of a message, and so never kept among its other headers.
const FIELDS: [&str; 15] = [
    "atime",
    "baseUrl",
    "blocks",
    "content",
    "contentType",
    "fileOp",
    "identity",
    "mode",
    "mtime",
    "pubTime",
    "relPath",
    "rename",
    "retrievePath",
    "size",
    "source",
];

/// Makes the changes.
///
/// # Errors
/// `Permanent` where a change can't be made; the message is then half changed, and to be given up.
pub(crate) fn apply(edits: Vec<Edit>, live: &mut Live) -> Result<(), Failure> {
    edits.into_iter().try_for_each(|edit| apply_one(edit, live))
}

fn apply_one(edit: Edit, live: &mut Live) -> Result<(), Failure> {
    // Copied by who changes it: a new place is no change of the message.
    let message = &mut live.item.message;
    match edit {
        Edit::PubTime(time) => Arc::make_mut(message).pub_time = time,
        Edit::BaseUrl(mut url) => {
            crate::post::drop_password(&mut url);
            Arc::make_mut(message).base_url = url;
        }
        Edit::RelPath(path) => Arc::make_mut(message).rel_path = path,
        Edit::RetrievePath(path) => Arc::make_mut(message).retrieve_path = path,
        Edit::Size(size) => Arc::make_mut(message).size = size,
        Edit::Mtime(time) => Arc::make_mut(message).mtime = time,
        Edit::ContentType(kind) => Arc::make_mut(message).content_type = kind,
        Edit::Identity(identity) => Arc::make_mut(message).identity = identity,
        Edit::Header(name, value) => set_header(Arc::make_mut(message), name, value)?,
        // Where nothing is stored there is nothing to move.
        Edit::Directory(directory) => {
            if let Some(location) = &mut live.item.location {
                location.directory = directory_below(&live.meta.root, &directory)
                    .map_err(|rejection| Failure::Permanent(rejection.reason))?;
            }
        }
        Edit::Filename(filename) => {
            check_element(&filename).map_err(|rejection| Failure::Permanent(rejection.reason))?;
            if let Some(location) = &mut live.item.location {
                location.filename = filename;
            }
        }
    }
    Ok(())
}

/// Sets or removes a field that has no edit of its own.
pub(crate) fn set_header(
    message: &mut Message,
    name: String,
    value: Option<Value>,
) -> Result<(), Failure> {
    if !FIELDS.contains(&name.as_str()) {
        match value {
            Some(value) => message.extra.insert(name, value),
            None => message.extra.shift_remove(&name),
        };
        return Ok(());
    }
    let mut whole = v03::to_value(message);
    let fields = whole
        .as_object_mut()
        .expect("a message is written as an object");
    match value {
        Some(value) => fields.insert(name, value),
        None => fields.shift_remove(&name),
    };
    *message = v03::from_value(whole).map_err(|error| Failure::Permanent(error.to_string()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use flow_message::{Message, Timestamp};
    use serde_json::json;

    use super::apply;
    use crate::job::{Live, Meta};
    use crate::ports::{Edit, Failure, Item, Location};

    fn live() -> Live {
        let message = Message::new(Timestamp::from_unix(0, 0), "http://origin/", "a/b");
        let location = Some(Location {
            directory: "/data/in".into(),
            filename: "b".into(),
        });
        let item = Item {
            id: 1,
            key: "k".into(),
            attempt: 0,
            message: Arc::new(message),
            location,
            other: None,
        };
        Live {
            item,
            meta: Meta {
                root: PathBuf::from("/data"),
                ..Meta::new(Timestamp::from_unix(0, 0))
            },
        }
    }

    #[test]
    fn a_message_is_copied_where_it_is_changed_and_not_where_it_moves() {
        let mut live = live();
        let before = Arc::clone(&live.item.message);
        apply(vec![Edit::Filename("c".into())], &mut live).unwrap();
        assert!(Arc::ptr_eq(&before, &live.item.message));
        apply(vec![Edit::Size(Some(3))], &mut live).unwrap();
        assert_eq!((before.size, live.item.message.size), (None, Some(3)));
    }

    #[test]
    fn every_edit_does_what_it_is_named_after() {
        let mut live = live();
        let edits = vec![
            Edit::RelPath("c/d".into()),
            Edit::BaseUrl("http://me:secret@other/".into()),
            Edit::Size(Some(7)),
            Edit::ContentType(Some("text/csv".into())),
            Edit::Header("subject".into(), Some(json!("Report"))),
            Edit::Header("source".into(), Some(json!("me"))),
            Edit::Header(
                "content".into(),
                Some(json!({"encoding": "utf-8", "value": "hi"})),
            ),
            Edit::Directory("reports".into()),
            Edit::Filename("r.csv".into()),
        ];
        apply(edits, &mut live).unwrap();
        let message = &live.item.message;
        assert_eq!(message.url(), "http://me@other/c/d");
        assert_eq!(
            (message.size, message.source.as_deref()),
            (Some(7), Some("me"))
        );
        assert_eq!(message.extra["subject"], "Report");
        assert_eq!(message.content.as_ref().unwrap().value, "hi");
        let location = live.item.location.as_ref().unwrap();
        assert_eq!(location.path(), PathBuf::from("/data/reports/r.csv"));
        let edits = vec![
            Edit::Header("subject".into(), None),
            Edit::Header("content".into(), None),
        ];
        apply(edits, &mut live).unwrap();
        assert!(live.item.message.extra.is_empty() && live.item.message.content.is_none());
    }

    #[test]
    fn unsafe_names_and_wrong_headers_are_refused() {
        for edit in [
            Edit::Filename("../x".into()),
            Edit::Filename("a/b".into()),
            Edit::Directory("/etc".into()),
            Edit::Directory("../..".into()),
            Edit::Header("content".into(), Some(json!(7))),
        ] {
            let refused = apply(vec![edit.clone()], &mut live());
            assert!(matches!(refused, Err(Failure::Permanent(_))), "{edit:?}");
        }
    }
}
