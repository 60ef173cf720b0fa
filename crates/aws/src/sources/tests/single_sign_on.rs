//! IAM Identity Center.

use super::{Machine, ok, status};

const PORTAL: &str = "GET https://portal.sso.us-west-2.amazonaws.com/federation/credentials";
const LOGIN: &str = "POST https://oidc.us-west-2.amazonaws.com/token";
const KEYS: &str = r#"{"roleCredentials":{"accessKeyId":"SSO","secretAccessKey":"s","sessionToken":"t","expiration":1700003600000}}"#;

const SESSION: &str = "[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Read+Write\n\
    [sso-session corp]\nsso_region = us-west-2\nsso_start_url = https://corp.example/start\n";

fn sha1_path(text: &str) -> String {
    format!(".aws/sso/cache/{}.json", super::super::sso::sha1_hex(text))
}

fn login(token: &str, end: &str, refresh: bool) -> String {
    let refresh = if refresh {
        r#","refreshToken":"refresh","clientId":"client","clientSecret":"hush""#
    } else {
        ""
    };
    format!(
        r#"{{"accessToken":"{token}","expiresAt":"{end}","startUrl":"https://corp.example/start"{refresh}}}"#
    )
}

#[test]
fn logins_are_filed_under_the_digest_of_their_name() {
    // RFC 3174, test 1.
    assert_eq!(
        super::super::sso::sha1_hex("abc"),
        "a9993e364706816aba3e25717850c26c9cd0d89d"
    );
    assert_ne!(sha1_path("corp"), sha1_path("other"));
}

#[tokio::test(start_paused = true)]
async fn a_login_is_exchanged_for_keys_of_the_role() {
    for (config, name) in [
        (SESSION.to_owned(), "corp"),
        (
            "[default]\nsso_start_url = https://corp.example/start\nsso_region = us-west-2\n\
             sso_account_id = 123456789012\nsso_role_name = Read+Write\n"
                .to_owned(),
            "https://corp.example/start",
        ),
    ] {
        let machine = Machine::new();
        machine.file(".aws/config", &config);
        machine.file(
            &sha1_path(name),
            &login("tok", "2023-11-15T00:00:00Z", true),
        );
        machine.web.on(PORTAL, [ok(KEYS)]);
        assert_eq!(machine.key().await, "SSO");
        assert_eq!(
            machine.web.asked(),
            [format!(
                "{PORTAL}?account_id=123456789012&role_name=Read%2BWrite"
            )]
        );
        let token = machine.web.header(0, "x-amz-sso_bearer_token");
        assert_eq!(token.as_deref(), Some("tok"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_near_its_end_is_renewed_and_left_for_others() {
    let machine = Machine::new();
    machine.file(".aws/config", SESSION);
    let path = machine.file(
        &sha1_path("corp"),
        &login("old", "2023-11-14T22:15:00Z", true),
    );
    machine.web.on(PORTAL, [ok(KEYS)]);
    machine.web.on(
        LOGIN,
        [ok(
            r#"{"accessToken":"new","expiresIn":3600,"refreshToken":"next"}"#,
        )],
    );
    assert_eq!(machine.key().await, "SSO");
    let sent: serde_json::Value = serde_json::from_str(&machine.web.body(0)).unwrap();
    assert_eq!(
        sent,
        serde_json::json!({"grantType": "refresh_token", "clientId": "client",
            "clientSecret": "hush", "refreshToken": "refresh"})
    );
    let token = machine.web.header(1, "x-amz-sso_bearer_token");
    assert_eq!(token.as_deref(), Some("new"));
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(kept["accessToken"], "new");
    assert_eq!(kept["expiresAt"], "2023-11-14T23:13:20Z");
    assert_eq!(kept["refreshToken"], "next");
    assert_eq!(kept["clientSecret"], "hush");
}

#[tokio::test(start_paused = true)]
async fn a_login_that_cannot_be_renewed_is_used_to_its_end() {
    let machine = Machine::new();
    machine.file(".aws/config", SESSION);
    machine.web.on(PORTAL, [ok(KEYS)]);
    machine.web.on(LOGIN, [status(400)]);
    machine.file(
        &sha1_path("corp"),
        &login("old", "2023-11-14T22:15:00Z", true),
    );
    assert_eq!(machine.key().await, "SSO");
    machine.file(
        &sha1_path("corp"),
        &login("old", "2023-11-14T22:00:00Z", true),
    );
    let why = machine.key().await;
    assert!(
        why.contains("HTTP status 400") && why.ends_with("run `aws sso login --profile default`"),
        "{why}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_missing_or_over_asks_for_another() {
    let machine = Machine::new();
    machine.file(".aws/config", SESSION);
    assert!(machine.key().await.contains("there is no SSO login"));
    machine.file(&sha1_path("corp"), "not json");
    assert!(machine.key().await.contains("is no JSON"));
    machine.file(
        &sha1_path("corp"),
        &login("t", "2023-11-14T22:00:00Z", false),
    );
    assert!(machine.key().await.contains("cannot be renewed"));
    machine.file(
        &sha1_path("corp"),
        &login("t", "2023-11-15T22:00:00Z", false),
    );
    for (reply, expected) in [
        (status(401), "not accepted any more: run `aws sso login"),
        (
            status(403),
            "HTTP status 403 for role Read+Write in account 123456789012",
        ),
        (ok("{}"), "has no keys"),
    ] {
        machine.web.on(PORTAL, [reply]);
        let why = machine.key().await;
        assert!(why.contains(expected), "{why}");
        assert!(!why.contains("hush"));
    }
}
