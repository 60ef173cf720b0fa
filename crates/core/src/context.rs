//! What a component is given when it is built.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use weir_config::ComponentId;
use weir_model::{Interner, Ledger, Signal};

use crate::clock::{Clock, SystemClock};
use crate::extension::Extensions;
use crate::gates::Gates;
use crate::registry::ComponentKind;
use crate::tasks::Tasks;
use crate::telemetry::Telemetry;

/// Name and version of the program, for user agents and `target_info`.
#[derive(Clone, Copy, Debug)]
pub struct BuildInfo {
    /// Program name.
    pub name: &'static str,
    /// Version.
    pub version: &'static str,
}

impl BuildInfo {
    /// `name/version (os/arch)`.
    pub fn user_agent(&self) -> String {
        format!(
            "{}/{} ({}/{})",
            self.name,
            self.version,
            std::env::consts::OS,
            std::env::consts::ARCH
        )
    }
}

/// Everything a component may use besides its configuration. Cheap to clone.
#[derive(Clone)]
pub struct BuildCtx {
    /// The component's id, as written in the configuration.
    pub id: ComponentId,
    /// Its family.
    pub kind: ComponentKind,
    /// The signal it is built for; receivers and extensions serve several and have none.
    pub signal: Option<Signal>,
    /// Own metrics.
    pub telemetry: Arc<Telemetry>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Intern tables.
    pub interner: Arc<Interner>,
    /// Built extensions, to look up authenticators and storage.
    pub extensions: Extensions,
    /// Where tasks are spawned.
    pub tasks: Tasks,
    /// Bytes in flight against the limit; receivers charge bodies here before decoding.
    pub ledger: Arc<Ledger>,
    /// Called about once a minute.
    pub housekeeping: Housekeeping,
    /// Data directory (`--data-dir`), if there is one.
    pub data_dir: Option<PathBuf>,
    /// Name and version of the program.
    pub build_info: BuildInfo,
    /// Feature gates of the command line.
    pub gates: Gates,
}

impl BuildCtx {
    /// A context on its own, for tests and for components inside components.
    pub fn standalone(id: ComponentId, kind: ComponentKind, signal: Option<Signal>) -> Self {
        Self {
            id,
            kind,
            signal,
            telemetry: Arc::default(),
            clock: Arc::new(SystemClock::default()),
            interner: Arc::default(),
            extensions: Extensions::default(),
            tasks: Tasks::default(),
            ledger: Ledger::new(usize::MAX),
            housekeeping: Housekeeping::default(),
            data_dir: None,
            build_info: BuildInfo {
                name: "weir",
                version: env!("CARGO_PKG_VERSION"),
            },
            gates: Gates::default(),
        }
    }
}

type Chore = Box<dyn Fn(&Interner) + Send + Sync>;

/// Chores of components, run about once a minute by the runtime: sweeping side tables, forgetting
/// what is idle.
#[derive(Clone, Default)]
pub struct Housekeeping {
    chores: Arc<Mutex<Vec<Chore>>>,
}

impl Housekeeping {
    /// Adds a chore. It must be quick and must not block.
    pub fn add(&self, chore: impl Fn(&Interner) + Send + Sync + 'static) {
        self.chores
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Box::new(chore));
    }

    /// Runs all chores; the interner was swept just before.
    pub fn run(&self, interner: &Interner) {
        for chore in self
            .chores
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            chore(interner);
        }
    }
}
