//! How groups are put together.
#![allow(clippy::unwrap_used)]
use super::*;

fn cx() -> BuildCtx {
    let id = weir_core::ComponentId::parse("prometheus").unwrap();
    BuildCtx::standalone(id, weir_core::ComponentKind::Receiver, None)
}

#[tokio::test(start_paused = true)]
async fn static_targets_are_there_at_once_and_labels_may_set_the_address() {
    let mut labels = BTreeMap::from([("zone".to_owned(), "a".to_owned())]);
    let plain = StaticConfig {
        targets: vec!["h:1".into(), "h:2".into()],
        labels: labels.clone(),
    };
    labels.insert("__address__".into(), "other:9".into());
    let own = StaticConfig {
        targets: vec!["h:3".into()],
        labels,
    };
    let stop = Stop::default();
    let sources = Sources {
        statics: &[plain, own],
        ..Sources::default()
    };
    let groups = start(&sources, "job", &cx(), stop.clone()).borrow().clone();
    let address = |t: &TargetLabels| {
        t.iter()
            .find(|(k, _)| k == "__address__")
            .unwrap()
            .1
            .clone()
    };
    let all: Vec<_> = groups
        .iter()
        .flat_map(|g| g.targets.iter().map(address))
        .collect();
    assert_eq!(all, ["h:1", "h:2", "other:9"]);
    assert!(groups[0].targets[0].contains(&("zone".into(), "a".into())));
    stop.stop(weir_core::Deadline::after(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn updates_are_put_together_and_an_empty_group_removes_its_source() {
    let (publish, mut published) = watch::channel(Arc::new(Vec::new()));
    let (updates, received) = mpsc::channel(8);
    let stop = Stop::default();
    let group = |source: &str, n: usize| Group {
        source: source.into(),
        targets: (0..n)
            .map(|i| with_labels(&format!("h:{i}"), &BTreeMap::new()))
            .collect(),
    };
    let tasks = weir_core::Tasks::default();
    let dropped = Arc::new(DroppedTargets::new(10));
    let keep = Keep::new(
        |target| !target.contains(&("__address__".into(), "h:1".into())),
        Some(Arc::clone(&dropped)),
    );
    tasks.spawn(
        "merge",
        merge(BTreeMap::new(), received, publish, stop.clone(), Some(keep)),
    );
    updates.send(vec![group("a", 1)]).await.unwrap();
    updates.send(vec![group("b", 2)]).await.unwrap();
    published.changed().await.unwrap();
    {
        let groups = published.borrow_and_update();
        assert_eq!(groups.len(), 2);
        // a target that is not wanted is not kept
        assert_eq!(groups[1].targets.len(), 1);
        assert_eq!(
            (dropped.count(), dropped.kept()),
            (1, vec![with_labels("h:1", &BTreeMap::new())])
        );
    }
    updates.send(vec![group("a", 0)]).await.unwrap();
    published.changed().await.unwrap();
    assert_eq!(
        published
            .borrow()
            .iter()
            .map(|g| g.source.as_str())
            .collect::<Vec<_>>(),
        ["b"]
    );
    // with its source a dropped target is gone, too
    updates.send(vec![group("b", 0)]).await.unwrap();
    published.changed().await.unwrap();
    assert_eq!(dropped.count(), 0);
    stop.stop(weir_core::Deadline::after(Duration::ZERO));
}
