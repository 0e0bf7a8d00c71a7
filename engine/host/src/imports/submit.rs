//! `submit`: messages from outside the loop, checked as those of a gather are.

use std::sync::Arc;

use flow_message::Message;

use crate::bindings::flow::plugin::submit;
use crate::bindings::flow::plugin::types::{Failure, NewMessage};
use crate::convert::incoming::Answer;
use crate::error::Error;
use crate::store::Guest;

impl Guest {
    fn checked(&self, messages: Vec<NewMessage>) -> Result<Vec<Message>, Error> {
        let mut answer = Answer::new(self);
        messages
            .into_iter()
            .map(|message| answer.gathered(message))
            .collect()
    }
}

impl submit::Host for Guest {
    async fn submit(&mut self, messages: Vec<NewMessage>) -> wasmtime::Result<Result<(), Failure>> {
        let Some(port) = self.call.submit.as_ref().map(Arc::clone) else {
            let text = format!(
                "plugin `{}` called `submit.submit` in `{}`; it is for `request` and `line`",
                self.setup.plugin, self.call.entry_point
            );
            let error = Error::new("plugin/wrong-moment", text);
            return Ok(Err(Failure::misuse(&error)));
        };
        let messages = match self.checked(messages) {
            Ok(messages) => messages,
            Err(error) => return Ok(Err(Failure::misuse(&error))),
        };
        let _away = self.meter.pause();
        Ok(port.submit(messages).await.map_err(Failure::from))
    }
}
