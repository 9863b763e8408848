//! A zip archive with one file, which is stored as it is: APPNOTE.TXT, 4.3.

const NAME: &[u8] = b"server.pem";
const FILE: &[u8] = b"PK\x03\x04";
const ENTRY: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
/// Version 2.0, no flags, stored, no time.
const STORED: [u8; 10] = [20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Of the record before the name, and where in it the size of the file stands.
const FILE_BYTES: usize = 30;
const SIZE_AT: usize = 18;

pub(crate) fn of(text: &str) -> Vec<u8> {
    let sum = crc32fast::hash(text.as_bytes());
    let size = short(text.len());
    let [name, ..] = short(NAME.len());
    let about = [&STORED[..], &sum.to_le_bytes(), &size, &size, &[name, 0, 0, 0]].concat();
    let file = [FILE, &about, NAME, text.as_bytes()].concat();
    // Made by version 2.0; without a comment, disk or attributes, at the beginning.
    let entry = [ENTRY, &[20, 0], &about, &[0; 14], NAME].concat();
    let end = [END, &[0; 4], &[1, 0, 1, 0], &short(entry.len()), &short(file.len()), &[0, 0]].concat();
    [file, entry, end].concat()
}

/// None of an archive that is not one of these.
pub(crate) fn contents(bytes: &[u8]) -> Option<String> {
    let size = bytes.get(SIZE_AT..SIZE_AT + 4)?.try_into().ok().map(u32::from_le_bytes)?;
    let from = FILE_BYTES + NAME.len();
    let text = bytes.starts_with(FILE).then(|| bytes.get(from..from.checked_add(size as usize)?))??;
    String::from_utf8(text.to_vec()).ok()
}

/// A key and a certificate are far below 4 GiB.
fn short(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}
