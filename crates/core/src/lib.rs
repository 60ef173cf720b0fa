//! What components are made of: traits, ids, results, registration, telemetry handles, the clock.
//!
//! Nothing here knows a component by name. `async` appears only as a type in the traits; the tasks
//! themselves live in `weir-runtime` and inside the components.

pub mod auth;
pub mod clock;
pub mod component;
pub mod context;
pub mod extension;
pub mod fold;
pub mod gates;
pub mod memory;
pub mod registry;
pub mod reject;
pub mod tasks;
pub mod telemetry;

pub use auth::{AuthError, ClientAuth, RequestParts, ServerAuth};
pub use clock::{Clock, ManualClock, SystemClock};
pub use component::{
    BoxFut, Consumer, Exporter, Flow, Outputs, Processor, Receiver, Running, Stage, Transform,
};
pub use context::{BuildCtx, BuildInfo, Housekeeping};
pub use extension::{Extension, Extensions};
pub use fold::Fold;
pub use gates::Gates;
pub use registry::{
    Checked, ComponentKind, ExporterEntry, ExporterKind, ExtensionEntry, ExtensionKind,
    ProcessorEntry, ProcessorKind, ReceiverEntry, ReceiverKind, Reference, Registry, Signals,
    Stability,
};
pub use reject::{BuildError, Cause, Fatal, Reject};
pub use tasks::{Deadline, Stop, Tasks};
pub use telemetry::Telemetry;
pub use weir_config::ComponentId;
pub use weir_model::{Batch, Data, Interner, Signal};
