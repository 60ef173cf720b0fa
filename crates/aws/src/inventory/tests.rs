//! Answers of EC2 as its reference has them; the calls themselves are tried by discovery.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::ec2::read_instances;

#[test]
fn instances_of_a_page() {
    let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <requestId>r</requestId>
  <reservationSet><item><reservationId>r-1</reservationId><ownerId>123456789012</ownerId><instancesSet>
    <item>
      <instanceId>i-1</instanceId><imageId>ami-1</imageId><instanceState><code>16</code><name>running</name></instanceState>
      <privateDnsName>ip-10-0-0-1.ec2.internal</privateDnsName><dnsName>ec2-1.example</dnsName>
      <instanceType>t3.small</instanceType><placement><availabilityZone>eu-west-1a</availabilityZone><tenancy>default</tenancy></placement>
      <architecture>x86_64</architecture><subnetId>s-1</subnetId><vpcId>vpc-1</vpcId>
      <privateIpAddress>10.0.0.1</privateIpAddress><ipAddress>1.2.3.4</ipAddress><ipv6Address>fd00::1</ipv6Address>
      <instanceLifecycle>spot</instanceLifecycle>
      <networkInterfaceSet>
        <item><subnetId>s-1</subnetId><attachment><deviceIndex>0</deviceIndex></attachment><privateIpAddress>10.0.0.1</privateIpAddress>
          <ipv6AddressesSet><item><ipv6Address>fd00::1</ipv6Address><isPrimaryIpv6>true</isPrimaryIpv6></item><item><ipv6Address>fd00::2</ipv6Address></item></ipv6AddressesSet></item>
        <item><attachment><deviceIndex>1</deviceIndex></attachment></item>
      </networkInterfaceSet>
      <tagSet><item><key>Name</key><value>a &amp; b</value></item><item><key>none</key></item><item><key>empty</key><value/></item></tagSet>
    </item>
    <item><instanceId>i-2</instanceId></item>
  </instancesSet></item></reservationSet>
  <nextToken>more</nextToken>
</DescribeInstancesResponse>"#;
    let (found, next) = read_instances(xml).unwrap();
    assert_eq!(next.as_deref(), Some("more"));
    assert_eq!(found.len(), 2);
    let first = &found[0];
    for (text, expected) in [
        (&first.id, "i-1"),
        (&first.owner, "123456789012"),
        (&first.architecture, "x86_64"),
        (&first.image, "ami-1"),
        (&first.zone, "eu-west-1a"),
        (&first.lifecycle, "spot"),
        (&first.state, "running"),
        (&first.kind, "t3.small"),
        (&first.private_ip, "10.0.0.1"),
        (&first.private_dns, "ip-10-0-0-1.ec2.internal"),
        (&first.public_ip, "1.2.3.4"),
        (&first.public_dns, "ec2-1.example"),
        (&first.ipv6, "fd00::1"),
        (&first.vpc, "vpc-1"),
        (&first.subnet, "s-1"),
    ] {
        assert_eq!(text, expected);
    }
    assert_eq!(first.interfaces.len(), 1, "one has no subnet");
    assert_eq!(
        first.interfaces[0].ipv6,
        [("fd00::1".to_owned(), true), ("fd00::2".to_owned(), false)]
    );
    let tags = [("Name", "a & b"), ("empty", "")];
    assert_eq!(first.tags, tags.map(|(k, v)| (k.to_owned(), v.to_owned())));
    assert_eq!(
        (found[1].id.as_str(), found[1].private_ip.as_str()),
        ("i-2", "")
    );
}

#[test]
fn what_is_no_answer_is_an_error() {
    for text in ["", "<html>", "{}"] {
        let error = read_instances(text).unwrap_err();
        assert!(error.to_string().contains("unreadable answer"), "{error}");
    }
    assert_eq!(read_instances("<x/>").unwrap(), (vec![], None));
}
