//! Which source is used, and the region.

use super::{IMDS, IN_AN_HOUR, key_of};
use super::{Machine, STS, document, instance, ok, status, sts_answer};
use crate::region::region_of_instance;

/// AWS-18: environment keys, web identity, profile, container, instance.
#[tokio::test(start_paused = true)]
async fn the_first_configured_source_is_used() {
    let mut machine = Machine::new();
    let token = machine.file("token", "web.identity.token\n");
    machine.file(
        ".aws/credentials",
        "[default]\naws_access_key_id = PROFILE\naws_secret_access_key = s\n",
    );
    machine
        .set("AWS_ACCESS_KEY_ID", "ENVIRONMENT")
        .set("AWS_SECRET_ACCESS_KEY", "s")
        .set("AWS_WEB_IDENTITY_TOKEN_FILE", &token)
        .set("AWS_ROLE_ARN", "arn:aws:iam::1:role/web")
        .set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/task")
        .set(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "http://127.0.0.1:9/full",
        );
    machine.web.on(STS, [sts_answer("WEB", IN_AN_HOUR)]);
    machine
        .web
        .on("GET http://169.254.170.2/task", [ok(document("TASK"))]);
    machine
        .web
        .on("GET http://127.0.0.1:9/full", [ok(document("FULL"))]);
    instance(&machine.web);
    for (away, key) in [
        ("nothing", "ENVIRONMENT"),
        ("AWS_SECRET_ACCESS_KEY", "WEB"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "PROFILE"),
        ("profile", "TASK"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "FULL"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "INSTANCE"),
    ] {
        machine.variables.remove(away);
        if away == "profile" {
            machine.file(".aws/credentials", "");
        }
        assert_eq!(machine.key().await, key, "without {away}");
    }
}

/// AWS-18: a chosen source that fails is the failure.
#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_not_followed_by_the_next() {
    let mut machine = Machine::new();
    instance(&machine.web);
    machine
        .set("AWS_WEB_IDENTITY_TOKEN_FILE", "/does/not/exist")
        .set("AWS_ROLE_ARN", "arn:aws:iam::1:role/web");
    let why = machine.key().await;
    assert!(
        why.starts_with("unable to retrieve token file: /does/not/exist"),
        "{why}"
    );
    machine.variables.remove("AWS_ROLE_ARN");
    let why = machine.key().await;
    assert!(why.contains("AWS_ROLE_ARN is not"), "{why}");
    assert_eq!(machine.web.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn older_names_of_the_variables_count_and_blanks_do_not() {
    let mut machine = Machine::new();
    machine
        .set("AWS_ACCESS_KEY_ID", " ")
        .set("AWS_ACCESS_KEY", "OLDER\n")
        .set("AWS_SECRET_KEY", "s");
    assert_eq!(machine.key().await, "OLDER");
}

#[tokio::test(start_paused = true)]
async fn without_any_source_the_error_says_what_to_set() {
    let mut machine = Machine::new();
    machine.set("AWS_EC2_METADATA_DISABLED", "TRUE");
    let why = machine.key().await;
    assert_eq!(
        why,
        "none in the environment, the profile or a container, and access disabled to EC2 IMDS by \
         AWS_EC2_METADATA_DISABLED"
    );
    // A session to sign with is not asked for before it is needed.
    let found = machine.find().await.unwrap();
    assert!(key_of(&*found).await.starts_with("none in"));
}

/// AWS-24.
#[tokio::test(start_paused = true)]
async fn the_region_comes_from_configuration_variables_profile_instance() {
    let mut machine = Machine::new();
    machine.settings.region.clear();
    machine.file(".aws/config", "[default]\nregion = from-profile\n");
    machine
        .set("AWS_REGION", "from-region")
        .set("AWS_DEFAULT_REGION", "from-default");
    for (away, region) in [
        ("", "from-region"),
        ("AWS_REGION", "from-default"),
        ("AWS_DEFAULT_REGION", "from-profile"),
    ] {
        machine.variables.remove(away);
        assert_eq!(machine.surroundings().region, region);
    }
    "configured".clone_into(&mut machine.settings.region);
    assert_eq!(machine.surroundings().region, "configured");

    instance(&machine.web);
    let path = format!("GET {IMDS}/meta-data/placement/region");
    machine.web.on(&path, [ok("sa-east-1\n"), status(404)]);
    let around = machine.surroundings();
    assert_eq!(region_of_instance(&around).await.unwrap(), "sa-east-1");
    let error = region_of_instance(&around).await.unwrap_err().0;
    assert!(
        error.starts_with(
            "cannot fetch region variable from config file, environment variables and ec2 metadata"
        ),
        "{error}"
    );
    machine.set("AWS_EC2_METADATA_DISABLED", "true");
    let error = region_of_instance(&machine.surroundings())
        .await
        .unwrap_err()
        .0;
    assert!(error.contains("access disabled to EC2 IMDS"), "{error}");
    assert!(error.contains("AWS_REGION"), "{error}");
}
