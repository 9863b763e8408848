//! The commands of the documentation.

use anyhow::{Result, ensure};

use crate::pages;

#[test]
fn a_block_with_a_terminal_begins_with_a_command() -> Result<()> {
    for page in pages::all()?.values() {
        for block in page.blocks.iter().filter(|block| block.language == "console") {
            let place = format!("{}:{}", page.path.display(), block.line);
            ensure!(block.text.starts_with("$ "), "{place}: does not begin with `$ `");
        }
    }
    Ok(())
}
