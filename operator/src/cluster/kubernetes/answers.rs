//! How much of an answer is taken. The only place that makes a client of the API server: every body passes through here.
//!
//! What stands in the API server's place may send without end, and kube's client holds an answer, or a line of a watch, whole
//! before it reads it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::FutureExt as _;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::{Request, Response, StatusCode};
use kube::Client;
use kube::client::ClientBuilder;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;
use tower::{BoxError, Layer, Service};

/// Bytes of one object, and of one line of a watch. etcd takes 1.5 MiB unless it was told otherwise, and an API server sends it
/// no more than 2 MiB whatever it was told. A Secret's values are a third longer in an answer, as base64.
const OBJECT: usize = 4 << 20;
/// Bytes of a page for each resource that it was asked for: they are stored as the text that is sent.
const LISTED: usize = 2 << 20;
/// Bytes of an answer that refuses; what follows is cut off, and the code is kept. It may quote what is wrong with a manifest.
const REFUSAL: usize = 64 << 10;
/// Answers that are longer than this wait for one of the places. Objects of a fleet have some KiB.
const SMALL: usize = 64 << 10;
/// Answers at once of which more than [`SMALL`] is held, a page or a line of the watch among them. Hundreds of passes may wait
/// for an answer at once, and each could take all that one may have.
const PLACES: usize = 8;

/// What is longer than it may be is not taken to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} of the API server is longer than {} MiB and was not read to its end; no API server gives so much: see what answers at its address",
    most >> 20
)]
pub(crate) struct TooLong {
    what: &'static str,
    most: usize,
}

impl TooLong {
    /// Whether that is why a call failed.
    pub(crate) fn of(error: &kube::Error) -> Option<Self> {
        let first: &(dyn std::error::Error + 'static) = error;
        std::iter::successors(Some(first), |error| error.source()).find_map(|error| error.downcast_ref().copied())
    }
}

/// A client whose answers are bounded.
///
/// # Errors
/// When the cluster's address or credentials cannot be used.
pub fn client(mut config: kube::Config) -> Result<Client, kube::Error> {
    super::harden(&mut config);
    Ok(ClientBuilder::try_from(config)?.with_layer(&Bounds::default()).build())
}

/// Bounds the answers of what it is laid around.
#[derive(Clone)]
struct Bounds(Arc<Semaphore>);

impl Default for Bounds {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PLACES)))
    }
}

impl<S> Layer<S> for Bounds {
    type Service = Bounded<S>;

    fn layer(&self, inner: S) -> Bounded<S> {
        Bounded { inner, bounds: self.clone() }
    }
}

struct Bounded<S> {
    inner: S,
    bounds: Bounds,
}

impl<S, B, R> Service<Request<R>> for Bounded<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Either<ReadAnswer<B>, Full<Bytes>>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let most = Most::asked_for(request.uri().query().unwrap_or_default());
        let places = PollSemaphore::new(self.bounds.0.clone());
        let answered = self.inner.call(request);
        async move {
            let (head, body) = answered.await.map_err(Into::into)?.into_parts();
            let refused = head.status.is_client_error() || head.status.is_server_error();
            let body = if refused {
                Either::Right(refusal(head.status, body).await)
            } else {
                Either::Left(ReadAnswer { body, most, held: 0, places, place: None })
            };
            Ok(Response::from_parts(head, body))
        }
        .boxed()
    }
}

/// kube reads all of it at once, too. One that breaks off still says its code.
async fn refusal<B>(status: StatusCode, mut body: B) -> Full<Bytes>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut read = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        let rest = REFUSAL - read.len();
        read.extend_from_slice(&data[..data.len().min(rest)]);
        if data.len() > rest {
            let text = String::from_utf8_lossy(&read);
            return Full::new(format!("{text} … (cut off after {} KiB)", REFUSAL >> 10).into());
        }
    }
    Full::new(told_with(status, read).into())
}

/// kube goes by the code that stands in the body, and not by that of the answer: what has none was told of as 0. One that says nothing
/// has the words of its code.
fn told_with(status: StatusCode, body: Vec<u8>) -> Vec<u8> {
    let words = status.canonical_reason().unwrap_or("no more is said");
    if body.trim_ascii().is_empty() {
        return words.into();
    }
    let Ok(Value::Object(mut said)) = serde_json::from_slice(&body) else { return body };
    said.insert("code".to_owned(), status.as_u16().into());
    let message = said.entry("message").or_insert_with(|| words.into());
    if message.as_str().is_none_or(|message| message.trim().is_empty()) {
        *message = words.into();
    }
    serde_json::to_vec(&said).unwrap_or(body)
}

/// How much is held at once of what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Most {
    /// Of all of it.
    Whole(usize),
    /// Of each line.
    Line(usize),
}

impl Most {
    /// A watch is known by its query, and so is a page.
    fn asked_for(query: &str) -> Self {
        let value = |name: &str| query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
        if value("watch").is_some_and(|(_, value)| value == "true") {
            return Self::Line(OBJECT);
        }
        let resources: usize = value("limit").and_then(|(_, limit)| limit.parse().ok()).unwrap_or(1);
        Self::Whole(resources.saturating_mul(LISTED).max(OBJECT))
    }

    /// What is held once this has come too.
    fn with(self, held: usize, data: &[u8]) -> Result<usize, TooLong> {
        match self {
            Self::Whole(most) if held + data.len() > most => Err(TooLong { what: "an answer", most }),
            Self::Whole(_) => Ok(held + data.len()),
            Self::Line(most) => {
                let lines = data.split(|byte| *byte == b'\n').map(<[u8]>::len).enumerate();
                let lengths = lines.map(|(number, length)| if number == 0 { held + length } else { length });
                lengths.into_iter().try_fold(0, |_, length| {
                    if length > most { Err(TooLong { what: "a line of a watch", most }) } else { Ok(length) }
                })
            }
        }
    }
}

/// A body of which no more is given than may be.
struct ReadAnswer<B> {
    body: B,
    most: Most,
    /// Bytes that whoever reads it has not read as a whole yet.
    held: usize,
    places: PollSemaphore,
    /// While much is held.
    place: Option<OwnedSemaphorePermit>,
}

impl<B> Body for ReadAnswer<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.held <= SMALL {
            self.place = None;
        } else if self.place.is_none() {
            // The deadline of the call ends the wait
            self.place = ready!(self.places.poll_acquire(context));
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            Some(Ok(frame)) => frame,
        };
        let data = frame.data_ref().map_or(&[][..], |data| data);
        match self.most.with(self.held, data) {
            Ok(held) => self.held = held,
            Err(error) => return Poll::Ready(Some(Err(error.into()))),
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
