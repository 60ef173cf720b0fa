//! A world that answers from lists.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

use weir_core::BoxFut;

use super::super::config::KubernetesConfig;
use super::super::world::{Answer, Node, World};

/// Everything that is asked for by a name that is not in here does not exist.
#[derive(Default)]
pub(super) struct Fake {
    /// Changes while it is used, for the tests of refreshing.
    pub(super) variables: Mutex<BTreeMap<String, String>>,
    pub(super) files: BTreeMap<String, String>,
    /// Texts of the instance metadata service by path.
    pub(super) metadata: BTreeMap<String, String>,
    /// Whether requests to the metadata service are never answered.
    pub(super) metadata_hangs: bool,
    /// Task and container.
    pub(super) ecs: Option<(String, String)>,
    pub(super) tags: Vec<(String, String)>,
    pub(super) nodes: BTreeMap<String, Node>,
    pub(super) namespaces: BTreeMap<String, String>,
    pub(super) version: Option<String>,
}

impl Fake {
    pub(super) fn variable(mut self, name: &str, value: &str) -> Self {
        let variables = self.variables.get_mut().unwrap();
        variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    pub(super) fn set(&self, name: &str, value: &str) {
        let mut variables = self.variables.lock().unwrap();
        variables.insert(name.to_owned(), value.to_owned());
    }
}

fn known<T: Clone>(map: &BTreeMap<String, T>, name: &str) -> Result<T, String> {
    map.get(name).cloned().ok_or_else(|| format!("there is no {name}"))
}

impl World for Fake {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.lock().unwrap().get(name).cloned()
    }

    fn file(&self, path: &str) -> io::Result<String> {
        known(&self.files, path).map_err(|_| io::ErrorKind::NotFound.into())
    }

    fn folder(&self, path: &str) -> io::Result<Vec<String>> {
        let inside = self.files.keys().filter_map(|file| file.strip_prefix(path)?.strip_prefix('/'));
        let mut names: Vec<String> = inside.filter_map(|file| file.split('/').next()).map(str::to_owned).collect();
        names.dedup();
        Ok(names)
    }

    fn instance_metadata<'a>(&'a self, path: &'a str) -> BoxFut<'a, Answer> {
        match self.metadata_hangs {
            true => Box::pin(std::future::pending()),
            false => Box::pin(async move { known(&self.metadata, path) }),
        }
    }

    fn instance_tags<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
    ) -> BoxFut<'a, Result<Vec<(String, String)>, String>> {
        Box::pin(async { Ok(self.tags.clone()) })
    }

    fn ecs<'a>(&'a self) -> BoxFut<'a, Option<(Answer, Answer)>> {
        Box::pin(async { self.ecs.clone().map(|(task, container)| (Ok(task), Ok(container))) })
    }

    fn node<'a>(&'a self, _: &'a KubernetesConfig, name: &'a str) -> BoxFut<'a, Result<Node, String>> {
        Box::pin(async move { known(&self.nodes, name) })
    }

    fn namespace_uid<'a>(&'a self, _: &'a KubernetesConfig, name: &'a str) -> BoxFut<'a, Answer> {
        Box::pin(async move { known(&self.namespaces, name) })
    }

    fn kubernetes_version(&self) -> BoxFut<'_, Answer> {
        Box::pin(async { self.version.clone().ok_or_else(|| "no API server".to_owned()) })
    }
}
