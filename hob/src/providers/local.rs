//! `local`: machines that are processes on this host. See `process.rs` for what keeps
//! track of them.

use std::time::Duration;

use serde::Deserialize;

use super::process::{Home, Processes, Record};
use super::{
    Context, FleetId, Instance, NothingToChoose, Order, Progress, Provider, ProviderError, Span,
    Target,
};

/// The settings of [`Local`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LocalSettings {
    /// Where each machine listens: `tcp-tls:127.0.0.1:0`. For port 0 each gets a port of
    /// its own, and keeps it.
    pub listen: String,
    /// How long a machine has to end by itself before it is killed: `10s`.
    pub grace: Span,
}

impl Default for LocalSettings {
    fn default() -> Self {
        Self { listen: "tcp-tls:127.0.0.1:0".to_owned(), grace: Span(Duration::from_secs(10)) }
    }
}

/// Machines that are processes on this host, which live on when the boss ends.
pub struct Local {
    settings: LocalSettings,
    processes: Processes,
}

impl Local {
    /// The provider with these settings.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], if a setting can't be used.
    pub fn new(settings: LocalSettings, context: &Context) -> Result<Self, ProviderError> {
        let processes = Processes::new(context, settings.grace.0);
        let listen = settings.listen.parse::<ocapn::netlayers::ListenSpec>();
        listen.map_err(|error| ProviderError::lasting(format!("listen: {error}")))?;
        Ok(Self { settings, processes })
    }

    /// Waits, but not for ever, until the machine has registered or its process has
    /// ended; says whether it has registered.
    pub(super) fn wait_until_ready(&self, order: &Order, patience: Duration) -> bool {
        self.processes.wait_until_ready(&order.key, patience)
    }
}

impl Provider for Local {
    fn create(&self, order: &Order, progress: &dyn Progress) -> Result<Instance, ProviderError> {
        order.spec_as::<NothingToChoose>()?;
        progress.step("start");
        let home = self.processes.home(&order.key);
        let record = home.begin(order, || {
            Ok(Record {
                name: order.name.clone(),
                fleet: order.fleet.to_string(),
                listen: self.processes.settle(&self.settings.listen)?,
                address: None,
            })
        })?;
        self.processes.start(&home, &record, &[], Some(&order.enrolment))?;
        Ok(home.instance(&record))
    }

    fn destroy(&self, target: &Target) -> Result<(), ProviderError> {
        let home = self.processes.home(&target.key);
        if let Some(record) = home.record()? {
            home.claim(&record, &target.fleet)?;
        }
        self.processes.stop(&target.key)?;
        self.processes.remove(&target.key)
    }

    fn list(&self, fleet: &FleetId) -> Result<Vec<Instance>, ProviderError> {
        self.processes.each(fleet, Home::instance)
    }

    fn revive(&self, target: &Target) -> Result<bool, ProviderError> {
        let home = self.processes.home(&target.key);
        let record = home.known(&target.fleet)?;
        self.processes.start(&home, &record, &[], None)
    }
}
