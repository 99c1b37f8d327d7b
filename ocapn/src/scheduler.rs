//! Vats on tokio.

use std::sync::Arc;

use tokio::runtime::Handle;
use vat_runtime::{ReadyVat, Scheduler};

/// Turns that a vat may take before other tasks get to run.
const TURNS_AT_ONCE: usize = 256;

/// Runs each vat that has become ready as a tokio task, until it is idle again.
pub(crate) struct TokioScheduler {
    runtime: Handle,
}

impl TokioScheduler {
    pub(crate) fn new(runtime: Handle) -> Arc<Self> {
        Arc::new(Self { runtime })
    }
}

impl Scheduler for TokioScheduler {
    fn ready(&self, mut vat: ReadyVat) {
        self.runtime.spawn(async move {
            while let vat_runtime::Ran::More(more) = vat.run(TURNS_AT_ONCE) {
                vat = more;
                tokio::task::yield_now().await;
            }
        });
    }
}
