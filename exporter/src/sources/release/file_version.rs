//! The file version of a program for Windows, from its fixed version information: what the Explorer shows as that.

use object::pe::{ImageDosHeader, ImageNtHeaders32, ImageNtHeaders64, RT_VERSION};
use object::read::pe::{ImageNtHeaders, ResourceDirectory, ResourceDirectoryEntryData, ResourceDirectoryTable};

/// The length, the value's length and the type of the block, then its name and what fills it to four bytes.
const KEY: [u8; 34] = *b"V\0S\0_\0V\0E\0R\0S\0I\0O\0N\0_\0I\0N\0F\0O\0\0\0\0\0";
const KEY_AT: usize = 6;
const FIXED_AT: usize = KEY_AT + KEY.len();
/// What the fixed information begins with.
const SIGNATURE: u32 = 0xFEEF_04BD;
/// Beyond its signature and the version of its own form.
const FILE_VERSION_AT: usize = FIXED_AT + 8;

/// As four numbers with dots; none where the bytes are no program, or it has no version. Nothing is followed further than the three
/// levels that a resource lies below.
pub(super) fn file_version(program: &[u8]) -> Option<String> {
    let information =
        version_resource::<ImageNtHeaders32>(program).or_else(|| version_resource::<ImageNtHeaders64>(program))?;
    if information.get(KEY_AT..FIXED_AT)? != KEY || number(information, FIXED_AT)? != SIGNATURE {
        return None;
    }
    let (high, low) = (number(information, FILE_VERSION_AT)?, number(information, FILE_VERSION_AT + 4)?);
    Some(format!("{}.{}.{}.{}", high >> 16, high & 0xFFFF, low >> 16, low & 0xFFFF))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn version_resource<Headers: ImageNtHeaders>(program: &[u8]) -> Option<&[u8]> {
    let mut offset = ImageDosHeader::parse(program).ok()?.nt_headers_offset().into();
    let (headers, directories) = Headers::parse(program, &mut offset).ok()?;
    let sections = headers.sections(program, offset).ok()?;
    let resources = directories.resource_directory(program, &sections).ok()??;
    let types = resources.root().ok()?;
    let versions = types.entries.iter().find(|entry| entry.name_or_id().id() == Some(RT_VERSION))?;
    let names = versions.data(resources).ok()?.table()?;
    let ResourceDirectoryEntryData::Data(data) = first(&first(&names, resources)?.table()?, resources)? else {
        return None;
    };
    let (address, size) = (data.offset_to_data.get(object::LittleEndian), data.size.get(object::LittleEndian));
    sections.pe_data_at(program, address)?.get(..usize::try_from(size).ok()?)
}

/// A program has one version. Where there are several, in as many languages, the numbers are the same.
fn first<'data>(
    table: &ResourceDirectoryTable<'data>,
    resources: ResourceDirectory<'data>,
) -> Option<ResourceDirectoryEntryData<'data>> {
    table.entries.first()?.data(resources).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECTION_AT: u32 = 0x1000;
    const RESOURCES_IN_FILE: usize = 0x200;

    fn put(bytes: &mut Vec<u8>, values: &[u32]) {
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    /// A program that is its version information, as the format has it: the headers, one section, three levels of resources.
    pub(in crate::sources::release) fn program(version: [u16; 4], is_64_bit: bool) -> Vec<u8> {
        let mut file = b"MZ".to_vec();
        file.resize(60, 0);
        put(&mut file, &[64]);
        file.extend(b"PE\0\0");
        let (machine, magic, optional_size, before_directories): (u16, u16, u16, usize) =
            if is_64_bit { (0x8664, 0x20B, 240, 108) } else { (0x14C, 0x10B, 224, 92) };
        file.extend([machine, 1].iter().flat_map(|it| it.to_le_bytes()));
        put(&mut file, &[0, 0, 0]);
        file.extend([optional_size, 0x102, magic].iter().flat_map(|it| it.to_le_bytes()));
        file.resize(file.len() - 2 + before_directories, 0);
        put(&mut file, &[16, 0, 0, 0, 0, SECTION_AT, 0x200]);
        file.resize(64 + 24 + usize::from(optional_size), 0);
        file.extend(b".rsrc\0\0\0");
        put(&mut file, &[0x200, SECTION_AT, 0x200, 0x200, 0, 0, 0, 0x4000_0040]);
        file.resize(RESOURCES_IN_FILE, 0);
        let subtable = 0x8000_0000;
        for (id, next) in [(16, subtable + 24), (1, subtable + 48), (1033, 72)] {
            put(&mut file, &[0, 0, 0, 1 << 16, id, next]);
        }
        put(&mut file, &[SECTION_AT + 88, 92, 0, 0]);
        file.extend([92_u16, 52, 0].iter().flat_map(|it| it.to_le_bytes()));
        file.extend(KEY);
        let [major, minor, build, private] = version.map(u32::from);
        put(&mut file, &[SIGNATURE, 0x1_0000, major << 16 | minor, build << 16 | private]);
        file.resize(0x400, 0);
        file
    }

    #[test]
    fn the_file_version_of_a_program_is_read_whatever_its_width() {
        for is_64_bit in [false, true] {
            let program = program([7, 0, 5, 108], is_64_bit);
            assert_eq!(file_version(&program).as_deref(), Some("7.0.5.108"), "64 bits: {is_64_bit}");
        }
    }

    #[test]
    fn a_program_that_is_cut_anywhere_before_its_version_ends_has_none() {
        let program = program([7, 0, 0, 119], false);
        let end = RESOURCES_IN_FILE + 88 + 92;
        for length in 0..end {
            assert_eq!(file_version(&program[..length]), None, "{length}");
        }
        assert!(file_version(&program[..0x400]).is_some());
        assert_eq!(file_version(b"#!/bin/sh\n"), None);
    }

    proptest! {
        #[test]
        fn a_damaged_program_has_a_version_or_none(
            at in proptest::collection::vec((0..0x400_usize, any::<u8>()), 0..8),
            is_64_bit: bool,
        ) {
            let mut program = program([7, 0, 0, 119], is_64_bit);
            for (at, byte) in at {
                program[at] = byte;
            }
            let version = file_version(&program);
            prop_assert!(version.is_none_or(|it| it.split('.').count() == 4));
        }
    }
}
