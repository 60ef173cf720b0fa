//! The subcommands that read a configuration: run, validate, print-config.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};
use weir_config::{Diagnostic, Diagnostics, Loaded, ProcessEnvironment, load};
use weir_core::memory;
use weir_core::{BuildInfo, Deadline, Interner, SystemClock, Tasks, Telemetry};
use weir_model::Ledger;
use weir_runtime::collector::Failure;
use weir_runtime::{Collector, Environment, Plan, plan};

use crate::cli::Invocation;
pub use crate::cli::{EXIT_FAILURE, EXIT_OK};
use crate::components::CATALOG;
use crate::extra_config::{EXTRA_CONFIG_PATH, ExtraConfig};
use crate::feature_gates::FeatureGates;
use crate::pages::MetricsPage;
use crate::{fetch, logging};

/// Name and version of this program.
pub const BUILD_INFO: BuildInfo = BuildInfo {
    name: "weir",
    version: env!("CARGO_PKG_VERSION"),
};

/// A task panicked; data was drained as far as possible.
pub const EXIT_PANIC: u8 = 70;

/// How long stopping may take in all: under the usual grace period of 30 s.
pub const DRAIN: Duration = Duration::from_secs(25);

/// Memory that is free goes back to the system this often: the allocator itself does so only while
/// it is asked for more.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(1);

/// Where the configuration comes from and what goes with it.
#[derive(Clone, Debug)]
pub struct Options {
    invocation: Invocation,
    extra: ExtraConfig,
    gates: FeatureGates,
}

impl Options {
    /// Reads the extra configuration file and the feature gates; the error says which gate is unknown.
    pub fn new(invocation: &Invocation) -> Result<Self, String> {
        let extra = ExtraConfig::read(Path::new(EXTRA_CONFIG_PATH)).unwrap_or_default();
        let gates = FeatureGates::parse(&invocation.feature_gates)?;
        Ok(Self {
            invocation: invocation.clone(),
            extra,
            gates,
        })
    }
}

/// Reads, merges, expands and checks the configuration; all errors come back together.
pub fn checked(options: &Options) -> Result<(Loaded, Plan), Diagnostics> {
    let process = ProcessEnvironment;
    let environment = options.extra.over(&process);
    let sources = options.invocation.sources(&options.extra, &environment);
    if sources.locations.is_empty() {
        let error = Diagnostic::error("at least one config flag must be provided");
        return Err(Diagnostics(vec![
            error.hint("for example: weir --config config.yaml"),
        ]));
    }
    let loaded = load(
        &sources.locations,
        &sources.sets,
        &environment,
        &fetch::Http,
    )?;
    match plan(&loaded.root, &CATALOG) {
        Ok(plan) => Ok((loaded, plan)),
        Err(mut found) => {
            found.0.extend(loaded.warnings);
            Err(found)
        }
    }
}

/// `weir validate`: silent when all is well, except for warnings.
pub fn validate(options: &Options) -> u8 {
    match checked(options) {
        Ok((loaded, plan)) => {
            let warnings: Vec<_> = loaded.warnings.into_iter().chain(plan.warnings).collect();
            if !warnings.is_empty() {
                say(&Diagnostics(warnings).to_string());
            }
            EXIT_OK
        }
        Err(found) => refuse(&found),
    }
}

/// Prints the error list; the exit code.
pub fn refuse(found: &Diagnostics) -> u8 {
    say(&found.to_string());
    let (errors, s) = (
        found.error_count(),
        if found.error_count() == 1 { "" } else { "s" },
    );
    say(&format!("{errors} error{s}; nothing was started"));
    EXIT_FAILURE
}

/// A line for people on standard error.
#[allow(
    clippy::print_stderr,
    reason = "answers of the command line, not log lines"
)]
pub fn say(text: &str) {
    eprintln!("{text}");
}

/// The asynchronous runtime: as many workers as the CPU limit allows; one thread at one CPU.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut builder = if workers > 1 {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    builder
        .worker_threads(workers)
        .thread_name("weir")
        .enable_all()
        .build()
}

/// `weir run`: until a signal or a failure.
pub fn run(options: &Options) -> u8 {
    let (loaded, plan) = match checked(options) {
        Ok(both) => both,
        Err(found) => return refuse(&found),
    };
    let clock = Arc::new(SystemClock::default());
    let service = plan.telemetry.clone();
    let fields = [
        ("service.name", BUILD_INFO.name),
        ("service.version", BUILD_INFO.version),
    ];
    logging::init(&service.logs, clock.clone(), &fields);
    for warning in loaded.warnings.iter().chain(&plan.warnings) {
        warn!(path = %warning.path, hint = warning.hint.as_deref().unwrap_or_default(), "{}", warning.message);
    }
    weir_net::install_default_provider();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!(
                "error: the asynchronous runtime cannot start: {error}"
            ));
            return EXIT_FAILURE;
        }
    };
    for gate in options.gates.without_effect() {
        warn!(gate, "the feature gate is known and changes nothing here");
    }
    let data_dir = options.invocation.data_dir(&ProcessEnvironment);
    let environment = environment(clock, data_dir, options.gates.switches());
    runtime.block_on(serve(options, plan, environment))
}

/// The shared parts of one process.
pub fn environment(
    clock: Arc<dyn weir_core::Clock>,
    data_dir: Option<PathBuf>,
    gates: weir_core::Gates,
) -> Environment {
    let telemetry = Arc::new(Telemetry::default());
    let interner = Arc::new(Interner::default());
    let ledger = Ledger::new(memory_for_requests());
    telemetry.set_target_info(&[
        ("service_name", BUILD_INFO.name),
        ("service_version", BUILD_INFO.version),
    ]);
    process_metrics(&telemetry, &clock, &interner, &ledger);
    Environment {
        registry: CATALOG.registry,
        telemetry,
        clock,
        interner,
        ledger,
        tasks: Tasks::default(),
        housekeeping: weir_core::Housekeeping::default(),
        data_dir,
        build_info: BUILD_INFO,
        gates,
    }
}

/// Bytes that requests on their way may hold: half of the memory limit.
fn memory_for_requests() -> usize {
    let half = memory::limit_bytes().unwrap_or(2 << 30) / 2;
    usize::try_from(half).unwrap_or(usize::MAX)
}

fn process_metrics(
    telemetry: &Telemetry,
    clock: &Arc<dyn weir_core::Clock>,
    interner: &Arc<Interner>,
    ledger: &Arc<Ledger>,
) {
    let uptime = clock.clone();
    telemetry.observe_counter(
        "otelcol_process_uptime",
        "Uptime of the process in seconds",
        &[],
        move || uptime.monotonic().as_secs_f64(),
    );
    telemetry.observe_counter(
        "otelcol_process_cpu_seconds",
        "CPU user and system time in seconds",
        &[],
        memory::cpu_seconds,
    );
    telemetry.observe_gauge(
        "otelcol_process_memory_rss",
        "Physical memory in bytes",
        &[],
        || memory::resident_bytes().unwrap_or(0) as f64,
    );
    let tables = interner.clone();
    telemetry.observe_gauge(
        "weir_interned_series",
        "Metric series in the intern table",
        &[],
        move || tables.stats().series as f64,
    );
    let tables = interner.clone();
    telemetry.observe_gauge(
        "weir_interned_bytes",
        "Bytes charged to the intern table",
        &[],
        move || tables.stats().used_bytes as f64,
    );
    let tables = interner.clone();
    telemetry.observe_counter(
        "weir_interned_series_over_budget",
        "Series that passed un-interned because the table was full",
        &[],
        move || tables.stats().over_budget as f64,
    );
    let ledger = ledger.clone();
    telemetry.observe_gauge(
        "weir_requests_in_flight_bytes",
        "Bytes held by requests on their way",
        &[],
        move || ledger.used() as f64,
    );
}

/// How a running collector came to its end.
enum End {
    Signal,
    Reload,
    Failed(Failure),
}

async fn serve(options: &Options, plan: Plan, environment: Environment) -> u8 {
    let (mut terminate, mut interrupt, mut hangup) = match signals() {
        Ok(signals) => signals,
        Err(error) => {
            error!("signals cannot be received: {error}");
            return EXIT_FAILURE;
        }
    };
    let page = match MetricsPage::start(&plan.telemetry.metrics, &environment).await {
        Ok(page) => page,
        Err(reason) => {
            error!("{reason}");
            return EXIT_FAILURE;
        }
    };
    info!(
        version = BUILD_INFO.version,
        "Starting {}...", BUILD_INFO.name
    );
    let mut collector = match start(&plan, &environment).await {
        Ok(collector) => collector,
        Err(code) => return code,
    };
    let mut chore = tokio::time::interval(GIVE_BACK_EVERY);
    chore.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let code = loop {
        let end = tokio::select! {
            _ = chore.tick() => {
                weir_allocator::give_back();
                continue;
            }
            _ = terminate.recv() => End::Signal,
            _ = interrupt.recv() => End::Signal,
            _ = hangup.recv() => End::Reload,
            failure = collector.failed() => End::Failed(failure),
        };
        match end {
            End::Reload => {
                if let Err(code) = reload(options, &environment, &mut collector).await {
                    return code;
                }
            }
            End::Signal => break EXIT_OK,
            End::Failed(Failure::Fatal(reason)) => {
                error!("{reason}");
                break EXIT_FAILURE;
            }
            End::Failed(Failure::Panic(name)) => {
                error!("a task of {name} panicked; this is a defect, please report it");
                break EXIT_PANIC;
            }
        }
    };
    info!("Starting shutdown...");
    tokio::select! {
        () = collector.stop(Deadline::after(DRAIN)) => {}
        _ = terminate.recv() => warn!("second signal: ending at once"),
        _ = interrupt.recv() => warn!("second signal: ending at once"),
    }
    page.stop().await;
    info!("Shutdown complete.");
    code
}

type Signals = (
    tokio::signal::unix::Signal,
    tokio::signal::unix::Signal,
    tokio::signal::unix::Signal,
);

fn signals() -> std::io::Result<Signals> {
    Ok((
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::hangup())?,
    ))
}

async fn start(plan: &Plan, environment: &Environment) -> Result<Collector, u8> {
    let mut collector = Collector::build(plan, environment.for_new_graph())
        .await
        .map_err(|error| {
            error!("{error}");
            EXIT_FAILURE
        })?;
    collector.start(DRAIN).await.map_err(|error| {
        error!("{error}");
        EXIT_FAILURE
    })?;
    Ok(collector)
}

/// SIGHUP: the new configuration is read, checked and built while the old one runs; any error
/// leaves the old one untouched (CFG-50, CFG-51).
async fn reload(
    options: &Options,
    environment: &Environment,
    running: &mut Collector,
) -> Result<(), u8> {
    let failed = environment.telemetry.counter(
        "weir_config_reloads_failed",
        "Configurations refused at reload",
        &[],
    );
    info!("Received SIGHUP: reading the configuration again");
    let options = options.clone();
    let read = tokio::task::spawn_blocking(move || checked(&options).map(|(_, plan)| plan)).await;
    let plan = match read {
        Ok(Ok(plan)) => plan,
        Ok(Err(found)) => {
            failed.add(1);
            error!("the new configuration cannot be used, the old one stays: {found}");
            return Ok(());
        }
        Err(error) => {
            failed.add(1);
            error!("the new configuration could not be read, the old one stays: {error}");
            return Ok(());
        }
    };
    let mut next = match Collector::build(&plan, environment.for_new_graph()).await {
        Ok(next) => next,
        Err(error) => {
            failed.add(1);
            error!("the new configuration cannot be built, the old one stays: {error}");
            return Ok(());
        }
    };
    running.stop(Deadline::after(DRAIN)).await;
    next.start(DRAIN).await.map_err(|error| {
        error!("{error}");
        EXIT_FAILURE
    })?;
    *running = next;
    environment
        .telemetry
        .counter("weir_config_reloads", "Configurations taken at reload", &[])
        .add(1);
    Ok(())
}
