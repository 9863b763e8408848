//! Windows' own calls, as safe functions: the only file of this crate with `unsafe` in it.

#![allow(unsafe_code)] // Windows has no safe way: what it tells it writes to where a pointer leads.

use std::ffi::c_void;
use std::io;
use std::mem::{offset_of, size_of, size_of_val};
use std::net::SocketAddr;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::process::Child;
use std::ptr::{null, null_mut};
use std::time::Duration;

use schannel::RawPointer as _;
use schannel::cert_context::CertContext;
use schannel::cert_store::CertStore;
use windows_service::service::Service;
use windows_sys::Wdk::System::SystemServices::KUSER_SHARED_DATA;
use windows_sys::Win32::Foundation::{
    ERROR_FILE_NOT_FOUND, ERROR_INSUFFICIENT_BUFFER, ERROR_MORE_DATA, ERROR_NO_MORE_ITEMS, ERROR_NONE_MAPPED,
    ERROR_SUCCESS, FILETIME, GetLastError, INVALID_HANDLE_VALUE, LocalFree, SetLastError, WAIT_OBJECT_0, WAIT_TIMEOUT,
};
use windows_sys::Win32::NetworkManagement::IpHelper::{GetExtendedTcpTable, TCP_TABLE_OWNER_MODULE_LISTENER};
use windows_sys::Win32::Networking::WinSock::{AF_INET, AF_INET6};
use windows_sys::Win32::Security::Authorization::{ConvertSidToStringSidW, ConvertStringSidToSidW};
use windows_sys::Win32::Security::Cryptography::{
    CERT_CONTEXT, CERT_FRIENDLY_NAME_PROP_ID, CERT_KEY_PROV_INFO_PROP_ID, CERT_OPEN_STORE_FLAGS,
    CERT_STORE_OPEN_EXISTING_FLAG, CERT_STORE_PROV_SYSTEM_W, CERT_STORE_READONLY_FLAG,
    CERT_SYSTEM_STORE_LOCAL_MACHINE_ID, CERT_SYSTEM_STORE_LOCATION_SHIFT, CertGetCertificateContextProperty,
    CertOpenStore,
};
use windows_sys::Win32::Security::{
    GetTokenInformation, LookupAccountNameW, LookupAccountSidW, PSID, SID_AND_ATTRIBUTES, SID_NAME_USE,
    SidTypeComputer, SidTypeUser, SidTypeWellKnownGroup, TOKEN_GROUPS, TOKEN_INFORMATION_CLASS, TOKEN_QUERY,
    TOKEN_USER, TokenGroups, TokenUser,
};
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, TH32CS_SNAPTHREAD, THREADENTRY32, Thread32First, Thread32Next,
};
use windows_sys::Win32::System::EventLog::{
    EVT_HANDLE, EVT_VARIANT, EvtClose, EvtCreateRenderContext, EvtNext, EvtQuery, EvtQueryChannelPath,
    EvtQueryReverseDirection, EvtRender, EvtRenderContextValues, EvtRenderEventValues, EvtVarTypeFileTime,
    EvtVarTypeUInt16, EvtVarTypeUInt64,
};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation, SetInformationJobObject,
    TerminateJobObject,
};
use windows_sys::Win32::System::Power::{GetSystemPowerStatus, SYSTEM_POWER_STATUS};
use windows_sys::Win32::System::ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
use windows_sys::Win32::System::Registry::RegQueryValueExW;
use windows_sys::Win32::System::Services::{ENUM_SERVICE_STATUSW, EnumDependentServicesW, SERVICE_ACTIVE};
use windows_sys::Win32::System::SystemInformation::GetTickCount64;
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetProcessHandleCount, GetProcessTimes, OpenProcess, OpenProcessToken, OpenThread,
    PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE, ResumeThread, THREAD_SUSPEND_RESUME, WaitForSingleObject,
};
use winreg::RegKey;

/// Where Windows shows every process one page that the kernel alone writes.
const SHARED_PAGE: usize = 0x7ffe_0000;
/// Of a group in a token: its rights count, or what is denied to it alone.
const SE_GROUP_ENABLED: u32 = 0x4;
const SE_GROUP_USE_FOR_DENY_ONLY: u32 = 0x10;
/// A token has at most 1024 groups, each with an identifier of at most 68 bytes.
const MAX_TOKEN_BYTES: u32 = 256 * 1024;
/// The longest name of an account has 256 units, and so has that of a domain.
const MAX_NAME: usize = 1024;

/// By a clock that nobody sets.
pub(super) fn milliseconds_since_boot() -> u64 {
    // SAFETY: it has no arguments.
    unsafe { GetTickCount64() }
}

/// The number of the boot: the loader counts each, and the kernel keeps what the loader has told it. 0 where it was told nothing.
pub(super) fn boot_number() -> u32 {
    let number = std::ptr::with_exposed_provenance::<u32>(SHARED_PAGE + offset_of!(KUSER_SHARED_DATA, BootId));
    // SAFETY: every process has the page, at this address, and may read it; the number is aligned in it.
    unsafe { number.read_volatile() }
}

/// What Windows knows of mains and batteries.
pub(super) fn power_status() -> io::Result<SYSTEM_POWER_STATUS> {
    let mut told = SYSTEM_POWER_STATUS::default();
    // SAFETY: it is a structure that it fills.
    done(unsafe { GetSystemPowerStatus(&raw mut told) })?;
    Ok(told)
}

/// What this process's threads have used, in the kernel too.
pub(super) fn processor_time() -> io::Result<Duration> {
    // SAFETY: it has no arguments; the handle stands for this process and needs no closing.
    let own = unsafe { BorrowedHandle::borrow_raw(GetCurrentProcess()) };
    let [_, _, kernel, user] = process_times(own)?;
    Ok(Duration::from_nanos(kernel.saturating_add(user).saturating_mul(100)))
}

/// When a process was created and has ended, and what it has used in the kernel and outside: in units of 100 nanoseconds.
fn process_times(process: BorrowedHandle<'_>) -> io::Result<[u64; 4]> {
    let [mut created, mut ended, mut kernel, mut user] = [FILETIME::default(); 4];
    // SAFETY: each is a structure that it fills.
    done(unsafe {
        GetProcessTimes(process.as_raw_handle(), &raw mut created, &raw mut ended, &raw mut kernel, &raw mut user)
    })?;
    let units = |time: FILETIME| (u64::from(time.dwHighDateTime) << 32) | u64::from(time.dwLowDateTime);
    Ok([created, ended, kernel, user].map(units))
}

/// A process that has not been forgotten: it runs, or somebody holds it open.
pub(super) struct Process(OwnedHandle);

impl Process {
    /// The one that has this number now.
    pub(super) fn open(number: u32) -> io::Result<Self> {
        // SAFETY: it has no pointers.
        let process = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE, 0, number) };
        done(i32::from(!process.is_null()))?;
        // SAFETY: it was opened just now, and nothing else closes it.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(process) }))
    }

    /// In units of 100 nanoseconds since 1601, by the clock as it stood.
    pub(super) fn created(&self) -> io::Result<u64> {
        process_times(self.0.as_handle()).map(|[created, ..]| created)
    }

    pub(super) fn has_ended(&self) -> io::Result<bool> {
        // SAFETY: the handle is open, and it is not waited.
        match unsafe { WaitForSingleObject(self.0.as_raw_handle(), 0) } {
            WAIT_OBJECT_0 => Ok(true),
            WAIT_TIMEOUT => Ok(false),
            _ => Err(last()),
        }
    }

    /// The account that it acts as.
    pub(super) fn token(&self) -> io::Result<Token> {
        let mut token = null_mut();
        // SAFETY: what is opened is owned below.
        done(unsafe { OpenProcessToken(self.0.as_raw_handle(), TOKEN_QUERY, &raw mut token) })?;
        // SAFETY: it was opened just now, and nothing else closes it.
        let token = unsafe { OwnedHandle::from_raw_handle(token) };
        Ok(Token { account: account_of(&token)?, groups: groups_of(&token)? })
    }
}

/// Processes that end together when they are told to: a program, and all that it starts. They live on when it is dropped.
pub(super) struct Job(OwnedHandle);

impl Job {
    /// With this process in it, which must not have begun yet: what it starts before would be outside.
    pub(super) fn of(process: &Child) -> io::Result<Self> {
        // SAFETY: both pointers may be none.
        let job = unsafe { CreateJobObjectW(null(), null()) };
        done(i32::from(!job.is_null()))?;
        // SAFETY: it was made just now, and nothing else closes it.
        let job = unsafe { OwnedHandle::from_raw_handle(job) };
        // SAFETY: both handles are open.
        done(unsafe { AssignProcessToJobObject(job.as_raw_handle(), process.as_raw_handle()) })?;
        Ok(Self(job))
    }

    /// Whether they end with this process too, and when this is dropped.
    pub(super) fn end_with_us(&self, whether: bool) -> io::Result<()> {
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = if whether { JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE } else { 0 };
        let length = u32::try_from(size_of_val(&limits)).unwrap_or_default();
        // SAFETY: the handle is open; it is given a structure of the kind that it is told, and how long that is.
        done(unsafe {
            SetInformationJobObject(
                self.0.as_raw_handle(),
                JobObjectExtendedLimitInformation,
                (&raw const limits).cast(),
                length,
            )
        })
    }

    pub(super) fn end(&self) -> io::Result<()> {
        // SAFETY: the handle is open.
        done(unsafe { TerminateJobObject(self.0.as_raw_handle(), 1) })
    }
}

/// Lets a process begin that was created suspended. The standard library keeps no handle of its thread, and does not tell its number: all
/// that are listed are resumed, of which a program that watches over others may have put one there. One that runs already runs on.
pub(super) fn resume(process: &Child) -> io::Result<()> {
    // SAFETY: it has no pointers.
    let snapshot = unsafe { CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0) };
    done(i32::from(snapshot != INVALID_HANDLE_VALUE))?;
    // SAFETY: it was made just now, and nothing else closes it.
    let snapshot = unsafe { OwnedHandle::from_raw_handle(snapshot) };
    let length = u32::try_from(size_of::<THREADENTRY32>()).unwrap_or(u32::MAX);
    let mut entry = THREADENTRY32 { dwSize: length, ..Default::default() };
    // SAFETY: it is given a structure that says how long it is.
    let mut listed = unsafe { Thread32First(snapshot.as_raw_handle(), &raw mut entry) };
    let mut resumed = Err(io::Error::other("its thread is not listed"));
    while listed != 0 {
        if entry.th32OwnerProcessID == process.id() {
            // SAFETY: it has no pointers.
            let thread = unsafe { OpenThread(THREAD_SUSPEND_RESUME, 0, entry.th32ThreadID) };
            done(i32::from(!thread.is_null()))?;
            // SAFETY: it was opened just now, and nothing else closes it.
            let thread = unsafe { OwnedHandle::from_raw_handle(thread) };
            // SAFETY: the handle is open.
            if unsafe { ResumeThread(thread.as_raw_handle()) } == u32::MAX {
                return Err(last());
            }
            resumed = Ok(());
        }
        entry.dwSize = length;
        // SAFETY: as above.
        listed = unsafe { Thread32Next(snapshot.as_raw_handle(), &raw mut entry) };
    }
    resumed
}

/// The names of services that run and depend on this one, which must have been opened with the right to list them: no more than fit.
pub(super) fn running_dependents(service: &Service) -> io::Result<Vec<String>> {
    // Windows itself gives no more than 256 KiB at once.
    let mut told = vec![0u64; 32 * 1024];
    let (mut needed, mut count) = (0, 0);
    // SAFETY: the handle is open as long as the service; it is given as many bytes as it may write, aligned.
    let asked = done(unsafe {
        EnumDependentServicesW(
            service.raw_handle(),
            SERVICE_ACTIVE,
            told.as_mut_ptr().cast(),
            bytes_of(&told),
            &raw mut needed,
            &raw mut count,
        )
    });
    match asked {
        Err(error) if is(&error, ERROR_MORE_DATA) => {}
        asked => asked?,
    }
    let count = usize::try_from(count).unwrap_or_default();
    let count = count.min(size_of_val(told.as_slice()) / size_of::<ENUM_SERVICE_STATUSW>());
    // SAFETY: so many structures begin what was written.
    let listed = unsafe { std::slice::from_raw_parts(told.as_ptr().cast::<ENUM_SERVICE_STATUSW>(), count) };
    // SAFETY: their names end with a zero, within what was written.
    Ok(listed.iter().map(|service| unsafe { text_at(service.lpServiceName) }).collect())
}

/// What a process acts as, by security identifiers.
pub(super) struct Token {
    pub(super) account: String,
    pub(super) groups: Vec<TokenGroup>,
}

pub(super) struct TokenGroup {
    pub(super) sid: String,
    /// Else only what is denied to the group counts.
    pub(super) is_enabled: bool,
}

fn account_of(token: &OwnedHandle) -> io::Result<String> {
    let told = token_information(token, TokenUser, size_of::<TOKEN_USER>())?;
    // SAFETY: the structure begins what was written, which is aligned; its pointer leads into it.
    unsafe { text_of((*told.as_ptr().cast::<TOKEN_USER>()).User.Sid) }
}

fn groups_of(token: &OwnedHandle) -> io::Result<Vec<TokenGroup>> {
    let told = token_information(token, TokenGroups, size_of::<u32>())?;
    let start = offset_of!(TOKEN_GROUPS, Groups);
    // SAFETY: the number begins what was written, which is aligned.
    let count = unsafe { *told.as_ptr().cast::<u32>() };
    let there = size_of_val(told.as_slice()).saturating_sub(start) / size_of::<SID_AND_ATTRIBUTES>();
    let count = usize::try_from(count).unwrap_or_default().min(there);
    // SAFETY: so many structures are there behind the number, aligned; their pointers lead into what was written.
    let groups = unsafe {
        std::slice::from_raw_parts(told.as_ptr().cast::<u8>().add(start).cast::<SID_AND_ATTRIBUTES>(), count)
    };
    let counts = |group: &&SID_AND_ATTRIBUTES| group.Attributes & (SE_GROUP_ENABLED | SE_GROUP_USE_FOR_DENY_ONLY) != 0;
    let read = |group: &SID_AND_ATTRIBUTES| {
        let is_enabled = group.Attributes & (SE_GROUP_ENABLED | SE_GROUP_USE_FOR_DENY_ONLY) == SE_GROUP_ENABLED;
        // SAFETY: as above.
        Ok(TokenGroup { sid: unsafe { text_of(group.Sid) }?, is_enabled })
    };
    groups.iter().filter(counts).map(read).collect()
}

/// At least `least` bytes of what is told of a token, aligned.
fn token_information(token: &OwnedHandle, class: TOKEN_INFORMATION_CLASS, least: usize) -> io::Result<Vec<u64>> {
    let mut told = vec![0u64; 256];
    loop {
        let (capacity, mut needed) = (bytes_of(&told), 0);
        // SAFETY: it is given as many bytes as it may write.
        let asked = done(unsafe {
            GetTokenInformation(token.as_raw_handle(), class, told.as_mut_ptr().cast(), capacity, &raw mut needed)
        });
        match asked {
            Err(error) if is(&error, ERROR_INSUFFICIENT_BUFFER) && (capacity..=MAX_TOKEN_BYTES).contains(&needed) => {
                told = vec![0; usize::try_from(needed).unwrap_or_default().div_ceil(size_of::<u64>()) + 1];
            }
            Ok(()) if usize::try_from(needed).is_ok_and(|needed| needed < least) => {
                return Err(io::Error::other("a token says less than it must"));
            }
            asked => return asked.map(|()| told),
        }
    }
}

/// The account of this name, by its security identifier; none where there is none. Whoever knows the names of a domain may be asked
/// over the network.
pub(super) fn account_named(name: &str) -> io::Result<Option<String>> {
    if name.is_empty() || name.encode_utf16().count() > MAX_NAME || name.contains('\0') {
        return Ok(None);
    }
    let name = wide(name);
    // The largest identifier has 68 bytes.
    let (mut sid, mut domain, mut kind) = ([0u64; 16], [0u16; MAX_NAME], SID_NAME_USE::default());
    let (mut sid_length, mut domain_length) = (bytes_of(&sid), units_of(&domain));
    // SAFETY: the name ends with a zero; the others are given as much as may be written to each.
    let found = done(unsafe {
        LookupAccountNameW(
            null(),
            name.as_ptr(),
            sid.as_mut_ptr().cast(),
            &raw mut sid_length,
            domain.as_mut_ptr(),
            &raw mut domain_length,
            &raw mut kind,
        )
    });
    match found {
        Err(error) if is(&error, ERROR_NONE_MAPPED) => return Ok(None),
        found => found?,
    }
    // A service's account and SYSTEM are groups to Windows. A domain is no account, though it may have the name of one.
    let is_account = [SidTypeUser, SidTypeWellKnownGroup, SidTypeComputer].contains(&kind);
    // SAFETY: Windows has written an identifier there just now.
    if is_account { unsafe { text_of(sid.as_mut_ptr().cast()) }.map(Some) } else { Ok(None) }
}

/// The name of an account, with that of its domain; none where nobody knows it. As above, a domain may be asked.
pub(super) fn account_name(sid: &str) -> io::Result<Option<String>> {
    let sid = wide(sid);
    let mut identifier = null_mut();
    // SAFETY: the text ends with a zero; what is allocated is owned below.
    done(unsafe { ConvertStringSidToSidW(sid.as_ptr(), &raw mut identifier) })?;
    let identifier = Local(identifier);
    let (mut name, mut domain, mut kind) = ([0u16; MAX_NAME], [0u16; MAX_NAME], SID_NAME_USE::default());
    let (mut name_length, mut domain_length) = (units_of(&name), units_of(&domain));
    // SAFETY: the identifier is whole; the others are given as much as may be written to each.
    let found = done(unsafe {
        LookupAccountSidW(
            null(),
            identifier.0,
            name.as_mut_ptr(),
            &raw mut name_length,
            domain.as_mut_ptr(),
            &raw mut domain_length,
            &raw mut kind,
        )
    });
    match found {
        Err(error) if is(&error, ERROR_NONE_MAPPED) => return Ok(None),
        found => found?,
    }
    let text = |units: &[u16], length: u32| {
        let length = usize::try_from(length).unwrap_or_default();
        String::from_utf16_lossy(units.get(..length).unwrap_or_default())
    };
    let (name, domain) = (text(&name, name_length), text(&domain, domain_length));
    Ok(Some(if domain.is_empty() { name } else { format!("{domain}\\{name}") }))
}

/// The sockets of a family that listen, as [`GetExtendedTcpTable`] writes them: a number, and so many structures of which each names the
/// process that has opened the socket, and when. None when they have more than `limit` bytes.
pub(super) fn listening(of: &SocketAddr, limit: u32) -> io::Result<Option<Vec<u64>>> {
    /// Others open sockets between two questions.
    const TRIES: usize = 8;
    let family = u32::from(if of.is_ipv4() { AF_INET } else { AF_INET6 });
    let mut length = 16 * 1024;
    for _ in 0..TRIES {
        let mut table = vec![0u64; usize::try_from(length).unwrap_or_default().div_ceil(size_of::<u64>())];
        length = bytes_of(&table);
        // SAFETY: it is given as many bytes as it may write.
        let code = unsafe {
            GetExtendedTcpTable(
                table.as_mut_ptr().cast(),
                &raw mut length,
                0,
                family,
                TCP_TABLE_OWNER_MODULE_LISTENER,
                0,
            )
        };
        match code {
            0 => return Ok(Some(table)),
            ERROR_INSUFFICIENT_BUFFER if length > limit => return Ok(None),
            // With room for those that are opened meanwhile.
            ERROR_INSUFFICIENT_BUFFER => length = length.saturating_add(length / 4),
            code => return Err(io::Error::from_raw_os_error(code.cast_signed())),
        }
    }
    Err(io::Error::other("it grows faster than it is read"))
}

/// The bytes of memory that this process holds.
pub(super) fn working_set() -> io::Result<u64> {
    let length = u32::try_from(size_of::<PROCESS_MEMORY_COUNTERS>()).unwrap_or(u32::MAX);
    let mut counters = PROCESS_MEMORY_COUNTERS { cb: length, ..Default::default() };
    // SAFETY: it is given as many bytes as it may write; the process is this one.
    done(unsafe { K32GetProcessMemoryInfo(GetCurrentProcess(), &raw mut counters, length) })?;
    u64::try_from(counters.WorkingSetSize).map_err(io::Error::other)
}

/// The handles that this process has open, of files and everything else.
pub(super) fn open_handles() -> io::Result<u64> {
    let mut count = 0;
    // SAFETY: it is given the number that it fills; the process is this one.
    done(unsafe { GetProcessHandleCount(GetCurrentProcess(), &raw mut count) })?;
    Ok(count.into())
}

/// # Safety
/// It must be a security identifier.
unsafe fn text_of(sid: PSID) -> io::Result<String> {
    let mut text = null_mut();
    // SAFETY: what is allocated is owned below.
    done(unsafe { ConvertSidToStringSidW(sid, &raw mut text) })?;
    let text = Local(text.cast());
    // SAFETY: Windows has ended it with a zero.
    Ok(unsafe { text_at(text.0.cast()) })
}

/// # Safety
/// It must end with a zero, beyond which it is not read.
unsafe fn text_at(start: *const u16) -> String {
    // SAFETY: as the caller has promised.
    let units = unsafe {
        let length = (0..).take_while(|&at| *start.add(at) != 0).count();
        std::slice::from_raw_parts(start, length)
    };
    String::from_utf16_lossy(units)
}

/// Memory that Windows has allocated.
struct Local(*mut c_void);

impl Drop for Local {
    fn drop(&mut self) {
        // SAFETY: it was allocated for us, and is freed once.
        unsafe { LocalFree(self.0) };
    }
}

/// How many bytes a value of the registry has, none of which is read; none where there is no such value.
pub(super) fn value_length(key: &RegKey, name: &str) -> io::Result<Option<u32>> {
    let name = wide(name);
    let mut length = 0;
    // SAFETY: the key is open as long as it is borrowed, and the name ends with a zero; without a place to write to, the call says how long
    // the value is.
    let code =
        unsafe { RegQueryValueExW(key.raw_handle(), name.as_ptr(), null(), null_mut(), null_mut(), &raw mut length) };
    match code {
        0 => Ok(Some(length)),
        ERROR_FILE_NOT_FOUND => Ok(None),
        code => Err(io::Error::from_raw_os_error(code.cast_signed())),
    }
}

/// Whether an error is this one of Windows'.
pub(super) fn is(error: &io::Error, code: u32) -> bool {
    error.raw_os_error() == Some(code.cast_signed())
}

/// A handle of the log of events.
#[derive(Debug)]
struct EventHandle(EVT_HANDLE);

impl EventHandle {
    /// Takes what a call has given, to which nobody had left an error of an earlier one.
    fn of(handle: EVT_HANDLE) -> io::Result<Self> {
        match (handle, last()) {
            (0, error) if is(&error, ERROR_SUCCESS) => {
                Err(io::Error::other("no answer and no reason, as from Wine, which keeps no events"))
            }
            (0, error) => Err(error),
            (handle, _) => Ok(Self(handle)),
        }
    }
}

impl Drop for EventHandle {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and nobody else closes it.
        unsafe { EvtClose(self.0) };
    }
}

/// A question to a log of events, answered from the newest on.
#[derive(Debug)]
pub(super) struct EventQuery {
    answer: EventHandle,
    /// Which values of an event are told.
    values: EventHandle,
}

/// What the system itself notes of an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventSystem {
    pub(super) record_id: u64,
    pub(super) event_id: u16,
    /// As of a FILETIME.
    pub(super) created: u64,
}

impl EventQuery {
    pub(super) fn open(log: &str, question: &str) -> io::Result<Self> {
        const COUNT: u32 = 3;
        const VALUES: [&str; 3] =
            ["Event/System/EventRecordID", "Event/System/EventID", "Event/System/TimeCreated/@SystemTime"];
        let (log, question) = (wide(log), wide(question));
        let flags = EvtQueryChannelPath | EvtQueryReverseDirection;
        // SAFETY: no session is this host; both texts end with a zero.
        let answer = EventHandle::of(unsafe {
            SetLastError(ERROR_SUCCESS);
            EvtQuery(0, log.as_ptr(), question.as_ptr(), flags)
        })?;
        let paths = VALUES.map(wide);
        let paths = [paths[0].as_ptr(), paths[1].as_ptr(), paths[2].as_ptr()];
        // SAFETY: it is given the number of its texts, each of which ends with a zero and lives as long as the call.
        let values = EventHandle::of(unsafe {
            SetLastError(ERROR_SUCCESS);
            EvtCreateRenderContext(COUNT, paths.as_ptr(), EvtRenderContextValues)
        })?;
        Ok(Self { answer, values })
    }

    /// The next record; none at the end.
    pub(super) fn next(&self, timeout: Duration) -> io::Result<Option<EventSystem>> {
        let milliseconds = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX - 1);
        let (mut event, mut count) = (0, 0);
        // SAFETY: the handle is open; there is room for the one event that is asked for.
        match done(unsafe { EvtNext(self.answer.0, 1, &raw mut event, milliseconds, 0, &raw mut count) }) {
            Err(error) if is(&error, ERROR_NO_MORE_ITEMS) => return Ok(None),
            asked => asked?,
        }
        if event == 0 {
            return Ok(None);
        }
        let event = EventHandle(event);
        // Numbers alone are asked for: none has bytes besides.
        let (mut told, mut used, mut properties) = ([EVT_VARIANT::default(); 3], 0, 0);
        let room = bytes_of(&told);
        // SAFETY: both handles are open; it is given as many bytes as it may write.
        done(unsafe {
            EvtRender(
                self.values.0,
                event.0,
                EvtRenderEventValues,
                room,
                told.as_mut_ptr().cast(),
                &raw mut used,
                &raw mut properties,
            )
        })?;
        let types = [EvtVarTypeUInt64, EvtVarTypeUInt16, EvtVarTypeFileTime];
        if told.iter().zip(types).any(|(value, kind)| i32::try_from(value.Type) != Ok(kind)) {
            return Err(io::Error::other("a record without its number, its event's or its time"));
        }
        // SAFETY: of a variant that member is there which its type says.
        Ok(Some(unsafe {
            EventSystem {
                record_id: told[0].Anonymous.UInt64Val,
                event_id: told[1].Anonymous.UInt16Val,
                created: told[2].Anonymous.FileTimeVal,
            }
        }))
    }
}

/// With a zero behind it.
fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// A certificate store of the machine, to read. The safe way to it makes one that is not there.
pub(super) fn open_machine_store(name: &str) -> io::Result<CertStore> {
    const FLAGS: CERT_OPEN_STORE_FLAGS = CERT_STORE_READONLY_FLAG
        | CERT_STORE_OPEN_EXISTING_FLAG
        | (CERT_SYSTEM_STORE_LOCAL_MACHINE_ID << CERT_SYSTEM_STORE_LOCATION_SHIFT);
    let name = wide(name);
    // SAFETY: this provider takes a name that ends with a zero, which lives as long as the call.
    let store = unsafe { CertOpenStore(CERT_STORE_PROV_SYSTEM_W, 0, 0, FLAGS, name.as_ptr().cast()) };
    done(i32::from(!store.is_null()))?;
    // SAFETY: it is open, and closed by nobody else.
    Ok(unsafe { CertStore::from_ptr(store) })
}

/// What somebody has called the certificate in its store, whatever its characters are: the safe way panics where they are no text.
pub(super) fn friendly_name(certificate: &CertContext) -> Option<String> {
    // A longer one is none that anybody reads.
    let mut name = [0u16; 512];
    let mut length = bytes_of(&name);
    // SAFETY: the certificate is held, and the call is given as many bytes as it may write.
    let result = unsafe {
        let certificate: *const CERT_CONTEXT = certificate.as_ptr().cast_const().cast();
        CertGetCertificateContextProperty(
            certificate,
            CERT_FRIENDLY_NAME_PROP_ID,
            name.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    done(result).ok()?;
    let name = name.split(|unit| *unit == 0).next().filter(|name| !name.is_empty())?;
    Some(String::from_utf16_lossy(name))
}

/// Whether the store notes where the certificate's private key is.
pub(super) fn notes_private_key(certificate: &CertContext) -> bool {
    let mut length = 0;
    // SAFETY: the certificate is held; without a place to write to, the call says how long the note is.
    let result = unsafe {
        let certificate: *const CERT_CONTEXT = certificate.as_ptr().cast_const().cast();
        CertGetCertificateContextProperty(certificate, CERT_KEY_PROV_INFO_PROP_ID, null_mut(), &raw mut length)
    };
    done(result).is_ok() && length > 0
}

fn done(result: i32) -> io::Result<()> {
    if result == 0 { Err(last()) } else { Ok(()) }
}

fn last() -> io::Error {
    // SAFETY: it has no arguments.
    io::Error::from_raw_os_error(unsafe { GetLastError() }.cast_signed())
}

fn bytes_of<T>(buffer: &[T]) -> u32 {
    u32::try_from(size_of_val(buffer)).unwrap_or(u32::MAX)
}

fn units_of(buffer: &[u16]) -> u32 {
    u32::try_from(buffer.len()).unwrap_or(u32::MAX)
}
