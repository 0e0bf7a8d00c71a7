//! A callback of one lane: [`Callback`] over an instance of a plugin.
//!
//! Each entry point converts what it is given, calls the guest, and checks the answer. An instance
//! that failed is gone by then; the next call makes and starts a fresh one.

mod outside;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_runtime::ports::{
    Callback, Content, Desk, EntryPoints, Failure, Gathered, HttpRequest, HttpResponse, Item,
    Outcome, State, Verdict, Worked,
};
use tokio::sync::Notify;

use crate::bindings::exports::flow::plugin::settled;
use crate::bindings::flow::plugin::types as wit;
use crate::convert::incoming::Answer;
use crate::convert::outgoing::{self, Texts};
use crate::error::Error;
use crate::factory::Use;
use crate::instance::{Live, answer, call};
use crate::outside::Place;
use crate::store::{Call, Guest, Interrupt};
use crate::trap::{self, About};

/// A callback of a flow, run by a guest.
pub(crate) struct GuestCallback {
    used: Arc<Use>,
    place: Place,
    instance: u32,
    live: Option<Live>,
}

/// An answer as a whole is larger than it may be.
fn too_much(guest: &Guest, entry_point: &str) -> Failure {
    guest.setup.usage.refused(entry_point);
    trap::too_much(guest, entry_point).of_plugin()
}

fn wrong_count(guest: &Guest, entry_point: &str, got: usize, expected: &str) -> Failure {
    guest.setup.usage.refused(entry_point);
    let text = format!(
        "plugin `{}` gave {got} answers in `{entry_point}`; it was asked for {expected}",
        guest.setup.plugin
    );
    Error::new("plugin/wrong-count", text)
        .hint("this is for the plugin's author to correct")
        .of_plugin()
}

/// What a call about messages brings.
fn about(items: &[Item], state: Arc<dyn State>, content: Option<Arc<dyn Content>>) -> Call {
    Call {
        ids: items.iter().map(|item| item.id).collect(),
        state: Some(state),
        content,
        ..Call::default()
    }
}

impl GuestCallback {
    pub(crate) fn new(used: Arc<Use>, place: Place, instance: u32) -> Self {
        Self {
            used,
            place,
            instance,
            live: None,
        }
    }

    async fn take(&mut self) -> Result<Live, Failure> {
        match self.live.take() {
            Some(live) => Ok(live),
            None => Live::make(&self.used, &self.place, self.instance).await,
        }
    }

    /// One verdict per item, or the call failed.
    fn verdicts(
        &mut self,
        live: Live,
        entry_point: &'static str,
        items: &[Item],
        verdicts: Vec<wit::Verdict>,
    ) -> Result<Vec<Verdict>, Failure> {
        self.answers(live, entry_point, items, verdicts, |answer, _, verdict| {
            answer.verdict(verdict)
        })
    }

    /// One answer per item, each checked; keeps the instance if the answer as a whole is in order.
    fn answers<A, B>(
        &mut self,
        live: Live,
        entry_point: &'static str,
        items: &[Item],
        answers: Vec<A>,
        convert: impl Fn(&mut Answer<'_>, u64, A) -> B,
    ) -> Result<Vec<B>, Failure> {
        let guest = live.store.data();
        if answers.len() != items.len() {
            return Err(wrong_count(
                guest,
                entry_point,
                answers.len(),
                &items.len().to_string(),
            ));
        }
        let mut answer = Answer::new(guest);
        let converted = items
            .iter()
            .zip(answers)
            .map(|(item, given)| convert(&mut answer, item.id, given))
            .collect();
        if answer.too_much() {
            return Err(too_much(guest, entry_point));
        }
        self.live = Some(live);
        Ok(converted)
    }

    fn lacks(&self, entry_point: &str) -> Failure {
        Failure::Config(format!(
            "plugin `{}` has no `{entry_point}`",
            self.used.setup.plugin
        ))
    }
}

#[async_trait]
impl Callback for GuestCallback {
    fn name(&self) -> &str {
        &self.used.setup.plugin
    }

    fn entry_points(&self) -> EntryPoints {
        self.used.plugin.entry_points()
    }

    fn schemes(&self) -> &[String] {
        &self.used.plugin.manifest().schemes
    }

    async fn start(&mut self) -> Result<Option<u32>, Failure> {
        let live = self.take().await?;
        let most = live.max_instances;
        self.live = Some(live);
        Ok(most)
    }

    async fn gather(&mut self, limit: usize, state: Arc<dyn State>) -> Result<Gathered, Failure> {
        if !self.entry_points().gather {
            return Ok(Gathered::default());
        }
        let most = u32::try_from(limit).unwrap_or(u32::MAX);
        let call = Call {
            state: Some(state),
            ..Call::default()
        };
        let (gathered, live) = answer!(
            self,
            call!(self, gather as "gather", call, About::Nothing, |guest, store| guest
                .call_gather(store, most))
        );
        let guest = live.store.data();
        if gathered.messages.len() > limit {
            return Err(wrong_count(
                guest,
                "gather",
                gathered.messages.len(),
                &format!("at most {limit}"),
            ));
        }
        let mut answer = Answer::new(guest);
        let mut messages = Vec::with_capacity(gathered.messages.len());
        for message in gathered.messages {
            match answer.gathered(message) {
                Ok(message) => messages.push(message),
                // It stays where it is, and is offered again at every poll. The others go on.
                Err(error) => tracing::error!(
                    flow = guest.setup.flow,
                    "a message was left at its origin: {error}"
                ),
            }
        }
        if answer.too_much() {
            return Err(too_much(guest, "gather"));
        }
        guest.setup.usage.gathered(messages.len());
        self.live = Some(live);
        Ok(Gathered {
            messages,
            more: gathered.more,
        })
    }

    async fn wait(&mut self, timeout: Duration, wanted: Arc<Notify>) -> Result<bool, Failure> {
        if !self.entry_points().wake {
            return Ok(false);
        }
        let mut wanted = Box::pin(wanted.notified_owned());
        // From here on a notification counts, also one that comes before the guest reads.
        if wanted.as_mut().enable() {
            return Ok(false);
        }
        let call = Call {
            interrupt: Some(Interrupt {
                wanted,
                timeout: Box::pin(tokio::time::sleep(timeout)),
            }),
            ..Call::default()
        };
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let (answer, live) = call!(self, wake as "wake", call, About::Nothing, |guest, store| async {
            Ok(match guest.call_wait(store, millis).await? {
                // A guest that passes the interruption on did as it was told.
                Err(wit::Failure::Interrupted) => Ok(false),
                answer => answer,
            })
        })?;
        self.live = Some(live);
        answer
    }

    async fn settled(
        &mut self,
        outcomes: &[Outcome],
        state: Arc<dyn State>,
    ) -> Result<(), Failure> {
        if !self.entry_points().settled {
            return Ok(());
        }
        let texts = Texts::of(outcomes.iter().map(|outcome| &outcome.item));
        let headers = texts.headers();
        let messages = texts.messages(&headers);
        let told: Vec<_> = messages
            .into_iter()
            .zip(outcomes)
            .map(|(message, outcome)| settled::Outcome {
                message,
                fate: outgoing::fate(&outcome.fate),
            })
            .collect();
        let call = Call {
            state: Some(state),
            ..Call::default()
        };
        let (answer, live) = call!(self, settled as "settled", call, About::Outcomes(outcomes), |guest, store| guest
            .call_settled(store, &told))?;
        self.live = Some(live);
        answer
    }

    async fn after_accept(
        &mut self,
        batch: &[Item],
        state: Arc<dyn State>,
    ) -> Result<Vec<Verdict>, Failure> {
        if !self.entry_points().after_accept {
            return Ok(batch.iter().map(|_| Verdict::Keep).collect());
        }
        let texts = Texts::of(batch.iter());
        let headers = texts.headers();
        let messages = texts.messages(&headers);
        let call = about(batch, state, None);
        let (verdicts, live) = answer!(
            self,
            call!(self, after_accept as "after_accept", call, About::Items(batch), |guest, store| guest
                .call_after_accept(store, &messages))
        );
        self.verdicts(live, "after_accept", batch, verdicts)
    }

    async fn download(
        &mut self,
        batch: &[Item],
        content: Arc<dyn Content>,
        state: Arc<dyn State>,
    ) -> Result<Vec<Worked>, Failure> {
        if !self.entry_points().download {
            return Err(self.lacks("download"));
        }
        let texts = Texts::of(batch.iter());
        let headers = texts.headers();
        let messages = texts.messages(&headers);
        let call = about(batch, state, Some(content));
        let (fetched, live) = answer!(
            self,
            call!(self, download as "download", call, About::Items(batch), |guest, store| guest
                .call_download(store, &messages))
        );
        self.answers(live, "download", batch, fetched, |answer, id, fetched| {
            answer.fetched(id, fetched)
        })
    }

    async fn send(
        &mut self,
        batch: &[Item],
        content: Arc<dyn Content>,
        state: Arc<dyn State>,
    ) -> Result<Vec<Worked>, Failure> {
        if !self.entry_points().send {
            return Err(self.lacks("send"));
        }
        let texts = Texts::of(batch.iter());
        let headers = texts.headers();
        let messages = texts.messages(&headers);
        let call = about(batch, state, Some(content));
        let (sent, live) = answer!(
            self,
            call!(self, send as "send", call, About::Items(batch), |guest, store| guest
                .call_send(store, &messages))
        );
        self.answers(live, "send", batch, sent, |answer, _, sent| {
            answer.sent(sent)
        })
    }

    async fn after_work(
        &mut self,
        batch: &[Item],
        content: Arc<dyn Content>,
        state: Arc<dyn State>,
    ) -> Result<Vec<Verdict>, Failure> {
        if !self.entry_points().after_work {
            return Ok(batch.iter().map(|_| Verdict::Keep).collect());
        }
        let texts = Texts::of(batch.iter());
        let headers = texts.headers();
        let messages = texts.messages(&headers);
        let call = about(batch, state, Some(content));
        let (verdicts, live) = answer!(
            self,
            call!(self, after_work as "after_work", call, About::Items(batch), |guest, store| guest
                .call_after_work(store, &messages))
        );
        self.verdicts(live, "after_work", batch, verdicts)
    }

    async fn post(
        &mut self,
        batch: &[Item],
        state: Arc<dyn State>,
    ) -> Result<Vec<Result<(), Failure>>, Failure> {
        self.call_post(batch, state).await
    }

    async fn request(
        &mut self,
        request: &HttpRequest,
        desk: Desk,
    ) -> Result<HttpResponse, Failure> {
        self.call_request(request, desk).await
    }

    async fn line(&mut self, peer: u64, text: &str, desk: Desk) -> Result<bool, Failure> {
        self.call_line(peer, text, desk).await
    }

    async fn closed(&mut self, peer: u64, desk: Desk) -> Result<(), Failure> {
        self.call_closed(peer, desk).await
    }

    async fn housekeeping(&mut self, state: Arc<dyn State>) -> Result<(), Failure> {
        if !self.entry_points().lifecycle {
            return Ok(());
        }
        let call = Call {
            state: Some(state),
            ..Call::default()
        };
        let (answer, live) = call!(
            self,
            lifecycle as "housekeeping",
            call,
            About::Nothing,
            |guest, store| guest.call_housekeeping(store)
        )?;
        self.live = Some(live);
        answer
    }

    async fn stop(&mut self) {
        // One that is not running has nothing to say goodbye to.
        if self.live.is_none() || !self.entry_points().lifecycle {
            self.live = None;
            return;
        }
        let stopped = self.call_stop().await;
        if let Err(failure) = stopped {
            tracing::warn!(flow = self.used.setup.flow, "{failure}");
        }
    }
}

impl GuestCallback {
    async fn call_stop(&mut self) -> Result<(), Failure> {
        let (answer, _) = call!(self, lifecycle as "stop", Call::default(), About::Nothing, |guest, store| async {
            guest.call_stop(store).await.map(Ok)
        })?;
        answer
    }
}
