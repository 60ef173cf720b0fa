//! Keys of `sigv4auth` (sigv4auth-and-aws-client section 1).

use serde::{Deserialize, Serialize};
use weir_config::{Errors, Validate};

/// `sigv4auth`: signs requests of HTTP exporters for AWS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Region to sign for; empty: from the host name of each request.
    pub region: String,
    /// Service to sign for; empty: from the host name of each request.
    pub service: String,
    /// A role to assume.
    pub assume_role: AssumeRoleConfig,
}

/// `assume_role`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AssumeRoleConfig {
    /// The role; empty for none.
    pub arn: String,
    /// Region of the STS endpoint; empty: `region`, else the usual search.
    pub sts_region: String,
    /// External id of the role.
    pub external_id: String,
    /// Name of the session; empty for a made-up one.
    pub session_name: String,
    /// A file with a web identity token, used in place of the found credentials.
    pub web_identity_token_file: String,
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        let role = &self.assume_role;
        if !role.web_identity_token_file.is_empty() && role.arn.is_empty() {
            errors.push(
                "assume_role.web_identity_token_file",
                "must specify ARN when using WebIdentityTokenFile",
                "add the role under `assume_role.arn`",
            );
        } else if !role.web_identity_token_file.is_empty()
            && let Err(error) = std::fs::read(&role.web_identity_token_file)
        {
            errors.push(
                "assume_role.web_identity_token_file",
                format!(
                    "could not retrieve credential provider: unable to retrieve token file: \
                     {}: {error}",
                    role.web_identity_token_file
                ),
                "mount the token there, or correct the path",
            );
        }
        if role.arn.is_empty() && !role.external_id.is_empty() {
            errors.warn(
                "assume_role.external_id",
                "`external_id` has no effect without `arn`",
                "",
            );
        }
    }
}
