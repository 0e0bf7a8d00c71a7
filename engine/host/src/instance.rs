//! A running instance of a plugin, and how a call into it goes.
//!
//! # Invariants
//! - A store that trapped, ran out of time, or whose call was dropped half-way is never used again:
//!   the instance is taken out for a call and put back only after an answer.

use std::sync::Arc;

use flow_config::OptionValue;
use flow_runtime::ports::Failure;
use wasmtime::Store;

use crate::bindings::exports::flow::plugin::lifecycle;
use crate::bindings::flow::plugin::types as wit;
use crate::convert::incoming::Answer;
use crate::convert::outgoing;
use crate::factory::Use;
use crate::meter::DeadlineReached;
use crate::outside::Place;
use crate::plugin::Exports;
use crate::store::{Call, Guest};
use crate::trap::{self, About};
use crate::usage::End;

/// An instance that was started.
pub(crate) struct Live {
    pub(crate) store: Store<Guest>,
    pub(crate) exports: Exports,
    /// What `start` said.
    pub(crate) max_instances: Option<u32>,
}

/// Calls an export under its limits: takes the instance, making one if there is none. Evaluates to
/// `Result<(answer, Live), Failure>`; the caller puts `Live` back once it found the answer to be in
/// order, and a call that is dropped half-way takes the instance with it.
macro_rules! call {
    ($self:ident, $export:ident as $entry_point:literal, $call:expr, $about:expr, |$guest:ident, $store:ident| $work:expr) => {{
        let mut live = $self.take().await?;
        let Live { store, exports, .. } = &mut live;
        store.set_epoch_deadline(1);
        store.data_mut().begin(Call {
            entry_point: $entry_point,
            ..$call
        });
        let meter = Arc::clone(&store.data().meter);
        let result = {
            let $guest = exports
                .$export
                .as_ref()
                .expect("only called where the plugin exports it");
            let $store = &mut *store;
            meter.watch($work).await
        };
        $crate::instance::finish(live, result, $entry_point, $about)
    }};
}

/// Sorts the result of a call: an answer, a failure the guest reports, or its end.
pub(crate) fn finish<T>(
    mut live: Live,
    result: wasmtime::Result<Result<T, wit::Failure>>,
    entry_point: &'static str,
    about: About<'_>,
) -> Result<(Result<T, Failure>, Live), Failure> {
    let guest = live.store.data_mut();
    guest.note(entry_point, end(&result));
    // Before the end, which says what the guest printed where its error does not.
    let result = result.map_err(|error| trap::explain(&error, guest, entry_point, about));
    guest.end();
    match result {
        Ok(Ok(answer)) => Ok((Ok(answer), live)),
        Ok(Err(failure)) => {
            let failure = Answer::new(guest).failure(failure);
            Ok((Err(failure), live))
        }
        Err(error) => {
            tracing::debug!(
                flow = guest.setup.flow,
                plugin = guest.setup.plugin,
                entry_point,
                "instance dropped"
            );
            Err(error.of_plugin())
        }
    }
}

fn end<T>(result: &wasmtime::Result<Result<T, wit::Failure>>) -> End {
    match result {
        Ok(Ok(_)) => End::Answer,
        Ok(Err(_)) => End::Failure,
        Err(error) => ended_by(error),
    }
}

fn ended_by(error: &wasmtime::Error) -> End {
    if error.is::<DeadlineReached>() {
        End::Deadline
    } else {
        End::Trap
    }
}

impl Live {
    /// Makes an instance and starts it.
    pub(crate) async fn make(used: &Use, place: &Place, instance: u32) -> Result<Self, Failure> {
        let plugin = &used.plugin;
        let mut store = Guest::store(plugin.engine(), &used.setup, place, instance);
        store.data_mut().begin(Call {
            entry_point: "start",
            ..Call::default()
        });
        let meter = Arc::clone(&store.data().meter);
        let instantiated = meter.watch(plugin.instantiate(&mut store)).await;
        let exports = instantiated.map_err(|error| {
            let guest = store.data();
            guest.note("start", ended_by(&error));
            trap::explain(&error, guest, "start", About::Nothing).of_plugin()
        })?;
        let mut live = Self {
            store,
            exports,
            max_instances: None,
        };
        let Self { store, exports, .. } = &mut live;
        let Some(guest) = &exports.lifecycle else {
            store.data().note("start", End::Answer);
            store.data_mut().end();
            return Ok(live);
        };
        let lists: Vec<Vec<&str>> = used.options.values().map(list).collect();
        let options: Vec<_> = used
            .options
            .iter()
            .zip(&lists)
            .map(|((name, value), list)| (name.as_str(), outgoing::setting(value, list)))
            .collect();
        let context = lifecycle::Context {
            flow: &used.setup.flow,
            kind: &used.kind,
            instance,
            downloads: used.downloads,
            poll_url: used.poll_url.as_deref(),
            options: &options,
        };
        let result = meter.watch(guest.call_start(&mut *store, context)).await;
        let (started, mut live) = finish(live, result, "start", About::Nothing)?;
        live.max_instances = started?.max_instances;
        Ok(live)
    }
}

fn list(value: &OptionValue) -> Vec<&str> {
    match value {
        OptionValue::List(list) => list.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Unpacks a call: on a reported failure the instance is kept and the failure returned.
macro_rules! answer {
    ($self:ident, $called:expr) => {{
        let (answer, live) = $called?;
        match answer {
            Ok(answer) => (answer, live),
            Err(failure) => {
                $self.live = Some(live);
                return Err(failure);
            }
        }
    }};
}

pub(crate) use {answer, call};
