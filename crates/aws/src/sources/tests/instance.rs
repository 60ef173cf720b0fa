//! What an instance tells of itself besides credentials, and its tags.

use std::time::Duration;

use super::{IMDS, Machine, ok, status};
use crate::imds::{Ec2Metadata, Patience};
use crate::instance_tags::describe;

const ID: &str = "/latest/meta-data/instance-id";

fn asking(machine: &Machine, attempts: u32) -> Ec2Metadata {
    let patience = Patience {
        attempts,
        max_backoff: Duration::from_secs(1),
    };
    Ec2Metadata::around(&machine.surroundings(), patience).unwrap()
}

/// PROC-25: all texts with the token of the first.
#[tokio::test(start_paused = true)]
async fn texts_of_an_instance_share_a_session_token() {
    let machine = Machine::new();
    machine
        .web
        .on(&format!("PUT {IMDS}/api/token"), [ok("token-1")]);
    machine.web.on(&format!("GET {IMDS}/"), [ok("i-1\n")]);
    let service = asking(&machine, 3);
    for _ in 0..2 {
        assert_eq!(service.text(ID).await.unwrap(), "i-1");
    }
    assert_eq!(machine.web.count(), 3);
    for at in 1..3 {
        let token = machine.web.header(at, "x-aws-ec2-metadata-token");
        assert_eq!(token.as_deref(), Some("token-1"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_asked_as_often_as_configured_but_not_for_what_it_does_not_know() {
    let asked = |attempts, reply| async move {
        let machine = Machine::new();
        machine.web.on(&format!("PUT {IMDS}/api/token"), [ok("t")]);
        machine.web.on(&format!("GET {IMDS}/"), [reply]);
        asking(&machine, attempts).text(ID).await.unwrap_err();
        machine.web.count() - 1
    };
    assert_eq!(asked(1, status(500)).await, 1);
    assert_eq!(asked(4, status(500)).await, 4);
    assert_eq!(asked(4, status(404)).await, 1);
}

/// PROC-27: the call of the EC2 API, signed with the keys of the chain.
#[tokio::test(start_paused = true)]
async fn tags_are_asked_for_with_a_signed_call() {
    const EC2: &str = "POST https://ec2.eu-west-1.amazonaws.com/";
    let mut machine = Machine::new();
    machine
        .set("AWS_ACCESS_KEY_ID", "KEY")
        .set("AWS_SECRET_ACCESS_KEY", "s");
    machine.web.on(
        EC2,
        [
            ok("<tagSet><item><key>Name</key><value>a</value></item></tagSet>"),
            Some((403, Vec::new(), "<Message>not you</Message>".to_owned())),
        ],
    );
    let around = machine.surroundings();
    let tags = describe(&around, "eu-west-1", "i-1").await.unwrap();
    assert_eq!(tags, [("Name".to_owned(), "a".to_owned())]);
    let body = machine.web.body(0);
    assert!(
        body.starts_with("Action=DescribeTags&Version=2016-11-15&"),
        "{body}"
    );
    assert!(
        body.ends_with("&Filter.1.Name=resource-id&Filter.1.Value.1=i-1"),
        "{body}"
    );
    let authorization = machine.web.header(0, "authorization").unwrap();
    let scope = "Credential=KEY/20231114/eu-west-1/ec2/aws4_request";
    assert!(authorization.contains(scope), "{authorization}");
    let refused = describe(&around, "eu-west-1", "i-1").await.unwrap_err();
    assert!(refused.message.contains("not you") && refused.message.contains("tags_from_imds"));
}
