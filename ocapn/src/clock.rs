//! A node's clocks: tokio's time, with alarms that one task of the node rings, and real
//! time, which goes on while turns take all of the runtime's threads.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use vat_runtime::{Alarm, Alarms, Clock, ThreadClock};

/// Real time, with one thread for all nodes of the process. `None` if the system refuses
/// that.
pub(crate) fn real_time() -> Option<Arc<dyn Clock>> {
    static CLOCK: OnceLock<Option<Arc<ThreadClock>>> = OnceLock::new();
    let started = CLOCK.get_or_init(|| ThreadClock::start("watchdog").ok());
    Some(started.clone()?)
}

/// Tokio's time, which a test may pause. Alarms ring on the node's runtime, until the
/// node ends.
#[derive(Debug)]
pub(crate) struct TokioClock {
    started: Instant,
    /// `None` once the clock has ended.
    alarms: Mutex<Option<Alarms>>,
    changed: Notify,
}

impl TokioClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            alarms: Mutex::new(Some(Alarms::default())),
            changed: Notify::new(),
        })
    }

    /// What rings the alarms. The clock ends when it is dropped, run or not.
    pub(crate) fn run(self: &Arc<Self>) -> impl Future<Output = ()> + Send + use<> {
        let running = Running(Arc::clone(self));
        async move {
            loop {
                running.0.ring_next().await;
            }
        }
    }

    fn alarms(&self) -> MutexGuard<'_, Option<Alarms>> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ring_next(&self) {
        let (alarm, due) = match self.alarms().as_mut() {
            Some(alarms) => (alarms.take_due(self.now()), alarms.next_due()),
            None => (None, None),
        };
        if let Some(alarm) = alarm {
            vat_runtime::ring(alarm);
            return tokio::task::yield_now().await;
        }
        let due = async {
            match due.and_then(|due| self.started.checked_add(due)) {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.changed.notified() => {}
            () = due => {}
        }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn at(&self, due: Duration, alarm: Alarm) {
        let too_late = match self.alarms().as_mut() {
            Some(alarms) => {
                alarms.set(due, alarm);
                None
            }
            None => Some(alarm),
        };
        // What an alarm owns may lead back here when it is dropped.
        drop(too_late);
        self.changed.notify_one();
    }
}

struct Running(Arc<TokioClock>);

impl Drop for Running {
    fn drop(&mut self) {
        let alarms = self.0.alarms().take();
        drop(alarms);
    }
}
