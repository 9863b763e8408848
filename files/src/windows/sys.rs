//! Windows' own calls, as safe functions: the only file with `unsafe` in it. Files are opened by `NtCreateFile`, relative to a directory
//! that is held: Win32 has no such call, and one that takes a path would walk it again, following links.

#![allow(unsafe_code)] // Windows has no safe way: there is none for a handle's directory, its security, or its other names.

use std::ffi::{OsStr, OsString, c_void};
use std::io;
use std::mem::{offset_of, size_of, size_of_val};
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};

use windows_sys::Wdk::Foundation::OBJECT_ATTRIBUTES;
use windows_sys::Wdk::Storage::FileSystem::{
    FILE_DISPOSITION_DELETE, FILE_DISPOSITION_IGNORE_READONLY_ATTRIBUTE, FILE_DISPOSITION_POSIX_SEMANTICS,
    FILE_LINK_INFORMATION, FILE_OPEN_REPARSE_POINT, FILE_RENAME_INFORMATION, FILE_RENAME_POSIX_SEMANTICS,
    FILE_RENAME_REPLACE_IF_EXISTS, FILE_SYNCHRONOUS_IO_NONALERT, FS_INFORMATION_CLASS, FileDispositionInformation,
    FileDispositionInformationEx, FileFsDeviceInformation, FileFsFullSizeInformation, FileLinkInformation,
    FileRenameInformation, FileRenameInformationEx, NtCreateFile, NtQueryVolumeInformationFile, NtSetInformationFile,
};
use windows_sys::Wdk::System::SystemServices::{
    FILE_FS_DEVICE_INFORMATION, FILE_FS_FULL_SIZE_INFORMATION, FILE_REMOTE_DEVICE,
};
use windows_sys::Win32::Foundation::{
    ERROR_CALL_NOT_IMPLEMENTED, ERROR_INSUFFICIENT_BUFFER, ERROR_INVALID_FUNCTION, ERROR_INVALID_LEVEL,
    ERROR_INVALID_PARAMETER, ERROR_NO_MORE_FILES, ERROR_NOT_SUPPORTED, ERROR_SHARING_VIOLATION, GetLastError, LUID,
    LocalFree, NTSTATUS, OBJ_CASE_INSENSITIVE, RtlNtStatusToDosError, STATUS_DELETE_PENDING, UNICODE_STRING,
};
use windows_sys::Win32::Security::Authorization::{
    ConvertSecurityDescriptorToStringSecurityDescriptorW, ConvertSidToStringSidW,
    ConvertStringSecurityDescriptorToSecurityDescriptorW, ConvertStringSidToSidW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::{
    AdjustTokenPrivileges, CheckTokenMembership, DACL_SECURITY_INFORMATION, GetKernelObjectSecurity,
    GetTokenInformation, ImpersonateSelf, LUID_AND_ATTRIBUTES, LookupPrivilegeValueW, OWNER_SECURITY_INFORMATION,
    RevertToSelf, SE_PRIVILEGE_ENABLED, SecurityImpersonation, SetKernelObjectSecurity, TOKEN_ADJUST_PRIVILEGES,
    TOKEN_PRIVILEGES, TOKEN_QUERY, TOKEN_USER, TokenUser,
};
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, FILE_ATTRIBUTE_NORMAL, FILE_BASIC_INFO, FILE_ID_BOTH_DIR_INFO, FILE_ID_INFO,
    FILE_INFO_BY_HANDLE_CLASS, FILE_STANDARD_INFO, FILE_TYPE_DISK, FileBasicInfo, FileIdBothDirectoryInfo,
    FileIdBothDirectoryRestartInfo, FileIdInfo, FileStandardInfo, FlushFileBuffers, GetFileInformationByHandle,
    GetFileInformationByHandleEx, GetFileType, GetFinalPathNameByHandleW, SYNCHRONIZE, VOLUME_NAME_DOS,
    VOLUME_NAME_NONE,
};
use windows_sys::Win32::System::IO::IO_STATUS_BLOCK;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetCurrentThread, OpenProcessToken, OpenThreadToken};

/// How a name is opened. What is a reparse point is opened itself, never what it leads to.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    pub(super) access: u32,
    pub(super) share: u32,
    pub(super) disposition: u32,
    pub(super) options: u32,
}

/// What is known of an open file or directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) attributes: u32,
    pub(super) size: u64,
    pub(super) links: u32,
    /// In units of 100 nanoseconds since 1601.
    pub(super) modified: i64,
    pub(super) changed: i64,
    pub(super) volume: u64,
    pub(super) id: [u8; 16],
    pub(super) is_on_disk: bool,
}

/// Opens `name` in a directory, or from the root of all names of the kernel where there is none. A new file gets the `descriptor`
/// before anybody can open it.
pub(super) fn open(
    directory: Option<BorrowedHandle<'_>>,
    name: &[u16],
    how: How,
    descriptor: Option<&Descriptor>,
) -> io::Result<OwnedHandle> {
    let length = u16::try_from(size_of_val(name)).map_err(|_| io::ErrorKind::InvalidFilename)?;
    let name = UNICODE_STRING { Length: length, MaximumLength: length, Buffer: name.as_ptr().cast_mut() };
    let attributes = OBJECT_ATTRIBUTES {
        Length: size_of_u32::<OBJECT_ATTRIBUTES>(),
        RootDirectory: directory.map_or(null_mut(), |it| it.as_raw_handle()),
        ObjectName: &raw const name,
        Attributes: OBJ_CASE_INSENSITIVE,
        SecurityDescriptor: descriptor.map_or(null(), |it| it.0.0.cast()),
        SecurityQualityOfService: null(),
    };
    let (mut handle, mut status) = (null_mut(), IO_STATUS_BLOCK::default());
    // SAFETY: all that is pointed to lives until the call is over; without extended attributes their pointer is null.
    let opened = unsafe {
        NtCreateFile(
            &raw mut handle,
            how.access | SYNCHRONIZE,
            &raw const attributes,
            &raw mut status,
            null(),
            FILE_ATTRIBUTE_NORMAL,
            how.share,
            how.disposition,
            how.options | FILE_OPEN_REPARSE_POINT | FILE_SYNCHRONOUS_IO_NONALERT,
            null(),
            0,
        )
    };
    checked(opened)?;
    // SAFETY: it was opened just now, and nothing else closes it.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

pub(super) fn look(handle: BorrowedHandle<'_>) -> io::Result<Look> {
    // SAFETY: each class is asked for its own structure, of which every value of its bytes is one.
    let (basic, standard): (FILE_BASIC_INFO, FILE_STANDARD_INFO) =
        unsafe { (asked(handle, FileBasicInfo)?, asked(handle, FileStandardInfo)?) };
    let (volume, id) = identifier(handle)?;
    Ok(Look {
        attributes: basic.FileAttributes,
        size: u64::try_from(standard.EndOfFile).unwrap_or_default(),
        links: standard.NumberOfLinks,
        modified: basic.LastWriteTime,
        changed: basic.ChangeTime,
        volume,
        id,
        // SAFETY: the handle is open.
        is_on_disk: unsafe { GetFileType(handle.as_raw_handle()) } == FILE_TYPE_DISK,
    })
}

/// Of the volume, and of the file on it.
fn identifier(handle: BorrowedHandle<'_>) -> io::Result<(u64, [u8; 16])> {
    // SAFETY: the class is asked for its own structure, of which every value of its bytes is one.
    match unsafe { asked::<FILE_ID_INFO>(handle, FileIdInfo) } {
        Ok(found) => return Ok((found.VolumeSerialNumber, found.FileId.Identifier)),
        Err(error) if is_unknown(&error) => {}
        Err(error) => return Err(error),
    }
    // FAT, and servers of files, have half as many bits.
    let mut found = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: it is given the structure that it fills.
    done(unsafe { GetFileInformationByHandle(handle.as_raw_handle(), &raw mut found) })?;
    let mut id = [0; 16];
    id[..4].copy_from_slice(&found.nFileIndexLow.to_le_bytes());
    id[4..8].copy_from_slice(&found.nFileIndexHigh.to_le_bytes());
    Ok((found.dwVolumeSerialNumber.into(), id))
}

/// # Safety
/// `T` must be the structure of the class.
unsafe fn asked<T: Default>(handle: BorrowedHandle<'_>, class: FILE_INFO_BY_HANDLE_CLASS) -> io::Result<T> {
    let mut found = T::default();
    // SAFETY: it is given as many bytes as it may write.
    done(unsafe {
        GetFileInformationByHandleEx(handle.as_raw_handle(), class, (&raw mut found).cast(), size_of_u32::<T>())
    })?;
    Ok(found)
}

/// Gives what is open the name `to` in a directory. It must have been opened for deletion.
pub(super) fn rename(
    handle: BorrowedHandle<'_>,
    directory: BorrowedHandle<'_>,
    to: &[u16],
    is_replacing: bool,
) -> io::Result<()> {
    let replace = if is_replacing { FILE_RENAME_REPLACE_IF_EXISTS } else { 0 };
    let given = |flags: u32| {
        type It = FILE_RENAME_INFORMATION;
        let at = [offset_of!(It, RootDirectory), offset_of!(It, FileNameLength), offset_of!(It, FileName)];
        with_name(flags, directory, to, at)
    };
    // A program that has the replaced file open, and shares its deletion, is no obstacle then.
    match set(handle, FileRenameInformationEx, &given(replace | FILE_RENAME_POSIX_SEMANTICS)) {
        // Before Windows 10, and file systems other than NTFS.
        Err(error) if is_unknown(&error) => set(handle, FileRenameInformation, &given(replace)),
        renamed => renamed,
    }
}

/// Gives a file that is open a second name in a directory.
pub(super) fn link(handle: BorrowedHandle<'_>, directory: BorrowedHandle<'_>, name: &[u16]) -> io::Result<()> {
    type It = FILE_LINK_INFORMATION;
    let at = [offset_of!(It, RootDirectory), offset_of!(It, FileNameLength), offset_of!(It, FileName)];
    set(handle, FileLinkInformation, &with_name(0, directory, name, at))
}

/// Takes from what is open the name that it was opened by. It must have been opened for deletion.
pub(super) fn delete(handle: BorrowedHandle<'_>) -> io::Result<()> {
    let flags = FILE_DISPOSITION_DELETE | FILE_DISPOSITION_POSIX_SEMANTICS | FILE_DISPOSITION_IGNORE_READONLY_ATTRIBUTE;
    match set(handle, FileDispositionInformationEx, &flags.to_ne_bytes()) {
        // The name is gone when the last handle is closed.
        Err(error) if is_unknown(&error) => set(handle, FileDispositionInformation, &[1]),
        deleted => deleted,
    }
}

/// The structures of a new name begin with flags and have the same members.
fn with_name(flags: u32, directory: BorrowedHandle<'_>, name: &[u16], [root, length, text]: [usize; 3]) -> Vec<u8> {
    let bytes: Vec<u8> = name.iter().flat_map(|unit| unit.to_ne_bytes()).collect();
    // At least the whole structure, which ends in an array of one.
    let mut given = vec![0; (text + bytes.len()).max(size_of::<FILE_RENAME_INFORMATION>())];
    given[..4].copy_from_slice(&flags.to_ne_bytes());
    given[root..root + size_of::<usize>()].copy_from_slice(&directory.as_raw_handle().addr().to_ne_bytes());
    given[length..length + 4].copy_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_ne_bytes());
    given[text..text + bytes.len()].copy_from_slice(&bytes);
    given
}

fn set(handle: BorrowedHandle<'_>, class: i32, given: &[u8]) -> io::Result<()> {
    // Aligned as every such structure must be.
    let mut aligned = vec![0u64; given.len().div_ceil(size_of::<u64>())];
    for (to, from) in aligned.iter_mut().zip(given.chunks(size_of::<u64>())) {
        let mut bytes = [0; size_of::<u64>()];
        bytes[..from.len()].copy_from_slice(from);
        *to = u64::from_ne_bytes(bytes);
    }
    let length = u32::try_from(given.len()).unwrap_or(u32::MAX);
    let mut status = IO_STATUS_BLOCK::default();
    // SAFETY: `length` bytes are there, and no class keeps them.
    checked(unsafe {
        NtSetInformationFile(handle.as_raw_handle(), &raw mut status, aligned.as_ptr().cast(), length, class)
    })
}

/// How many bytes more the caller may write to the volume.
pub(super) fn room(handle: BorrowedHandle<'_>) -> io::Result<u64> {
    // SAFETY: the class is asked for its own structure, of which every value of its bytes is one.
    let found: FILE_FS_FULL_SIZE_INFORMATION = unsafe { asked_of_volume(handle, FileFsFullSizeInformation)? };
    let units = u64::try_from(found.CallerAvailableAllocationUnits).unwrap_or_default();
    let bytes = u64::from(found.SectorsPerAllocationUnit) * u64::from(found.BytesPerSector);
    Ok(units.saturating_mul(bytes))
}

/// Whether it lies on another machine.
pub(super) fn is_remote(handle: BorrowedHandle<'_>) -> io::Result<bool> {
    // SAFETY: the class is asked for its own structure, of which every value of its bytes is one.
    let found: FILE_FS_DEVICE_INFORMATION = unsafe { asked_of_volume(handle, FileFsDeviceInformation)? };
    Ok(found.Characteristics & FILE_REMOTE_DEVICE != 0)
}

/// # Safety
/// `T` must be the structure of the class.
unsafe fn asked_of_volume<T: Default>(handle: BorrowedHandle<'_>, class: FS_INFORMATION_CLASS) -> io::Result<T> {
    let (mut found, mut status) = (T::default(), IO_STATUS_BLOCK::default());
    let length = size_of_u32::<T>();
    // SAFETY: it is given as many bytes as it may write.
    checked(unsafe {
        NtQueryVolumeInformationFile(handle.as_raw_handle(), &raw mut status, (&raw mut found).cast(), length, class)
    })?;
    Ok(found)
}

pub(super) fn flush(handle: BorrowedHandle<'_>) -> io::Result<()> {
    // SAFETY: the handle is open.
    done(unsafe { FlushFileBuffers(handle.as_raw_handle()) })
}

/// At most so many of the names in a directory, from its first on.
pub(super) fn list(directory: BorrowedHandle<'_>, at_most: usize) -> io::Result<Vec<OsString>> {
    let mut buffer = vec![0u64; 8 * 1024];
    let (mut names, mut class) = (Vec::new(), FileIdBothDirectoryRestartInfo);
    let length = u32::try_from(size_of_val(buffer.as_slice())).unwrap_or(u32::MAX);
    loop {
        // SAFETY: it is given as many bytes as it may write.
        let listed = done(unsafe {
            GetFileInformationByHandleEx(directory.as_raw_handle(), class, buffer.as_mut_ptr().cast(), length)
        });
        match listed {
            Err(error) if is(&error, ERROR_NO_MORE_FILES) => return Ok(names),
            listed => listed?,
        }
        class = FileIdBothDirectoryInfo;
        let bytes: Vec<u8> = buffer.iter().flat_map(|it| it.to_ne_bytes()).collect();
        for name in names_of(&bytes) {
            if names.len() == at_most {
                return Ok(names);
            }
            if name != "." && name != ".." {
                names.push(name);
            }
        }
    }
}

/// The entries of a listing: each says where the next begins, the last that there is none.
fn names_of(bytes: &[u8]) -> Vec<OsString> {
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 4).and_then(|it| it.try_into().ok());
        bytes.map(u32::from_ne_bytes).and_then(|it| usize::try_from(it).ok()).unwrap_or_default()
    };
    let (mut names, mut at) = (Vec::new(), 0);
    loop {
        let start = at + offset_of!(FILE_ID_BOTH_DIR_INFO, FileName);
        let length = number(at + offset_of!(FILE_ID_BOTH_DIR_INFO, FileNameLength));
        let units = bytes.get(start..start + length).unwrap_or_default().chunks_exact(2);
        let units: Vec<u16> = units.map(|unit| u16::from_ne_bytes([unit[0], unit[1]])).collect();
        names.push(OsString::from_wide(&units));
        match number(at) {
            0 => return names,
            next => at += next,
        }
    }
}

/// The whole path of what is open, in its own spelling.
pub(super) fn final_path(handle: BorrowedHandle<'_>) -> io::Result<OsString> {
    path_of(handle, VOLUME_NAME_DOS)
}

/// The same from the root of its volume on.
pub(super) fn path_on_volume(handle: BorrowedHandle<'_>) -> io::Result<OsString> {
    path_of(handle, VOLUME_NAME_NONE)
}

fn path_of(handle: BorrowedHandle<'_>, from: u32) -> io::Result<OsString> {
    let mut path = vec![0u16; 32 * 1024];
    let capacity = u32::try_from(path.len()).unwrap_or(u32::MAX);
    // SAFETY: it is given as many units as it may write.
    let length = unsafe { GetFinalPathNameByHandleW(handle.as_raw_handle(), path.as_mut_ptr(), capacity, from) };
    done(i32::from(length != 0))?;
    Ok(OsString::from_wide(path.get(..usize::try_from(length).unwrap_or_default()).unwrap_or_default()))
}

/// Who owns an object and who may do what with it, as Windows writes it down (SDDL).
pub(super) fn security(handle: BorrowedHandle<'_>) -> io::Result<String> {
    const WANTED: u32 = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
    let (raw, mut needed) = (handle.as_raw_handle(), 0);
    let mut descriptor = vec![0u64; 64];
    loop {
        let capacity = u32::try_from(size_of_val(descriptor.as_slice())).unwrap_or(u32::MAX);
        // SAFETY: it is given as many bytes as it may write.
        let found = done(unsafe {
            GetKernelObjectSecurity(raw, WANTED, descriptor.as_mut_ptr().cast(), capacity, &raw mut needed)
        });
        match found {
            Err(error) if is(&error, ERROR_INSUFFICIENT_BUFFER) && needed > capacity => {
                descriptor = vec![0; usize::try_from(needed).unwrap_or_default().div_ceil(size_of::<u64>())];
            }
            found => break found?,
        }
    }
    // SAFETY: Windows has written it just now.
    unsafe { text_of(descriptor.as_mut_ptr().cast()) }
}

/// # Safety
/// It must be a security descriptor.
unsafe fn text_of(descriptor: *mut c_void) -> io::Result<String> {
    let mut text = null_mut();
    // SAFETY: what is allocated is owned below.
    done(unsafe {
        ConvertSecurityDescriptorToStringSecurityDescriptorW(
            descriptor,
            SDDL_REVISION_1,
            OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
            &raw mut text,
            null_mut(),
        )
    })?;
    let text = Local(text.cast());
    // SAFETY: Windows has ended it with a zero.
    Ok(unsafe { text.text() })
}

/// Gives an object an access control list, and an owner where `is_owned`.
pub(super) fn set_security(handle: BorrowedHandle<'_>, descriptor: &Descriptor, is_owned: bool) -> io::Result<()> {
    let owner = if is_owned { OWNER_SECURITY_INFORMATION } else { 0 };
    // SAFETY: the descriptor is whole, and lives until the call is over.
    done(unsafe { SetKernelObjectSecurity(handle.as_raw_handle(), owner | DACL_SECURITY_INFORMATION, descriptor.0.0) })
}

/// A security descriptor in Windows' own form.
pub(super) struct Descriptor(Local);

impl Descriptor {
    pub(super) fn of(sddl: &str) -> io::Result<Self> {
        let text = ended(OsStr::new(sddl));
        let mut descriptor = null_mut();
        // SAFETY: the text ends with a zero; what is allocated is owned below.
        done(unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                null_mut(),
            )
        })?;
        Ok(Self(Local(descriptor)))
    }

    /// It leads to the descriptor as long as this lives.
    pub(super) const fn as_ptr(&self) -> *mut c_void {
        self.0.0
    }

    /// As Windows writes it down.
    pub(super) fn sddl(&self) -> io::Result<String> {
        // SAFETY: it is one since it was made.
        unsafe { text_of(self.0.0) }
    }
}

/// The account that this program runs under.
pub(super) fn own_sid() -> io::Result<String> {
    let mut token = null_mut();
    // SAFETY: what is opened is owned below.
    done(unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) })?;
    // SAFETY: it was opened just now, and nothing else closes it.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    // The largest identifier has 68 bytes.
    let (mut user, mut length) = ([0u64; 32], 0);
    let capacity = u32::try_from(size_of_val(&user)).unwrap_or_default();
    // SAFETY: it is given as many bytes as it may write.
    done(unsafe {
        GetTokenInformation(token.as_raw_handle(), TokenUser, user.as_mut_ptr().cast(), capacity, &raw mut length)
    })?;
    let mut text = null_mut();
    // SAFETY: the structure begins what was written, it is aligned, and its pointer leads into it.
    done(unsafe { ConvertSidToStringSidW((*user.as_ptr().cast::<TOKEN_USER>()).User.Sid, &raw mut text) })?;
    let text = Local(text.cast());
    // SAFETY: Windows has ended it with a zero.
    Ok(unsafe { text.text() })
}

/// Whether this program has the rights of the group Administrators now: a person who has not answered the question of User Account
/// Control is in the group, and has not.
pub(super) fn acts_as_administrator() -> io::Result<bool> {
    let administrators = ended(OsStr::new("S-1-5-32-544"));
    let mut group = null_mut();
    // SAFETY: the text ends with a zero; what is allocated is owned below.
    done(unsafe { ConvertStringSidToSidW(administrators.as_ptr(), &raw mut group) })?;
    let group = Local(group);
    let mut is_member = 0;
    // SAFETY: the identifier is whole, and it is given the number that it fills; without a token it asks this thread's or process's.
    done(unsafe { CheckTokenMembership(null_mut(), group.0, &raw mut is_member) })?;
    Ok(is_member != 0)
}

/// Does something with the privilege to give a file any owner, as far as this account has it: on this thread alone.
pub(super) fn privileged<T>(action: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    struct Played;
    impl Drop for Played {
        fn drop(&mut self) {
            // SAFETY: it has no argument. It can only fail on a thread that plays nobody.
            unsafe { RevertToSelf() };
        }
    }
    // SAFETY: it has no pointers.
    done(unsafe { ImpersonateSelf(SecurityImpersonation) })?;
    let _reverted = Played;
    let (mut token, mut id) = (null_mut(), LUID::default());
    let name = ended(OsStr::new("SeRestorePrivilege"));
    // SAFETY: the name ends with a zero; what is opened is owned below.
    unsafe {
        done(OpenThreadToken(GetCurrentThread(), TOKEN_ADJUST_PRIVILEGES | TOKEN_QUERY, 1, &raw mut token))?;
        done(LookupPrivilegeValueW(null(), name.as_ptr(), &raw mut id))?;
    }
    // SAFETY: it was opened just now, and nothing else closes it.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    let wanted = TOKEN_PRIVILEGES {
        PrivilegeCount: 1,
        Privileges: [LUID_AND_ATTRIBUTES { Luid: id, Attributes: SE_PRIVILEGE_ENABLED }],
    };
    // SAFETY: the structure is whole. Where the account has no such privilege, the action says what it lacks.
    done(unsafe { AdjustTokenPrivileges(token.as_raw_handle(), 0, &raw const wanted, 0, null_mut(), null_mut()) })?;
    action()
}

/// Memory that Windows has allocated.
struct Local(*mut c_void);

// SAFETY: it is the process's, nobody else has it, and nothing changes it until it is freed.
unsafe impl Send for Local {}
// SAFETY: it is only read.
unsafe impl Sync for Local {}

impl Local {
    /// # Safety
    /// It must be text that ends with a zero.
    unsafe fn text(&self) -> String {
        let start = self.0.cast::<u16>().cast_const();
        // SAFETY: it is not read beyond its zero.
        let units = unsafe {
            let length = (0..).take_while(|&at| *start.add(at) != 0).count();
            std::slice::from_raw_parts(start, length)
        };
        String::from_utf16_lossy(units)
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // SAFETY: it was allocated for us, and is freed once.
        unsafe { LocalFree(self.0) };
    }
}

/// Whether an error is this one of Windows'.
pub(super) fn is(error: &io::Error, code: u32) -> bool {
    error.raw_os_error().is_some_and(|it| u32::try_from(it) == Ok(code))
}

/// What Windows says to a call, or to a way of it, that this version or file system does not know.
pub(super) fn is_unknown(error: &io::Error) -> bool {
    let codes = [
        ERROR_INVALID_FUNCTION,
        ERROR_INVALID_PARAMETER,
        ERROR_NOT_SUPPORTED,
        ERROR_CALL_NOT_IMPLEMENTED,
        ERROR_INVALID_LEVEL,
    ];
    codes.iter().any(|code| is(error, *code))
}

pub(super) fn error(code: u32) -> io::Error {
    io::Error::from_raw_os_error(i32::try_from(code).unwrap_or(i32::MAX))
}

fn checked(status: NTSTATUS) -> io::Result<()> {
    match status {
        0.. => Ok(()),
        // The name is free when whoever has it open closes it.
        STATUS_DELETE_PENDING => Err(error(ERROR_SHARING_VIOLATION)),
        // SAFETY: it has no pointers.
        status => Err(error(unsafe { RtlNtStatusToDosError(status) })),
    }
}

fn done(result: i32) -> io::Result<()> {
    // SAFETY: it has no arguments.
    if result == 0 { Err(error(unsafe { GetLastError() })) } else { Ok(()) }
}

fn ended(text: &OsStr) -> Vec<u16> {
    text.encode_wide().chain([0]).collect()
}

fn size_of_u32<T>() -> u32 {
    u32::try_from(size_of::<T>()).unwrap_or(u32::MAX)
}
