//! Extensions: parts beside the pipelines that others may refer to by id.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_config::ComponentId;

use crate::auth::{ClientAuth, ServerAuth};
use crate::component::BoxFut;
use crate::reject::{BuildError, Fatal};
use crate::tasks::Deadline;

/// A built extension.
pub trait Extension: Send + Sync {
    /// Opens what it serves. Called before any pipeline starts.
    fn start(&self) -> BoxFut<'_, Result<(), Fatal>> {
        Box::pin(async { Ok(()) })
    }
    /// The pipelines run.
    fn ready(&self) {}
    /// The pipelines begin to stop.
    fn not_ready(&self) {}
    /// Called last.
    fn stop(&self, _by: Deadline) -> BoxFut<'_, ()> {
        Box::pin(async {})
    }
    /// It can sign outgoing requests.
    fn client_auth(&self) -> Option<Arc<dyn ClientAuth>> {
        None
    }
    /// It can check incoming requests.
    fn server_auth(&self) -> Option<Arc<dyn ServerAuth>> {
        None
    }
}

/// The extensions listed under `service.extensions`, by id.
#[derive(Clone, Default)]
pub struct Extensions {
    map: Arc<BTreeMap<ComponentId, Arc<dyn Extension>>>,
}

impl Extensions {
    /// From the built extensions.
    pub fn new(map: BTreeMap<ComponentId, Arc<dyn Extension>>) -> Self {
        Self { map: Arc::new(map) }
    }

    /// An extension.
    pub fn get(&self, id: &ComponentId) -> Option<&Arc<dyn Extension>> {
        self.map.get(id)
    }

    /// All extensions, sorted by id.
    pub fn iter(&self) -> impl Iterator<Item = (&ComponentId, &Arc<dyn Extension>)> {
        self.map.iter()
    }

    /// The client authenticator with this id, or what to change.
    pub fn client_auth(&self, id: &ComponentId) -> Result<Arc<dyn ClientAuth>, BuildError> {
        self.find(id, "authenticator")?
            .client_auth()
            .ok_or_else(|| {
                BuildError(format!(
                    "extension `{id}` is not an authenticator for outgoing requests"
                ))
            })
    }

    /// The server authenticator with this id, or what to change.
    pub fn server_auth(&self, id: &ComponentId) -> Result<Arc<dyn ServerAuth>, BuildError> {
        self.find(id, "authenticator")?
            .server_auth()
            .ok_or_else(|| {
                BuildError(format!(
                    "extension `{id}` is not an authenticator for incoming requests"
                ))
            })
    }

    fn find(&self, id: &ComponentId, what: &str) -> Result<&Arc<dyn Extension>, BuildError> {
        self.get(id).ok_or_else(|| {
            BuildError(format!(
                "{what} `{id}` not found: declare it under `extensions:` and list it under \
                 `service.extensions`"
            ))
        })
    }
}
