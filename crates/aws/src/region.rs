//! Which region to work in (AWS-24).

use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;
use weir_config::Environment;
use weir_core::BuildError;

use crate::chain::{instance_metadata, provider_config};

/// The configured region, else `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile's, the instance's.
///
/// # Errors
/// None is found.
pub async fn resolve_region(
    configured: &str,
    environment: &(dyn Environment + Sync),
) -> Result<String, BuildError> {
    if !configured.is_empty() {
        return Ok(configured.to_owned());
    }
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        if let Some(region) = environment.get(name).filter(|region| !region.is_empty()) {
            return Ok(region);
        }
    }
    let profile = ProfileFileRegionProvider::builder()
        .configure(&provider_config(None))
        .build();
    if let Some(region) = profile.region().await {
        return Ok(region.to_string());
    }
    match instance_metadata("placement/region").await {
        Ok(region) if !region.is_empty() => Ok(region),
        Ok(_) => Err(no_region("the instance metadata service names none")),
        Err(error) => Err(no_region(&error)),
    }
}

fn no_region(why: &str) -> BuildError {
    BuildError(format!(
        "cannot fetch region variable from config file, environment variables and ec2 metadata \
         ({why}): set `region`, or the environment variable AWS_REGION"
    ))
}
