//! Windows' own calls, as safe functions: the only file of this crate with `unsafe` in it.

#![allow(unsafe_code)] // Windows has no safe way: what it tells it writes to where a pointer leads.

use std::io;
use std::mem::size_of;
use std::ptr::{null, null_mut};
use std::time::Duration;

use windows_service::service::Service;
use windows_sys::Win32::Foundation::{GetLastError, HANDLE};
use windows_sys::Win32::System::EventLog::{
    DeregisterEventSource, EVENTLOG_ERROR_TYPE, EVENTLOG_WARNING_TYPE, RegisterEventSourceW, ReportEventW,
};
use windows_sys::Win32::System::Services::{
    ControlService, QueryServiceConfig2W, SERVICE_CONFIG_PRESHUTDOWN_INFO, SERVICE_CONTROL_PARAMCHANGE,
    SERVICE_PRESHUTDOWN_INFO, SERVICE_STATUS,
};

use crate::severity::LogSeverity;

/// How long a system that goes down waits for a service, which must have been opened with the right to ask for its settings.
pub(super) fn preshutdown_timeout(service: &Service) -> io::Result<Duration> {
    let (mut told, mut needed) = (SERVICE_PRESHUTDOWN_INFO::default(), 0);
    let length = u32::try_from(size_of::<SERVICE_PRESHUTDOWN_INFO>()).unwrap_or(u32::MAX);
    // SAFETY: the handle is open as long as the service; it is given as many bytes as it may write, of the structure of this kind.
    done(unsafe {
        QueryServiceConfig2W(
            service.raw_handle(),
            SERVICE_CONFIG_PRESHUTDOWN_INFO,
            (&raw mut told).cast(),
            length,
            &raw mut needed,
        )
    })?;
    Ok(Duration::from_millis(told.dwPreshutdownTimeout.into()))
}

/// Has a service hear that its parameters have changed. It was opened with the right to pause it.
pub(super) fn tell_parameters_changed(service: &Service) -> io::Result<()> {
    let mut status = SERVICE_STATUS::default();
    // SAFETY: the handle is open as long as the service is borrowed; the status is a structure that it fills.
    done(unsafe { ControlService(service.raw_handle(), SERVICE_CONTROL_PARAMCHANGE, &raw mut status) })
}

/// A source of events in the Application log, as long as it is held.
#[derive(Debug)]
pub(super) struct EventSource(HANDLE);

// SAFETY: it is a handle of the process's, and every thread may report by it.
unsafe impl Send for EventSource {}

impl EventSource {
    pub(super) fn open(name: &str) -> io::Result<Self> {
        let name = wide(name);
        // SAFETY: no server is this host; the name ends with a zero.
        let handle = unsafe { RegisterEventSourceW(null(), name.as_ptr()) };
        done(i32::from(!handle.is_null())).map(|()| Self(handle))
    }

    /// Writes an event whose only text is this.
    pub(super) fn report(&self, severity: LogSeverity, event_id: u32, text: &str) -> io::Result<()> {
        let kind = match severity {
            LogSeverity::Error => EVENTLOG_ERROR_TYPE,
            LogSeverity::Warning => EVENTLOG_WARNING_TYPE,
        };
        let (text, nobody, nothing) = (wide(text), null_mut(), null());
        let texts = [text.as_ptr()];
        // SAFETY: the handle is open; it is given one text, which ends with a zero, no account and no bytes.
        done(unsafe { ReportEventW(self.0, kind, 0, event_id, nobody, 1, 0, texts.as_ptr(), nothing) })
    }
}

impl Drop for EventSource {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and nobody else closes it.
        unsafe { DeregisterEventSource(self.0) };
    }
}

/// Whether an error is this one of Windows'.
pub(super) fn is(error: &io::Error, code: u32) -> bool {
    error.raw_os_error() == Some(code.cast_signed())
}

/// With a zero behind it.
fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

fn done(result: i32) -> io::Result<()> {
    if result != 0 {
        return Ok(());
    }
    // SAFETY: it has no arguments.
    Err(io::Error::from_raw_os_error(unsafe { GetLastError() }.cast_signed()))
}
