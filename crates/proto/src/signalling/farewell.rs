//! The `peercam-end` trailer (RFC 9110 §6.5): tells the end of a shutdown from the end of a stream.
//!
//! Sent behind a live stream that ends in order, to clients that asked for trailers. A client that
//! knows it waits for the device to come back.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The name of the trailer.
pub const END: HeaderName = HeaderName::from_static("peercam-end");
const SHUTDOWN: HeaderValue = HeaderValue::from_static("shutdown");

/// The trailers behind what ends because the device shuts down.
pub fn of_shutdown() -> HeaderMap {
    HeaderMap::from_iter([(END, SHUTDOWN)])
}

/// True if these trailers say that the device shuts down.
pub fn is_shutdown(trailers: &HeaderMap) -> bool {
    trailers.get(END) == Some(&SHUTDOWN)
}
