//! Work for the runtime on behalf of an actor, whose async blocks run wherever its vat does.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::services::process::Pending;

/// Work that may wait for the world, on the runtime; what it was if the runtime is gone is
/// `lost`. It begins when it is awaited, and ends when nobody waits for it any more: a
/// prepared process is not to go on before it has been noted.
pub(super) fn elsewhere<T, F>(runtime: &Handle, lost: T, work: F) -> Pending<T>
where
    T: Send + Unpin + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let runtime = runtime.clone();
    Box::pin(async move { Elsewhere(runtime.spawn(work), Some(lost)).await })
}

/// A task that ends when nobody waits for it any more.
struct Elsewhere<T>(JoinHandle<T>, Option<T>);

impl<T: Unpin> Future for Elsewhere<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let joined = std::task::ready!(Pin::new(&mut self.0).poll(context));
        match joined.ok().or_else(|| self.1.take()) {
            Some(value) => Poll::Ready(value),
            None => Poll::Pending,
        }
    }
}

impl<T> Drop for Elsewhere<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Has all tasks of a runtime of one thread go as far as they can.
    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn work_begins_when_it_is_awaited_and_not_before() {
        let done = Arc::new(AtomicU32::new(0));
        let counted = done.clone();
        let work = async move { counted.fetch_add(1, Ordering::Relaxed) };
        let pending = elsewhere(&Handle::current(), 7, work);
        settle().await;
        assert_eq!(done.load(Ordering::Relaxed), 0);
        assert_eq!(pending.await, 0);
        assert_eq!(done.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_ends() {
        let alive = Arc::new(());
        let held = alive.clone();
        let work = async move {
            std::future::pending::<()>().await;
            drop(held);
        };
        let pending = elsewhere(&Handle::current(), (), work);
        let waiting = tokio::time::timeout(std::time::Duration::ZERO, pending);
        assert!(waiting.await.is_err());
        settle().await;
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
