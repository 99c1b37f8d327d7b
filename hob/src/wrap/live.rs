//! What there is of a service while this process runs: its connections, which are limited
//! in number and are cut when what they were made by is taken back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ocapn::Fault;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::stream::Broken;

/// The connections of a service.
pub(super) struct Live {
    permits: Arc<Semaphore>,
    most: usize,
    grants: Mutex<HashMap<String, watch::Sender<()>>>,
}

impl Live {
    pub(super) fn new(most: usize) -> Self {
        let permits = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self { permits, most, grants: Mutex::default() }
    }

    /// A connection by a grant, or by nobody's.
    pub(super) fn admit(&self, grant: Option<&str>) -> Result<Admission, Fault> {
        let permit = self.permits.clone().try_acquire_owned();
        let permit = permit.map_err(|_| format!("{} connections are open already", self.most))?;
        let cut = grant.map(|grant| self.watch(grant));
        Ok(Admission { _permit: permit, cut })
    }

    /// What tells that a grant is taken back.
    fn watch(&self, grant: &str) -> watch::Receiver<()> {
        let mut grants = self.lock();
        if let Some(there) = grants.get(grant) {
            return there.subscribe();
        }
        let (cut, watch) = watch::channel(());
        grants.insert(grant.to_owned(), cut);
        watch
    }

    /// Cuts the connections that were made by a grant.
    pub(super) fn cut(&self, grant: &str) {
        self.lock().remove(grant);
    }

    /// Cuts the connections that were made by any grant.
    pub(super) fn cut_all(&self) {
        self.lock().clear();
    }

    /// How many connections there are.
    pub(super) fn open(&self) -> usize {
        self.most.saturating_sub(self.permits.available_permits())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<()>>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to have one connection.
pub(super) struct Admission {
    _permit: OwnedSemaphorePermit,
    cut: Option<watch::Receiver<()>>,
}

impl Admission {
    /// Waits until what the connection was made by is taken back.
    pub(super) async fn cut(&mut self) -> Broken {
        match &mut self.cut {
            // Nothing is ever sent: it ends with its sender.
            Some(cut) => while cut.changed().await.is_ok() {},
            None => std::future::pending().await,
        }
        Broken::Cut(REVOKED.to_owned())
    }
}

/// What is said of what a grant gave, after it was taken back.
pub(super) const REVOKED: &str = "this has been revoked";
