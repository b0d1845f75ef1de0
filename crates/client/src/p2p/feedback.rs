use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use peercam_net::p2p::{CloseReason, Connection, Stream};
use peercam_proto::feedback::{Feedback, MAX_FEEDBACK};
use peercam_task::boundary::{Part, contain};
use tokio::task::JoinSet;

/// Takes what a device says. It is called on the runtime, so it must be quick.
pub trait OnFeedback: Send + Sync {
    /// Takes a message; whether it could.
    fn on_feedback(&self, message: &Feedback) -> bool;
}

/// Takes what the device says on this connection until that is no more.
pub(super) async fn listen(connection: &Connection, handler: Arc<dyn OnFeedback>) -> CloseReason {
    let mut messages = JoinSet::new();
    loop {
        tokio::select! {
            stream = connection.accept() => match stream {
                // Bound: as many as the device may open at a time, which QUIC sees to.
                Ok(stream) => {
                    let take = take(stream, Arc::clone(&handler));
                    messages.spawn(contain(Part::Request, "message of the device", take));
                }
                Err(lost) => return lost,
            },
            Some(_) = messages.join_next() => {}
        }
    }
}

async fn take(stream: Stream, handler: Arc<dyn OnFeedback>) {
    let service = service_fn(move |request| {
        let handler = Arc::clone(&handler);
        async move { Ok::<_, Infallible>(answer(request, handler.as_ref()).await) }
    });
    let served = http1::Builder::new()
        .keep_alive(false)
        .half_close(false)
        .max_buf_size(8 << 10)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a message of the device broke off");
    }
}

/// Answer to a request of the device: only `POST /feedback` is for it to make.
async fn answer(request: Request<Incoming>, handler: &dyn OnFeedback) -> Response<Full<Bytes>> {
    let reply = |status, text: &'static str| {
        let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
        *response.status_mut() = status;
        let json = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    };
    if request.uri().path() != "/feedback" {
        return reply(StatusCode::NOT_FOUND, r#"{"status":"404"}"#);
    }
    if *request.method() != Method::POST {
        return reply(StatusCode::METHOD_NOT_ALLOWED, r#"{"status":"404"}"#);
    }
    let body = Limited::new(request.into_body(), MAX_FEEDBACK)
        .collect()
        .await;
    let message = body.ok().map(|body| Feedback::parse(&body.to_bytes()));
    match message {
        Some(Ok(message)) if handler.on_feedback(&message) => {
            reply(StatusCode::OK, r#"{"status":"0"}"#)
        }
        Some(Ok(_)) => reply(StatusCode::OK, r#"{"status":"1"}"#),
        Some(Err(_)) => reply(StatusCode::BAD_REQUEST, r#"{"status":"404"}"#),
        None => reply(StatusCode::PAYLOAD_TOO_LARGE, r#"{"status":"404"}"#),
    }
}
