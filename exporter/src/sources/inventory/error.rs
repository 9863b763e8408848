//! Why there is no inventory.

use std::path::PathBuf;

use hyper::StatusCode;

use super::question::Question;
use super::reply::NoList;
use crate::blocking::Blocked;
use crate::from_files::FilesUnavailable;
use crate::password_file::PasswordFileError;
use crate::probe::{ProbeError, RootsError};
use crate::trouble::one_of;

/// Every reason that a look can fail for.
pub(in crate::sources) const REASONS: &[&str] = &[
    "busy",
    "ca_unreadable",
    CONNECT,
    "cut_short",
    "dns",
    "key_unreadable",
    "not_http",
    "panic",
    "redirect",
    "refused",
    "status",
    "timeout",
    "tls",
    "too_large",
    "unauthorized",
    "unknown_format",
];
const CONNECT: &str = "connect";

/// Clocks that differ by less are as good as equal: the shortest time that the console can be set to wait is not known.
const SKEW_WORTH_TELLING: u64 = 10;

#[derive(Debug, thiserror::Error)]
pub(super) enum CentralError {
    #[error("cannot read the API key: {0}")]
    Key(FilesUnavailable<PasswordFileError>),
    #[error("{}: holds no API key; write the key into its first line", path.display())]
    NoKey { path: PathBuf },
    #[error("cannot read the authorities to trust: {0}")]
    Trust(FilesUnavailable<RootsError>),
    #[error(
        "{address}: no authorities to check it against; set apexCentral.caFile to its CA, or to its own certificate in PEM"
    )]
    NoTrust { address: String },
    #[error("{0}")]
    Dial(#[from] ProbeError),
    #[error(
        "{address}: no TLS connection ({detail}); check apexCentral.caFile, and that the certificate is for the name in url"
    )]
    Tls { address: String, detail: String },
    #[error("{address}: {} brought no answer in HTTP ({detail})", question.subject())]
    Broken { address: String, question: Question, detail: String },
    #[error("{address}: {} was cut off ({detail})", question.subject())]
    CutOff { address: String, question: Question, detail: String },
    #[error("{address}: {} leads to another place ({}), which is not followed; write the server's own address under apexCentral.url", question.subject(), status.as_u16())]
    Redirect { address: String, question: Question, status: StatusCode },
    #[error(
        "{address}: {} is refused ({}): the application ID, the API key or the time is wrong. Compare applicationId and apiKeyFile with the \
         console (Administration > Settings > Automation API Access Settings), and see that the application is enabled there; {}",
        question.subject(), status.as_u16(), clocks(*skew)
    )]
    Unauthorized { address: String, question: Question, status: StatusCode, skew: Option<i64> },
    #[error("{address}: {} was answered with {}; see that url is Apex Central's own and its log", question.subject(), status.as_u16())]
    Status { address: String, question: Question, status: StatusCode },
    #[error("{address}: {} has more than {limit} bytes", question.subject())]
    TooLarge { address: String, question: Question, limit: usize },
    #[error("{address}: {} {error}; {}", question.subject(), remedy(error))]
    NoList { address: String, question: Question, error: NoList },
    #[error("{0}")]
    Blocked(#[from] Blocked),
    #[error("{address}: {} has not come whole within apexCentral.timeout", question.subject())]
    Timeout { address: String, question: Question },
}

/// What a token's time has to do with it. `skew` is how many seconds this host's clock is ahead of the server's.
fn clocks(skew: Option<i64>) -> String {
    const WHY: &str = "a token counts for the communication time-out that is set there, by the server's clock";
    match skew {
        Some(skew) if skew.unsigned_abs() > SKEW_WORTH_TELLING => {
            let side = if skew > 0 { "ahead of" } else { "behind" };
            format!("this host's clock is {} s {side} the server's, and {WHY}: set the clock", skew.unsigned_abs())
        }
        Some(_) => format!("the clocks agree ({WHY})"),
        None => format!("compare the clocks of both hosts: {WHY}"),
    }
}

const fn remedy(error: &NoList) -> &'static str {
    match error {
        NoList::NotJson { .. } | NoList::OtherJson { .. } => {
            "is something else in front of Apex Central, such as a proxy or a login page? See apexCentral.url"
        }
        NoList::CutShort => "see the server's log",
        NoList::TooMany(_) => "no console manages so many",
        NoList::Refused(_) => "the vendor's guide to the Automation API has the codes",
    }
}

impl CentralError {
    /// One of [`REASONS`].
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Key(FilesUnavailable::Blocked(blocked))
            | Self::Trust(FilesUnavailable::Blocked(blocked))
            | Self::Blocked(blocked) => blocked.reason(),
            Self::Key(FilesUnavailable::Failed(_)) | Self::NoKey { .. } => "key_unreadable",
            Self::Trust(FilesUnavailable::Failed(_)) | Self::NoTrust { .. } => "ca_unreadable",
            Self::Dial(error) => one_of(REASONS, error.reason(), CONNECT),
            Self::Tls { .. } => "tls",
            Self::Broken { .. } => "not_http",
            Self::CutOff { .. } => "cut_short",
            Self::Redirect { .. } => "redirect",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Status { .. } => "status",
            Self::TooLarge { .. } => "too_large",
            Self::NoList { error, .. } => match error {
                NoList::NotJson { .. } | NoList::OtherJson { .. } => "unknown_format",
                NoList::CutShort => "cut_short",
                NoList::TooMany(_) => "too_large",
                NoList::Refused(_) => "refused",
            },
            Self::Timeout { .. } => "timeout",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_told_by_how_much_and_on_which_side() {
        assert!(clocks(Some(512)).starts_with("this host's clock is 512 s ahead of the server's"));
        assert!(clocks(Some(-60)).starts_with("this host's clock is 60 s behind the server's"));
        assert!(clocks(Some(10)).starts_with("the clocks agree"));
        assert!(clocks(Some(i64::MIN)).contains("behind"));
        assert!(clocks(None).starts_with("compare the clocks"));
    }
}
