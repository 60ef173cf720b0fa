//! Extensions: one folder each, one name in the table below.

weir_core::components!(ExtensionEntry: awsproxy, ecs_observer, health_check, pprof, sigv4auth);
