//! Registration: a component is a type that implements its family's `...Kind` trait, and one name in
//! its family's `components!` line. Generic function pointers make the table; no linker tricks.

use std::any::Any;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_config::{ComponentId, Diagnostic, Node, Validate, decode_and_validate};
use weir_model::Signal;

use crate::component::{BoxFut, Consumer, Processor, Receiver, Stage};
use crate::context::BuildCtx;
use crate::extension::Extension;
use crate::reject::BuildError;

/// The four families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ComponentKind {
    /// Gets telemetry from outside.
    Receiver,
    /// Works on batches.
    Processor,
    /// Sends telemetry on.
    Exporter,
    /// Stands beside the pipelines.
    Extension,
}

impl ComponentKind {
    /// Singular, as in log fields.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Processor => "processor",
            Self::Exporter => "exporter",
            Self::Extension => "extension",
        }
    }

    /// Section of the configuration.
    pub fn section(self) -> &'static str {
        match self {
            Self::Receiver => "receivers",
            Self::Processor => "processors",
            Self::Exporter => "exporters",
            Self::Extension => "extensions",
        }
    }
}

/// Signals a component works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signals(u8);

impl Signals {
    /// None (extensions).
    pub const NONE: Signals = Signals(0);
    /// Traces only.
    pub const TRACES: Signals = Signals(1);
    /// Metrics only.
    pub const METRICS: Signals = Signals(2);
    /// Logs only.
    pub const LOGS: Signals = Signals(4);
    /// All three.
    pub const ALL: Signals = Signals(7);

    /// These and those.
    pub const fn and(self, other: Signals) -> Signals {
        Signals(self.0 | other.0)
    }

    /// Whether a signal is among them.
    pub const fn contains(self, signal: Signal) -> bool {
        let bit = match signal {
            Signal::Traces => 1,
            Signal::Metrics => 2,
            Signal::Logs => 4,
        };
        self.0 & bit != 0
    }
}

/// How far a component may be relied on, as the reference names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// Being built.
    Development,
    /// May change.
    Alpha,
    /// Settled but for details.
    Beta,
    /// Settled.
    Stable,
}

impl Stability {
    /// Name as printed by `weir components`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Development => "Development",
            Self::Alpha => "Alpha",
            Self::Beta => "Beta",
            Self::Stable => "Stable",
        }
    }
}

/// Something outside a component's own configuration that it needs; checked across the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// An extension by id, used as `role` (`authenticator`, `storage`), named under `key`.
    Extension {
        /// The id.
        id: ComponentId,
        /// Its role in a sentence.
        role: &'static str,
        /// Key path inside the component, such as `auth.authenticator`.
        key: &'static str,
    },
    /// An address it will listen on, such as `localhost:4317`, named under `key`.
    Listen {
        /// host:port.
        address: String,
        /// Key path inside the component.
        key: &'static str,
    },
}

/// A component's configuration, decoded and validated.
pub struct Checked {
    /// The typed configuration.
    pub config: Box<dyn Any + Send + Sync>,
    /// The same with all defaults, secrets masked, for `print-config`.
    pub print: Json,
    /// What it refers to.
    pub references: Vec<Reference>,
    /// What is doubtful about it.
    pub warnings: Vec<Diagnostic>,
}

/// Common to all families: a name, a configuration.
macro_rules! kind_items {
    () => {
        /// Type in component ids, the reference's current spelling.
        const TYPE: &'static str;
        /// Older spellings that load with a warning.
        const ALIASES: &'static [&'static str] = &[];
        /// How far it may be relied on.
        const STABILITY: Stability = Stability::Beta;
        /// Its configuration. Keys, defaults and conditions are those of the reference.
        type Config: DeserializeOwned + Serialize + Default + Validate + Send + Sync + 'static;
        /// What the configuration refers to.
        fn references(_config: &Self::Config) -> Vec<Reference> {
            Vec::new()
        }
    };
}

/// A kind of receiver.
pub trait ReceiverKind: 'static {
    kind_items!();
    /// What it can produce.
    const SIGNALS: Signals;
    /// Makes one instance; it opens nothing yet.
    fn build(
        config: Self::Config,
        cx: BuildCtx,
    ) -> BoxFut<'static, Result<Box<dyn Receiver>, BuildError>>;
}

/// A kind of processor.
pub trait ProcessorKind: 'static {
    kind_items!();
    /// What it can work on.
    const SIGNALS: Signals;
    /// Makes the instance of one pipeline, in front of `next`.
    fn build(
        config: Self::Config,
        cx: BuildCtx,
        next: Arc<dyn Consumer>,
    ) -> BoxFut<'static, Result<Processor, BuildError>>;
}

/// A kind of exporter.
pub trait ExporterKind: 'static {
    kind_items!();
    /// What it can send.
    const SIGNALS: Signals;
    /// Makes the instance of one signal, with queue and retries round it where configured
    /// (`weir_sending::wrap`).
    fn build(
        config: Self::Config,
        cx: BuildCtx,
    ) -> BoxFut<'static, Result<Arc<dyn Stage>, BuildError>>;
}

/// A kind of extension.
pub trait ExtensionKind: 'static {
    kind_items!();
    /// Makes the instance.
    fn build(
        config: Self::Config,
        cx: BuildCtx,
    ) -> BoxFut<'static, Result<Arc<dyn Extension>, BuildError>>;
}

/// JSON, for `print-config`.
pub type Json = serde_json::Value;

type CheckFn = fn(&Node, &str) -> Result<Checked, Vec<Diagnostic>>;
type AnyConfig = Box<dyn Any + Send + Sync>;

macro_rules! entry {
    ($entry:ident, $kind:ident, $what:literal, $build:ty) => {
        #[doc = concat!("Table entry of a ", $what, ".")]
        #[derive(Clone, Copy)]
        pub struct $entry {
            /// Type in component ids.
            pub name: &'static str,
            /// Older spellings.
            pub aliases: &'static [&'static str],
            /// What it works with.
            pub signals: Signals,
            /// How far it may be relied on.
            pub stability: Stability,
            /// Decodes and validates a configuration node at a path.
            pub check: CheckFn,
            /// The configuration of an instance for which nothing is written, for the component's page.
            pub defaults: fn() -> Json,
            /// Builds it from [`Checked::config`].
            pub build: $build,
        }
    };
}

entry!(
    ReceiverEntry,
    ReceiverKind,
    "receiver",
    fn(AnyConfig, BuildCtx) -> BoxFut<'static, Result<Box<dyn Receiver>, BuildError>>
);
entry!(
    ProcessorEntry,
    ProcessorKind,
    "processor",
    fn(AnyConfig, BuildCtx, Arc<dyn Consumer>) -> BoxFut<'static, Result<Processor, BuildError>>
);
entry!(
    ExporterEntry,
    ExporterKind,
    "exporter",
    fn(AnyConfig, BuildCtx) -> BoxFut<'static, Result<Arc<dyn Stage>, BuildError>>
);
entry!(
    ExtensionEntry,
    ExtensionKind,
    "extension",
    fn(AnyConfig, BuildCtx) -> BoxFut<'static, Result<Arc<dyn Extension>, BuildError>>
);

fn check<C>(
    node: &Node,
    path: &str,
    references: fn(&C) -> Vec<Reference>,
) -> Result<Checked, Vec<Diagnostic>>
where
    C: DeserializeOwned + Serialize + Validate + Send + Sync + 'static,
{
    let decoded = decode_and_validate::<C>(node, path)?;
    let print = printed(&decoded.value);
    let references = references(&decoded.value);
    Ok(Checked {
        config: Box::new(decoded.value),
        print,
        references,
        warnings: decoded.warnings,
    })
}

/// A configuration as it is printed.
fn printed<C: Serialize>(config: &C) -> Json {
    serde_json::to_value(config).unwrap_or(Json::Null)
}

/// The configuration back from the table's untyped form.
fn typed<C: 'static>(config: AnyConfig, name: &str) -> Result<C, BuildError> {
    config.downcast::<C>().map(|config| *config).map_err(|_| {
        BuildError(format!(
            "configuration of another component given to `{name}`"
        ))
    })
}

impl ReceiverEntry {
    /// The entry of a kind.
    pub const fn of<K: ReceiverKind>() -> Self {
        Self {
            name: K::TYPE,
            aliases: K::ALIASES,
            signals: K::SIGNALS,
            stability: K::STABILITY,
            check: |node, path| check::<K::Config>(node, path, K::references),
            defaults: || printed(&K::Config::default()),
            build: |config, cx| {
                Box::pin(async move { K::build(typed(config, K::TYPE)?, cx).await })
            },
        }
    }
}

impl ProcessorEntry {
    /// The entry of a kind.
    pub const fn of<K: ProcessorKind>() -> Self {
        Self {
            name: K::TYPE,
            aliases: K::ALIASES,
            signals: K::SIGNALS,
            stability: K::STABILITY,
            check: |node, path| check::<K::Config>(node, path, K::references),
            defaults: || printed(&K::Config::default()),
            build: |config, cx, next| {
                Box::pin(async move { K::build(typed(config, K::TYPE)?, cx, next).await })
            },
        }
    }
}

impl ExporterEntry {
    /// The entry of a kind.
    pub const fn of<K: ExporterKind>() -> Self {
        Self {
            name: K::TYPE,
            aliases: K::ALIASES,
            signals: K::SIGNALS,
            stability: K::STABILITY,
            check: |node, path| check::<K::Config>(node, path, K::references),
            defaults: || printed(&K::Config::default()),
            build: |config, cx| {
                Box::pin(async move { K::build(typed(config, K::TYPE)?, cx).await })
            },
        }
    }
}

impl ExtensionEntry {
    /// The entry of a kind.
    pub const fn of<K: ExtensionKind>() -> Self {
        Self {
            name: K::TYPE,
            aliases: K::ALIASES,
            signals: Signals::NONE,
            stability: K::STABILITY,
            check: |node, path| check::<K::Config>(node, path, K::references),
            defaults: || printed(&K::Config::default()),
            build: |config, cx| {
                Box::pin(async move { K::build(typed(config, K::TYPE)?, cx).await })
            },
        }
    }
}

/// The four tables joined.
#[derive(Clone, Copy)]
pub struct Registry {
    /// Receivers.
    pub receivers: &'static [ReceiverEntry],
    /// Processors.
    pub processors: &'static [ProcessorEntry],
    /// Exporters.
    pub exporters: &'static [ExporterEntry],
    /// Extensions.
    pub extensions: &'static [ExtensionEntry],
}

/// Declares a family's components: the modules, and the table `COMPONENTS` of their `Kind` types.
///
/// `components!(ExporterEntry: awsemf, debug)` in `exporters/lib.rs` expands to `pub mod awsemf;` and so on
/// and a table of `ExporterEntry::of::<awsemf::Kind>()`. A component that a build may lack has its
/// `#[cfg(...)]` in front.
#[macro_export]
macro_rules! components {
    ($entry:ident: $($(#[$only:meta])* $name:ident),* $(,)?) => {
        $($(#[$only])* pub mod $name;)*
        /// All components of this family.
        pub const COMPONENTS: &[$crate::$entry] = &[$($(#[$only])* $crate::$entry::of::<$name::Kind>()),*];
    };
}
