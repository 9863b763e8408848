//! The list of agents in its encodings.

use anyhow::{Result, bail};

const HEADER: &str = "Endpoint";

/// A name in each line, with the line ends of Windows.
pub(crate) fn of<'a>(names: impl Iterator<Item = &'a str>, encoding: &str) -> Result<Vec<u8>> {
    let lines = std::iter::once(HEADER).chain(names).map(|name| format!("{name}\r\n"));
    let text: String = lines.collect();
    Ok(match encoding {
        "" | "utf-8" => text.into_bytes(),
        "utf-8-bom" => format!("\u{feff}{text}").into_bytes(),
        "utf-16le" => format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect(),
        "shift_jis" => encoding_rs::SHIFT_JIS.encode(&text).0.into_owned(),
        other => bail!("unknown encoding {other}"),
    })
}
