//! A callback whose calls are written down.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use flow_runtime::ports::{
    Callback, Content, Desk, EntryPoints, Failure, Gathered, HttpRequest, HttpResponse, Item,
    Outcome, State, Verdict, Worked,
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::content::{self, Shelf};
use super::{Instance, desk, form};

pub(super) struct Recorded {
    inner: Box<dyn Callback>,
    instance: Arc<Instance>,
}

impl Recorded {
    pub(super) fn new(inner: Box<dyn Callback>, instance: Arc<Instance>) -> Self {
        Self { inner, instance }
    }

    fn state(&self, real: Arc<dyn State>) -> Arc<dyn State> {
        let instance = Arc::clone(&self.instance);
        Arc::new(content::State { real, instance })
    }

    fn content(&self, real: Arc<dyn Content>) -> (Arc<dyn Content>, Shelf) {
        let (instance, shelf) = (Arc::clone(&self.instance), Shelf::default());
        let content = content::Content {
            real,
            instance,
            shelf: Arc::clone(&shelf),
        };
        (Arc::new(content), shelf)
    }

    fn desk(&self, real: Desk) -> Desk {
        let submit = desk::Submit {
            real: real.submit,
            instance: Arc::clone(&self.instance),
        };
        Desk {
            submit: Arc::new(submit),
            state: self.state(real.state),
        }
    }

    fn end<T>(
        &self,
        (call, began): (u64, Instant),
        answer: &Result<T, Failure>,
        ok: impl FnOnce(&T) -> Value,
    ) {
        let end = match answer {
            Ok(answer) => json!({ "ok": ok(answer) }),
            Err(failure) => json!({ "fails": form::failure(failure) }),
        };
        self.instance.end(call, end, began.elapsed());
    }

    fn begin(&self, entry_point: &str, given: Value) -> (u64, Instant) {
        (self.instance.begin(entry_point, given), Instant::now())
    }
}

fn items(batch: &[Item]) -> Value {
    json!({ "items": batch.iter().map(form::item).collect::<Vec<_>>() })
}

fn verdicts(verdicts: &[Verdict], shelf: &Shelf) -> Value {
    let written = shelf.lock().unwrap_or_else(PoisonError::into_inner);
    let one = |verdict| form::verdict(verdict, &written);
    verdicts.iter().map(one).collect()
}

fn works(works: &[Worked]) -> Value {
    works.iter().map(form::worked).collect()
}

#[async_trait]
impl Callback for Recorded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn entry_points(&self) -> EntryPoints {
        self.inner.entry_points()
    }

    fn schemes(&self) -> &[String] {
        self.inner.schemes()
    }

    async fn start(&mut self) -> Result<Option<u32>, Failure> {
        let call = self.begin("start", json!({}));
        let answer = self.inner.start().await;
        self.end(call, &answer, |most| json!(most));
        answer
    }

    async fn gather(&mut self, limit: usize, state: Arc<dyn State>) -> Result<Gathered, Failure> {
        let call = self.begin("gather", json!({ "limit": limit }));
        let answer = self.inner.gather(limit, self.state(state)).await;
        self.end(call, &answer, form::gathered);
        answer
    }

    async fn wait(&mut self, timeout: Duration, wanted: Arc<Notify>) -> Result<bool, Failure> {
        let call = self.begin("wait", json!({ "timeoutMs": form::millis(timeout) }));
        let answer = self.inner.wait(timeout, wanted).await;
        self.end(call, &answer, |called| json!(called));
        answer
    }

    async fn settled(
        &mut self,
        outcomes: &[Outcome],
        state: Arc<dyn State>,
    ) -> Result<(), Failure> {
        let told: Vec<Value> = outcomes.iter().map(form::outcome).collect();
        let call = self.begin("settled", json!({ "outcomes": told }));
        let answer = self.inner.settled(outcomes, self.state(state)).await;
        self.end(call, &answer, |()| Value::Null);
        answer
    }

    async fn after_accept(
        &mut self,
        batch: &[Item],
        state: Arc<dyn State>,
    ) -> Result<Vec<Verdict>, Failure> {
        let call = self.begin("after_accept", items(batch));
        let answer = self.inner.after_accept(batch, self.state(state)).await;
        self.end(call, &answer, |answer| verdicts(answer, &Shelf::default()));
        answer
    }

    async fn download(
        &mut self,
        batch: &[Item],
        content: Arc<dyn Content>,
        state: Arc<dyn State>,
    ) -> Result<Vec<Worked>, Failure> {
        let call = self.begin("download", items(batch));
        let (content, _) = self.content(content);
        let state = self.state(state);
        let answer = self.inner.download(batch, content, state).await;
        self.end(call, &answer, |answer| works(answer));
        answer
    }

    async fn send(
        &mut self,
        batch: &[Item],
        content: Arc<dyn Content>,
        state: Arc<dyn State>,
    ) -> Result<Vec<Worked>, Failure> {
        let call = self.begin("send", items(batch));
        let (content, _) = self.content(content);
        let state = self.state(state);
        let answer = self.inner.send(batch, content, state).await;
        self.end(call, &answer, |answer| works(answer));
        answer
    }

    async fn after_work(
        &mut self,
        batch: &[Item],
        content: Arc<dyn Content>,
        state: Arc<dyn State>,
    ) -> Result<Vec<Verdict>, Failure> {
        let call = self.begin("after_work", items(batch));
        let (content, shelf) = self.content(content);
        let state = self.state(state);
        let answer = self.inner.after_work(batch, content, state).await;
        self.end(call, &answer, |answer| verdicts(answer, &shelf));
        answer
    }

    async fn post(
        &mut self,
        batch: &[Item],
        state: Arc<dyn State>,
    ) -> Result<Vec<Result<(), Failure>>, Failure> {
        let call = self.begin("post", items(batch));
        let answer = self.inner.post(batch, self.state(state)).await;
        self.end(call, &answer, |answer| form::posts(answer));
        answer
    }

    async fn request(
        &mut self,
        request: &HttpRequest,
        desk: Desk,
    ) -> Result<HttpResponse, Failure> {
        let scrubber = self.instance.scrubber();
        desk::learn(scrubber, request);
        let told = form::request(request, &scrubber.clean(&request.body));
        let call = self.begin("request", json!({ "request": told }));
        let answer = self.inner.request(request, self.desk(desk)).await;
        let scrubber = self.instance.scrubber();
        let ok = |answer: &HttpResponse| form::response(answer, &scrubber.clean(&answer.body));
        self.end(call, &answer, ok);
        answer
    }

    async fn line(&mut self, peer: u64, text: &str, desk: Desk) -> Result<bool, Failure> {
        let call = self.begin("line", json!({ "peer": peer, "text": text }));
        let answer = self.inner.line(peer, text, self.desk(desk)).await;
        // That more lines are wanted need not be said.
        self.end(call, &answer, |more| match more {
            true => Value::Null,
            false => json!("last"),
        });
        answer
    }

    async fn closed(&mut self, peer: u64, desk: Desk) -> Result<(), Failure> {
        let call = self.begin("closed", json!({ "peer": peer }));
        let answer = self.inner.closed(peer, self.desk(desk)).await;
        self.end(call, &answer, |()| Value::Null);
        answer
    }

    async fn housekeeping(&mut self, state: Arc<dyn State>) -> Result<(), Failure> {
        let call = self.begin("housekeeping", json!({}));
        let answer = self.inner.housekeeping(self.state(state)).await;
        self.end(call, &answer, |()| Value::Null);
        answer
    }

    async fn stop(&mut self) {
        let call = self.begin("stop", json!({}));
        self.inner.stop().await;
        self.end(call, &Ok(()), |()| Value::Null);
    }
}
