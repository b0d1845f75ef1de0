//! Queries, media requests and commands: no input panics, and every answer can be encoded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peercam_proto::{command, query::Query, route::{Labels, MediaRequest}};

fuzz_target!(|text: (&str, &str)| {
    let (query, body) = text;
    if let Ok(query) = Query::parse(query) {
        let _ = MediaRequest::decode(&query);
        let _ = Labels::from_query(&query);
    }
    let _ = command::decode_request(query, body);
});
