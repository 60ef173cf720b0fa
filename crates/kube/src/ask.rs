//! Single questions to the API, for those who watch nothing.

use kube::Api;
use kube::api::ApiResource;
use kube::core::{GroupVersionKind, Object};
use serde::de::DeserializeOwned;

use crate::access::Access;
use crate::explain::chain;

/// What is known of an object: its uid and the part of its `spec` that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found<S> {
    /// The uid; empty if the API gives none.
    pub uid: String,
    /// The part of the specification.
    pub spec: S,
}

impl Access {
    /// An object of the core API without a namespace (`Node`, `Namespace`).
    ///
    /// # Errors
    /// The API cannot be reached, or it refuses or does not have the object.
    pub async fn object<S>(&self, kind: &str, name: &str) -> Result<Found<S>, String>
    where
        S: DeserializeOwned + Default + Clone + std::fmt::Debug,
    {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind));
        let objects: Api<Object<Option<S>, serde_json::Value>> =
            Api::all_with(self.client("").await?, &resource);
        let object = objects.get(name).await.map_err(|error| chain(&error))?;
        Ok(Found {
            uid: object.metadata.uid.unwrap_or_default(),
            spec: object.spec.unwrap_or_default(),
        })
    }

    /// The version of the API server, such as `v1.33.1`.
    ///
    /// # Errors
    /// The API cannot be reached.
    pub async fn version(&self) -> Result<String, String> {
        let version = self.client("").await?.apiserver_version().await;
        Ok(version.map_err(|error| chain(&error))?.git_version)
    }
}
