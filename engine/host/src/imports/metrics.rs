//! `metrics`: numbers for `flow status`, and progress.

use flow_runtime::ports::Event;

use crate::bindings::flow::plugin::metrics;
use crate::store::Guest;

impl metrics::Host for Guest {
    fn count(&mut self, name: String, by: u64) -> wasmtime::Result<()> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a counter beyond 2^53 has other problems"
        )]
        self.setup
            .metrics
            .update(&name, |number| *number += by as f64);
        Ok(())
    }

    fn gauge(&mut self, name: String, value: f64) -> wasmtime::Result<()> {
        self.setup.metrics.update(&name, |number| *number = value);
        Ok(())
    }

    fn progress(
        &mut self,
        what: String,
        done: u64,
        total: u64,
        unit: String,
    ) -> wasmtime::Result<()> {
        let what = self.setup.redactor.clean(what);
        self.setup.observer.event(&Event::Progress {
            what: &what,
            done,
            total,
            unit: &unit,
        });
        Ok(())
    }
}
