//! `lines`: to whoever started the flow as a helper, or is connected to its socket.

use std::sync::Arc;

use crate::bindings::flow::plugin::lines;
use crate::bindings::flow::plugin::types::Failure;
use crate::error::Error;
use crate::store::Guest;

impl lines::Host for Guest {
    async fn write(&mut self, peer: u64, text: String) -> wasmtime::Result<Result<(), Failure>> {
        let plugin = &self.setup.plugin;
        if text.contains(['\n', '\r']) {
            let text = format!("plugin `{plugin}` wrote a line with a line end in it");
            let error = Error::new("plugin/wrong-value", text);
            return Ok(Err(Failure::misuse(&error)));
        }
        let port = self.place.lines.as_ref().or(self.setup.lines.as_ref());
        let Some(port) = port.map(Arc::clone) else {
            let text =
                format!("plugin `{plugin}` wrote a line, but nobody reads lines of this flow");
            let error = Error::new("plugin/no-peer", text).hint(
                "a program reads them that runs `flow helper`, or is connected to `listen: unix:…`",
            );
            return Ok(Err(Failure::misuse(&error)));
        };
        let _away = self.meter.pause();
        Ok(port.write(peer, &text).await.map_err(Failure::from))
    }
}
