use std::{mem, sync::Arc};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use peercam_proto::{error::Error, query::Query, route::Labels};

use super::{
    body::Body,
    reply,
    router::{App, Request},
};
use crate::device::{Still, StreamPermit};

/// `Cross-Origin-Resource-Policy`: no page of another origin may show it, but by CORS.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Bytes of a still that are sent at a time.
const PIECE: usize = 64 << 10;

/// A still on its way to somebody, in a place that may be taken away.
///
/// It is handed out in pieces, as it is taken: what was handed out whole would be out of the body's
/// hands, and the place with it.
pub(super) struct StillBody {
    rest: Bytes,
    permit: Arc<StreamPermit>,
}

impl StillBody {
    /// The next piece; `None` at the end.
    pub(super) fn piece(&mut self) -> Option<Bytes> {
        match self.rest.len() {
            0 => None,
            // By itself: otherwise who does not read its end would have the whole.
            1..=PIECE => Some(Bytes::copy_from_slice(&mem::take(&mut self.rest))),
            _ => Some(self.rest.split_to(PIECE)),
        }
    }

    /// Bytes that are still to come.
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Its place.
    pub(super) fn permit(&self) -> &StreamPermit {
        &self.permit
    }
}

impl App {
    /// One picture of now, as a JPEG.
    pub(super) async fn snapshot(
        &self,
        request: &mut Request<'_>,
    ) -> Result<Response<Body>, Error> {
        let query = Query::parse(request.query)?;
        request.caller.introduce(&Labels::from_query(&query)?);
        let caller = &request.caller;
        let channel = query.channel()?;
        let Still { jpeg, permit } = self.device.snapshot(caller, channel).await?;
        tracing::debug!(%channel, %caller, req_id = caller.req_id, bytes = jpeg.len(), "still");
        let length = HeaderValue::from(jpeg.len());
        let body = Body::still(StillBody { rest: jpeg, permit });
        let mut response = reply::with_type(StatusCode::OK, "image/jpeg", body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, length);
        headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, SocketAddr},
        task::{Context, Waker},
        time::{Duration, Instant},
    };

    use super::*;
    use crate::device::ActivityTracker;
    use peercam_net::{
        Connections, Metrics, Standing, Timeouts,
        permits::{Claim, Permits},
    };
    use peercam_proto::{credential::Rank, network::Peer, viewer::ViewerId};

    fn guest() -> ViewerId {
        ViewerId::unauthenticated(&"guest".into())
    }

    #[test]
    fn a_still_that_is_not_read_goes_with_its_place() {
        let permits = Permits::new(1);
        let claim = |rank, whose: &str| Claim {
            rank,
            whose: whose.into(),
            answers: whose.into(),
            share: 1,
            replaces_own: false,
        };
        let permit = permits.take(claim(Rank::Guest, "guest")).expect("free");
        let permit = StreamPermit::new(
            vec![permit],
            ActivityTracker::without_sessions().attend(&guest()),
        );
        let still = StillBody {
            rest: vec![7; PIECE + 1].into(),
            permit: Arc::new(permit),
        };
        let mut body = Body::still(still);

        let connections = Connections::new(1, Timeouts::default(), Metrics::default());
        let peer = Peer::At(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
        let now = Instant::now();
        let activity = connections.admit(peer, Standing::Trusted, now);
        let activity = activity.expect("room");
        body.hold(activity.serve(now));
        let mut next = || body.poll_data(&mut Context::from_waker(Waker::noop()));
        assert!(next().is_ready(), "its first piece waits for its reader");

        connections.sweep(now + Duration::from_secs(5));
        assert!(!activity.has_ended(), "nobody needs its place");
        let _owner = permits
            .take(claim(Rank::Owner, "owner"))
            .expect("its place");
        for (seconds, has_ended) in [(6, false), (7, true)] {
            connections.sweep(now + Duration::from_secs(seconds));
            assert_eq!(activity.has_ended(), has_ended, "{seconds}");
        }
    }

    #[test]
    fn the_end_of_a_still_is_not_the_whole_of_it() {
        let whole = Bytes::from(vec![7; 2 * PIECE + 1]);
        let guard = ActivityTracker::without_sessions().attend(&guest());
        let mut still = StillBody {
            rest: whole.clone(),
            permit: Arc::new(StreamPermit::new(Vec::new(), guard)),
        };
        let pieces: Vec<_> = std::iter::from_fn(|| still.piece()).collect();
        assert_eq!(pieces.concat(), whole);
        let last = pieces.last().expect("some").as_ptr_range();
        assert!(!whole.as_ptr_range().contains(&last.start));
    }
}
