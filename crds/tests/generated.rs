//! The YAML that users apply is the one that the types generate.

use kagiban_crds::resource::crd;

const COMMITTED: &str = include_str!("../managedagentcertificates.kagiban.dev.yaml");

#[test]
fn the_committed_crd_is_what_the_types_generate() {
    let generated = serde_yaml::to_string(&crd()).expect("a CRD is plain data");
    assert!(generated == COMMITTED, "crds/managedagentcertificates.kagiban.dev.yaml is not current: run `make crds`");
}
