//! Plugins several tests use.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use flow_message::Message;
use flow_runtime::ports::{Failure, Gathered, NewMessage, Verdict, Worked};

use super::{Plugin, fill, message, read_all};

/// A plugin that downloads `content of <relPath>`.
pub(crate) fn downloader() -> Plugin {
    Plugin {
        download: Some(Arc::new(|batch, content, _| {
            batch
                .iter()
                .map(|item| {
                    fill(
                        content,
                        item.id,
                        &format!("content of {}", item.message.rel_path),
                    )?;
                    Ok(Worked::Done(Vec::new()))
                })
                .collect()
        })),
        settled: Some(Arc::new(|_, _| Ok(()))),
        ..Plugin::default()
    }
}

/// A plugin that gathers `paths` until they are settled as anything.
pub(crate) fn gatherer(paths: &'static [&'static str]) -> Plugin {
    Plugin {
        gather: Some(Arc::new(move |limit, _| {
            let messages = paths.iter().take(limit).map(|path| message(path)).collect();
            Ok(Gathered {
                messages,
                more: false,
            })
        })),
        settled: Some(Arc::new(|_, _| Ok(()))),
        ..Plugin::default()
    }
}

/// Replaces each message by `parts`, each with content.
pub(crate) fn splitter(parts: &'static [&'static str]) -> Plugin {
    Plugin {
        after_work: Some(Arc::new(move |batch, content, _| {
            batch
                .iter()
                .map(|item| {
                    let whole = read_all(content, item.id)?;
                    let mut made = Vec::new();
                    for part in parts {
                        let path = format!("{}/{part}", item.message.rel_path);
                        let Some(mut writer) = content.derive(item.id, &path, None)? else {
                            continue;
                        };
                        writer.write(format!("{part} of {whole}").as_bytes())?;
                        let mut new = Message::clone(&item.message);
                        new.rel_path = path;
                        made.push(NewMessage {
                            message: new,
                            content: Some(writer.finish()?),
                        });
                    }
                    Ok(Verdict::Replace(made))
                })
                .collect()
        })),
        ..Plugin::default()
    }
}

/// Fails what is named `fail…` for now and `die…` for good; counts its calls.
pub(crate) fn failing(calls: &Arc<AtomicU32>) -> Plugin {
    let calls = Arc::clone(calls);
    Plugin {
        after_work: Some(Arc::new(move |batch, _, _| {
            calls.fetch_add(1, Ordering::Relaxed);
            let judge = |path: &str| match path {
                path if path.starts_with("fail") => Verdict::Fail(Failure::temporary("busy")),
                path if path.starts_with("die") => Verdict::Fail(Failure::Permanent("gone".into())),
                _ => Verdict::Keep,
            };
            Ok(batch
                .iter()
                .map(|item| judge(&item.message.rel_path))
                .collect())
        })),
        ..Plugin::default()
    }
}
