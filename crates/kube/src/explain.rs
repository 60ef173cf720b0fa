//! Errors of the API in words that say what to do.

use kube::Error;
use kube::core::Status;

use crate::objects::Resource;
use crate::source::Failure;

/// An error with its causes, which the client library leaves out of the first line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

/// Why a watch does not work, and what would help.
pub(crate) fn explain(resource: Resource, failure: &Failure) -> String {
    match status(failure) {
        Some(status) if status.code == 403 => {
            let (group, name) = (resource.group(), resource.plural());
            format!(
                "{}; grant the verbs list and watch on the resource {name} of the API group \
                 \"{group}\" to the account that is used",
                status.message
            )
        }
        Some(status) if status.code == 401 => format!(
            "the API server does not know the credentials that are used: {}",
            status.message
        ),
        Some(status) => format!("the API server answers {}: {}", status.code, status.message),
        None => match &failure.why {
            Some(why) => format!("{}: {}", failure.what, chain(why)),
            None => failure.what.to_owned(),
        },
    }
}

fn status(failure: &Failure) -> Option<&Status> {
    match &failure.why {
        Some(Error::Api(status)) => Some(status),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_forbidden_watch_names_the_permission_that_is_missing() {
        let said = "pods is forbidden: User \"system:serviceaccount:weir:weir\" cannot list \
                    resource \"pods\" in API group \"\" at the cluster scope";
        let status = Status::failure(said, "Forbidden").with_code(403).boxed();
        let failed = |why| Failure {
            what: "failed to start watching object",
            why,
        };
        let text = explain(Resource::Pod, &failed(Some(Error::Api(status))));
        assert!(text.starts_with(said), "{text}");
        assert!(
            text.contains("verbs list and watch on the resource pods of the API group \"\""),
            "{text}"
        );
        let status = Status::failure("Unauthorized", "Unauthorized")
            .with_code(401)
            .boxed();
        let text = explain(Resource::Pod, &failed(Some(Error::Api(status))));
        assert!(text.contains("credentials"), "{text}");
        let closed = std::io::Error::other("closed");
        let text = explain(Resource::Pod, &failed(Some(Error::ReadEvents(closed))));
        assert!(
            text.starts_with("failed to start watching object: ") && text.contains("closed"),
            "{text}"
        );
        assert_eq!(
            explain(Resource::Pod, &failed(None)),
            "failed to start watching object"
        );
    }
}
