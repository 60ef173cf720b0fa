//! The address of a container credentials endpoint, checked before anything starts (AWS-20).

use std::net::IpAddr;
use std::path::Path;

use weir_config::Environment;
use weir_core::BuildError;

/// Addresses besides loopback that may hand out credentials without TLS: ECS, EKS Pod Identity.
const LINK_LOCAL: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// Refuses a plain http address outside this machine, if it would be used at all.
pub(crate) async fn check_container_address(
    environment: &(dyn Environment + Sync),
) -> Result<(), BuildError> {
    const VARIABLE: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    let set = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let Some(address) = set(VARIABLE) else {
        return Ok(());
    };
    if set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").is_some() || has_earlier_source(environment) {
        return Ok(());
    }
    let refused = |why: &str| BuildError(format!("{VARIABLE} `{address}`: {why}"));
    let uri: http::Uri = address.parse().map_err(|_| refused("this is not a URL"))?;
    let host = uri.host().ok_or_else(|| refused("it has no host"))?;
    if uri.scheme_str() == Some("https") {
        return Ok(());
    }
    let host = host.trim_matches(['[', ']']);
    let addresses: Vec<IpAddr> = match host.parse() {
        Ok(address) => vec![address],
        Err(_) => tokio::net::lookup_host((host, uri.port_u16().unwrap_or(80)))
            .await
            .map_err(|error| refused(&format!("its host cannot be looked up: {error}")))?
            .map(|address| address.ip())
            .collect(),
    };
    if addresses.iter().all(is_allowed) {
        return Ok(());
    }
    Err(refused(
        "credentials are fetched over http only from loopback, 169.254.170.2, 169.254.170.23 and \
         [fd00:ec2::23]; use https",
    ))
}

fn is_allowed(address: &IpAddr) -> bool {
    let named = |text: &&str| text.parse().is_ok_and(|known: IpAddr| known == *address);
    address.is_loopback() || LINK_LOCAL.iter().any(named)
}

/// Whether a source that comes before containers is configured.
fn has_earlier_source(environment: &dyn Environment) -> bool {
    let set = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let home = set("HOME").unwrap_or_default();
    let file =
        |variable: &str, name: &str| set(variable).unwrap_or_else(|| format!("{home}/.aws/{name}"));
    let keys = set("AWS_ACCESS_KEY_ID").or_else(|| set("AWS_ACCESS_KEY"));
    keys.is_some()
        || set("AWS_WEB_IDENTITY_TOKEN_FILE").is_some()
        || Path::new(&file("AWS_SHARED_CREDENTIALS_FILE", "credentials")).exists()
        || Path::new(&file("AWS_CONFIG_FILE", "config")).exists()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[tokio::test]
    async fn plain_http_is_for_this_machine_only() {
        for (address, right) in [
            ("http://127.0.0.1:9/creds", true),
            ("http://localhost/creds", true),
            ("http://[::1]/creds", true),
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("https://creds.example/x", true),
            ("http://10.1.2.3/creds", false),
            ("http://169.254.169.254/creds", false),
            ("nonsense url", false),
        ] {
            let mut environment = BTreeMap::from([
                ("HOME".to_owned(), "/does/not/exist".to_owned()),
                (
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned(),
                    address.to_owned(),
                ),
            ]);
            let result = check_container_address(&environment).await;
            assert_eq!(result.is_ok(), right, "{address}");
            // It does not matter when keys come first.
            environment.insert("AWS_ACCESS_KEY_ID".to_owned(), "k".to_owned());
            assert!(check_container_address(&environment).await.is_ok());
        }
    }
}
