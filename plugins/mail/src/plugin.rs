//! The plugin: which account a call is about, over which connection.

use std::time::Duration;

use flow_plugin::{
    Context, Describe, Download, Failure, Fetched, Gather, Gathered, Lifecycle, Manifest, Message,
    Outcome, Result, Settled, Wake, log,
};

use crate::imap::fetch::{self, Wanted};
use crate::imap::poll::Poll;
use crate::imap::session::Imap;
use crate::imap::{idle, settle};
use crate::names::Place;
use crate::options::{After, Settings};
use crate::pop::mailbox::Mailbox;
use crate::server::{Protocol, Server};

/// One instance of the plugin.
#[derive(Debug)]
pub struct Mail {
    settings: Settings,
    downloads: bool,
    /// The account being polled.
    polled: Option<Server>,
    poll: Poll,
    connections: Vec<Connection>,
    /// POP3 maildrops, by the URL of their account.
    mailboxes: Vec<(String, Mailbox)>,
}

/// An IMAP connection, by the URL of its account.
#[derive(Debug)]
struct Connection {
    url: String,
    imap: Imap,
}

/// Accounts a subscribing flow keeps connections to; the one used longest ago is closed.
const MOST_CONNECTIONS: usize = 4;

impl Describe for Mail {
    fn describe() -> Manifest {
        crate::options::describe()
    }
}

impl Lifecycle for Mail {
    fn start(context: Context) -> Result<Self> {
        let settings = Settings::read(&context)?;
        let polled = context.poll_url.as_deref().map(Server::parse).transpose()?;
        Ok(Self {
            settings,
            downloads: context.downloads,
            polled,
            poll: Poll::default(),
            connections: Vec::new(),
            mailboxes: Vec::new(),
        })
    }

    fn max_instances(&self) -> Option<u32> {
        // Only one session at a time gets into a maildrop.
        self.polled
            .as_ref()
            .filter(|server| server.protocol == Protocol::Pop)
            .map(|_| 1)
    }

    fn housekeeping(&mut self) -> Result<()> {
        self.poll.refresh(&self.settings);
        for (_, mailbox) in &mut self.mailboxes {
            mailbox.release();
        }
        Ok(())
    }

    fn stop(&mut self) {
        for connection in self.connections.drain(..) {
            connection.imap.log_out();
        }
        for (_, mailbox) in &mut self.mailboxes {
            mailbox.release();
        }
    }
}

impl Gather for Mail {
    fn gather(&mut self, limit: u32) -> Result<Gathered> {
        let server = self.polled()?;
        let limit = (limit as usize).max(1);
        if server.protocol == Protocol::Pop {
            let Self {
                settings,
                downloads,
                mailboxes,
                ..
            } = self;
            return mailbox(mailboxes, &server).gather(&server, settings, *downloads, limit);
        }
        self.over_imap(&server, |this, imap| {
            this.poll.gather(imap, &this.settings, limit)
        })
    }
}

impl Wake for Mail {
    fn wait(&mut self, timeout: Duration) -> Result<bool> {
        let Ok(server) = self.polled() else {
            return Ok(false);
        };
        if server.protocol == Protocol::Pop || !self.settings.idle {
            return Ok(false);
        }
        let url = server.url();
        let Some(at) = self
            .connections
            .iter()
            .position(|connection| connection.url == url)
        else {
            return Ok(false);
        };
        let Some(folder) = self.poll.first_folder().map(str::to_owned) else {
            return Ok(false);
        };
        let imap = &mut self.connections[at].imap;
        if !imap.can("IDLE") {
            return Ok(false);
        }
        let waited = idle::wait(
            imap,
            &folder,
            self.settings.after != After::Keep,
            timeout,
            self.settings.idle_renew,
        );
        waited.or_else(|failure| {
            // The next poll dials again, and says what is wrong if that is more than an old connection.
            log::debug(format!("waiting for mail ended: {}", failure.reason()));
            self.connections.remove(at);
            Ok(false)
        })
    }
}

impl Settled for Mail {
    fn settled(&mut self, outcomes: Vec<Outcome>) -> Result<()> {
        for (server, url, of_server) in by_server(&outcomes, |outcome| &outcome.message)? {
            if server.protocol == Protocol::Pop {
                self.settings.check_protocol(&server)?;
                let server = self.with_password(server);
                let Self {
                    settings,
                    mailboxes,
                    ..
                } = self;
                mailbox(mailboxes, &server).settle(&server, settings, &of_server)?;
                continue;
            }
            let posted = of_server
                .iter()
                .any(|outcome| outcome.fate == flow_plugin::Fate::Posted);
            if posted && self.settings.after != After::Keep {
                self.over_imap(&server, |this, imap| {
                    settle::settle(imap, &this.settings, &of_server)
                })?;
            }
            self.poll.settle(&url, &self.settings, &outcomes)?;
        }
        Ok(())
    }
}

impl Download for Mail {
    fn download(&mut self, batch: Vec<Message>) -> Result<Vec<Fetched>> {
        let mut results: Vec<Option<Fetched>> = vec![None; batch.len()];
        for (server, _, messages) in by_server(&batch, |message| message)? {
            let at: Vec<usize> = (0..batch.len())
                .filter(|&at| {
                    messages
                        .iter()
                        .any(|message| std::ptr::eq(*message, &batch[at]))
                })
                .collect();
            let fetched = self.download_from(&server, &messages);
            for (at, fetched) in at.into_iter().zip(fetched) {
                results[at] = Some(fetched);
            }
        }
        let missing = || Fetched::Fail(Failure::permanent("the message has no usable mail URL"));
        Ok(results
            .into_iter()
            .map(|result| result.unwrap_or_else(missing))
            .collect())
    }
}

impl Mail {
    fn polled(&self) -> Result<Server> {
        self.polled.clone().ok_or_else(|| {
            Failure::config("there is nothing to poll: write `pollUrl: imaps://user@host/`")
        })
    }

    fn download_from(&mut self, server: &Server, messages: &[&Message]) -> Vec<Fetched> {
        if server.protocol == Protocol::Pop {
            if let Err(failure) = self.settings.check_protocol(server) {
                return vec![Fetched::Fail(failure); messages.len()];
            }
            let server = self.with_password(server.clone());
            let Self {
                settings,
                mailboxes,
                polled,
                ..
            } = self;
            let mailbox = mailbox(mailboxes, &server);
            let results = mailbox.download(&server, settings, messages);
            // Another flow polls this maildrop, and waits for it.
            if polled.is_none() {
                mailbox.release();
            }
            return results;
        }
        let mut wanted: Vec<Wanted<'_>> = messages
            .iter()
            .map(|&message| match Place::parse(message.retrieve_path.as_deref().unwrap_or(&message.rel_path)) {
                Some(place) => Wanted { message, place, result: None },
                None => Wanted {
                    message,
                    place: Place { folder: String::new(), validity: 0, uid: 0 },
                    result: Some(Fetched::Fail(Failure::permanent(format!(
                        "`{}` does not name a mail: `<folder>/<uidvalidity>-<uid>.eml` is expected",
                        message.rel_path
                    )))),
                },
            })
            .collect();
        let failure = self
            .over_imap(server, |this, imap| {
                fetch::fetch(imap, &this.settings, &mut wanted)
            })
            .err();
        let failure =
            failure.unwrap_or_else(|| Failure::temporary("the server's answer lacked the mail"));
        wanted
            .into_iter()
            .map(|want| {
                want.result
                    .unwrap_or_else(|| Fetched::Fail(failure.clone()))
            })
            .collect()
    }

    /// Runs something over the account's connection. One kept from earlier may have died of age: if
    /// it turns out dead, a new one gets a second try.
    fn over_imap<R>(
        &mut self,
        server: &Server,
        mut call: impl FnMut(&mut Self, &mut Imap) -> Result<R>,
    ) -> Result<R> {
        let url = server.url();
        if let Some(at) = self
            .connections
            .iter()
            .position(|connection| connection.url == url)
        {
            let mut connection = self.connections.remove(at);
            let result = call(self, &mut connection.imap);
            if !connection.imap.is_dead() {
                self.connections.push(connection);
                return result;
            }
            match result {
                Err(Failure::Temporary(_)) => {}
                result => return result,
            }
        }
        let server = self.with_password(server.clone());
        let mut imap = Imap::connect(&server, &self.settings)?;
        let result = call(self, &mut imap);
        if !imap.is_dead() {
            if self.connections.len() >= MOST_CONNECTIONS {
                self.connections.remove(0).imap.log_out();
            }
            self.connections.push(Connection { url, imap });
        }
        result
    }

    /// The account as the flow wrote it, if it is the one polled: only that may have a password.
    fn with_password(&self, server: Server) -> Server {
        let same = |polled: &&Server| {
            polled.host == server.host
                && polled.port == server.port
                && polled.protocol == server.protocol
                && polled.tls == server.tls
                && (polled.user.is_none() || polled.user == server.user)
        };
        match self.polled.as_ref().filter(same) {
            Some(polled) => Server {
                user: server.user.or_else(|| polled.user.clone()),
                ..polled.clone()
            },
            None => server,
        }
    }
}

fn mailbox<'a>(mailboxes: &'a mut Vec<(String, Mailbox)>, server: &Server) -> &'a mut Mailbox {
    // The user may only be known after the login, so it is no part of the key.
    let url = Server {
        user: None,
        ..server.clone()
    }
    .url();
    let key = format!("{url}{}", server.user.as_deref().unwrap_or_default());
    let at = mailboxes
        .iter()
        .position(|(name, _)| *name == key || (server.user.is_none() && name.starts_with(&url)))
        .unwrap_or_else(|| {
            mailboxes.push((key, Mailbox::default()));
            mailboxes.len() - 1
        });
    &mut mailboxes[at].1
}

/// Groups things by the account their messages come from, in the order of their first.
type Groups<'a, T> = Vec<(Server, String, Vec<&'a T>)>;

fn by_server<'a, T>(things: &'a [T], message: impl Fn(&T) -> &Message) -> Result<Groups<'a, T>> {
    let mut groups: Groups<'a, T> = Vec::new();
    for thing in things {
        let base = &message(thing).base_url;
        match groups.iter_mut().find(|(_, url, _)| url == base) {
            Some((_, _, group)) => group.push(thing),
            // Another callback's message can't get here; one that can't be read is nobody's.
            None => {
                if let Ok(server) = Server::parse(base) {
                    groups.push((server, base.clone(), vec![thing]));
                }
            }
        }
    }
    Ok(groups)
}
