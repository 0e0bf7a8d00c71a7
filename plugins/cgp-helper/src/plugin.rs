//! The plugin: lines in, messages through the flow, lines out.
//!
//! A request is answered in one of four places, and each looks first whether it still waits:
//! in `line`, where nothing has to be scanned; in `settled`, once the message about it has ended in this
//! flow; in `after_accept`, where the verdict came back over a broker; in `housekeeping`, at the deadline.

use flow_plugin::time::Time;
use flow_plugin::{
    AfterAccept, AfterWork, Context, Describe, Failure, Fate, Header, Lifecycle, Line, Manifest,
    Message, NewMessage, Outcome, Result, Settled, Verdict, log, metrics, submit, write_line,
};

use crate::command::{Command, Verb};
use crate::journal::{self, Name, Request};
use crate::options::{self, Settings};
use crate::response::Response;

/// Nobody waits for it any more; the queue file is gone.
const GONE: u16 = 410;
/// A verdict that was passed on.
const DONE: u16 = 200;
/// What is spoken with a server that has not said what it speaks.
const UNKNOWN_INTERFACE: u32 = 2;
/// Seconds after a deadline during which an answer that was decided may be under way.
const UNDER_WAY: i64 = 30;
/// Longest part of what others say that is quoted, characters.
const QUOTED: usize = 80;
/// Longest reason of a scanner that is passed on, characters.
const REASON_MAX: usize = 500;
/// Longest name of a file that becomes part of a path, characters.
const NAME_MAX: usize = 100;

/// The plugin.
#[derive(Debug)]
pub struct CgpHelper {
    settings: Settings,
    /// It has taken lines, and so does nothing of the loop.
    serves: bool,
}

impl Describe for CgpHelper {
    fn describe() -> Manifest {
        options::describe()
    }
}

impl Lifecycle for CgpHelper {
    fn start(context: Context) -> Result<Self> {
        Ok(Self {
            settings: Settings::read(&context)?,
            serves: false,
        })
    }

    /// Answers what has waited for too long.
    fn housekeeping(&mut self) -> Result<()> {
        if !self.serves {
            return Ok(());
        }
        for (name, request) in journal::all()? {
            // A second later nobody answers it any more but this.
            let overdue = request.overdue();
            if overdue < 1 || (request.answer.is_some() && overdue < UNDER_WAY) {
                continue;
            }
            let why = "no verdict in time";
            let response = self
                .settings
                .without_verdict(&self.settings.on_timeout, why);
            metrics::count("answers_by_deadline", 1);
            log::warn(format!(
                "`{}`: {why}; it is answered by `on_timeout`, {}",
                request.file, self.settings.on_timeout
            ));
            answer(&name, &name.line(&response, request.interface))?;
        }
        Ok(())
    }
}

impl Line for CgpHelper {
    fn line(&mut self, peer: u64, text: String) -> Result<()> {
        self.serves = true;
        let Some(command) = Command::read(&text) else {
            // The server says something by the way; anything else nobody can answer.
            if !text.starts_with('*') {
                log::error(format!(
                    "the server said `{}`, which has no number",
                    quoted(&text)
                ));
            }
            return Ok(());
        };
        let sequence = command.sequence;
        match command.verb {
            Verb::Interface(version) => self.greet(peer, sequence, version),
            Verb::File(file) => self.ask(peer, sequence, file),
            Verb::Key => write_line(peer, &format!("{sequence} OK")),
            Verb::Quit => {
                write_line(peer, &format!("{sequence} OK"))?;
                Err(Failure::Interrupted)
            }
            Verb::Unknown => {
                log::warn(format!(
                    "the server said `{}`, which is not known",
                    quoted(&text)
                ));
                write_line(peer, &format!("{sequence} FAILURE"))
            }
        }
    }
}

impl CgpHelper {
    fn greet(&self, peer: u64, sequence: &str, version: Option<u32>) -> Result<()> {
        let most = self.settings.interface_max;
        let agreed = version.unwrap_or(most).clamp(1, most);
        // Those of an earlier run ask again, with other numbers.
        for other in journal::peers()? {
            if other != peer && write_line(other, "* another server is connected").is_err() {
                journal::part(other)?;
            }
        }
        journal::agree(peer, agreed)?;
        // Durable, and so seen by others, before the server goes on.
        submit(&[])?;
        log::info(match version {
            Some(version) => format!("the server speaks interface {version}; {agreed} is spoken"),
            None => {
                format!("the server does not say which interface it speaks; {agreed} is spoken")
            }
        });
        write_line(peer, &format!("{sequence} INTF {agreed}"))
    }

    fn ask(&self, peer: u64, sequence: &str, file: &str) -> Result<()> {
        let interface = journal::interface(peer)?.unwrap_or(UNKNOWN_INTERFACE);
        let name = Name {
            peer,
            sequence: sequence.to_owned(),
        };
        metrics::count("mails_asked", 1);
        let refuse = |why: &str| {
            let response = self
                .settings
                .without_verdict(&self.settings.on_timeout, why);
            log::warn(format!("`{file}`: {why}"));
            let response = name.line(&response, interface);
            write_line(peer, &format!("{sequence} {response}"))
        };
        if journal::is_full(self.settings.max_in_flight)? {
            return refuse("as many mails as `max_in_flight` wait for a verdict");
        }
        let seconds = i64::try_from(self.settings.deadline.as_secs()).unwrap_or(i64::MAX);
        let request = Request {
            deadline: Time::now().unix().saturating_add(seconds),
            interface,
            ticket: journal::ticket(&name),
            answer: None,
            file: file.to_owned(),
        };
        let rel_path = format!(
            "{}{peer}/{sequence}/{}",
            self.settings.host,
            safe_name(file)
        );
        let mut message = NewMessage::new(self.settings.base.clone(), rel_path);
        message.retrieve_path = Some(file.to_owned());
        message.content_type = Some("application/octet-stream".into());
        message.headers = vec![
            Header::text("cgpPeer", peer.to_string()),
            Header::text("cgpSequence", sequence),
            Header::text("cgpFile", file),
            Header::text("cgpTicket", request.ticket.clone()),
            Header::text("cgpInterface", interface.to_string()),
        ];
        journal::keep(&name, &request)?;
        match submit(&[message]) {
            Ok(()) => Ok(()),
            Err(failure) => {
                journal::forget(&name)?;
                refuse(failure.reason())
            }
        }
    }

    /// The answer about a mail that nobody can scan.
    fn on_error(&self, file: &str, why: &str) -> Response {
        let action = &self.settings.on_error;
        // Many reasons name it.
        let about = match why.contains(file) {
            true => String::new(),
            false => format!("`{file}`: "),
        };
        log::error(format!(
            "{about}{why}; it is answered by `on_error`, {action}"
        ));
        self.settings.without_verdict(action, why)
    }

    fn accept(&self, message: &Message) -> Result<Verdict> {
        let name = Name::of(message);
        let request = match &name {
            Some(name) => journal::asked(message, name)?,
            None => None,
        };
        let (said, failed) = (message.header("cgpAnswer"), message.header("failed"));
        let (Some(name), Some(request)) = (name, request) else {
            // Where no server is known, this is a flow of scanners, and anything may be to be scanned.
            if said.is_none() && journal::peers()?.is_empty() {
                return Ok(Verdict::Keep);
            }
            return Ok(Verdict::rejected(
                GONE,
                "no request of a server that is connected waits for this; a server that was asks again",
            ));
        };
        if said.or(failed).is_none() {
            return Ok(Verdict::Keep);
        }
        if request.overdue() > 0 {
            return Ok(Verdict::rejected(
                GONE,
                "the verdict is late: the server has been answered without it",
            ));
        }
        let text = message.header("cgpAnswerText").unwrap_or_default();
        let response = said.and_then(|said| Response::read(said, text));
        let response = response.unwrap_or_else(|| {
            let why = match (said, failed) {
                (Some(said), _) => format!("the scanner said `{}`", quoted(said)),
                (None, why) => shortened(why.unwrap_or_default()),
            };
            self.on_error(&request.file, &why)
        });
        answer(&name, &name.line(&response, request.interface))?;
        Ok(Verdict::rejected(DONE, "the server was told"))
    }

    fn conclude(&self, message: &Message) -> Result<Verdict> {
        let (Some(name), Some(verdict)) = (Name::of(message), verdict(message)) else {
            return Ok(Verdict::Keep);
        };
        if let Some(mut request) = journal::asked(message, &name)? {
            let response = match &verdict {
                Ok(response) => response,
                Err(why) => &self.on_error(&request.file, why),
            };
            request.answer = Some(name.line(response, request.interface));
            journal::keep(&name, &request)?;
        }
        let mut told = NewMessage::new(message.base_url.clone(), message.rel_path.clone());
        let kept = message
            .headers
            .iter()
            .filter(|header| !matches!(header.name.as_str(), "content" | "failed"));
        told.headers = kept.cloned().collect();
        match &verdict {
            Ok(response) => {
                let (action, text) = response.parts();
                told.headers.push(Header::text("cgpAnswer", action));
                told.headers.push(Header::text("cgpAnswerText", text));
            }
            // What follows from that is for the mail host to say.
            Err(why) => told.headers.push(Header::text("failed", why)),
        }
        told.retrieve_path = message.retrieve_path.clone();
        // The content has served.
        Ok(Verdict::Replace(vec![told]))
    }

    fn end(&self, outcome: &Outcome) -> Result<()> {
        let message = &outcome.message;
        let Some(name) = Name::of(message) else {
            return Ok(());
        };
        let Some(request) = journal::asked(message, &name)? else {
            return Ok(());
        };
        // From then on the deadline answers it.
        if request.overdue() > 0 {
            return Ok(());
        }
        let without = |why: &str| {
            let response = self.on_error(&request.file, why);
            name.line(&response, request.interface)
        };
        let response = match (&outcome.fate, &request.answer) {
            (Fate::Retrying(_), _) => return Ok(()),
            (_, Some(answer)) => answer.clone(),
            // It went to scanners elsewhere.
            (Fate::Posted, None) => return Ok(()),
            (Fate::Rejected(rejection), None) if rejection.code == GONE => "OK".into(),
            (Fate::Rejected(rejection), None) => without(&rejection.reason),
            (Fate::Dead(why), None) => without(why),
        };
        answer(&name, &response)
    }
}

impl AfterAccept for CgpHelper {
    fn after_accept(&mut self, batch: Vec<Message>) -> Result<Vec<Verdict>> {
        Ok(each(&batch, |message| self.accept(message)))
    }
}

impl AfterWork for CgpHelper {
    fn after_work(&mut self, batch: Vec<Message>) -> Result<Vec<Verdict>> {
        Ok(each(&batch, |message| self.conclude(message)))
    }
}

impl Settled for CgpHelper {
    fn settled(&mut self, outcomes: Vec<Outcome>) -> Result<()> {
        outcomes.iter().try_for_each(|outcome| self.end(outcome))
    }
}

/// What the scanner's headers say, or why that is no verdict; none where there are none.
fn verdict(message: &Message) -> Option<std::result::Result<Response, String>> {
    let action = message.header("sandbox-action");
    let state = message.header("sandbox-state");
    action.or(state)?;
    let text = message.header("sandbox-action-text").unwrap_or_default();
    let read = Response::read(action.unwrap_or_default(), text);
    Some(read.ok_or_else(|| match action {
        None if state == Some("error") && !text.is_empty() => text.to_owned(),
        action => format!("the scanner said `{}`", quoted(action.unwrap_or_default())),
    }))
}

/// A failure counts for its message alone.
fn each(batch: &[Message], decide: impl Fn(&Message) -> Result<Verdict>) -> Vec<Verdict> {
    let decided = batch.iter().map(decide);
    decided
        .map(|verdict| verdict.unwrap_or_else(Verdict::Fail))
        .collect()
}

/// Answers a request, which is then none any more. A server that is gone asks again.
fn answer(name: &Name, response: &str) -> Result<()> {
    match write_line(name.peer, &format!("{} {response}", name.sequence)) {
        Ok(()) => metrics::count("mails_answered", 1),
        Err(failure @ Failure::Temporary(_)) => return Err(failure),
        Err(failure) => log::debug(failure.reason()),
    }
    journal::forget(name)
}

/// A reason on one line.
fn shortened(text: &str) -> String {
    let blank = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(REASON_MAX).map(blank).collect()
}

fn quoted(text: &str) -> String {
    text.chars()
        .take(QUOTED)
        .flat_map(char::escape_debug)
        .collect()
}

/// The name of a queue file, as part of a path.
fn safe_name(file: &str) -> String {
    let name = file.rsplit(['/', '\\']).next().unwrap_or_default();
    let safe = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name: String = name.chars().filter(safe).take(NAME_MAX).collect();
    match name.trim_matches('.') {
        "" => "mail".into(),
        name => name.into(),
    }
}
