//! Why a call into a guest ended without an answer, in words.

use flow_runtime::ports::{Item, Outcome};
use wasmtime::{Trap, WasmBacktrace};

use crate::error::Error;
use crate::meter::DeadlineReached;
use crate::store::Guest;

/// Functions of the guest that are shown.
const FRAMES: usize = 6;

/// What a call was about.
#[derive(Clone, Copy)]
pub(crate) enum About<'a> {
    Nothing,
    Items(&'a [Item]),
    Outcomes(&'a [Outcome]),
}

impl<'a> About<'a> {
    fn items(self) -> Vec<&'a Item> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Items(items) => items.iter().collect(),
            Self::Outcomes(outcomes) => outcomes.iter().map(|outcome| &outcome.item).collect(),
        }
    }
}

/// Explains an error of a call.
pub(crate) fn explain(
    error: &wasmtime::Error,
    guest: &Guest,
    entry_point: &str,
    about: About<'_>,
) -> Error {
    let (plugin, limits) = (&guest.setup.plugin, guest.setup.limits);
    let explained = if error.is::<DeadlineReached>() {
        let text = format!(
            "plugin `{plugin}` ran past its {:?} limit in `{entry_point}`",
            limits.deadline
        );
        Error::new("plugin/deadline", text).hint(
            "raise `limits: { deadline: … }` of the callback, or give it less at a time (`batch`)",
        )
    } else if guest.limiter.denied {
        let text = format!(
            "plugin `{plugin}` hit its memory limit of {} in `{entry_point}`",
            size(limits.memory)
        );
        Error::new("plugin/memory", text).hint(
            "raise `limits: { memory: … }` of the callback, or give it less at a time (`batch`)",
        )
    } else if error
        .root_cause()
        .to_string()
        .contains("fuel allocated for hostcalls")
    {
        too_much(guest, entry_point)
    } else {
        let text = format!(
            "plugin `{plugin}` crashed in `{entry_point}`: {}",
            what(error)
        );
        Error::new("plugin/crash", text).hint("this is for the plugin's author to correct")
    };
    let explained = guest
        .voice
        .last_words()
        .into_iter()
        .fold(explained, |error, line| {
            error.note(format!("it printed: {line}"))
        });
    let explained = match backtrace(error) {
        Some(functions) => explained.note(format!("it was in: {functions}")),
        None => explained,
    };
    let explained = match messages(&about.items(), guest.call.last) {
        Some(messages) => explained.note(messages),
        None => explained,
    };
    match again(guest, entry_point) {
        Some(again) => explained.note(again),
        None => explained,
    }
}

/// Which messages the call was about; `last` is the one whose content was asked for last.
fn messages(items: &[&Item], last: Option<u64>) -> Option<String> {
    let path = |item: &Item| item.message.rel_path.escape_debug().to_string();
    let (first, end) = (items.first()?, items.last()?);
    let url = &first.message.base_url;
    if items.len() == 1 {
        return Some(format!("it was called with `{}` of {url}", path(first)));
    }
    let at = last.and_then(|id| items.iter().find(|item| item.id == id));
    let which = match at {
        Some(item) => format!("it had come to the content of `{}`", path(item)),
        None => "it is one of these, or all of them together".to_owned(),
    };
    Some(format!(
        "it was called with {} messages, `{}` to `{}` of {url}: {which}",
        items.len(),
        path(first),
        path(end)
    ))
}

/// How to see it again.
fn again(guest: &Guest, entry_point: &str) -> Option<String> {
    if let Some(again) = &guest.place.again {
        return Some(format!("to see it again: `{}`", again.command()));
    }
    let flow = &guest.setup.flow;
    // A plugin that is looked into belongs to no flow, and a replay shows it again already.
    if entry_point == "describe" || flow.is_empty() || guest.place.outside.is_some() {
        return None;
    }
    Some(format!(
        "to see it again: `flow foreground {flow} --record FILE`, then `flow replay FILE`"
    ))
}

/// The error for an answer that is larger than it may be.
pub(crate) fn too_much(guest: &Guest, entry_point: &str) -> Error {
    let (plugin, limit) = (&guest.setup.plugin, guest.setup.limits.output);
    Error::new(
        "plugin/output",
        format!(
            "plugin `{plugin}` handed back more than {} in `{entry_point}`",
            size(limit)
        ),
    )
    .hint("raise `limits: { output: … }` of the callback, or give it less at a time (`batch`)")
}

/// The innermost reason, without the frames.
pub(crate) fn first_line(error: &wasmtime::Error) -> String {
    error
        .root_cause()
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn what(error: &wasmtime::Error) -> String {
    match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => "it panicked, or gave up by itself".into(),
        Some(Trap::StackOverflow) => {
            "its stack overflowed, by a recursion that is too deep or does not end".into()
        }
        Some(Trap::MemoryOutOfBounds) => "it reached out of its memory".into(),
        Some(trap) => trap.to_string(),
        None => match error.downcast_ref::<wasmtime_wasi::I32Exit>() {
            Some(exit) => format!("it ended itself with exit status {}", exit.0),
            None => first_line(error),
        },
    }
}

/// The guest's functions, innermost first, without those every program has.
fn backtrace(error: &wasmtime::Error) -> Option<String> {
    let frames = error.downcast_ref::<WasmBacktrace>()?.frames();
    let names = frames.iter().filter_map(|frame| frame.func_name());
    let mut names: Vec<String> = names
        .map(|name| format!("{:#}", rustc_demangle::demangle(name)))
        .filter(|name| !is_plumbing(name))
        .collect();
    names.dedup();
    names.truncate(FRAMES);
    (!names.is_empty()).then(|| names.join(" < "))
}

fn is_plumbing(name: &str) -> bool {
    let bare = name.trim_start_matches(['<', '&']);
    [
        "std::",
        "core::",
        "alloc::",
        "rust_",
        "__",
        "_start",
        "abort",
        "cabi_",
        "dlmalloc",
        "wit-component:",
        "$",
    ]
    .iter()
    .any(|prefix| bare.starts_with(prefix))
        || name.contains("_rust_")
        || name.contains("::_export_")
        || name.contains("panic_handler")
}

/// Bytes as a person writes them.
pub(crate) fn size(bytes: u64) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes >= 1 << shift && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}
