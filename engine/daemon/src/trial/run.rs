//! Running a trial: step by step through the port callbacks have.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use flow_config::document::{Field, Node};
use flow_config::{Allow, Flow};
use flow_host::{Catalogue, FlowPlugins, Surroundings};
use flow_runtime::ports::{
    Callback, CallbackFactory, Clock, Content, Desk, Failure, HttpRequest, Lines, State, Submit,
};
use serde_json::{Map, Value as Json, json};
use tokio::sync::Notify;

use super::case::{Case, Read, Step, Wrong, bytes, known, span, text, wrong};
use super::compare::{self, Difference};
use super::given::{self, Given};
use super::hear::Heard;
use super::peers::Peers;
use super::stage::{Contents, Counter, Listed, Nobody, Pairs, Scene, Still, lock};
use super::told::{self, Telling};
use super::update::{self, Update};
use crate::Error;

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) differences: Vec<Difference>,
    pub(super) updates: Vec<Update>,
}

/// What the steps share.
struct Stage<'a> {
    case: &'a Case,
    directory: Option<&'a Path>,
    plugins: FlowPlugins,
    callback: Box<dyn Callback>,
    state: Arc<Pairs>,
    desk: Arc<Counter>,
}

/// Makes every step of `case`.
pub(super) async fn run(
    catalogue: &Catalogue,
    mut flow: Flow,
    case: &Case,
    directory: Option<&Path>,
    heard: &Heard,
) -> Result<Done, Error> {
    if !case.allows {
        flow.allow = everybody(case);
    }
    let clock = Still::at(case.clock);
    let peers = Peers::new(&case.http, &case.connections);
    let surroundings = Surroundings {
        secrets: Arc::new(Listed(case.credentials.clone())),
        observer: Arc::new(Nobody),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        world: Some(Arc::new(Scene {
            outside: Arc::clone(&peers) as _,
            clock,
        })),
    };
    let desk = Arc::new(Counter::default());
    let lines = Arc::clone(&desk) as Arc<dyn Lines>;
    let plugins = FlowPlugins::with_lines(catalogue, &flow, &surroundings, Some(&lines))?;
    let callback = plugins.create(0, 0).await?;
    let mut stage = Stage {
        case,
        directory,
        plugins,
        callback,
        state: Pairs::of(&case.state),
        desk,
    };
    let mut done = Done::default();
    for step in &case.steps {
        peers.enter(step.line);
        let said = heard.count();
        let actual = stage.step(step).await.map_err(|wrong| Error::Trial {
            file: flow.file.display().to_string(),
            line: wrong.line,
            what: wrong.what,
        })?;
        // As the log of a flow has it: what was printed last is there and nowhere else.
        if let Some(crash) = actual["plugin"].as_str() {
            tracing::error!("{crash}");
        }
        done.judge(step, actual);
        done.differences.extend(peers.take());
        done.logged(step, &heard.since(said));
        done.stored(step, &stage.state);
    }
    stage.callback.stop().await;
    done.differences.extend(peers.left());
    done.differences.sort_by_key(|difference| difference.line);
    Ok(done)
}

/// Grants for every peer the file knows.
fn everybody(case: &Case) -> Allow {
    let host = |url: &str| {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let place = rest.split(['/', '?']).next().unwrap_or_default();
        let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
        let host = match place.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => host,
            _ => place,
        };
        format!("{host}:*")
    };
    Allow {
        connect: case.connections.iter().map(|one| one.to.clone()).collect(),
        http: case.http.iter().map(|one| host(&one.url)).collect(),
        secrets: case
            .credentials
            .iter()
            .map(|line| {
                let (scheme, _) = line.split_once("://").unwrap_or(("", ""));
                format!("{scheme}://{}/", host(line).trim_end_matches(":*"))
            })
            .collect(),
    }
}

impl Stage<'_> {
    /// Makes one call and tells what came out.
    async fn step(&mut self, step: &Step) -> Read<Json> {
        let entry = step.entry.as_str();
        if entry == "restart" {
            return Ok(self.restart().await);
        }
        // Every call finds an instance that was started.
        if let Err(why) = self.callback.start().await {
            return Ok(told::failure(&why));
        }
        let has = self.callback.entry_points();
        let lacks = match entry {
            "gather" => !has.gather,
            "wake" => !has.wake,
            "after_accept" => !has.after_accept,
            "download" => !has.download,
            "send" => !has.send,
            "after_work" => !has.after_work,
            "settled" => !has.settled,
            "housekeeping" => !has.lifecycle,
            "post" => !has.post,
            "request" => !has.request,
            "line" | "closed" => !has.line,
            _ => true,
        };
        if lacks {
            return wrong(step.line, format!("the plugin does not export `{entry}`"));
        }
        let answer = self.call(step).await?;
        Ok(answer.unwrap_or_else(|why| told::failure(&why)))
    }

    async fn restart(&mut self) -> Json {
        self.callback.stop().await;
        let made = self.plugins.create(0, 0).await;
        let started = match made {
            Ok(callback) => {
                self.callback = callback;
                self.callback.start().await
            }
            Err(why) => Err(why),
        };
        match started {
            Ok(_) => "done".into(),
            Err(why) => told::failure(&why),
        }
    }

    async fn call(&mut self, step: &Step) -> Read<Result<Json, Failure>> {
        let state = Arc::clone(&self.state) as Arc<dyn State>;
        let clock = self.case.clock;
        let done = |_| Json::from("done");
        match step.entry.as_str() {
            "gather" => {
                let limit = number(&step.given)?;
                let gathered = self.callback.gather(limit, state).await;
                return Ok(gathered.map(|gathered| {
                    let telling = Telling {
                        clock,
                        derived: &[],
                    };
                    let messages = gathered.messages.iter().map(|one| telling.message(one));
                    let mut told = Map::new();
                    told.insert("messages".into(), messages.collect());
                    if gathered.more {
                        told.insert("more".into(), true.into());
                    }
                    Json::Object(told)
                }));
            }
            "wake" => {
                let timeout = span(&step.given, "wake")?;
                let woken = self.callback.wait(timeout, Arc::new(Notify::new())).await;
                return Ok(woken.map(Json::from));
            }
            "housekeeping" => return Ok(self.callback.housekeeping(state).await.map(done)),
            "request" | "line" | "closed" => return self.at_the_desk(step).await,
            _ => {}
        }
        let given = given::messages(&step.given, clock, self.directory)?;
        if step.entry == "post" {
            let items: Vec<_> = given.iter().map(|one| one.item.clone()).collect();
            let posted = self.callback.post(&items, state).await;
            let told = |one: &Result<(), Failure>| match one {
                Ok(()) => Json::from("posted"),
                Err(why) => told::failure(why),
            };
            return Ok(posted.map(|all| all.iter().map(told).collect()));
        }
        if step.entry == "settled" {
            let outcomes: Vec<_> = given.iter().map(Given::outcome).collect();
            return Ok(self.callback.settled(&outcomes, state).await.map(done));
        }
        let items: Vec<_> = given.iter().map(|one| one.item.clone()).collect();
        let contents = Arc::new(Contents {
            given: contents(given),
            ..Contents::default()
        });
        let port = Arc::clone(&contents) as Arc<dyn Content>;
        let callback = &mut self.callback;
        Ok(match step.entry.as_str() {
            "after_accept" | "after_work" => {
                let verdicts = match step.entry.as_str() {
                    "after_work" => callback.after_work(&items, port, state).await,
                    _ => callback.after_accept(&items, state).await,
                };
                let derived = lock(&contents.derived);
                let telling = Telling {
                    clock,
                    derived: &derived,
                };
                verdicts.map(|all| all.iter().map(|one| telling.verdict(one)).collect())
            }
            _ => {
                let worked = match step.entry.as_str() {
                    "send" => callback.send(&items, port, state).await,
                    _ => callback.download(&items, port, state).await,
                };
                let written = lock(&contents.downloaded);
                let told = |all: Vec<_>| {
                    let both = items.iter().zip(&all);
                    both.map(|(item, one)| told::worked(one, written.get(&item.id)))
                        .collect()
                };
                worked.map(told)
            }
        })
    }
}

impl Stage<'_> {
    /// Calls from outside the loop: what is answered, what is submitted, which lines go out.
    async fn at_the_desk(&mut self, step: &Step) -> Read<Result<Json, Failure>> {
        let desk = Desk {
            submit: Arc::clone(&self.desk) as Arc<dyn Submit>,
            state: Arc::clone(&self.state) as Arc<dyn State>,
        };
        let mut told = Map::new();
        let given = &step.given;
        let answer = match step.entry.as_str() {
            "request" => {
                let response = self.callback.request(&request(given)?, desk).await;
                response.map(|response| {
                    told.insert("status".into(), response.status.into());
                    if !response.headers.is_empty() {
                        let headers = response.headers.into_iter();
                        let headers: Map<_, _> =
                            headers.map(|(name, value)| (name, value.into())).collect();
                        told.insert("headers".into(), headers.into());
                    }
                    if !response.body.is_empty() {
                        told.insert("body".into(), told::bytes(&response.body));
                    }
                })
            }
            "closed" => self.callback.closed(peer(given)?, desk).await,
            _ => {
                let (peer, text) = match given.get("text") {
                    Some(line) => (peer(given)?, text(line, "text")?),
                    None => (1, text(given, "line")?),
                };
                match self.callback.line(peer, text, desk).await {
                    Ok(more) => {
                        if !more {
                            told.insert("last".into(), true.into());
                        }
                        Ok(())
                    }
                    Err(why) => Err(why),
                }
            }
        };
        if let Err(why) = answer {
            return Ok(Err(why));
        }
        let telling = Telling {
            clock: self.case.clock,
            derived: &[],
        };
        let (submitted, lines) = self.desk.take();
        if !submitted.is_empty() {
            let submitted = submitted.iter().map(|one| telling.message(one));
            told.insert("submitted".into(), submitted.collect());
        }
        if !lines.is_empty() {
            let lines = lines.into_iter().map(|(peer, text)| match peer {
                1 => Json::from(text),
                peer => json!({"peer": peer, "text": text}),
            });
            told.insert("lines".into(), lines.collect());
        }
        Ok(Ok(match told.is_empty() {
            true => "done".into(),
            false => Json::Object(told),
        }))
    }
}

/// Who speaks; 1 where it is not said.
fn peer(node: &Node) -> Read<u64> {
    let said = node
        .get("peer")
        .or(Some(node))
        .and_then(Node::text)
        .unwrap_or("1");
    said.parse()
        .or_else(|_| wrong(node.line, format!("`{said}` is no number of a peer")))
}

fn request(node: &Node) -> Read<HttpRequest> {
    known(
        node,
        &["method", "path", "query", "headers", "body", "peer"],
        "a request",
    )?;
    let own = |key: &str, default: &str| -> Read<String> {
        node.get(key).map_or(Ok(default.to_owned()), |node| {
            Ok(text(node, key)?.to_owned())
        })
    };
    let mut headers = Vec::new();
    for field in node.get("headers").map_or(&[][..], Node::fields) {
        headers.push((
            field.key.to_ascii_lowercase(),
            text(&field.node, "a header")?.to_owned(),
        ));
    }
    Ok(HttpRequest {
        method: own("method", "POST")?,
        path: own("path", "/")?,
        query: own("query", "")?,
        headers,
        body: node
            .get("body")
            .map_or(Ok(Vec::new()), |body| bytes(body, "body"))?,
        peer: own("peer", "192.0.2.1:40000")?,
    })
}

fn contents(given: Vec<Given>) -> BTreeMap<u64, Vec<u8>> {
    given
        .into_iter()
        .filter_map(|one| Some((one.item.id, one.content?)))
        .collect()
}

fn number(node: &Node) -> Read<usize> {
    match text(node, "gather")?.parse() {
        Ok(number) => Ok(number),
        Err(_) => Err(Wrong {
            line: node.line,
            what: "`gather` says how many messages there may be at most".into(),
        }),
    }
}

impl Done {
    fn judge(&mut self, step: &Step, actual: Json) {
        let mut found = Vec::new();
        match &step.expect {
            Some(Field { node, .. }) => compare::node(node, &actual, &step.entry, &mut found),
            None => found.push(Difference::extra(
                step.line,
                &format!("{}, which expects nothing yet", step.entry),
                compare::told(&actual),
            )),
        }
        if !found.is_empty() {
            self.updates.push(Update {
                line: step.expect.as_ref().map_or(step.line, |field| field.line),
                column: step.column,
                replaces: step.expect.is_some(),
                value: match &step.expect {
                    Some(field) => update::keeping(&field.node, actual),
                    None => actual,
                },
            });
        }
        self.differences.extend(found);
    }

    /// What the step should have said in the log.
    fn logged(&mut self, step: &Step, lines: &[String]) {
        for wanted in &step.log {
            let wanted_text = wanted.text().unwrap_or_default();
            if !lines
                .iter()
                .any(|line| line.contains(wanted_text) || compare::text(wanted_text, line))
            {
                self.differences.push(Difference {
                    line: wanted.line,
                    what: "a line of the log that contains this".into(),
                    expected: Some(compare::shown(wanted)),
                    actual: (!lines.is_empty()).then(|| lines.join(" | ")),
                });
            }
        }
    }

    /// What the state should hold after the step.
    fn stored(&mut self, step: &Step, state: &Pairs) {
        for field in step.state.as_ref().map_or(&[][..], Node::fields) {
            let actual = state
                .value(&field.key)
                .map_or(json!(null), |value| told::bytes(&value));
            let what = format!("state `{}` after {}", field.key, step.entry);
            compare::node(&field.node, &actual, &what, &mut self.differences);
        }
    }
}
