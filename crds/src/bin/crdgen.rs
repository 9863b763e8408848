//! Prints the CRD's YAML: `make crds` writes it to `crds/`.

use std::io::Write;

use kagiban_crds::resource::crd;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let yaml = serde_yaml::to_string(&crd())?;
    std::io::stdout().write_all(yaml.as_bytes())?;
    Ok(())
}
