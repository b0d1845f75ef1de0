//! `source = { kind = "rtsp", … }` and `{ kind = "jpeg", … }`

use std::time::Duration;

use peercam_hal::{
    AudioPolicy,
    rtsp::{
        Config, Credentials, JpegConfig, Password, Transport, parse_jpeg_url, parse_still_url,
        parse_url,
    },
};
use toml::Spanned;
use url::Url;

use super::{
    audio::{needed, word},
    error::Problem,
    source::{Masked, Source},
    units::Span,
};

const LONGEST_LINGER: Duration = Duration::from_secs(600);

impl Source {
    pub(super) fn rtsp(self, sound: AudioPolicy) -> Result<Config, Problem> {
        let kind = self.kind.span();
        let Some(main) = self.url.as_ref().map(url).transpose()? else {
            return Err(Problem::at(kind, "an rtsp source needs a url"));
        };
        let high = self.url_high.as_ref().map(url).transpose()?;
        let high = high.unwrap_or_else(|| main.clone());
        let standard = self.url_standard.as_ref().map(url).transpose()?;
        let standard = standard.unwrap_or_else(|| high.clone());
        let snapshot = self.snapshot_url.as_ref().map(|text| {
            let parsed = parse_still_url(text.get_ref(), &main);
            parsed.map_err(|reason| Problem::at(text.span(), reason))
        });
        let snapshot = snapshot.transpose()?;
        let transport = match word(self.transport.as_ref()) {
            None | Some("tcp") => Transport::Tcp,
            Some("udp") => Transport::Udp,
            Some(_) => return Err(needed(self.transport, "tcp or udp is needed")),
        };
        let always = match word(self.pull.as_ref()) {
            None | Some("watched") => false,
            Some("always") => true,
            Some(_) => return Err(needed(self.pull, "watched or always is needed")),
        };
        Ok(Config {
            urls: [standard, high, main],
            snapshot,
            credentials: credentials(self.user, self.password)?,
            transport,
            always,
            linger: linger(self.linger)?,
            sound: sound != AudioPolicy::Off,
            memory: peercam_hal::StreamMemory::default(),
        })
    }

    pub(super) fn jpeg(self) -> Result<JpegConfig, Problem> {
        let Some(text) = self.url else {
            return Err(Problem::at(self.kind.span(), "a jpeg source needs a url"));
        };
        let url = parse_jpeg_url(text.get_ref());
        Ok(JpegConfig {
            url: url.map_err(|reason| Problem::at(text.span(), reason))?,
            credentials: credentials(self.user, self.password)?,
        })
    }
}

fn url(text: &Spanned<String>) -> Result<Url, Problem> {
    parse_url(text.get_ref()).map_err(|reason| Problem::at(text.span(), reason))
}

fn credentials(
    user: Option<Spanned<String>>,
    password: Option<Spanned<Masked>>,
) -> Result<Option<Credentials>, Problem> {
    match (user, password) {
        (None, None) => Ok(None),
        (Some(user), Some(password)) => Ok(Some(Credentials {
            user: user.into_inner(),
            password: Password::new(password.into_inner().0),
        })),
        (Some(user), None) => Err(Problem::at(
            user.span(),
            "a user needs a password (\"\" if the camera has none)",
        )),
        (None, Some(password)) => Err(Problem::at(password.span(), "a password needs a user")),
    }
}

fn linger(value: Option<Spanned<Span>>) -> Result<Duration, Problem> {
    let Some(value) = value else {
        return Ok(Duration::from_secs(10));
    };
    let span = value.span();
    match value.into_inner().0 {
        linger if linger <= LONGEST_LINGER => Ok(linger),
        _ => Err(Problem::at(span, "0s to 10m are allowed")),
    }
}
