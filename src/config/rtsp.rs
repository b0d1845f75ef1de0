//! `source = { kind = "rtsp", … }` and `{ kind = "jpeg", … }`

use std::time::Duration;

use peercam_hal::{
    AudioPolicy, StreamMemory,
    rtsp::{
        Config, Credentials, JpegConfig, Password, Transport, parse_jpeg_url, parse_still_url,
        parse_url,
    },
};

use crate::document::{Table, Value};

/// Interval of checks, if nothing is said.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);

pub(super) fn rtsp(table: &mut Table<'_>, sound: AudioPolicy) -> Option<Box<Config>> {
    let [main, high, standard] = ["url", "url_high", "url_standard"].map(|key| table.get(key));
    let snapshot = table.get("snapshot_url");
    let credentials = credentials(table);
    let transports = [("tcp", Transport::Tcp), ("udp", Transport::Udp)];
    let transport = table.get("transport").word(&transports);
    let pull = table
        .get("pull")
        .word(&[("watched", false), ("always", true)]);
    let check = check(table.get("check"));
    let linger = table
        .get("linger")
        .duration(Duration::ZERO..=Duration::from_mins(10));
    if !main.is_there() {
        table.peek("kind").refuse("an rtsp source needs a url");
    }
    let url = |value: Value<'_>| value.accept(parse_url(value.string()?));
    let [main, high, standard] = [main, high, standard].map(url);
    let main = main?;
    let still = |text| snapshot.accept(parse_still_url(text, &main));
    let snapshot = snapshot.string().and_then(still);
    let high = high.unwrap_or_else(|| main.clone());
    Some(Box::new(Config {
        urls: [standard.unwrap_or_else(|| high.clone()), high, main],
        snapshot,
        credentials,
        transport: transport.unwrap_or_default(),
        always: pull.unwrap_or(false),
        linger: linger.unwrap_or(Duration::from_secs(10)),
        check,
        sound: sound != AudioPolicy::Off,
        memory: StreamMemory::default(),
    }))
}

pub(super) fn jpeg(table: &mut Table<'_>) -> Option<Box<JpegConfig>> {
    let url = table.get("url");
    let credentials = credentials(table);
    let check = check(table.get("check"));
    if !url.is_there() {
        table.peek("kind").refuse("a jpeg source needs a url");
    }
    let url = url.accept(parse_jpeg_url(url.string()?))?;
    Some(Box::new(JpegConfig {
        url,
        credentials,
        check,
    }))
}

/// Interval of checks of a camera that nobody reads; `off` for one that is to sleep then.
fn check(value: Value<'_>) -> Option<Duration> {
    if value.is("off") {
        return None;
    }
    let interval = value.duration(Duration::from_secs(1)..=Duration::from_hours(1));
    Some(interval.unwrap_or(CHECK_INTERVAL))
}

fn credentials(table: &mut Table<'_>) -> Option<Credentials> {
    let (user, password) = (table.get("user"), table.get("password"));
    if !password.is_there() {
        user.refuse("a user needs a password (\"\" if the camera has none)");
    }
    if !user.is_there() {
        password.refuse("a password needs a user");
    }
    let (user, password) = (user.string(), password.string());
    Some(Credentials {
        user: user?.to_owned(),
        password: Password::new(password?.to_owned()),
    })
}
