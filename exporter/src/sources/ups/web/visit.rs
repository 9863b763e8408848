//! One visit: log on, read the status page, log off.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::book::{Book, NotEntered};
use super::error::WebError;
use super::ledger::{Credentials, VisitClaim};
use super::page::UiPage;
use super::reading::reading;
use super::transport::{Form, PageReply, RedirectTarget, Transport};
use crate::blocking::{self, Work};
use crate::ups::Reading;

/// One small file, synced.
const ENTER_WITHIN: Duration = Duration::from_secs(5);
/// For the farewell alone, after the visit's own deadline if need be: a login that is left standing locks people out
/// for a quarter of an hour.
const FAREWELL: Duration = Duration::from_secs(3);

/// What a visit needs.
pub(super) struct Visit {
    pub(super) claim: VisitClaim<'static>,
    pub(super) book: Book,
    pub(super) interval: Duration,
    pub(super) credentials: Credentials,
    pub(super) password: SecretString,
    /// The login must not be tried before; looking at the logon page is no login.
    pub(super) not_before: Option<Instant>,
    pub(super) deadline: Duration,
    /// Nobody waits for the outcome any more.
    pub(super) given_up: CancellationToken,
}

/// Whether there may be a login of ours that has to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Login {
    NotTried,
    /// Tried, and not told that it was refused: also when the answer was lost.
    MayStand,
}

/// Visits, within the deadline; then logs off whatever happened, if a login of ours may stand. Where the UI said that
/// the login is somebody else's, or refused ours, nobody is logged off.
pub(super) async fn visit(visit: &Visit, transport: &mut Transport) -> Result<Reading, WebError> {
    let mut login = Login::NotTried;
    let timed_out = || WebError::Timeout { address: transport.address().to_owned() };
    let (late, gone) = (timed_out(), timed_out());
    let outcome = tokio::select! {
        biased;
        () = visit.given_up.cancelled() => Err(gone),
        outcome = timeout(visit.deadline, look(visit, transport, &mut login)) => outcome.unwrap_or(Err(late)),
    };
    if login == Login::MayStand {
        transport.start_over();
        // The status is read already, or already lost: the farewell's own fate changes neither.
        let _ = timeout(FAREWELL, transport.fetch("GET /logoff", "/logoff", None)).await;
    }
    outcome
}

async fn look(visit: &Visit, transport: &mut Transport, login: &mut Login) -> Result<Reading, WebError> {
    let form = logon_form(visit, transport).await?;
    if let Some(at) = visit.not_before {
        sleep_until(at.into()).await;
    }
    enter(visit).await?;
    visit.claim.note_try(&visit.credentials, Instant::now());
    *login = Login::MayStand;
    match transport.fetch("POST /j_security_check", "/j_security_check", Some(form)).await? {
        PageReply::Redirect(RedirectTarget::Status) => visit.claim.note_answer(),
        PageReply::Redirect(RedirectTarget::Logon) => {
            *login = Login::NotTried;
            return Err(if is_taken(transport).await { busy(transport, login) } else { refused(transport, login) });
        }
        PageReply::Page(page) if page.is_taken => return Err(busy(transport, login)),
        PageReply::Page(page) if page.asks_for_login => return Err(refused(transport, login)),
        PageReply::Page(_) => {
            return Err(unexpected(transport, "POST /j_security_check", "answered with some other page"));
        }
    }
    match transport.fetch("GET /status", "/status", None).await? {
        PageReply::Page(page) if page.is_taken => Err(busy(transport, login)),
        PageReply::Page(page) if page.asks_for_login => Err(refused(transport, login)),
        PageReply::Page(page) if page.values.is_empty() => {
            Err(unexpected(transport, "GET /status", "answered with a page that has no values"))
        }
        PageReply::Page(page) => Ok(reading(&page)),
        PageReply::Redirect(RedirectTarget::Logon) if is_taken(transport).await => Err(busy(transport, login)),
        PageReply::Redirect(RedirectTarget::Logon) => Err(unexpected(transport, "GET /status", "forgot the login")),
        PageReply::Redirect(RedirectTarget::Status) => Err(unexpected(transport, "GET /status", "leads to itself")),
    }
}

/// From here on other processes know of the login. Where they cannot, only what is known to be right is tried.
async fn enter(visit: &Visit) -> Result<(), WebError> {
    let (book, agent, interval) = (visit.book.clone(), visit.claim.agent.clone(), visit.interval);
    let (username, password) = (visit.credentials.username.clone(), visit.password.clone());
    let entering = move || book.enter(&agent, &username, &password, interval, Timestamp::now());
    let entered = blocking::run(Work::State, tokio::time::Instant::now() + ENTER_WITHIN, entering).await;
    let address = visit.claim.address.clone();
    match entered.unwrap_or_else(|blocked| Err(NotEntered::Unwritten(blocked.to_string()))) {
        Ok(()) => Ok(()),
        Err(NotEntered::Forbidden { last, wait }) => Err(WebError::Forbidden { address, last, wait }),
        Err(NotEntered::Unwritten(_)) if visit.claim.knows_good(&visit.credentials) => Ok(()),
        Err(NotEntered::Unwritten(why)) => Err(WebError::Unwritten { address, why }),
    }
}

/// The form of the logon page, filled in.
async fn logon_form(visit: &Visit, transport: &mut Transport) -> Result<Form, WebError> {
    const STEP: &str = "GET /logon";
    let page = match transport.fetch(STEP, "/logon", None).await? {
        PageReply::Page(page) if page.is_taken => {
            return Err(WebError::Busy { address: transport.address().to_owned() });
        }
        PageReply::Page(page) => page,
        PageReply::Redirect(_) => return Err(unexpected(transport, STEP, "leads elsewhere")),
    };
    let UiPage { form_token: Some(token), form_token_id: Some(token_id), login_button, .. } = page else {
        return Err(unexpected(transport, STEP, "answered with a page that has no form token"));
    };
    let mut form = Form::default();
    form.field("j_username", &visit.credentials.username);
    form.secret_field("j_password", &visit.password);
    form.field("login", login_button.as_deref().unwrap_or_default());
    form.field("formtoken", &token);
    form.field("formtokenid", &token_id);
    Ok(form)
}

/// Sent back to the logon page: it says when the reason is somebody else's login.
async fn is_taken(transport: &mut Transport) -> bool {
    matches!(transport.fetch("GET /logon", "/logon", None).await, Ok(PageReply::Page(page)) if page.is_taken)
}

fn busy(transport: &Transport, login: &mut Login) -> WebError {
    *login = Login::NotTried;
    WebError::Busy { address: transport.address().to_owned() }
}

fn refused(transport: &Transport, login: &mut Login) -> WebError {
    *login = Login::NotTried;
    WebError::Refused { address: transport.address().to_owned() }
}

fn unexpected(transport: &Transport, step: &'static str, what: &str) -> WebError {
    WebError::Unexpected { address: transport.address().to_owned(), step, what: what.to_owned() }
}
