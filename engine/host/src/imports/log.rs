//! `log`: the flow's log.

use tracing::Level;

use crate::bindings::flow::plugin::log;
use crate::store::Guest;

impl log::Host for Guest {
    fn write(&mut self, level: log::Level, text: String) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Trace => Level::TRACE,
            log::Level::Debug => Level::DEBUG,
            log::Level::Info => Level::INFO,
            log::Level::Warn => Level::WARN,
            log::Level::Error => Level::ERROR,
        };
        self.voice.say(level, &text);
        Ok(())
    }
}
