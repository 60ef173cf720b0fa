//! Containers and the instance metadata service.

use super::{IMDS, IN_AN_HOUR, Machine, ROLES, document, instance, key_of, ok, status};

const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";

/// AWS-20: plain http only to this machine, this task, this pod.
#[tokio::test(start_paused = true)]
async fn container_credentials_never_cross_a_network_in_the_clear() {
    for (address, right) in [
        ("http://127.0.0.1:9/creds", true),
        ("http://localhost/creds", true),
        ("http://[::1]/creds", true),
        ("http://169.254.170.2/v1/credentials", true),
        ("http://169.254.170.23/v1/credentials", true),
        ("http://[fd00:ec2::23]/v1/credentials", true),
        ("https://creds.example/x", true),
        ("http://10.1.2.3/creds", false),
        ("http://169.254.169.254/creds", false),
        ("ftp://127.0.0.1/creds", false),
        ("/creds", false),
        ("nonsense url", false),
    ] {
        let mut machine = Machine::new();
        machine.set(FULL, address);
        let result = machine.find().await;
        assert_eq!(result.is_ok(), right, "{address}");
        if let Err(error) = result {
            assert!(
                error.0.starts_with(&format!("{FULL} `{address}`")),
                "{error}"
            );
        }
        // It does not matter when keys come first.
        machine
            .set("AWS_ACCESS_KEY_ID", "k")
            .set("AWS_SECRET_ACCESS_KEY", "s");
        assert!(machine.find().await.is_ok());
        assert_eq!(machine.web.count(), 0);
    }
}

/// AWS-20: EKS Pod Identity; the token in the file is exchanged now and then.
#[tokio::test(start_paused = true)]
async fn the_authorization_of_a_pod_is_read_for_each_fetch() {
    let mut machine = Machine::new();
    let file = machine.file("token", "first\n");
    machine
        .set(FULL, "http://169.254.170.23/v1/credentials")
        .set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "not this")
        .set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &file);
    machine.web.on(
        "GET http://169.254.170.23/v1/credentials",
        [ok(document("POD-1")), ok(document("POD-2"))],
    );
    let found = machine.find().await.unwrap();
    assert_eq!(key_of(&*found).await, "POD-1");
    machine.file("token", "second");
    // Fifty-five minutes later they are renewed, five minutes early.
    machine.clock.advance(std::time::Duration::from_secs(3_301));
    assert_eq!(key_of(&*found).await, "POD-2");
    let sent = |at| machine.web.header(at, "authorization").unwrap();
    assert_eq!(
        (sent(0), sent(1)),
        ("first".to_owned(), "second".to_owned())
    );

    machine.file("token", "in\r\njected: header");
    let why = machine.key().await;
    assert!(why.contains("line breaks"), "{why}");
    machine.set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/does/not/exist");
    let why = machine.key().await;
    assert!(why.contains("/does/not/exist"), "{why}");
}

/// AWS-21.
#[tokio::test(start_paused = true)]
async fn a_task_asks_the_agent_of_ecs() {
    let mut machine = Machine::new();
    machine.set(
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "/v2/credentials/7",
    );
    machine.web.on(
        "GET http://169.254.170.2/v2/credentials/7",
        [status(503), ok(document("TASK"))],
    );
    assert_eq!(machine.key().await, "TASK");
    assert_eq!(machine.web.count(), 2);
    assert_eq!(machine.web.header(0, "authorization"), None);
}

#[tokio::test(start_paused = true)]
async fn what_a_container_endpoint_answers_wrongly_is_told() {
    let refused = r#"{"code":"AccessDenied","message":"no role"}"#;
    for (reply, expected) in [
        (
            Some((403, Vec::new(), refused.to_owned())),
            "status 403 AccessDenied no role",
        ),
        (status(404), "status 404"),
        (ok("<html>"), "gave no JSON with credentials"),
        (ok("{}"), "gave no AccessKeyId"),
        (ok(r#"{"AccessKeyId":"a"}"#), "gave no SecretAccessKey"),
        (
            ok(r#"{"AccessKeyId":"a","SecretAccessKey":"s","Expiration":"tomorrow"}"#),
            "`tomorrow`",
        ),
        (None, "failed 3 times, at last: no answer"),
    ] {
        let mut machine = Machine::new();
        machine.set(FULL, "http://127.0.0.1:9/");
        machine.web.on("GET http://127.0.0.1:9/", [reply]);
        let why = machine.key().await;
        assert!(why.contains(expected), "{why}");
    }
}

/// AWS-22: version 2.
#[tokio::test(start_paused = true)]
async fn an_instance_is_asked_with_a_session_token() {
    let machine = Machine::new();
    instance(&machine.web);
    let found = machine.find().await.unwrap();
    assert_eq!(machine.web.count(), 0);
    assert_eq!(key_of(&*found).await, "INSTANCE");
    let web = &machine.web;
    assert_eq!(
        web.asked(),
        [
            format!("PUT {IMDS}/api/token"),
            format!("GET {ROLES}"),
            format!("GET {ROLES}node-role")
        ]
    );
    let ttl = web.header(0, "x-aws-ec2-metadata-token-ttl-seconds");
    assert_eq!(ttl.as_deref(), Some("300"));
    for at in 1..3 {
        let token = web.header(at, "x-aws-ec2-metadata-token");
        assert_eq!(token.as_deref(), Some("token-1"));
    }
}

/// AWS-22: a token that is not accepted any more is replaced.
#[tokio::test(start_paused = true)]
async fn a_refused_session_token_is_replaced() {
    let machine = Machine::new();
    instance(&machine.web);
    machine
        .web
        .on(&format!("PUT {IMDS}/api/token"), [ok("old"), ok("new")]);
    machine.web.on(
        &format!("GET {ROLES}node-role"),
        [status(401), ok(document("I"))],
    );
    assert_eq!(machine.key().await, "I");
    let token = machine.web.header(4, "x-aws-ec2-metadata-token");
    assert_eq!(token.as_deref(), Some("new"));
}

/// AWS-22: version 1 where there are no tokens, unless that is switched off.
#[tokio::test(start_paused = true)]
async fn version_one_is_used_where_there_are_no_tokens_and_it_is_allowed() {
    for token in [status(404), status(403), status(405), None] {
        let mut machine = Machine::new();
        instance(&machine.web);
        machine
            .web
            .on(&format!("PUT {IMDS}/api/token"), [token.clone()]);
        assert_eq!(machine.key().await, "INSTANCE", "{token:?}");
        let last = machine.web.count() - 1;
        assert_eq!(machine.web.header(last, "x-aws-ec2-metadata-token"), None);

        machine.set("AWS_EC2_METADATA_V1_DISABLED", "true");
        let why = machine.key().await;
        assert!(why.contains("hop limit"), "{why}");
    }
    let machine = Machine::new();
    instance(&machine.web);
    machine
        .web
        .on(&format!("PUT {IMDS}/api/token"), [status(404)]);
    machine.file(
        ".aws/config",
        "[default]\nec2_metadata_v1_disabled = true\n",
    );
    assert!(machine.key().await.contains("hop limit"));
}

/// AWS-22: switches and addresses.
#[tokio::test(start_paused = true)]
async fn the_metadata_service_is_switched_off_and_moved_by_variables() {
    let mut machine = Machine::new();
    machine.set("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6");
    let v6 = "http://[fd00:ec2::254]/latest";
    machine.web.on("PUT http://[fd00", [ok("t")]);
    let roles = format!("GET {v6}/meta-data/iam/security-credentials/");
    machine.web.on(&roles, [ok("r")]);
    machine.web.on(&format!("{roles}r"), [ok(document("V6"))]);
    assert_eq!(machine.key().await, "V6");
    machine.set("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv5");
    assert!(machine.key().await.contains("write IPv4 or IPv6"));
    machine.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9/");
    machine.web.on("PUT http://127.0.0.1:9/latest", [ok("t")]);
    let roles = "GET http://127.0.0.1:9/latest/meta-data/iam/security-credentials/";
    machine.web.on(roles, [ok("")]);
    assert!(machine.key().await.contains("the instance has no role"));
    machine.web.on(roles, [status(404)]);
    assert!(machine.key().await.contains("HTTP status 404"));
    machine.set("AWS_EC2_METADATA_DISABLED", "true");
    let before = machine.web.count();
    assert!(machine.key().await.contains("AWS_EC2_METADATA_DISABLED"));
    assert_eq!(machine.web.count(), before);
}

#[tokio::test(start_paused = true)]
async fn an_instance_without_credentials_says_why() {
    let machine = Machine::new();
    instance(&machine.web);
    let failed = r#"{"Code":"AssumeRoleUnauthorizedAccess","Message":"no trust"}"#;
    machine
        .web
        .on(&format!("GET {ROLES}node-role"), [ok(failed)]);
    let why = machine.key().await;
    assert!(
        why.contains("node-role: AssumeRoleUnauthorizedAccess no trust"),
        "{why}"
    );
    machine
        .web
        .on(&format!("GET {ROLES}node-role"), [status(500)]);
    assert!(machine.key().await.contains("HTTP status 500"));
    assert!(IN_AN_HOUR.ends_with('Z'));
}
