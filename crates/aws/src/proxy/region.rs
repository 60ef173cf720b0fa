//! The region of the proxy. Its order is not that of the exporters (AWS-25).

use serde::Deserialize;
use weir_config::Environment;
use weir_core::BuildError;

use super::config::ProxyConfig;
use crate::chain::instance_metadata;

/// The metadata file of ECS is a few kilobytes; more is something else.
const MAX_METADATA: u64 = 1 << 20;

/// The configured region, else `AWS_DEFAULT_REGION`, `AWS_REGION`, that of the ECS task, that of the
/// instance.
pub(super) async fn proxy_region(
    config: &ProxyConfig,
    environment: &(dyn Environment + Sync),
) -> Result<String, BuildError> {
    if !config.region.is_empty() {
        return Ok(config.region.clone());
    }
    for name in ["AWS_DEFAULT_REGION", "AWS_REGION"] {
        if let Some(region) = environment.get(name).filter(|region| !region.is_empty()) {
            return Ok(region);
        }
    }
    if config.local_mode {
        return Err(BuildError(
            "region not specified and local mode enabled; cannot fetch from metadata services: set \
             `region`, or the environment variable AWS_REGION"
                .to_owned(),
        ));
    }
    let ecs = match ecs_region(environment).await {
        Ok(region) => return Ok(region),
        Err(error) => error,
    };
    let ec2 = match instance_metadata("placement/region").await {
        Ok(region) if !region.is_empty() => return Ok(region),
        Ok(_) => "it names none".to_owned(),
        Err(error) => error,
    };
    Err(BuildError(format!(
        "could not fetch region from config file, environment variables, ecs metadata, or ec2 \
         metadata: ECS: {ecs}; EC2: {ec2}; set `region`, or the environment variable AWS_REGION"
    )))
}

#[derive(Deserialize)]
struct EcsMetadata {
    #[serde(rename = "TaskARN")]
    task_arn: String,
}

/// The region in the task's name in the container metadata file, if ECS was asked to write one.
async fn ecs_region(environment: &(dyn Environment + Sync)) -> Result<String, String> {
    let enabled = environment.get("ECS_ENABLE_CONTAINER_METADATA");
    if !enabled.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err("ECS_ENABLE_CONTAINER_METADATA is not `true`".to_owned());
    }
    let path = environment
        .get("ECS_CONTAINER_METADATA_FILE")
        .unwrap_or_default();
    let failed = |error: String| format!("metadata file `{path}`: {error}");
    let about = tokio::fs::metadata(&path).await;
    if about.is_ok_and(|about| about.len() > MAX_METADATA) {
        return Err(failed("it is too large".to_owned()));
    }
    let text = tokio::fs::read(&path)
        .await
        .map_err(|error| failed(error.to_string()))?;
    let metadata: EcsMetadata =
        serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?;
    // arn:partition:ecs:region:account:task/...
    let region = metadata.task_arn.split(':').nth(3).unwrap_or_default();
    if region.is_empty() {
        return Err(failed("its TaskARN names no region".to_owned()));
    }
    Ok(region.to_owned())
}
