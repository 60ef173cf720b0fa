//! The task metadata endpoint of ECS, version 4 (Amazon ECS developer guide, "Task metadata endpoint
//! version 4").

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use weir_config::{Environment, ProcessEnvironment};
use weir_core::BuildError;
use weir_net::{HttpClient, HttpClientOptions, ProxyChoice};

/// Set by the ECS agent in every container of a task.
const VARIABLE: &str = "ECS_CONTAINER_METADATA_URI_V4";
/// The same of older agents; its documents know no launch type and no log driver.
const VARIABLE_V3: &str = "ECS_CONTAINER_METADATA_URI";

/// Longest answer that is read. A task has a handful of containers, some kilobytes each.
const MOST_BYTES: usize = 16 << 20;

/// The agent is on the same machine.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where a program learns about the ECS task it runs in.
#[derive(Clone, Debug)]
pub struct EcsTaskMetadata {
    base: String,
    client: HttpClient,
}

/// A document could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url}: {why}")]
pub struct MetadataError {
    url: String,
    why: String,
}

impl EcsTaskMetadata {
    /// The endpoint that the environment names.
    ///
    /// # Errors
    /// Outside a task, and if the address makes no sense.
    pub fn detect() -> Result<Self, BuildError> {
        Self::of(&ProcessEnvironment)
    }

    /// The endpoint that these variables name, of version 4 or 3; `None` outside a task.
    ///
    /// # Errors
    /// If the address makes no sense.
    pub fn found(environment: &dyn Environment) -> Result<Option<Self>, BuildError> {
        [VARIABLE, VARIABLE_V3]
            .into_iter()
            .filter_map(|name| Some((name, environment.get(name)?.trim().to_owned())))
            .find(|(_, base)| !base.is_empty())
            .map(|(name, base)| Self::at(name, &base))
            .transpose()
    }

    /// The endpoint that these variables name.
    ///
    /// # Errors
    /// As [`Self::detect`].
    pub fn of(environment: &dyn Environment) -> Result<Self, BuildError> {
        let failed =
            |why: &str| BuildError(format!("unable to detect task metadata endpoint: {why}"));
        let base = environment
            .get(VARIABLE)
            .filter(|value| !value.trim().is_empty());
        let base = base.ok_or_else(|| {
            failed(&format!(
                "the environment variable {VARIABLE} is not set; it is there in ECS tasks (container \
                 agent 1.39.0, Fargate platform 1.4.0 or later)"
            ))
        })?;
        Self::at(VARIABLE, &base)
    }

    fn at(variable: &str, base: &str) -> Result<Self, BuildError> {
        let failed =
            |why: &str| BuildError(format!("unable to detect task metadata endpoint: {why}"));
        let base = base.trim().trim_end_matches('/').to_owned();
        let uri: Option<Uri> = base.parse().ok();
        let is_http = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https"));
        if !uri.is_some_and(|uri| is_http(&uri) && uri.host().is_some()) {
            return Err(failed(&format!("{variable} `{base}` is not an http URL")));
        }
        let client = HttpClient::new(HttpClientOptions {
            // It is a link-local address that no proxy can reach.
            proxy: ProxyChoice::None,
            ..HttpClientOptions::default()
        });
        let client = client.map_err(|error| failed(&error.to_string()))?;
        Ok(Self { base, client })
    }

    /// The JSON document on the container that asks.
    ///
    /// # Errors
    /// If the endpoint does not give it.
    pub async fn container(&self) -> Result<Bytes, MetadataError> {
        self.get("").await
    }

    /// The JSON document on the task and its containers.
    ///
    /// # Errors
    /// If the endpoint does not give it.
    pub async fn task(&self) -> Result<Bytes, MetadataError> {
        self.get("/task").await
    }

    /// The JSON document with the Docker statistics of each container of the task.
    ///
    /// # Errors
    /// If the endpoint does not give it.
    pub async fn task_stats(&self) -> Result<Bytes, MetadataError> {
        self.get("/task/stats").await
    }

    async fn get(&self, path: &str) -> Result<Bytes, MetadataError> {
        let url = format!("{}{path}", self.base);
        let failed = |why: String| MetadataError {
            url: url.clone(),
            why,
        };
        let uri: Uri = url.parse().map_err(|_| failed("not a URL".to_owned()))?;
        let headers = HeaderMap::new();
        let answer = self
            .client
            .get_body(&uri, &headers, MOST_BYTES, TIMEOUT)
            .await;
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        if answer.status != StatusCode::OK {
            return Err(failed(format!(
                "answered with HTTP status {}",
                answer.status
            )));
        }
        Ok(answer.body)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_endpoint_of_version_four_goes_before_that_of_version_three() {
        weir_net::install_default_provider();
        let found = |variables: &[(&str, &str)]| {
            let variables = variables.iter();
            let variables =
                variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let found = EcsTaskMetadata::found(&BTreeMap::from_iter(variables));
            found.map(|found| found.map(|found| found.base))
        };
        let (four, three) = ((VARIABLE, "http://h/v4/a"), (VARIABLE_V3, "http://h/v3/a"));
        assert_eq!(found(&[three, four]).unwrap().unwrap(), "http://h/v4/a");
        assert_eq!(found(&[three]).unwrap().unwrap(), "http://h/v3/a");
        assert_eq!(
            found(&[(VARIABLE, ""), three]).unwrap().unwrap(),
            "http://h/v3/a"
        );
        assert_eq!(found(&[]).unwrap(), None);
        assert!(found(&[(VARIABLE_V3, "h/v3")]).is_err());
    }

    #[test]
    fn the_environment_names_the_endpoint() {
        weir_net::install_default_provider();
        let detected = |value: Option<&str>| {
            let variables = value.map(|value| (VARIABLE.to_owned(), value.to_owned()));
            EcsTaskMetadata::of(&BTreeMap::from_iter(variables)).map(|found| found.base)
        };
        let link_local = "http://169.254.170.2/v4/abc-123";
        assert_eq!(detected(Some(link_local)).unwrap(), link_local);
        assert_eq!(
            detected(Some(&format!("{link_local}/ "))).unwrap(),
            link_local
        );
        for (value, says) in [
            (None, "ECS_CONTAINER_METADATA_URI_V4 is not set"),
            (Some(""), "is not set"),
            (Some("169.254.170.2/v4"), "is not an http URL"),
            (Some("ftp://host/v4"), "is not an http URL"),
        ] {
            let text = detected(value).unwrap_err().to_string();
            assert!(
                text.contains("unable to detect task metadata endpoint"),
                "{text}"
            );
            assert!(text.contains(says), "{text}");
        }
    }
}
