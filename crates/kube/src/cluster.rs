//! The watches of a graph, each running once.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use kube::Client;
use weir_core::{BuildCtx, Tasks};

use crate::access::Access;
use crate::objects::{Resource, Slim};
use crate::watch::{Watch, WeakWatch, start};

/// The clusters that somebody uses, so that all who want the same one find it.
static ALIVE: Mutex<Vec<Weak<Cluster>>> = Mutex::new(Vec::new());

/// A way to reach the API and what is watched there. It lives as long as somebody holds it or one
/// of its watches.
pub struct Cluster {
    access: Access,
    /// The graph it belongs to: a reload has watches of its own, and waits for the tasks of the old
    /// graph.
    tasks: Tasks,
    client: Client,
    /// `WeakWatch<T>` by what is watched.
    watches: Mutex<HashMap<What, Box<dyn Any + Send>>>,
}

/// A kind of objects and which of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct What {
    resource: Resource,
    form: std::any::TypeId,
    query: Query,
}

/// Which objects are watched; the API server chooses them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Query {
    /// Those of this namespace, or of all.
    pub namespace: Option<String>,
    /// Label selector.
    pub labels: String,
    /// Field selector, such as `spec.nodeName=node-1`.
    pub fields: String,
}

impl Cluster {
    /// The cluster of this graph that is reached so.
    ///
    /// # Errors
    /// Credentials or files are missing or make no sense. The API is not asked yet.
    pub async fn of(access: &Access, cx: &BuildCtx) -> Result<Arc<Self>, String> {
        let access = access.resolved();
        let find = |alive: &mut MutexGuard<'_, Vec<Weak<Self>>>| {
            alive.retain(|cluster| cluster.strong_count() > 0);
            let mut all = alive.iter().filter_map(Weak::upgrade);
            all.find(|found| found.access == access && found.tasks.same(&cx.tasks))
        };
        if let Some(found) = find(&mut lock(&ALIVE)) {
            return Ok(found);
        }
        let client = access.client(&cx.build_info.user_agent()).await?;
        let mut alive = lock(&ALIVE);
        // Another may have come first.
        if let Some(found) = find(&mut alive) {
            return Ok(found);
        }
        let made = Arc::new(Self {
            access,
            tasks: cx.tasks.clone(),
            client,
            watches: Mutex::default(),
        });
        alive.push(Arc::downgrade(&made));
        Ok(made)
    }

    /// The watch of these objects, begun if it does not run.
    pub fn watch<T: Slim>(self: &Arc<Self>, resource: Resource, query: &Query) -> Watch<T> {
        let what = What {
            resource,
            form: std::any::TypeId::of::<T>(),
            query: query.clone(),
        };
        let mut watches = lock(&self.watches);
        let known = watches
            .get(&what)
            .and_then(|known| known.downcast_ref::<WeakWatch<T>>());
        if let Some(watch) = known.and_then(WeakWatch::upgrade) {
            return watch;
        }
        let (watch, work) = start(self.client.clone(), resource, query);
        watches.insert(what, Box::new(watch.downgrade()));
        let cluster = self.clone();
        self.tasks
            .spawn(&format!("watch of {}", resource.plural()), async move {
                work.await;
                drop(cluster);
            });
        watch
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
