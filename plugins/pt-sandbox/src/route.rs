//! What becomes of a message: the policy's action, carried out or announced.

use flow_plugin::{
    Edit, Failure, Header, Message, NewMessage, Result, Value, Verdict as Fate, derive, log,
    metrics, open,
};

use crate::api::safe_name;
use crate::options::Settings;
use crate::policy::{Action, Verdict};
use crate::ticket::short_hash;

const STATE: &str = "sandbox-state";
const VERDICT: &str = "sandbox-verdict";
const THREAT: &str = "sandbox-threat";
const SCAN_ID: &str = "sandbox-scan-id";
const ACTION: &str = "sandbox-action";
const ACTION_TEXT: &str = "sandbox-action-text";
/// On a quarantine copy: what it is a copy of.
const QUARANTINED: &str = "sandbox-quarantined";

/// Refused because of what it is.
const FORBIDDEN: u16 = 403;
/// Longest name of a copy, bytes; the file system takes 255.
const NAME_MAX: usize = 200;

/// Carries out what follows from a verdict.
pub(crate) fn route(settings: &Settings, message: &Message, verdict: &Verdict) -> Fate {
    let case = verdict.case();
    let action = settings.policy.action(case);
    tell(message, verdict, action);
    let headers = headers(settings, verdict, action);
    match (action, settings.carry_out) {
        (Action::Discard, carry_out) => {
            match discard(settings, message, verdict, headers, carry_out) {
                Ok(fate) => fate,
                // Nothing is dropped of which there is no copy.
                Err(failure) => Fate::Fail(failure.context("not put into quarantine")),
            }
        }
        (Action::Error, true) => Fate::rejected(FORBIDDEN, verdict.reason()),
        (Action::Rejected, true) => Fate::Fail(Failure::temporary(verdict.reason())),
        _ => Fate::Update(edits(headers)),
    }
}

fn tell(message: &Message, verdict: &Verdict, action: Action) {
    metrics::count(&format!("verdicts_{}", verdict.judgement.word()), 1);
    if matches!(action, Action::Ok | Action::AddHeader) {
        return;
    }
    log::warn(format!(
        "`{}`: {}; {}",
        message.rel_path,
        verdict.reason(),
        action.word()
    ));
}

type Headers = [(&'static str, Option<String>); 6];

/// All of them, so that what a stranger claims does not stay.
fn headers(settings: &Settings, verdict: &Verdict, action: Action) -> Headers {
    let id = Some(verdict.scan_id.clone()).filter(|id| !id.is_empty());
    let text = match action {
        Action::AddHeader => {
            Some(lines(&settings.headers, verdict)).filter(|text| !text.is_empty())
        }
        Action::Ok => None,
        _ => Some(verdict.reason()),
    };
    [
        (STATE, Some(verdict.state.word().to_owned())),
        (VERDICT, Some(verdict.judgement.word().to_owned())),
        (THREAT, verdict.threat.clone()),
        (SCAN_ID, id),
        (ACTION, Some(action.word().to_owned())),
        (ACTION_TEXT, text),
    ]
}

fn edits(headers: Headers) -> Vec<Edit> {
    let edit = |(name, value): (&str, Option<String>)| match value {
        Some(value) => Edit::set_header(name, value),
        None => Edit::remove_header(name),
    };
    headers.into_iter().map(edit).collect()
}

/// The lines to add to a mail, filled in.
fn lines(templates: &[String], verdict: &Verdict) -> String {
    let fields = [
        ("{verdict}", verdict.judgement.word()),
        ("{state}", verdict.state.word()),
        ("{threat}", verdict.threat.as_deref().unwrap_or_default()),
        ("{scan_id}", verdict.scan_id.as_str()),
    ];
    let mut lines = Vec::with_capacity(templates.len());
    'lines: for template in templates {
        let mut line: String = template.chars().filter(|c| !c.is_control()).collect();
        for (field, value) in fields {
            if line.contains(field) && value.is_empty() {
                continue 'lines;
            }
            line = line.replace(field, value);
        }
        lines.push(line);
    }
    lines.join("\n")
}

fn discard(
    settings: &Settings,
    message: &Message,
    verdict: &Verdict,
    headers: Headers,
    carry_out: bool,
) -> Result<Fate> {
    let Some(folder) = &settings.quarantine else {
        return Ok(Fate::rejected(FORBIDDEN, verdict.reason()));
    };
    if carry_out {
        return Ok(Fate::Replace(vec![copy(folder, message, &headers)?]));
    }
    // The verdict goes on as a message of its own, which the rules for copies may not want. Whether
    // they do is known; why nothing could be written for it does not matter, as nothing is.
    if matches!(derive(message.id, &message.rel_path, None), Ok(None)) {
        return Err(Failure::config(format!(
            "the `filters` of this callback refuse `{}` itself, so nobody would hear of its verdict; with `actions: announce` leave a last `reject: '.*'` out",
            message.rel_path
        )));
    }
    let copy = copy(folder, message, &headers)?;
    Ok(Fate::Replace(vec![answer(message, headers), copy]))
}

/// Writes the copy. Its name is the same at every try, and not one that anything opens or runs.
fn copy(folder: &str, message: &Message, headers: &Headers) -> Result<NewMessage> {
    let given = message.filename.as_deref().unwrap_or(&message.rel_path);
    let mut name = safe_name(given);
    while name.len() > NAME_MAX {
        name.pop();
    }
    let rel_path = format!("{folder}/{}-{name}.quarantine", short_hash(&message.key));
    let Some(mut writer) = derive(message.id, &rel_path, Some("application/octet-stream"))? else {
        return Err(Failure::config(format!(
            "the `filters` of this callback refuse the quarantine copy `{rel_path}`; accept it there, with the `directory` of the quarantine"
        )));
    };
    let mut content = open(message.id)?;
    loop {
        let chunk = content.read_chunk()?;
        if chunk.is_empty() {
            break;
        }
        writer.append(&chunk)?;
    }
    metrics::count("contents_quarantined", 1);
    let mut copy = NewMessage::derived(message, rel_path, writer.finish()?);
    copy = copy.with_header(QUARANTINED, message.rel_path.clone());
    for (name, value) in headers {
        if let Some(value) = value {
            copy = copy.with_header(*name, value.clone());
        }
    }
    Ok(copy)
}

/// The message itself, with the verdict and without its content.
fn answer(message: &Message, headers: Headers) -> NewMessage {
    let old = message.headers.iter().filter(|header| {
        header.name != "content" && headers.iter().all(|(name, _)| *name != header.name)
    });
    let new = headers.iter().filter_map(|(name, value)| {
        Some(Header {
            name: (*name).to_owned(),
            value: Value::Text(value.clone()?),
        })
    });
    NewMessage {
        pub_time: message.pub_time.clone(),
        retrieve_path: message.retrieve_path.clone(),
        size: message.size,
        mtime: message.mtime.clone(),
        content_type: message.content_type.clone(),
        identity: message.identity.clone(),
        headers: old.cloned().chain(new).collect(),
        ..NewMessage::new(message.base_url.clone(), message.rel_path.clone())
    }
}
