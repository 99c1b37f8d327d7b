//! `dummy`: what the first sketch of a fleet had for a provider. It says what it would
//! do, and its machines are [`Local`] ones.

use std::time::Duration;

use super::local::{Local, LocalSettings};
use super::{Context, FleetId, Instance, Order, Progress, Provider, ProviderError, Target};
use crate::fleet::LOG;

/// How long it waits to say that a machine has registered.
const PATIENCE: Duration = Duration::from_secs(30);

/// A provider to try things out with, that says what it does.
pub struct Dummy(Local);

impl Dummy {
    /// The provider with these settings, those of [`Local`].
    ///
    /// # Errors
    ///
    /// [`ProviderError`], if a setting can't be used.
    pub fn new(settings: LocalSettings, context: &Context) -> Result<Self, ProviderError> {
        Local::new(settings, context).map(Self)
    }
}

impl Provider for Dummy {
    fn create(&self, order: &Order, progress: &dyn Progress) -> Result<Instance, ProviderError> {
        tracing::info!(
            target: LOG,
            "dummy-provider: In a real implementation, this would talk to a cloud provider"
        );
        tracing::info!(target: LOG, "dummy-machine: Creating new machine");
        let instance = self.0.create(order, progress)?;
        if self.0.wait_until_ready(order, PATIENCE) {
            tracing::info!(target: LOG, "dummy: Registered new client machine");
        }
        Ok(instance)
    }

    fn destroy(&self, target: &Target) -> Result<(), ProviderError> {
        self.0.destroy(target)
    }

    fn list(&self, fleet: &FleetId) -> Result<Vec<Instance>, ProviderError> {
        self.0.list(fleet)
    }

    fn revive(&self, target: &Target) -> Result<bool, ProviderError> {
        self.0.revive(target)
    }
}
