//! What a failed dry run says of the manifest: a refusal is one only where the API server, or a webhook that it asked, said no.

use super::{ClusterError, is_denied, is_transient_code};
use crate::cluster::error::TOO_LARGE;

/// What whoever asked learns of the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DryRunVerdict {
    /// It is refused as it stands.
    Refused,
    /// Nothing: the API server could not tell now, and may later.
    Untold,
    /// Nothing, and nothing will be: whoever asks may not, or what answers is no API server.
    NotJudged,
}

/// How the API server words a server-side apply that does not fit the schema. It answers 500, as it does for what fails in itself.
const UNFIT: &str = "failed to create typed patch object";
/// How it words that there is no room for another object, whatever stands in it, and that it was started just now.
const NO_ROOM_NOW: [&str; 3] = ["exceeded quota: ", "status unknown for quota: ", "not yet ready to handle request"];
/// How it begins what it says of whoever may not do this; who may, and is refused by an admission plugin, is not named.
const OF_WHO_ASKS: &str = "is forbidden: User ";

/// `names_version` says whether the manifest itself says which version or which object of its name it is for.
pub(crate) fn verdict(error: &ClusterError, names_version: bool) -> DryRunVerdict {
    match error {
        ClusterError::Timeout { .. } | ClusterError::Transport { .. } => DryRunVerdict::Untold,
        ClusterError::Conflict { .. } if names_version => DryRunVerdict::Refused,
        ClusterError::Conflict { .. } => DryRunVerdict::Untold,
        ClusterError::NotFound { .. } | ClusterError::Unreleasable { .. } => DryRunVerdict::Refused,
        ClusterError::Forbidden { message, .. } => of_forbidden(message),
        ClusterError::Status { code, message, .. } => of_status(*code, message),
        ClusterError::Unreadable { .. } => DryRunVerdict::NotJudged,
    }
}

fn of_forbidden(message: &str) -> DryRunVerdict {
    if NO_ROOM_NOW.iter().any(|words| message.contains(words)) {
        DryRunVerdict::Untold
    } else if message.contains("is forbidden: ") && !message.contains(OF_WHO_ASKS) {
        DryRunVerdict::Refused
    } else {
        DryRunVerdict::NotJudged
    }
}

fn of_status(code: u16, message: &str) -> DryRunVerdict {
    if is_denied(message) || message.contains(UNFIT) || TOO_LARGE.iter().any(|words| message.contains(words)) {
        return DryRunVerdict::Refused;
    }
    match code {
        400 | 413 | 415 | 422 => DryRunVerdict::Refused,
        code if is_transient_code(code) => DryRunVerdict::Untold,
        _ => DryRunVerdict::NotJudged,
    }
}

#[cfg(test)]
mod tests {
    use super::super::classed;
    use super::*;

    /// Holds B12: whatever the API server answered but 429 and 502 to 504 was called a refusal of the manifest.
    #[test]
    fn only_who_said_no_has_refused_a_manifest() {
        let quota =
            r#"managedagentcertificates.kagiban.dev "a" is forbidden: exceeded quota: objects, requested: count/x=1"#;
        let role = r#"managedagentcertificates.kagiban.dev "a" is forbidden: User "ci" cannot patch resource "x""#;
        let webhook = r#"Internal error occurred: failed calling webhook "v.example.com": context deadline exceeded"#;
        let policy = "managedagentcertificates.kagiban.dev \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no";
        let rule = r#"ManagedAgentCertificate.kagiban.dev "a" is invalid: spec.host: Invalid value"#;
        let typo = "failed to create typed patch object (a/b; kagiban.dev/v1alpha1, Kind=X): .spec.hots: field not declared in schema";
        let denied = r#"admission webhook "v.example.com" denied the request: no"#;
        let ending = r#"managedagentcertificates.kagiban.dev "a" is forbidden: unable to create new content in namespace x because it is being terminated"#;
        for (code, message, expected) in [
            (400, "the body of the request was in an unknown format", DryRunVerdict::Refused),
            (422, rule, DryRunVerdict::Refused),
            (500, typo, DryRunVerdict::Refused),
            (500, "etcdserver: request is too large", DryRunVerdict::Refused),
            (404, r#"namespaces "x" not found"#, DryRunVerdict::Refused),
            (403, policy, DryRunVerdict::Refused),
            (403, ending, DryRunVerdict::Refused),
            (500, "etcdserver: leader changed", DryRunVerdict::Untold),
            (500, webhook, DryRunVerdict::Untold),
            (504, "context deadline exceeded", DryRunVerdict::Untold),
            (503, "apiserver is shutting down", DryRunVerdict::Untold),
            (502, "<html>bad gateway</html>", DryRunVerdict::Untold),
            (429, "too many requests", DryRunVerdict::Untold),
            (409, "the object has been modified", DryRunVerdict::Untold),
            (403, quota, DryRunVerdict::Untold),
            (403, role, DryRunVerdict::NotJudged),
            (403, "<html>blocked by your company</html>", DryRunVerdict::NotJudged),
            (401, "Unauthorized", DryRunVerdict::NotJudged),
            (405, "<html>method not allowed</html>", DryRunVerdict::NotJudged),
        ] {
            let error = |code, message| {
                classed(
                    "patch",
                    "x",
                    kube::Error::Api(kube::core::Status::failure(message, "").with_code(code).boxed()),
                )
            };
            assert_eq!(verdict(&error(code, message), false), expected, "{code}: {message}");
            // A webhook says no with whatever code it likes
            assert_eq!(verdict(&error(code, denied), false), DryRunVerdict::Refused, "{code}");
        }
    }

    #[test]
    fn what_was_not_answered_may_be_and_what_no_api_server_answers_is_no_judgement() {
        let (verb, resource, message) = ("patch", "x", String::from("why"));
        for (error, expected) in [
            (ClusterError::Timeout { verb, resource }, DryRunVerdict::Untold),
            (ClusterError::Transport { verb, resource, message: message.clone() }, DryRunVerdict::Untold),
            (ClusterError::Unreadable { verb, resource, message }, DryRunVerdict::NotJudged),
        ] {
            assert_eq!(verdict(&error, false), expected, "{error}");
        }
    }

    #[test]
    fn a_conflict_with_what_the_manifest_itself_names_does_not_pass() {
        let conflict = ClusterError::Conflict { verb: "patch", resource: "x" };
        assert_eq!(
            [false, true].map(|names| verdict(&conflict, names)),
            [DryRunVerdict::Untold, DryRunVerdict::Refused]
        );
    }
}
