//! `state`: durable pairs of a callback, kept by the port of the call at hand.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use flow_runtime::ports::State;

use crate::bindings::flow::plugin::state;
use crate::bindings::flow::plugin::types::Failure;
use crate::error::Error;
use crate::store::Guest;

const LONGEST_KEY: usize = 1 << 10;
const LARGEST_VALUE: usize = 1 << 20;
/// Bytes of keys and values one call may write: they are held in memory until its batch is done.
const MOST_WRITTEN: usize = 64 << 20;
/// Keys in one answer of `list`.
const LONGEST_LIST: usize = 10_000;

impl Guest {
    fn state(&self) -> Result<Arc<dyn State>, Failure> {
        self.call.state.clone().ok_or_else(|| {
            let text = format!(
                "plugin `{}` used `state` in `{}`, where there is none",
                self.setup.plugin, self.call.entry_point
            );
            Failure::misuse(&Error::new("plugin/wrong-moment", text))
        })
    }

    fn check_key(&self, key: &str) -> Result<(), Failure> {
        if key.is_empty() || key.len() > LONGEST_KEY {
            let text = format!(
                "plugin `{}` used a state key of {} bytes; 1 to {LONGEST_KEY} are possible",
                self.setup.plugin,
                key.len()
            );
            return Err(Failure::misuse(&Error::new("plugin/state-limit", text)));
        }
        Ok(())
    }

    fn check_value(&self, value: &[u8]) -> Result<(), Failure> {
        if value.len() > LARGEST_VALUE {
            let text = format!(
                "plugin `{}` wrote a state value of {} bytes; at most {LARGEST_VALUE} are possible",
                self.setup.plugin,
                value.len()
            );
            return Err(Failure::misuse(&Error::new("plugin/state-limit", text)));
        }
        Ok(())
    }

    /// Counts what is about to be written.
    fn count(&mut self, key: &str, value: Option<&[u8]>) -> Result<(), Failure> {
        self.check_key(key)?;
        self.check_value(value.unwrap_or_default())?;
        let written = self.call.state_bytes + key.len() + value.map_or(0, <[u8]>::len);
        if written > MOST_WRITTEN {
            let text = format!(
                "plugin `{}` wrote more than {} MiB of state in one `{}`, the most that is possible",
                self.setup.plugin,
                MOST_WRITTEN >> 20,
                self.call.entry_point
            );
            return Err(Failure::misuse(&Error::new("plugin/state-limit", text)));
        }
        self.call.state_bytes = written;
        Ok(())
    }

    fn write(
        &mut self,
        key: &str,
        value: Option<Vec<u8>>,
        ttl: Option<Duration>,
    ) -> Result<(), Failure> {
        self.count(key, value.as_deref())?;
        let state = self.state()?;
        let _away = self.meter.pause();
        // A swap of another instance sees this write, or comes before it.
        let _swap = self
            .setup
            .swap
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(state.put(key, value, ttl)?)
    }

    fn exchange(
        &mut self,
        key: &str,
        old: Option<&[u8]>,
        new: Option<Vec<u8>>,
    ) -> Result<bool, Failure> {
        self.count(key, new.as_deref())?;
        let state = self.state()?;
        let _away = self.meter.pause();
        let _swap = self
            .setup
            .swap
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if state.get(key)?.as_deref() != old {
            return Ok(false);
        }
        state.put(key, new, None)?;
        Ok(true)
    }
}

impl state::Host for Guest {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Failure>> {
        Ok(self
            .check_key(&key)
            .and_then(|()| self.state())
            .and_then(|state| {
                let _away = self.meter.pause();
                Ok(state.get(&key)?)
            }))
    }

    fn put(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_s: Option<u64>,
    ) -> wasmtime::Result<Result<(), Failure>> {
        Ok(self.write(&key, Some(value), ttl_s.map(Duration::from_secs)))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), Failure>> {
        Ok(self.write(&key, None, None))
    }

    fn swap(
        &mut self,
        key: String,
        old: Option<Vec<u8>>,
        new: Option<Vec<u8>>,
    ) -> wasmtime::Result<Result<bool, Failure>> {
        Ok(self.exchange(&key, old.as_deref(), new))
    }

    fn list(
        &mut self,
        prefix: String,
        after: String,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<String>, Failure>> {
        let limit = usize::try_from(limit)
            .unwrap_or(usize::MAX)
            .min(LONGEST_LIST);
        Ok(self.state().and_then(|state| {
            let _away = self.meter.pause();
            Ok(state.list(&prefix, &after, limit)?)
        }))
    }
}
