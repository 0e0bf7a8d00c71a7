//! One client's connection: state, commands, answers.
//!
//! A session sees its folder as it was when it last looked; what others changed is told (EXPUNGE,
//! EXISTS) at the end of a command or during IDLE, never in the middle of an answer.

use std::io;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::command::{Set, Token, read_command, read_line};
use super::fetch;
use super::search::Search;
use super::store::{Folder, Mail, Store, canonical};

const CAPABILITIES: &str = "IMAP4rev1 AUTH=PLAIN SASL-IR LITERAL+ IDLE MOVE UIDPLUS UNSELECT";

/// Serves one client until it leaves.
pub(super) async fn run(stream: TcpStream, store: Arc<Store>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (input, output) = stream.into_split();
    let mut session = Session {
        input: BufReader::new(input),
        output: BufWriter::new(output),
        store,
        admitted: false,
        selected: None,
    };
    session
        .say(&format!(
            "* OK [CAPABILITY {CAPABILITIES}] loopback mail server ready"
        ))
        .await?;
    session.output.flush().await?;
    while let Some(command) = read_command(&mut session.input, &mut session.output).await? {
        let leave = session.command(command).await?;
        session.output.flush().await?;
        if leave {
            break;
        }
    }
    Ok(())
}

struct Session {
    input: BufReader<OwnedReadHalf>,
    output: BufWriter<OwnedWriteHalf>,
    store: Arc<Store>,
    admitted: bool,
    selected: Option<Selected>,
}

struct Selected {
    folder: String,
    read_only: bool,
    /// UIDs by sequence number, as the client knows them.
    view: Vec<u32>,
}

/// How a command ended: the text after its tag.
type Reply = Result<String, String>;

fn ok(text: &str) -> Reply {
    Ok(format!("OK {text}"))
}

fn no(text: &str) -> Reply {
    Err(format!("NO {text}"))
}

fn bad(text: &str) -> Reply {
    Err(format!("BAD {text}"))
}

impl Session {
    async fn say(&mut self, line: &str) -> io::Result<()> {
        self.output.write_all(line.as_bytes()).await?;
        self.output.write_all(b"\r\n").await
    }

    /// Runs one command; true: the client is leaving.
    async fn command(&mut self, command: Result<Vec<Token>, &'static str>) -> io::Result<bool> {
        let tokens = match command {
            Ok(tokens) => tokens,
            Err(problem) => {
                self.say(&format!("* BAD {problem}")).await?;
                return Ok(false);
            }
        };
        let mut words = tokens.iter();
        let Some(tag) = words.next().and_then(Token::text) else {
            self.say("* BAD a command starts with a tag").await?;
            return Ok(false);
        };
        let mut name = words
            .next()
            .and_then(Token::text)
            .unwrap_or_default()
            .to_ascii_uppercase();
        let mut skip = 2;
        let by_uid = name == "UID";
        if by_uid {
            name = words
                .next()
                .and_then(Token::text)
                .unwrap_or_default()
                .to_ascii_uppercase();
            skip = 3;
        }
        let arguments = tokens.get(skip..).unwrap_or_default();
        let reply = self.dispatch(&name, by_uid, arguments).await?;
        // While numbers are in flight, they must not shift (RFC 3501, 7.4.1).
        if by_uid || !matches!(name.as_str(), "FETCH" | "STORE" | "SEARCH") {
            self.tell_changes().await?;
        }
        let (Ok(text) | Err(text)) = reply;
        self.say(&format!("{tag} {text}")).await?;
        Ok(name == "LOGOUT")
    }

    async fn dispatch(&mut self, name: &str, by_uid: bool, args: &[Token]) -> io::Result<Reply> {
        let reply = match name {
            "CAPABILITY" => {
                self.say(&format!("* CAPABILITY {CAPABILITIES}")).await?;
                ok("done")
            }
            "NOOP" | "CHECK" => ok("done"),
            "LOGOUT" => {
                self.say("* BYE goodbye").await?;
                ok("done")
            }
            "LOGIN" => self.login(
                args.first().and_then(Token::bytes),
                args.get(1).and_then(Token::bytes),
            ),
            "AUTHENTICATE" => self.authenticate(args).await?,
            _ if !self.admitted => bad("log in first"),
            "SELECT" | "EXAMINE" => self.select(args, name == "EXAMINE").await?,
            "LIST" | "LSUB" => self.list(name, args).await?,
            "STATUS" => self.status(args).await?,
            "CREATE" => match args.first().and_then(Token::text) {
                Some(folder) if self.store.create(&folder) => ok("created"),
                Some(_) => no("[ALREADYEXISTS] it is there already"),
                None => bad("CREATE needs a name"),
            },
            "SUBSCRIBE" | "UNSUBSCRIBE" => ok("done"),
            "APPEND" => self.append(args),
            _ if self.selected.is_none() => {
                bad(&format!("`{name}` is unknown or needs a SELECT first"))
            }
            "CLOSE" => {
                self.remove(|mail| mail.flags.contains("\\Deleted"));
                self.selected = None;
                ok("closed")
            }
            "UNSELECT" => {
                self.selected = None;
                ok("closed")
            }
            "IDLE" => self.idle().await?,
            "SEARCH" => self.search(by_uid, args).await?,
            "FETCH" => self.fetch(by_uid, args).await?,
            "STORE" => self.set_flags(by_uid, args).await?,
            "COPY" | "MOVE" => self.copy(by_uid, args, name == "MOVE").await?,
            "EXPUNGE" => self.expunge(by_uid, args),
            _ => bad(&format!("this server has no command `{name}`")),
        };
        Ok(reply)
    }

    fn login(&mut self, user: Option<&[u8]>, password: Option<&[u8]>) -> Reply {
        let (Some(user), Some(password)) = (user, password) else {
            return bad("LOGIN needs a user and a password");
        };
        if !self.store.admits(user, password) {
            return no("[AUTHENTICATIONFAILED] wrong user or password");
        }
        self.admitted = true;
        ok(&format!("[CAPABILITY {CAPABILITIES}] logged in"))
    }

    async fn authenticate(&mut self, args: &[Token]) -> io::Result<Reply> {
        if !args.first().is_some_and(|mechanism| mechanism.is("PLAIN")) {
            return Ok(no("this server knows PLAIN only"));
        }
        let response = match args.get(1).and_then(Token::bytes) {
            Some(initial) => initial.to_vec(),
            None => {
                self.say("+ ").await?;
                self.output.flush().await?;
                read_line(&mut self.input)
                    .await?
                    .ok_or(io::ErrorKind::UnexpectedEof)?
            }
        };
        let Ok(decoded) = BASE64.decode(&response) else {
            return Ok(bad("that is not base64"));
        };
        // RFC 4616: authorization identity, user, password.
        let mut parts = decoded.split(|&byte| byte == 0).skip(1);
        Ok(self.login(parts.next(), parts.next()))
    }

    async fn select(&mut self, args: &[Token], read_only: bool) -> io::Result<Reply> {
        self.selected = None;
        let Some(folder) = args.first().and_then(Token::text) else {
            return Ok(bad("SELECT needs a folder"));
        };
        let (view, uid_validity, uid_next) = {
            let folders = self.store.lock();
            let Some(found) = folders.get(&canonical(&folder)) else {
                return Ok(no("[NONEXISTENT] there is no such folder"));
            };
            let view: Vec<u32> = found.mails.iter().map(|mail| mail.uid).collect();
            (view, found.uid_validity, found.uid_next)
        };
        self.say("* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)")
            .await?;
        self.say("* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] kept")
            .await?;
        self.say(&format!("* {} EXISTS", view.len())).await?;
        self.say("* 0 RECENT").await?;
        self.say(&format!("* OK [UIDVALIDITY {uid_validity}] of this folder"))
            .await?;
        self.say(&format!("* OK [UIDNEXT {uid_next}] comes next"))
            .await?;
        self.selected = Some(Selected {
            folder: canonical(&folder),
            read_only,
            view,
        });
        Ok(ok(if read_only {
            "[READ-ONLY] selected"
        } else {
            "[READ-WRITE] selected"
        }))
    }

    async fn list(&mut self, name: &str, args: &[Token]) -> io::Result<Reply> {
        let Some(pattern) = args.get(1).and_then(Token::text) else {
            return Ok(bad("LIST needs a reference and a pattern"));
        };
        if pattern.is_empty() {
            self.say(&format!("* {name} (\\Noselect) \"/\" \"\""))
                .await?;
            return Ok(ok("done"));
        }
        for folder in self.store.folders() {
            if pattern == "*" || pattern == "%" || canonical(&pattern) == folder {
                self.say(&format!("* {name} () \"/\" {}", quote(&folder)))
                    .await?;
            }
        }
        Ok(ok("done"))
    }

    async fn status(&mut self, args: &[Token]) -> io::Result<Reply> {
        let Some(name) = args.first().and_then(Token::text) else {
            return Ok(bad("STATUS needs a folder"));
        };
        let answer = {
            let folders = self.store.lock();
            let Some(folder) = folders.get(&canonical(&name)) else {
                return Ok(no("[NONEXISTENT] there is no such folder"));
            };
            let unseen = folder
                .mails
                .iter()
                .filter(|mail| !mail.flags.contains("\\Seen"))
                .count();
            format!(
                "MESSAGES {} RECENT 0 UIDNEXT {} UIDVALIDITY {} UNSEEN {unseen}",
                folder.mails.len(),
                folder.uid_next,
                folder.uid_validity
            )
        };
        self.say(&format!("* STATUS {} ({answer})", quote(&name)))
            .await?;
        Ok(ok("done"))
    }

    fn append(&self, args: &[Token]) -> Reply {
        let [folder, options @ .., Token::Text(raw)] = args else {
            return bad("APPEND needs a folder and a literal");
        };
        let Some(folder) = folder.text() else {
            return bad("APPEND needs a folder");
        };
        if !self.store.folders().contains(&canonical(&folder)) {
            return no("[TRYCREATE] there is no such folder");
        }
        let uid = self
            .store
            .append(&folder, raw.clone(), &flags_in(options), None);
        let uid_validity = self.store.lock()[&canonical(&folder)].uid_validity;
        ok(&format!("[APPENDUID {uid_validity} {uid}] stored"))
    }

    /// Waits for `DONE`, telling changes as they come.
    async fn idle(&mut self) -> io::Result<Reply> {
        let mut changes = self.store.watch();
        self.say("+ idling").await?;
        self.tell_changes().await?;
        self.output.flush().await?;
        // Outside the loop: a change in the middle of the line must not lose its first half.
        let mut line = Vec::new();
        loop {
            tokio::select! {
                read = self.input.read_until(b'\n', &mut line) => {
                    if read? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    return Ok(if line.trim_ascii_end().eq_ignore_ascii_case(b"DONE") {
                        ok("idled")
                    } else {
                        bad("only DONE ends IDLE")
                    });
                }
                changed = changes.changed() => {
                    changed.map_err(|_| io::ErrorKind::ConnectionAborted)?;
                    self.tell_changes().await?;
                    self.output.flush().await?;
                }
            }
        }
    }

    async fn search(&mut self, by_uid: bool, args: &[Token]) -> io::Result<Reply> {
        let mails = self.known_mails();
        let last_number = u32::try_from(mails.len()).unwrap_or(u32::MAX);
        let last_uid = mails.last().map_or(0, |(_, mail)| mail.uid);
        let search = match Search::parse(args, last_number, last_uid) {
            Ok(search) => search,
            Err(problem) => return Ok(bad(&problem)),
        };
        let mut line = "* SEARCH".to_owned();
        for (number, mail) in &mails {
            if search.matches(*number, mail) {
                line.push_str(&format!(" {}", if by_uid { mail.uid } else { *number }));
            }
        }
        self.say(&line).await?;
        Ok(ok("done"))
    }

    async fn fetch(&mut self, by_uid: bool, args: &[Token]) -> io::Result<Reply> {
        let Some(mails) = self.named_mails(by_uid, args.first()) else {
            return Ok(bad("that is no set of mails"));
        };
        let mut items = match fetch::items(args.get(1..).unwrap_or_default()) {
            Ok(items) => items,
            Err(problem) => return Ok(bad(&problem)),
        };
        if by_uid && !items.contains(&fetch::Item::Uid) {
            items.insert(0, fetch::Item::Uid);
        }
        let mark = fetch::marks_seen(&items) && self.writable();
        let mut answer = Vec::new();
        for (number, mail) in mails {
            if mark {
                self.change_flags(&[mail.uid], |flags| {
                    flags.insert("\\Seen".to_owned());
                });
            }
            answer.clear();
            fetch::answer(number as usize, &mail, &items, &mut answer);
            self.output.write_all(&answer).await?;
        }
        Ok(ok("done"))
    }

    async fn set_flags(&mut self, by_uid: bool, args: &[Token]) -> io::Result<Reply> {
        if !self.writable() {
            return Ok(no("[READ-ONLY] selected with EXAMINE"));
        }
        let how = args
            .get(1)
            .and_then(Token::text)
            .unwrap_or_default()
            .to_ascii_uppercase();
        let (how, silent) = match how.strip_suffix(".SILENT") {
            Some(how) => (how, true),
            None => (how.as_str(), false),
        };
        if !matches!(how, "FLAGS" | "+FLAGS" | "-FLAGS") {
            return Ok(bad("STORE sets FLAGS, +FLAGS or -FLAGS"));
        }
        let named = flags_in(&args[2..]);
        let Some(mails) = self.named_mails(by_uid, args.first()) else {
            return Ok(bad("that is no set of mails"));
        };
        let uids: Vec<u32> = mails.iter().map(|(_, mail)| mail.uid).collect();
        self.change_flags(&uids, |flags| match how {
            "+FLAGS" => flags.extend(named.iter().cloned()),
            "-FLAGS" => flags.retain(|flag| !named.contains(flag)),
            _ => *flags = named.iter().cloned().collect(),
        });
        if !silent {
            for (number, mail) in self.known_mails() {
                if uids.contains(&mail.uid) {
                    let uid = if by_uid {
                        format!("UID {} ", mail.uid)
                    } else {
                        String::new()
                    };
                    self.say(&format!("* {number} FETCH ({uid}{})", fetch::flags(&mail)))
                        .await?;
                }
            }
        }
        Ok(ok("done"))
    }

    async fn copy(&mut self, by_uid: bool, args: &[Token], and_remove: bool) -> io::Result<Reply> {
        if and_remove && !self.writable() {
            return Ok(no("[READ-ONLY] selected with EXAMINE"));
        }
        let Some(mails) = self.named_mails(by_uid, args.first()) else {
            return Ok(bad("that is no set of mails"));
        };
        let Some(target) = args.get(1).and_then(Token::text) else {
            return Ok(bad("COPY and MOVE need a folder"));
        };
        let (from, to, uid_validity) = {
            let mut folders = self.store.lock();
            let Some(folder) = folders.get_mut(&canonical(&target)) else {
                return Ok(no("[TRYCREATE] there is no such folder"));
            };
            let from: Vec<String> = mails.iter().map(|(_, mail)| mail.uid.to_string()).collect();
            let to: Vec<String> = mails
                .iter()
                .map(|(_, mail)| folder.add(mail.clone()).to_string())
                .collect();
            (from.join(","), to.join(","), folder.uid_validity)
        };
        if and_remove {
            self.remove(|mail| mails.iter().any(|(_, moved)| moved.uid == mail.uid));
        }
        self.store.changed();
        if mails.is_empty() {
            return Ok(ok("nothing to do"));
        }
        let code = format!("[COPYUID {uid_validity} {from} {to}]");
        if and_remove {
            // RFC 6851: before the EXPUNGEs that follow.
            self.say(&format!("* OK {code} moved")).await?;
            return Ok(ok("moved"));
        }
        Ok(ok(&format!("{code} copied")))
    }

    fn expunge(&mut self, by_uid: bool, args: &[Token]) -> Reply {
        if !self.writable() {
            return no("[READ-ONLY] selected with EXAMINE");
        }
        let named = if by_uid {
            match self.named_mails(true, args.first()) {
                Some(mails) => Some(mails),
                None => return bad("that is no set of mails"),
            }
        } else {
            None
        };
        self.remove(|mail| {
            mail.flags.contains("\\Deleted")
                && named
                    .as_ref()
                    .is_none_or(|named| named.iter().any(|(_, one)| one.uid == mail.uid))
        });
        self.store.changed();
        ok("expunged")
    }

    fn writable(&self) -> bool {
        self.selected
            .as_ref()
            .is_some_and(|selected| !selected.read_only)
    }

    /// Runs `change` on the selected folder, if it still exists.
    fn with_folder<T>(&self, change: impl FnOnce(&mut Folder) -> T) -> Option<T> {
        let selected = self.selected.as_ref()?;
        self.store.lock().get_mut(&selected.folder).map(change)
    }

    fn change_flags(&self, uids: &[u32], change: impl Fn(&mut std::collections::BTreeSet<String>)) {
        self.with_folder(|folder| {
            for mail in folder
                .mails
                .iter_mut()
                .filter(|mail| uids.contains(&mail.uid))
            {
                change(&mut mail.flags);
            }
        });
    }

    fn remove(&self, gone: impl Fn(&Mail) -> bool) {
        if self.writable() {
            self.with_folder(|folder| folder.mails.retain(|mail| !gone(mail)));
        }
    }

    /// The mails the client knows of that still exist, with their numbers.
    fn known_mails(&self) -> Vec<(u32, Mail)> {
        let Some(selected) = &self.selected else {
            return Vec::new();
        };
        self.with_folder(|folder| {
            let mut known = Vec::new();
            for (number, uid) in (1u32..).zip(&selected.view) {
                if let Ok(at) = folder.mails.binary_search_by_key(uid, |mail| mail.uid) {
                    known.push((number, folder.mails[at].clone()));
                }
            }
            known
        })
        .unwrap_or_default()
    }

    /// The known mails in a set of numbers or UIDs; none: that is no set.
    fn named_mails(&self, by_uid: bool, set: Option<&Token>) -> Option<Vec<(u32, Mail)>> {
        let view = &self.selected.as_ref()?.view;
        let last = if by_uid {
            view.last().copied().unwrap_or(0)
        } else {
            u32::try_from(view.len()).unwrap_or(u32::MAX)
        };
        let set = Set::parse(&set?.text()?, last)?;
        let mut mails = self.known_mails();
        mails.retain(|(number, mail)| set.contains(if by_uid { mail.uid } else { *number }));
        Some(mails)
    }

    /// Tells the client which mails are gone and how many there are now.
    async fn tell_changes(&mut self) -> io::Result<()> {
        let Some(now) =
            self.with_folder(|folder| folder.mails.iter().map(|mail| mail.uid).collect::<Vec<_>>())
        else {
            return Ok(());
        };
        let Some(selected) = &mut self.selected else {
            return Ok(());
        };
        let before = std::mem::replace(&mut selected.view, now);
        let now = selected.view.clone();
        let mut lines = Vec::new();
        let mut number = 1;
        for uid in &before {
            if now.binary_search(uid).is_ok() {
                number += 1;
            } else {
                // Those after it move up by one, so the number stays.
                lines.push(format!("* {number} EXPUNGE"));
            }
        }
        if now.last() > before.last() {
            lines.push(format!("* {} EXISTS", now.len()));
        }
        for line in lines {
            self.say(&line).await?;
        }
        Ok(())
    }
}

/// The flags in an argument list, system flags in their usual case.
fn flags_in(tokens: &[Token]) -> Vec<String> {
    const SYSTEM: [&str; 5] = ["\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"];
    tokens
        .iter()
        .filter_map(|token| match token {
            Token::Atom(flag) => Some(flag),
            _ => None,
        })
        .map(|flag| {
            let system = SYSTEM
                .iter()
                .find(|system| system.eq_ignore_ascii_case(flag));
            system.map_or_else(|| flag.clone(), |system| (*system).to_owned())
        })
        .collect()
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
