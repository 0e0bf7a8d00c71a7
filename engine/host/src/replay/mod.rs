//! Replays: the calls of a [recording](crate::record) again, and whether the answers are the same.
//!
//! Nothing is reached: what the guests asked of the world they are given from the recording, and
//! what they do now is compared with what they did then. A plugin that asks for something the
//! recording does not have is told so, and that is a difference.
//!
//! This deliberately does not run the flow: no rules, no posting, no files. A changed verdict changes
//! nothing for the calls after it, which get what they got in the recording.

mod compare;
mod desk;
mod peer;
mod player;
mod session;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_runtime::ports::{
    Callback, Desk, Failure, Gathered, HttpResponse, Item, Outcome, State, Verdict, Worked,
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::callback::GuestCallback;
use crate::catalogue::{self, Catalogue};
use crate::error::Error;
use crate::factory::Use;
use crate::plugin::Plugin;
use crate::record::form;

use player::Player;
pub use session::Session;
use session::{Call, Made};

/// A wait that goes another way than the recorded one ends after this.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How to replay.
#[derive(Debug, Clone, Default)]
pub struct ReplayOptions {
    /// Only this call, and those of its instance before it.
    pub at: Option<u64>,
    /// Plugin files in place of those the catalogue has, by name.
    pub plugins: BTreeMap<String, PathBuf>,
}

/// A call that was made again.
#[derive(Debug, Clone)]
pub struct Played {
    /// Its number in the recording.
    pub call: u64,
    /// The plugin.
    pub plugin: String,
    /// What was called.
    pub entry_point: String,
    /// The paths of the messages in it.
    pub messages: Vec<String>,
    /// What it answered now, in a few words.
    pub answer: String,
    /// What it asked of the world, a line each.
    pub asked: Vec<String>,
    /// What is other than in the recording, a line each.
    pub differences: Vec<String>,
    /// Why the plugin fell over, if it did now.
    pub crash: Option<String>,
    /// How long it took now.
    pub elapsed: Duration,
    /// How long it took then.
    pub recorded: Option<Duration>,
}

/// What a replay found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplaySummary {
    /// Calls made.
    pub calls: usize,
    /// Those that went another way.
    pub different: usize,
    /// Plugins that are not those of the recording, by name: a sentence each.
    pub changed: Vec<String>,
}

/// An instance at work.
struct Actor {
    player: Arc<Player>,
    callback: Box<dyn Callback>,
    used: Arc<Use>,
}

impl Session {
    /// Makes the calls again; `each` is told of every one.
    ///
    /// # Errors
    /// A plugin is not there or can't be loaded, or there is no call of the number asked for.
    pub async fn replay(
        &self,
        catalogue: &Catalogue,
        options: &ReplayOptions,
        each: &mut (dyn FnMut(&Played) + Send),
    ) -> Result<ReplaySummary, Error> {
        let only = match options.at {
            None => None,
            Some(number) => Some(self.call(number)?.instance),
        };
        let mut summary = ReplaySummary::default();
        let mut plugins: BTreeMap<String, Arc<Plugin>> = BTreeMap::new();
        let mut actors: BTreeMap<u64, Actor> = BTreeMap::new();
        for call in &self.calls {
            if only.is_some_and(|only| call.instance != only) {
                continue;
            }
            let Some(made) = self.instances.get(&call.instance) else {
                continue;
            };
            if let Entry::Vacant(place) = actors.entry(call.instance) {
                let name = self.plugin_name(made)?;
                let plugin = match plugins.get(&name) {
                    Some(plugin) => Arc::clone(plugin),
                    None => {
                        let plugin = load(catalogue, &name, options)?;
                        summary.changed.extend(self.changed(made, &plugin));
                        plugins.insert(name, Arc::clone(&plugin));
                        plugin
                    }
                };
                let used = Arc::new(self.used(catalogue, made, &plugin)?);
                place.insert(actor(self, made, &used));
            }
            let actor = actors
                .get_mut(&call.instance)
                .expect("it was just put there");
            let mut played = play(actor, call).await;
            if played.crash.is_some() {
                let culprits = culprits(self, made, actor, call).await;
                played.differences.extend(culprits);
            }
            summary.calls += 1;
            summary.different += usize::from(!played.differences.is_empty());
            each(&played);
            if options.at == Some(call.number) {
                break;
            }
        }
        Ok(summary)
    }
}

fn load(catalogue: &Catalogue, name: &str, options: &ReplayOptions) -> Result<Arc<Plugin>, Error> {
    let Some(path) = options.plugins.get(name) else {
        return catalogue
            .plugin(name)
            .unwrap_or_else(|| Err(catalogue.unknown(name)));
    };
    let bytes = catalogue::read(path)?;
    let origin = path.display().to_string();
    Ok(Arc::new(catalogue.host().load(&origin, &bytes)?))
}

fn actor(session: &Session, made: &Made, used: &Arc<Use>) -> Actor {
    let player = Player::new(session, made);
    let guest = GuestCallback::new(Arc::clone(used), player.place(), made.number);
    Actor {
        player,
        callback: Box::new(guest),
        used: Arc::clone(used),
    }
}

/// Makes one call again.
async fn play(actor: &mut Actor, call: &Call) -> Played {
    actor.player.begin(call);
    let began = Instant::now();
    let given = given(call);
    let (answer, crash) = ask(actor, call, &given).await;
    let elapsed = began.elapsed();
    let (asked, mut differences) = actor.player.end();
    let names = given.names();
    match &call.answer {
        Some(recorded) => compare::answers(recorded, &answer, &names, &mut differences),
        None => differences.push("the recording ends in this call".into()),
    }
    differences.truncate(compare::MOST);
    Played {
        call: call.number,
        plugin: actor.used.setup.plugin.clone(),
        entry_point: call.entry_point.clone(),
        answer: compare::words(&answer),
        messages: names,
        asked,
        differences,
        crash,
        elapsed,
        recorded: call.micros.map(Duration::from_micros),
    }
}

/// What a call is given.
#[derive(Default)]
struct Given {
    items: Vec<Item>,
    outcomes: Vec<Outcome>,
}

impl Given {
    fn names(&self) -> Vec<String> {
        let told = self.outcomes.iter().map(|outcome| &outcome.item);
        let items = self.items.iter().chain(told);
        items.map(|item| item.message.rel_path.clone()).collect()
    }
}

fn given(call: &Call) -> Given {
    let list = |name: &str| call.given.get(name).and_then(Value::as_array);
    let items = list("items").into_iter().flatten();
    let outcomes = list("outcomes").into_iter().flatten();
    Given {
        items: items.filter_map(form::read_item).collect(),
        outcomes: outcomes.filter_map(form::read_outcome).collect(),
    }
}

/// Calls, and says what came back, as a recording has it.
async fn ask(actor: &mut Actor, call: &Call, given: &Given) -> (Value, Option<String>) {
    let player = &actor.player;
    let state: Arc<dyn State> = Arc::clone(player) as _;
    let content = Arc::clone(player) as _;
    let desk = Desk {
        submit: Arc::clone(player) as _,
        state: Arc::clone(&state),
    };
    let guest = &mut actor.callback;
    let number = |name: &str| call.given.get(name).and_then(Value::as_u64).unwrap_or(0);
    let items = &given.items;
    let answer: Result<Value, Failure> = match call.entry_point.as_str() {
        "start" => guest.start().await.map(|most| json!(most)),
        "gather" => {
            let limit = usize::try_from(number("limit")).unwrap_or(usize::MAX);
            let gathered: Result<Gathered, _> = guest.gather(limit, state).await;
            gathered.map(|gathered| form::gathered(&gathered))
        }
        "wait" => {
            let timeout = Duration::from_millis(number("timeoutMs")).min(LONGEST_WAIT);
            let called = guest.wait(timeout, Arc::new(Notify::new())).await;
            called.map(|called| json!(called))
        }
        "settled" => guest
            .settled(&given.outcomes, state)
            .await
            .map(|()| Value::Null),
        "after_accept" => verdicts(guest.after_accept(items, state).await, player),
        "download" => works(guest.download(items, content, state).await),
        "send" => works(guest.send(items, content, state).await),
        "after_work" => verdicts(guest.after_work(items, content, state).await, player),
        "post" => {
            let posted = guest.post(items, state).await;
            posted.map(|posted| form::posts(&posted))
        }
        "request" => {
            let told = call.given.get("request").and_then(form::read_request);
            let request = told.unwrap_or_default();
            let answer: Result<HttpResponse, _> = guest.request(&request, desk).await;
            answer.map(|answer| form::response(&answer, &answer.body))
        }
        "line" => {
            let text = form::text(&call.given, "text").unwrap_or_default();
            let taken = guest.line(number("peer"), &text, desk).await;
            taken.map(|more| match more {
                true => Value::Null,
                false => json!("last"),
            })
        }
        "closed" => {
            let taken = guest.closed(number("peer"), desk).await;
            taken.map(|()| Value::Null)
        }
        "housekeeping" => guest.housekeeping(state).await.map(|()| Value::Null),
        "stop" => {
            guest.stop().await;
            Ok(Value::Null)
        }
        other => Err(Failure::Config(format!(
            "this version of flow can't call `{other}`"
        ))),
    };
    match answer {
        Ok(answer) => (json!({ "ok": answer }), None),
        Err(failure) => {
            let crash = match &failure {
                Failure::Plugin(text) => Some(text.clone()),
                _ => None,
            };
            (json!({ "fails": form::failure(&failure) }), crash)
        }
    }
}

fn verdicts(verdicts: Result<Vec<Verdict>, Failure>, player: &Player) -> Result<Value, Failure> {
    let written = player.shelf();
    let verdicts = verdicts?;
    let one = |verdict| form::verdict(verdict, &written);
    Ok(verdicts.iter().map(one).collect())
}

fn works(works: Result<Vec<Worked>, Failure>) -> Result<Value, Failure> {
    works.map(|works| works.iter().map(form::worked).collect())
}

/// Of a call about several messages that fell over: which of them do it alone. Nothing outside
/// changes by that, as nothing is outside.
async fn culprits(session: &Session, made: &Made, actor: &Actor, call: &Call) -> Option<String> {
    let items = call.given.get("items")?.as_array()?;
    if items.len() < 2 || !matches!(call.entry_point.as_str(), "after_accept" | "after_work") {
        return None;
    }
    let mut found = Vec::new();
    for item in items {
        let mut alone = call.clone();
        alone.given = json!({ "items": [item] });
        let mut actor = self::actor(session, made, &actor.used);
        actor.player.begin(&alone);
        let given = given(&alone);
        if ask(&mut actor, &alone, &given).await.1.is_some() {
            found.extend(given.names());
        }
    }
    Some(match found.as_slice() {
        [] => format!(
            "none of the {} messages crashes the plugin alone; it takes them together",
            items.len()
        ),
        found => format!(
            "alone, {} of the {} messages crash it: `{}`",
            found.len(),
            items.len(),
            found.join("`, `")
        ),
    })
}
