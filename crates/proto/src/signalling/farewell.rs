//! How a device says, behind a live stream that it ends in order, that it only shuts down: a trailer,
//! for who asked for trailers. Whoever knows it waits for the device to come back.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The name of the trailer.
pub const END: HeaderName = HeaderName::from_static("peercam-end");
const SHUTDOWN: HeaderValue = HeaderValue::from_static("shutdown");

/// The trailers behind what ends because the device shuts down.
pub fn of_shutdown() -> HeaderMap {
    HeaderMap::from_iter([(END, SHUTDOWN)])
}

/// Whether that is what these trailers say.
pub fn is_shutdown(trailers: &HeaderMap) -> bool {
    trailers.get(END) == Some(&SHUTDOWN)
}
