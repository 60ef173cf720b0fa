//! The shared files.

use super::{IMDS, IN_AN_HOUR, Machine, STS, document, instance, key_of, ok, sts_answer};
use crate::Service;
use crate::endpoint::EndpointSettings;

fn with_config(text: &str) -> Machine {
    let machine = Machine::new();
    machine.file(".aws/config", text);
    machine
}

#[tokio::test(start_paused = true)]
async fn profiles_are_read_from_both_files() {
    let mut machine = with_config(
        "# remark\n[default]\nregion=wrong\n[profile default] ; remark\nREGION = eu-central-1 # here\n\
         [profile other]\naws_access_key_id = OTHER\naws_secret_access_key = s;#x\n\
         [stray]\naws_access_key_id = STRAY\naws_secret_access_key = s\n",
    );
    machine.file(
        ".aws/credentials",
        "[default]\naws_access_key_id=A\naws_secret_access_key=s\n[profile x]\naws_access_key_id=X\n",
    );
    assert_eq!(machine.key().await, "A");
    machine.settings.region.clear();
    assert_eq!(machine.surroundings().region, "eu-central-1");
    machine.set("AWS_DEFAULT_PROFILE", "other");
    assert_eq!(machine.key().await, "OTHER");
    machine.set("AWS_PROFILE", "stray");
    let why = machine.key().await;
    assert!(
        why.starts_with("failed to get shared config profile, stray"),
        "{why}"
    );
    let elsewhere = machine.file(
        "elsewhere",
        "[stray]\naws_access_key_id=E\naws_secret_access_key=s\n",
    );
    machine.set("AWS_SHARED_CREDENTIALS_FILE", &elsewhere);
    assert_eq!(machine.key().await, "E");
    machine.set(
        "AWS_CONFIG_FILE",
        machine.folder.path().to_str().unwrap().to_owned().as_str(),
    );
    assert!(
        machine
            .profiles()
            .err()
            .unwrap()
            .0
            .contains("cannot be read")
    );
}

#[tokio::test(start_paused = true)]
async fn a_role_of_a_profile_is_assumed_with_its_source_profile() {
    let mut machine = with_config(
        "[default]\nrole_arn = outer\nsource_profile = middle\nrole_session_name = n\n\
         external_id = x\nduration_seconds = 1800\n\
         [profile middle]\nrole_arn = inner\nsource_profile = middle\n\
         aws_access_key_id = BASE\naws_secret_access_key = s\n",
    );
    machine.web.on(
        STS,
        [
            sts_answer("INNER", IN_AN_HOUR),
            sts_answer("OUTER", IN_AN_HOUR),
            sts_answer("TOP", IN_AN_HOUR),
        ],
    );
    assert_eq!(machine.key().await, "OUTER");
    let signed = |at| machine.web.header(at, "authorization").unwrap();
    assert!(signed(0).contains("Credential=BASE/"));
    assert!(signed(1).contains("Credential=INNER/"));
    assert!(
        machine
            .web
            .body(1)
            .ends_with("&DurationSeconds=1800&RoleArn=outer&RoleSessionName=n&ExternalId=x")
    );
    // A configured role on top of it all.
    machine.role(crate::AssumeRole {
        arn: "top".to_owned(),
        ..crate::AssumeRole::default()
    });
    assert_eq!(machine.key().await, "TOP");
}

#[tokio::test(start_paused = true)]
async fn a_role_of_a_profile_is_assumed_with_a_named_source() {
    let mut machine =
        with_config("[default]\nrole_arn = r\ncredential_source = Ec2InstanceMetadata\n");
    instance(&machine.web);
    machine.web.on(STS, [sts_answer("ROLE", IN_AN_HOUR)]);
    assert_eq!(machine.key().await, "ROLE");
    assert_eq!(machine.web.asked()[0], format!("PUT {IMDS}/api/token"));
    let last = machine.web.count() - 1;
    let signed = machine.web.header(last, "authorization").unwrap();
    assert!(signed.contains("Credential=INSTANCE/"), "{signed}");

    machine.file(
        ".aws/config",
        "[default]\nrole_arn = r\ncredential_source = EcsContainer\n",
    );
    let why = machine.key().await;
    assert!(why.contains("AWS_CONTAINER_CREDENTIALS_FULL_URI"), "{why}");
    machine.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/");
    machine
        .web
        .on("GET http://127.0.0.1:9/", [ok(document("C"))]);
    assert_eq!(machine.key().await, "ROLE");

    machine.file(
        ".aws/config",
        "[default]\nrole_arn = r\ncredential_source = Environment\n",
    );
    assert!(machine.key().await.contains("AWS_ACCESS_KEY_ID"));
    machine.file(
        ".aws/config",
        "[default]\nrole_arn = r\ncredential_source = Elsewhere\n",
    );
    assert!(machine.key().await.contains("`Elsewhere`"));
}

#[tokio::test(start_paused = true)]
async fn a_web_identity_of_a_profile_is_exchanged() {
    let machine = Machine::new();
    let token = machine.file("token", "tok");
    machine.file(
        ".aws/config",
        &format!("[default]\nrole_arn = r\nweb_identity_token_file = {token}\n"),
    );
    machine.web.on(STS, [sts_answer("WEB", IN_AN_HOUR)]);
    assert_eq!(machine.key().await, "WEB");
    assert!(machine.web.body(0).contains("WebIdentityToken=tok"));
    assert_eq!(machine.web.count(), 1);
}

/// Profiles that can never work fail at the start, with the cure.
#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_profile_is_told_at_the_start() {
    for (text, expected) in [
        ("source_profile = x", "add `role_arn`"),
        (
            "role_arn = r\nsource_profile = x",
            "names `x`, which is not there",
        ),
        (
            "role_arn = r\nsource_profile = x\ncredential_source = Environment",
            "exclude each other",
        ),
        ("web_identity_token_file = f", "needs `role_arn`"),
        (
            "role_arn = r\nsource_profile = loop\n[profile loop]\nrole_arn = r\nsource_profile = default",
            "never end",
        ),
        (
            "role_arn = r\nmfa_serial = m\naws_access_key_id = k\naws_secret_access_key = s",
            "`mfa_serial`",
        ),
        (
            "role_arn = r\nduration_seconds = long\naws_access_key_id = k\naws_secret_access_key = s",
            "`duration_seconds`",
        ),
        ("login_session = arn", "`login_session` is not supported"),
        ("sso_account_id = 1\nsso_role_name = r", "`sso_start_url`"),
        ("sso_session = s", "no section [sso-session s]"),
    ] {
        let machine = with_config(&format!("[default]\n{text}\n"));
        let error = machine.find().await.unwrap_err().0;
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_program_hands_out_credentials() {
    for (command, expected) in [
        ("cat $HOME/keys", "no place to start"),
        (
            "printf '%s' '{\"AccessKeyId\":\"P\",\"SecretAccessKey\":\"s\"}'",
            "Version",
        ),
        (
            "printf '%s' '{\"Version\":1,\"AccessKeyId\":\"P\",\"SecretAccessKey\":\"s\"}'",
            "P",
        ),
        ("echo nothing", "gave no JSON with credentials"),
        ("echo because >&2; exit 3", "exit status: 3: because"),
    ] {
        let machine = with_config(&format!("[default]\ncredential_process = {command}\n"));
        let why = machine.key().await;
        if expected == "no place to start" {
            assert!(why.contains("ended with"), "{why}");
            continue;
        }
        assert!(why.contains(expected), "{command}: {why}");
        // The command may hold secrets.
        assert!(!format!("{:?}", machine.find().await).contains(command));
    }
}

/// Endpoints of the profile: `services`, `endpoint_url`, FIPS and dual-stack.
#[test]
fn endpoints_come_from_variables_and_then_from_the_profile() {
    let mut machine = with_config(
        "[default]\nservices = local\nendpoint_url = http://profile\n\
         [services local]\nxray =\n  endpoint_url = http://services-xray\nsts = \n\tendpoint_url = http://services-sts\n",
    );
    let url = |machine: &Machine, service: Service| {
        let settings = EndpointSettings::read(&machine.variables, &machine.profiles().unwrap());
        service.url("", "eu-west-1", &settings)
    };
    assert_eq!(url(&machine, Service::XRay), "http://services-xray");
    assert_eq!(url(&machine, Service::Sts), "http://services-sts");
    assert_eq!(url(&machine, Service::Logs), "http://profile");
    machine.set("AWS_ENDPOINT_URL", "http://variable");
    assert_eq!(url(&machine, Service::XRay), "http://variable");
    machine.set("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "http://logs");
    assert_eq!(url(&machine, Service::Logs), "http://logs");
    machine.file(
        ".aws/config",
        "[default]\nignore_configured_endpoint_urls = true\nuse_fips_endpoint = true\n\
         use_dualstack_endpoint = true\n",
    );
    assert_eq!(
        url(&machine, Service::Logs),
        "https://logs-fips.eu-west-1.api.aws"
    );
}

/// AWS-29: what the exporters configure for their service does not reach the credential calls: they
/// know the environment and the profile only.
#[tokio::test(start_paused = true)]
async fn credential_calls_keep_to_the_environment() {
    let mut machine = with_config("[default]\nrole_arn = r\ncredential_source = Environment\n");
    machine
        .set("AWS_ACCESS_KEY_ID", "BASE")
        .set("AWS_SECRET_ACCESS_KEY", "s")
        .set("AWS_ENDPOINT_URL_XRAY", "http://xray")
        .set("AWS_PROFILE", "default");
    machine.variables.remove("AWS_ACCESS_KEY_ID");
    assert!(machine.find().await.is_err());
    machine.set("AWS_ACCESS_KEY_ID", "BASE");
    let found = machine.find().await.unwrap();
    assert_eq!(key_of(&*found).await, "BASE");
    assert_eq!(machine.web.count(), 0);
}
