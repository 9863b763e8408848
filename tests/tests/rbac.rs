//! What the operator's account may do, as the API server answers it: least of all read other people's Secrets.

use anyhow::{Result, ensure};
use kagiban_tests::control_plane::ControlPlane;
use kagiban_tests::quickstart;

#[test]
fn the_operator_may_do_what_it_needs_and_nothing_more() -> Result<()> {
    let plane = ControlPlane::shared()?;
    let admin = plane.admin()?;
    admin.create_namespace("rbac")?;
    quickstart::install_rbac(&admin, "rbac")?;
    let operator = plane.as_operator()?.in_namespace("rbac");
    let allowed = |verb: &str, resource: &str| {
        // Exit code 1 means "no".
        operator.run(&["auth", "can-i", "--quiet", verb, resource]).is_ok()
    };
    for (verb, resource) in [
        ("list", "managedagentcertificates.kagiban.dev"),
        ("watch", "managedagentcertificates.kagiban.dev"),
        ("get", "managedagentcertificates.kagiban.dev"),
        ("patch", "managedagentcertificates.kagiban.dev/status"),
        ("get", "secrets"),
        ("create", "events.events.k8s.io"),
    ] {
        ensure!(allowed(verb, resource), "it cannot {verb} {resource}");
    }
    for (verb, resource) in [
        ("list", "secrets"),
        ("watch", "secrets"),
        ("create", "secrets"),
        ("update", "secrets"),
        ("delete", "secrets"),
        ("delete", "managedagentcertificates.kagiban.dev"),
        ("create", "managedagentcertificates.kagiban.dev"),
        ("list", "pods"),
        ("create", "pods"),
        ("impersonate", "users"),
        ("*", "*"),
    ] {
        ensure!(!allowed(verb, resource), "it can {verb} {resource}");
    }
    Ok(())
}
