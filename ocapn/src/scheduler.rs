//! Vats on tokio. Owns [`TokioScheduler`].

use std::sync::Arc;

use tokio::runtime::Handle;
use vat_runtime::{ReadyVat, Scheduler};

/// Turns that a vat may take before other tasks get to run.
const TURNS_AT_ONCE: usize = 256;

/// Runs each vat that has become ready as a tokio task, until it is idle again. What
/// [`Node::vat`](crate::Node::vat) uses; a program can use it without a node.
///
/// ```
/// use ocapn::{Args, Fault, Reply, TokioScheduler, Turn, Value, Vat};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let vat = Vat::new("mine", TokioScheduler::new(tokio::runtime::Handle::current()));
/// let echo = vat.spawn(|_: &mut Turn<'_>, args: Args| -> Result<Reply, Fault> {
///     Ok(Reply::value(args))
/// });
/// let answer = echo.send(vec!["hello".into()]).await;
/// assert_eq!(answer, Ok(vec!["hello"].into()));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TokioScheduler {
    runtime: Handle,
}

impl TokioScheduler {
    /// A scheduler for this runtime. When that shuts down, its vats stop.
    #[must_use]
    pub fn new(runtime: Handle) -> Arc<Self> {
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
