//! The entry points that face the outside: posting to what is no broker, requests, lines.

use std::sync::Arc;

use reqwest::header::{HeaderName, HeaderValue};

use flow_runtime::ports::{Callback as _, Desk, Failure, HttpRequest, HttpResponse, Item, State};

use super::{GuestCallback, about, too_much};
use crate::bindings::exports::flow::plugin::request as wit;
use crate::bindings::flow::plugin::types;
use crate::convert::outgoing::Texts;
use crate::error::Error;
use crate::instance::{Live, answer, call};
use crate::store::Call;
use crate::trap::About;

/// What a call from outside the loop brings.
fn from_outside(desk: Desk) -> Call {
    Call {
        state: Some(desk.state),
        submit: Some(desk.submit),
        ..Call::default()
    }
}

/// Whether a header can be written without becoming two.
fn is_header(name: &str, value: &str) -> bool {
    HeaderName::try_from(name).is_ok() && HeaderValue::try_from(value).is_ok()
}

impl GuestCallback {
    pub(super) async fn call_post(
        &mut self,
        batch: &[Item],
        state: Arc<dyn State>,
    ) -> Result<Vec<Result<(), Failure>>, Failure> {
        if !self.entry_points().post {
            return Err(self.lacks("post"));
        }
        let texts = Texts::of(batch.iter());
        let headers = texts.headers();
        let messages = texts.messages(&headers);
        let call = about(batch, state, None);
        let (posted, live) = answer!(
            self,
            call!(self, post as "post", call, About::Items(batch), |guest, store| guest
                .call_post(store, &messages))
        );
        self.answers(live, "post", batch, posted, |answer, _, posted| {
            posted.map_err(|failure| answer.failure(failure))
        })
    }

    pub(super) async fn call_request(
        &mut self,
        request: &HttpRequest,
        desk: Desk,
    ) -> Result<HttpResponse, Failure> {
        if !self.entry_points().request {
            return Err(self.lacks("request"));
        }
        let headers: Vec<(&str, &str)> = request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let given = wit::HttpRequest {
            method: &request.method,
            path: &request.path,
            query: &request.query,
            headers: &headers,
            body: &request.body,
            peer: &request.peer,
        };
        let (response, live) = answer!(
            self,
            call!(
                self,
                request as "request",
                from_outside(desk),
                About::Nothing,
                |guest, store| guest.call_handle(store, given)
            )
        );
        let guest = live.store.data();
        let of_headers = response.headers.iter();
        let size = of_headers.fold(response.body.len(), |sum, (name, value)| {
            sum + name.len() + value.len()
        });
        if size as u64 > guest.setup.limits.output {
            return Err(too_much(guest, "request"));
        }
        let mut headers = response.headers.iter();
        if let Some((name, _)) = headers.find(|(name, value)| !is_header(name, value)) {
            let text = format!(
                "plugin `{}` answered wrongly in `request`: the header `{}` is none",
                guest.setup.plugin,
                name.escape_debug()
            );
            let failure = Error::new("plugin/wrong-value", text).for_good();
            self.live = Some(live);
            return Err(failure);
        }
        if !(200..600).contains(&response.status) {
            let text = format!(
                "plugin `{}` answered wrongly in `request`: {} is no status of an answer",
                guest.setup.plugin, response.status
            );
            let failure = Error::new("plugin/wrong-value", text).for_good();
            self.live = Some(live);
            return Err(failure);
        }
        self.live = Some(live);
        Ok(HttpResponse {
            status: response.status,
            headers: response.headers,
            body: response.body,
        })
    }

    pub(super) async fn call_line(
        &mut self,
        peer: u64,
        text: &str,
        desk: Desk,
    ) -> Result<bool, Failure> {
        if !self.entry_points().line {
            return Err(self.lacks("line"));
        }
        let (more, live) = answer!(
            self,
            call!(self, line as "line", from_outside(desk), About::Nothing, |guest, store| async {
                Ok(match guest.call_line(store, peer, text).await? {
                    Ok(()) => Ok(true),
                    Err(types::Failure::Interrupted) => Ok(false),
                    Err(failure) => Err(failure),
                })
            })
        );
        self.live = Some(live);
        Ok(more)
    }

    pub(super) async fn call_closed(&mut self, peer: u64, desk: Desk) -> Result<(), Failure> {
        if !self.entry_points().line {
            return Err(self.lacks("line"));
        }
        let ((), live) = answer!(
            self,
            call!(self, line as "line", from_outside(desk), About::Nothing, |guest, store| {
                guest.call_closed(store, peer)
            })
        );
        self.live = Some(live);
        Ok(())
    }
}
