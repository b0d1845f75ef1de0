//! The file as it is written, and its conversion to what it means.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use jiff::tz::TimeZone;
use peercam_proto::{flv::HevcForm, origin_policy::Origin};
use serde::Deserialize;
use toml::Spanned;

use super::{
    checks::{name, refuse, size, within},
    error::Problem,
    repeated,
    signalling::{RawCall, RawTalkback, RawUserDefine},
    source::Channel,
    units::{Size, Span},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    data_dir: Option<Spanned<PathBuf>>,
    #[serde(default)]
    device: Device,
    listen: Option<Vec<Listen>>,
    #[serde(default)]
    access: Access,
    #[cfg(feature = "p2p")]
    #[serde(default)]
    p2p: super::p2p::Raw,
    #[cfg(not(feature = "p2p"))]
    p2p: Option<WithoutP2p>,
    #[cfg(feature = "record")]
    record: Option<super::record::Raw>,
    #[cfg(not(feature = "record"))]
    record: Option<WithoutRecord>,
    #[serde(default)]
    talkback: RawTalkback,
    #[serde(default)]
    call: RawCall,
    #[serde(default)]
    user_define: RawUserDefine,
    #[serde(default)]
    http: Http,
    #[serde(default)]
    live: Live,
    #[serde(default)]
    runtime: Runtime,
    #[serde(default)]
    channel: Vec<Channel>,
}

/// `[p2p]` of a build that has none: one may say that it is off.
#[cfg(not(feature = "p2p"))]
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WithoutP2p {
    enabled: Spanned<bool>,
}

/// `[record]` of a build that records nothing.
#[cfg(not(feature = "record"))]
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WithoutRecord {
    enabled: Spanned<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Device {
    product_id: Option<Spanned<String>>,
    device_name: Option<Spanned<String>>,
    timezone: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listen {
    addr: Spanned<String>,
    #[serde(default)]
    access: ListenAccess,
    // open
    allow_origins: Option<Spanned<Vec<Spanned<String>>>>,
    allow_insecure_lan: Option<Spanned<bool>>,
    allow_placeholder_hosts: Option<Spanned<bool>>,
    // token
    allow_clear_media: Option<Spanned<bool>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ListenAccess {
    #[default]
    Open,
    Token,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Access {
    max_sessions: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Http {
    max_connections: Option<Spanned<u64>>,
    max_viewers: Option<Spanned<u64>>,
    header_timeout: Option<Spanned<Span>>,
    idle_timeout: Option<Spanned<Span>>,
    body_timeout: Option<Spanned<Span>>,
    write_timeout: Option<Spanned<Span>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Live {
    memory: Option<Spanned<Size>>,
    hevc: Option<Hevc>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Hevc {
    Legacy,
    Hvc1,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Runtime {
    threads: Option<Spanned<u64>>,
    memory: Option<Spanned<Size>>,
}

impl Config {
    /// Checks values against each other and converts them. Paths are relative to `base`.
    pub(super) fn check(self, base: &Path) -> Result<super::Config, Problem> {
        let mut config = super::Config::without_channels();
        config.data_dir = match self.data_dir {
            None => base.join(config.data_dir),
            Some(path) if path.get_ref().as_os_str().is_empty() => {
                return Err(Problem::at(path.span(), "a directory is needed"));
            }
            Some(path) => base.join(path.into_inner()),
        };
        self.device.check(&mut config.device)?;
        if let Some(listen) = self.listen {
            config.listen = listen
                .into_iter()
                .map(Listen::check)
                .collect::<Result<_, _>>()?;
        }
        if config.listen.is_empty() {
            return Err(Problem::general(
                "there is no [[listen]]; the device needs one at least",
            ));
        }
        config.access.max_sessions = within(
            self.access.max_sessions,
            config.access.max_sessions,
            1,
            1000,
            "1",
            "1000",
        )?;
        #[cfg(feature = "p2p")]
        {
            config.p2p = self.p2p.check(base)?;
        }
        #[cfg(not(feature = "p2p"))]
        if let Some(p2p) = self.p2p.filter(|p2p| *p2p.enabled.get_ref()) {
            return Err(Problem::at(p2p.enabled.span(), "this build has no P2P"));
        }
        #[cfg(feature = "record")]
        {
            let record = self.record.map(|record| record.check(&config.data_dir));
            config.record = record.transpose()?.flatten();
        }
        #[cfg(not(feature = "record"))]
        if let Some(record) = self.record.filter(|record| *record.enabled.get_ref()) {
            return Err(Problem::at(
                record.enabled.span(),
                "this build records nothing",
            ));
        }
        self.talkback.check(&mut config.talk)?;
        self.call.check(&mut config.call_ring)?;
        config.user = self.user_define.check()?;
        let has_token = config
            .listen
            .iter()
            .any(|listen| matches!(listen.access, super::ListenAccess::Token { .. }));
        self.http.check(&mut config.http, has_token)?;
        config.live.memory = within(
            self.live.memory.map(size),
            config.live.memory,
            1 << 20,
            1 << 30,
            "1MiB",
            "1GiB",
        )?;
        config.hevc = match self.live.hevc {
            None => config.hevc,
            Some(Hevc::Legacy) => HevcForm::Legacy,
            Some(Hevc::Hvc1) => HevcForm::Hvc1,
        };
        config.runtime.threads = within(
            self.runtime.threads,
            config.runtime.threads,
            1,
            64,
            "1",
            "64",
        )?;
        if let Some(memory) = self.runtime.memory {
            let memory = Some(size(memory));
            let memory = within(memory, 0_usize, 1 << 20, 1 << 40, "1MiB", "1024GiB")?;
            config.runtime.memory = Some(memory);
        }
        let ids: Vec<_> = self
            .channel
            .iter()
            .map(|channel| *channel.id.get_ref())
            .collect();
        if let Some(id) = repeated(ids.iter().copied()) {
            let again = self
                .channel
                .iter()
                .rfind(|channel| *channel.id.get_ref() == id);
            let span = again.map(|channel| channel.id.span());
            return Err(Problem {
                span,
                message: format!("channel {id} is there twice"),
            });
        }
        config.channels = self
            .channel
            .into_iter()
            .map(|channel| channel.check(base))
            .collect::<Result<_, _>>()?;
        super::socket::check_shared(&config.channels)?;
        if config.channels.is_empty() {
            return Err(Problem::general(
                "there is no [[channel]]; the device needs one camera at least",
            ));
        }
        Ok(config)
    }
}

impl Device {
    fn check(self, device: &mut super::Device) -> Result<(), Problem> {
        if let Some(id) = self.product_id {
            device.product_id = name(id, 10, |c| c == '_', "letters, digits and _")?;
        }
        if let Some(device_name) = self.device_name {
            device.device_name = name(
                device_name,
                48,
                |c| matches!(c, '_' | '-'),
                "letters, digits, _ and -",
            )?;
        }
        if let Some(zone) = self.timezone {
            let text = zone.get_ref();
            let known = TimeZone::get(text).or_else(|_| TimeZone::posix(text));
            device.timezone = known.map_err(|_| {
                Problem::at(
                    zone.span(),
                    "a zone that this system knows is needed, such as \"Asia/Shanghai\", or one in POSIX form, such as \"CST-8\"",
                )
            })?;
        }
        Ok(())
    }
}

impl Listen {
    fn check(self) -> Result<super::Listen, Problem> {
        let address: SocketAddr = self.addr.get_ref().parse().map_err(|_| {
            Problem::at(
                self.addr.span(),
                "an IP address and a port are needed, such as \"127.0.0.1:34567\" or \"[::1]:0\"",
            )
        })?;
        let access = match self.access {
            ListenAccess::Open => self.open(address)?,
            ListenAccess::Token => self.token()?,
        };
        Ok(super::Listen { address, access })
    }

    fn open(self, address: SocketAddr) -> Result<super::ListenAccess, Problem> {
        refuse(
            self.allow_clear_media.map(|value| value.span()),
            "an open listener encrypts nothing, so it has no such option",
        )?;
        let allow_insecure_lan = self.allow_insecure_lan.is_some_and(Spanned::into_inner);
        if !address.ip().to_canonical().is_loopback() && !allow_insecure_lan {
            return Err(Problem::at(
                self.addr.span(),
                "an open listener lets anybody who reaches it watch, so it must be on loopback (127.0.0.1 or [::1]); \
                 access = \"token\" lets in who was paired, and allow_insecure_lan = true in the same table lets in everybody",
            ));
        }
        let origins = self.allow_origins.map(Spanned::into_inner);
        let origins = origins.into_iter().flatten().map(|origin| {
            origin.get_ref().parse::<Origin>().map_err(|error| {
                Problem::at(origin.span(), format!("{:?}: {error}", origin.get_ref()))
            })
        });
        Ok(super::ListenAccess::Open {
            allow_origins: origins.collect::<Result<_, _>>()?,
            allow_insecure_lan,
            allow_placeholder_hosts: self
                .allow_placeholder_hosts
                .is_some_and(Spanned::into_inner),
        })
    }

    fn token(self) -> Result<super::ListenAccess, Problem> {
        refuse(
            self.allow_origins.map(|value| value.span()),
            "web pages cannot use a listener with access = \"token\"",
        )?;
        refuse(
            self.allow_insecure_lan.map(|value| value.span()),
            "a listener with access = \"token\" needs no such permission",
        )?;
        refuse(
            self.allow_placeholder_hosts.map(|value| value.span()),
            "a listener with access = \"token\" does not look at hosts",
        )?;
        Ok(super::ListenAccess::Token {
            allow_clear_media: self.allow_clear_media.is_some_and(Spanned::into_inner),
        })
    }
}

/// Connections where there is a listener with access control.
const MIN_CONNECTIONS: usize = 16;

impl Http {
    fn check(self, http: &mut super::Http, has_token: bool) -> Result<(), Problem> {
        let span = self.max_connections.as_ref().map(Spanned::span);
        http.max_connections = within(
            self.max_connections,
            http.max_connections,
            1,
            100_000,
            "1",
            "100000",
        )?;
        if let Some(span) = span.filter(|_| has_token && http.max_connections < MIN_CONNECTIONS) {
            let message = format!(
                "{MIN_CONNECTIONS} at least are needed where viewers prove themselves: with fewer, guests could shut the owner out"
            );
            return Err(Problem::at(span, message));
        }
        http.max_viewers = within(
            self.max_viewers,
            http.max_viewers,
            1,
            100_000,
            "1",
            "100000",
        )?;
        for (value, target) in [
            (self.header_timeout, &mut http.timeouts.header),
            (self.idle_timeout, &mut http.timeouts.idle),
            (self.write_timeout, &mut http.timeouts.write),
            (self.body_timeout, &mut http.body_timeout),
        ] {
            let Some(value) = value else { continue };
            let Span(duration) = *value.get_ref();
            if !(1..=3600).contains(&duration.as_secs()) {
                return Err(Problem::at(value.span(), "1s to 1h are allowed"));
            }
            *target = duration;
        }
        Ok(())
    }
}
