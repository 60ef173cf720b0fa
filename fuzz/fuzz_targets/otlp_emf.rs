//! OTLP metrics in protobuf to `PutLogEvents` bodies: whatever is accepted gives events within the
//! rules of the Embedded Metric Format. The first byte chooses the configuration.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use weir_exporters::awsemf::{Preview, config::Config};
use weir_model::{Interner, Metrics};
use weir_testkit::emf::check_request;

/// Time of the calls, Unix nanoseconds. Points without a time get it, so that they are not too old.
const NOW_NS: u64 = 1_795_364_520_183_000_000;

fn config(choice: u8) -> Config {
    let is_on = |bit: u8| choice & (1 << bit) != 0;
    let mut config = Config {
        version: if is_on(0) { "0" } else { "1" }.to_owned(),
        dimension_rollup_option: match (is_on(1), is_on(2)) {
            (true, _) => "NoDimensionRollup".into(),
            (false, true) => "SingleDimensionRollupOnly".into(),
            (false, false) => "ZeroAndSingleDimensionRollup".into(),
        },
        retain_initial_value_of_delta_metric: is_on(3),
        detailed_metrics: is_on(4),
        eks_fargate_container_insights_enabled: is_on(5),
        ..Config::default()
    };
    config.resource_to_telemetry_conversion.enabled = is_on(6);
    if is_on(7) {
        config.log_group_name = "/{ClusterName}/{k8s.pod.name}".to_owned();
    }
    config
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    // A small budget, so that series pass un-interned too.
    let interner = Arc::new(Interner::new(64 << 10));
    let Ok(batch) = Metrics::from_otlp(bytes.to_vec().into(), &interner) else {
        return;
    };
    let mut preview = Preview::new(config(*choice), NOW_NS);
    for _ in 0..2 {
        // The second time, cumulative points are differences and everything is known.
        for body in preview.bodies(&batch, NOW_NS) {
            if let Err(why) = check_request(&body) {
                panic!("{why}");
            }
        }
    }
});
