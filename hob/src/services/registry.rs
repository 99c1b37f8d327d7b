//! `service-registry`: services by the names that they provide.

use std::collections::BTreeMap;

use ocapn::{Durable, object};

use super::controller::ControllerRef;

/// Which service goes by a name.
#[derive(Clone, Default, Durable)]
pub(crate) struct Registry {
    services: BTreeMap<String, ControllerRef>,
    /// The first name of each service by its other names.
    names: BTreeMap<String, String>,
}

#[object(reference = pub(crate) RegistryRef)]
impl Registry {
    /// Adds a service under its name and those that it provides besides, instead of
    /// those that it has provided.
    #[method]
    fn register(
        &mut self,
        name: String,
        provides: Vec<String>,
        service: ControllerRef,
    ) -> Result<(), String> {
        for provided in provides.iter().chain([&name]) {
            let other = self.canonical(provided);
            if let Some(other) = other.filter(|other| **other != name) {
                return Err(format!("{name} and {other} both provide {provided}"));
            }
        }
        self.names.retain(|_, first| *first != name);
        for provided in provides.into_iter().filter(|provided| *provided != name) {
            self.names.insert(provided, name.clone());
        }
        self.services.insert(name, service);
        Ok(())
    }

    #[method]
    fn unregister(&mut self, name: String) {
        self.names.retain(|_, first| *first != name);
        self.services.remove(&name);
    }

    /// The first name of the service that goes by this one, and the service.
    #[method]
    fn find(&self, name: String) -> Option<(String, ControllerRef)> {
        let first = self.canonical(&name)?;
        Some((first.clone(), self.services.get(first)?.clone()))
    }

    /// All of them by their first names.
    #[method]
    fn all(&self) -> BTreeMap<String, ControllerRef> {
        self.services.clone()
    }

    fn canonical(&self, name: &str) -> Option<&String> {
        match self.services.get_key_value(name) {
            Some((first, _)) => Some(first),
            None => self.names.get(name),
        }
    }
}
