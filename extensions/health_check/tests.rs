#![allow(clippy::unwrap_used)]

use super::*;

fn state(config: Config, clock: Arc<weir_core::ManualClock>) -> State {
    State { ready: AtomicBool::new(false), since: Mutex::new((Duration::ZERO, 0)), clock, config }
}

#[test]
fn not_ready_before_ready_then_with_uptime() {
    let clock = Arc::new(weir_core::ManualClock::at(1_795_366_416_324_000_000));
    let id = weir_core::ComponentId::parse("health_check").unwrap();
    let cx = BuildCtx::standalone(id, weir_core::ComponentKind::Extension, None);
    let check =
        HealthCheck { state: Arc::new(state(Config::default(), clock.clone())), cx, stop: Stop::default() };
    let answer = check.state.answer();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        answer.body().as_ref(),
        br#"{"status":"Server not available","upSince":"0001-01-01T00:00:00Z","uptime":""}"#
    );
    check.ready();
    clock.advance(Duration::from_millis(5360));
    let answer = check.state.answer();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(
        answer.body().as_ref(),
        br#"{"status":"Server available","upSince":"2026-11-22T16:53:36.324Z","uptime":"5.36s"}"#
    );
    check.not_ready();
    assert_eq!(check.state.answer().status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn configured_bodies_and_paths_are_used() {
    let body = ResponseBody { healthy: "up".into(), unhealthy: "down".into() };
    let config = Config { path: "/health".into(), response_body: Some(body), ..Config::default() };
    assert!(config.serves("/health") && !config.serves("/") && !config.serves("/health/x"));
    assert!(Config::default().serves("/anything"));
    let state = state(config, Arc::default());
    assert_eq!(state.answer().body().as_ref(), b"down");
}
