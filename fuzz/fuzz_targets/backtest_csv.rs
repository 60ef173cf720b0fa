//! CSV files for `weir backtest`: any bytes give rows or an error that names the place; leaving out
//! bad rows leaves nothing else out.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The reader by itself, without the network that its crate brings.
#[path = "../../crates/backtest/src/csv_input.rs"]
mod csv_input;
#[allow(dead_code)]
#[path = "../../crates/backtest/src/moment.rs"]
mod moment;
#[allow(dead_code)]
#[path = "../../crates/backtest/src/problem.rs"]
mod problem;

mod track {
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Sample {
        pub(crate) time_ns: i64,
        pub(crate) value: f64,
        pub(crate) label: Option<bool>,
    }
}

use csv_input::{Reading, Wanted};

fuzz_target!(|data: &[u8]| {
    let wanted = Wanted::default();
    let rows = |skip_bad_rows: bool| {
        let reading = Reading { place: "fuzz.csv", wanted: &wanted, skip_bad_rows };
        let mut rows = Vec::new();
        let result = csv_input::read(data, &reading, |row| {
            rows.push((row.time_ns, row.value.to_bits(), row.label));
            Ok(())
        });
        (rows, result)
    };
    let (strict, result) = rows(false);
    let (lenient, skipped) = rows(true);
    match result {
        Ok(_) => assert_eq!((strict, Ok(0)), (lenient, skipped)),
        Err(problem) => {
            assert!(problem.place.starts_with("fuzz.csv"));
            assert!(lenient.starts_with(&strict));
        }
    }
});
