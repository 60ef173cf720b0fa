//! Counting, on cases small enough to count by hand.
use super::*;
use crate::moment::SECOND;

const MINUTE: i64 = 60 * SECOND;

fn run(from: i64, to: i64) -> AlarmRun {
    AlarmRun {
        start_ns: from * MINUTE,
        end_ns: to * MINUTE,
        value: 0.0,
        score: 0.5,
        side: Outside::Above,
        kind: None,
    }
}

fn window(from: f64, to: f64) -> Window {
    Window {
        start_s: from * 60.0,
        end_s: to * 60.0,
        kind: String::new(),
    }
}

/// 10,000 minutes, nothing scored in the first 100.
fn tally(runs: &[AlarmRun], windows: Option<&[Window]>) -> Tally {
    let mut times = Times::default();
    (0..10_000).for_each(|i| times.push(i * MINUTE));
    let ground = Ground {
        times: &times,
        interval_s: 60.0,
        from_s: 6000.0,
        windows,
    };
    Tally::new(runs, &ground)
}

#[test]
fn alarms_are_hits_false_in_recovery_or_early() {
    let windows = [window(1000.0, 1100.0), window(3000.0, 3001.0)];
    let runs = [
        run(50, 60),
        run(500, 501),
        // ten minutes before is within a tenth of the length
        run(991, 1005),
        run(1104, 1105),
        run(2000, 3000),
    ];
    let tally = tally(&runs, Some(&windows));
    let meanings: Vec<Meaning> = tally.alarms.iter().map(|a| a.meaning).collect();
    use Meaning::{False, Hit, Recovery, WarmUp};
    // the last one runs on into an incident it did not find
    assert_eq!(meanings, [WarmUp, False, Hit, Recovery, False]);
    let mut totals = Totals::default();
    totals.add(&tally);
    assert_eq!(
        (
            totals.alarms,
            totals.found,
            totals.missed,
            totals.false_alarms
        ),
        (4, 1, 1, 2)
    );
    assert_eq!(totals.delay(0.5), Some(0.0));
    assert_eq!(totals.f1(), Some(0.4));
}

#[test]
fn near_runs_are_one_alarm_and_near_windows_one_incident() {
    let windows = [window(1000.0, 1010.0), window(1019.0, 1030.0)];
    let tally = tally(&[run(1003, 1004), run(1014, 1020)], Some(&windows));
    assert_eq!(tally.alarms.len(), 1);
    let incidents = tally.incidents.unwrap_or_default();
    assert_eq!(
        incidents.iter().map(|i| i.delay_s).collect::<Vec<_>>(),
        [Some(180.0)]
    );
}

#[test]
fn an_alarm_that_lasts_into_the_scored_time_is_cut() {
    let tally = tally(&[run(90, 110)], Some(&[]));
    let meanings: Vec<Meaning> = tally.alarms.iter().map(|a| a.meaning).collect();
    assert_eq!(meanings, [Meaning::WarmUp, Meaning::False]);
}

#[test]
fn weeks_leave_out_warm_up_incidents_and_gaps() {
    let mut times = Times::default();
    (0..1000).for_each(|i| times.push(i * MINUTE));
    (5000..6001).for_each(|i| times.push(i * MINUTE));
    let windows = [window(5500.0, 5510.0)];
    let ground = Ground {
        times: &times,
        interval_s: 60.0,
        from_s: 6000.0,
        windows: Some(&windows),
    };
    let tally = Tally::new(&[], &ground);
    let minutes = |weeks: f64| (weeks * 7.0 * 1440.0).round();
    assert!(
        (minutes(tally.weeks) - 1900.0).abs() < 1e-9,
        "{}",
        minutes(tally.weeks)
    );
    // 5495 ..= 5520
    assert!(
        (minutes(tally.normal_weeks) - 1874.0).abs() < 1e-9,
        "{}",
        minutes(tally.normal_weeks)
    );
}

#[test]
fn without_labels_there_is_a_rate_and_nothing_else() {
    let mut totals = Totals::default();
    totals.add(&tally(&[run(500, 510), run(900, 901)], None));
    assert_eq!(
        (totals.recall(), totals.precision(), totals.f1()),
        (None, None, None)
    );
    assert!(
        totals
            .alarms_per_week()
            .is_some_and(|rate| (rate - 2.036).abs() < 0.01)
    );
    assert_eq!(totals.false_per_week(), None);
}
