//! Which region to work in (AWS-24).

use std::sync::Arc;

use weir_config::Environment;
use weir_core::BuildError;

use crate::chain::{known_region, surroundings};
use crate::clock::ServiceClock;
use crate::sources::{InstanceMetadata, Profiles, Surroundings};

/// The configured region, else `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile's, the instance's.
///
/// # Errors
/// None is found.
pub async fn resolve_region(
    configured: &str,
    environment: &(dyn Environment + Sync),
) -> Result<String, BuildError> {
    let known = known_region(configured, environment, &Profiles::read(environment)?);
    if !known.is_empty() {
        return Ok(known);
    }
    region_of_instance(&surroundings("", Arc::new(ServiceClock::of_machine()))?).await
}

pub(crate) async fn region_of_instance(around: &Surroundings) -> Result<String, BuildError> {
    let text = match InstanceMetadata::new(around) {
        Ok(service) => service.text("/latest/meta-data/placement/region").await,
        Err(error) => Err(error),
    };
    match text {
        Ok(region) if !region.is_empty() => Ok(region),
        Ok(_) => Err(no_region("the instance metadata service names none")),
        Err(error) => Err(no_region(&error.message)),
    }
}

fn no_region(why: &str) -> BuildError {
    BuildError(format!(
        "cannot fetch region variable from config file, environment variables and ec2 metadata \
         ({why}): set `region`, or the environment variable AWS_REGION"
    ))
}
