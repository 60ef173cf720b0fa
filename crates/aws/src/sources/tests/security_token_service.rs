//! Roles, with keys and with web identities.

use std::time::Duration;

use super::{IN_AN_HOUR, Machine, STS, key_of, status, sts_answer, sts_error};
use crate::AssumeRole;

const DATE_OF_TOMORROW: &str = "Wed, 15 Nov 2023 22:13:20 GMT";

fn with_keys() -> Machine {
    let mut machine = Machine::new();
    machine
        .set("AWS_ACCESS_KEY_ID", "BASE")
        .set("AWS_SECRET_ACCESS_KEY", "s");
    machine.role(AssumeRole {
        arn: "arn:aws:iam::1:role/r+x".to_owned(),
        ..AssumeRole::default()
    });
    machine
}

/// AWS-30: with the base keys, at the first request.
#[tokio::test(start_paused = true)]
async fn a_role_is_assumed_on_top_of_the_chain_when_it_is_needed() {
    let machine = with_keys();
    machine.web.on(STS, [sts_answer("ROLE", IN_AN_HOUR)]);
    let found = machine.find().await.unwrap();
    assert_eq!(machine.web.count(), 0);
    assert_eq!(key_of(&*found).await, "ROLE");
    assert_eq!(key_of(&*found).await, "ROLE");
    assert_eq!(machine.web.count(), 1);
    assert_eq!(
        machine.web.body(0),
        "Action=AssumeRole&Version=2011-06-15&DurationSeconds=900\
         &RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr%2Bx\
         &RoleSessionName=aws-go-sdk-1700000000000000000"
    );
    let authorization = machine.web.header(0, "authorization").unwrap();
    assert!(
        authorization.contains("Credential=BASE/20231114/eu-west-1/sts/aws4_request"),
        "{authorization}"
    );
}

/// AWS-17: external id and session name; AWS-16: the region of STS is that of the role.
#[tokio::test(start_paused = true)]
async fn external_id_session_name_and_region_of_a_role_are_sent() {
    let mut machine = with_keys();
    machine.role(AssumeRole {
        arn: "arn".to_owned(),
        external_id: "e/7".to_owned(),
        session_name: "me".to_owned(),
        region: "cn-north-1".to_owned(),
        ..AssumeRole::default()
    });
    let url = "POST https://sts.cn-north-1.amazonaws.com.cn/";
    machine.web.on(url, [sts_answer("ROLE", IN_AN_HOUR)]);
    assert_eq!(machine.key().await, "ROLE");
    assert!(
        machine
            .web
            .body(0)
            .ends_with("&RoleArn=arn&RoleSessionName=me&ExternalId=e%2F7")
    );
    let authorization = machine.web.header(0, "authorization").unwrap();
    assert!(
        authorization.contains("/cn-north-1/sts/"),
        "{authorization}"
    );
}

/// AWS-30: the refusal names the role, the code and the service's words, and is no passing one.
#[tokio::test(start_paused = true)]
async fn a_role_that_may_not_be_assumed_is_told_at_the_first_request() {
    let machine = with_keys();
    machine.web.on(STS, [sts_error(403, "AccessDenied", "")]);
    let found = machine.find().await.unwrap();
    let error = found.credentials().await.unwrap_err();
    assert!(error.denied);
    assert_eq!(
        error.message,
        "AssumeRole of arn:aws:iam::1:role/r+x: status 403, AccessDenied: it said no"
    );
    assert_eq!(machine.web.count(), 1);
}

/// Passing failures are tried three times.
#[tokio::test(start_paused = true)]
async fn a_service_that_fails_is_asked_again() {
    let machine = with_keys();
    machine
        .web
        .on(STS, [status(503), None, sts_answer("ROLE", IN_AN_HOUR)]);
    assert_eq!(machine.key().await, "ROLE");
    let machine = with_keys();
    machine.web.on(STS, [status(503)]);
    let error = machine.find().await.unwrap().credentials().await;
    let error = error.unwrap_err();
    assert!(!error.denied);
    assert!(
        error
            .message
            .ends_with("failed 3 times, at last: HTTP status 503"),
        "{error}"
    );
}

/// A clock that is off is corrected by the service's, once.
#[tokio::test(start_paused = true)]
async fn a_wrong_clock_is_corrected_by_the_date_of_the_refusal() {
    for code in ["SignatureDoesNotMatch", "RequestExpired"] {
        let machine = with_keys();
        let late = "2023-11-15T23:13:20Z";
        machine.web.on(
            STS,
            [
                sts_error(403, code, DATE_OF_TOMORROW),
                sts_answer("ROLE", late),
            ],
        );
        let found = machine.find().await.unwrap();
        assert_eq!(key_of(&*found).await, "ROLE");
        let date = |at| machine.web.header(at, "x-amz-date").unwrap();
        assert_eq!(
            (date(0), date(1)),
            ("20231114T221320Z".to_owned(), "20231115T221320Z".to_owned())
        );
        // They are kept until their end by the service's time.
        machine.clock.advance(Duration::from_secs(3000));
        assert_eq!(key_of(&*found).await, "ROLE");
        assert_eq!(machine.web.count(), 2);
    }
    let machine = with_keys();
    machine.web.on(
        STS,
        [sts_error(403, "SignatureDoesNotMatch", DATE_OF_TOMORROW)],
    );
    assert!(machine.key().await.contains("SignatureDoesNotMatch"));
    assert_eq!(machine.web.count(), 2);
}

/// AWS-19: the file is read for each exchange.
#[tokio::test(start_paused = true)]
async fn a_replaced_web_identity_token_is_picked_up() {
    let mut machine = Machine::new();
    let file = machine.file("token", "one\n");
    machine
        .set("AWS_WEB_IDENTITY_TOKEN_FILE", &file)
        .set("AWS_ROLE_ARN", "arn:aws:iam::1:role/web");
    machine.web.on(
        STS,
        [
            sts_answer("A", IN_AN_HOUR),
            sts_answer("B", "2023-11-15T23:13:20Z"),
        ],
    );
    let found = machine.find().await.unwrap();
    assert_eq!(key_of(&*found).await, "A");
    machine.file("token", "two");
    machine.clock.advance(Duration::from_secs(3_600));
    assert_eq!(key_of(&*found).await, "B");
    let form = |session: &str, token: &str| {
        format!(
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15\
             &RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fweb&RoleSessionName={session}\
             &WebIdentityToken={token}"
        )
    };
    let session = "1700000000000000000";
    assert_eq!(machine.web.body(0), form(session, "one"));
    assert_eq!(machine.web.body(1), form(session, "two"));
    assert_eq!(machine.web.header(0, "authorization"), None);

    machine.set("AWS_ROLE_SESSION_NAME", "pod");
    machine.key().await;
    assert_eq!(machine.web.body(2), form("pod", "two"));
}

/// AWS-15: a configured token file is exchanged at the first request, in place of the chain.
#[tokio::test(start_paused = true)]
async fn a_configured_web_identity_takes_the_place_of_the_chain() {
    let mut machine = with_keys();
    let file = machine.file("token", "tok");
    machine.role(AssumeRole {
        arn: "arn".to_owned(),
        web_identity_token_file: file,
        external_id: "not sent".to_owned(),
        ..AssumeRole::default()
    });
    machine.web.on(STS, [sts_answer("WEB", IN_AN_HOUR)]);
    let found = machine.find().await.unwrap();
    assert_eq!(machine.web.count(), 0);
    assert_eq!(key_of(&*found).await, "WEB");
    assert!(machine.web.body(0).ends_with("&WebIdentityToken=tok"));
    assert!(!machine.web.body(0).contains("ExternalId"));
}

#[tokio::test(start_paused = true)]
async fn no_region_and_an_endpoint_without_scheme_are_told() {
    let mut machine = with_keys();
    machine.settings.region.clear();
    assert!(machine.key().await.contains("set `region`"));
    "eu-west-1".clone_into(&mut machine.settings.region);
    machine.set("AWS_ENDPOINT_URL_STS", "127.0.0.1:4566");
    let why = machine.key().await;
    assert!(
        why.contains("`127.0.0.1:4566`") && why.contains("https://"),
        "{why}"
    );
    assert_eq!(machine.web.count(), 0);
    machine.set("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:4566");
    machine.web.on(
        "POST http://127.0.0.1:4566/",
        [sts_answer("LOCAL", IN_AN_HOUR)],
    );
    assert_eq!(machine.key().await, "LOCAL");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_read_is_told_without_its_text() {
    let machine = with_keys();
    let answer = "<Credentials><SecretAccessKey>hush</SecretAccessKey></Credentials>";
    machine.web.on(STS, [super::ok(answer)]);
    let why = machine.key().await;
    assert!(why.ends_with("the answer has no Expiration"), "{why}");
    machine.web.on(STS, [sts_answer("A", "soon")]);
    assert!(machine.key().await.ends_with("`soon` is no time"));
}

/// What passes is tried three times; the sender may try again later as well.
#[tokio::test(start_paused = true)]
async fn codes_that_pass_are_tried_again() {
    for code in [
        "Throttling",
        "IDPCommunicationError",
        "InvalidIdentityToken",
    ] {
        let machine = with_keys();
        let failed = sts_error(400, code, "");
        machine.web.on(
            STS,
            [failed.clone(), failed.clone(), sts_answer("R", IN_AN_HOUR)],
        );
        assert_eq!(machine.key().await, "R");
        let machine = with_keys();
        machine.web.on(STS, [failed]);
        let error = machine.find().await.unwrap().credentials().await;
        assert!(!error.unwrap_err().denied);
        assert_eq!(machine.web.count(), 3);
    }
}

/// Credentials below a role that STS does not take any more are fetched anew, once.
#[tokio::test(start_paused = true)]
async fn refused_base_credentials_are_fetched_anew() {
    let mut machine = with_keys();
    let refused = sts_error(403, "ExpiredToken", "");
    machine.web.on(STS, [refused]);
    assert!(machine.key().await.contains("ExpiredToken"));
    // Fixed keys stay what they are.
    assert_eq!(machine.web.count(), 1);

    machine.variables.remove("AWS_ACCESS_KEY_ID");
    machine.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/");
    machine.web.on(
        "GET http://127.0.0.1:9/",
        [
            super::ok(super::document("OLD")),
            super::ok(super::document("NEW")),
        ],
    );
    machine.web.on(
        STS,
        [
            sts_error(403, "ExpiredToken", ""),
            sts_answer("R", IN_AN_HOUR),
        ],
    );
    assert_eq!(machine.key().await, "R");
    let last = machine.web.count() - 1;
    let signed = machine.web.header(last, "authorization").unwrap();
    assert!(signed.contains("Credential=NEW/"), "{signed}");
}
