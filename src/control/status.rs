//! Status of a running daemon: what it does now, as JSON for programs and as text for people.
//!
//! Pure: what is told here was asked elsewhere (`observed`). No secret is in it: no token, no key, and
//! of a camera no URL.

use std::fmt;

use peercam_proto::text::Printable;
use serde::Serialize;

use crate::{budget::Bytes, device::ProblemReport};

/// State of a daemon at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Version of the program.
    pub version: &'static str,
    /// Process of the daemon.
    pub pid: u32,
    /// Set if all is as it should be.
    pub ok: bool,
    /// Id of the device, in hex.
    pub device_id: String,
    /// Data directory of the device.
    pub data_dir: String,
    /// Seconds since the daemon started.
    pub uptime_seconds: u64,
    /// Seconds since 1970-01-01 UTC; `None` if the clock was not set.
    pub clock: Option<u64>,
    /// TCP listeners.
    pub listeners: Vec<Listener>,
    /// TCP addresses in the LAN for viewers that were paired.
    pub lan: Vec<String>,
    /// UDP addresses for viewers over P2P.
    pub udp: Vec<String>,
    /// URLs of relays.
    pub relays: Vec<String>,
    /// Things that do not work.
    pub problems: Vec<ProblemReport>,
    /// Cameras.
    pub cameras: Vec<Camera>,
    /// Viewers that have a session or are sent something.
    pub viewers: Vec<Viewer>,
    /// Places of viewers.
    pub places: Vec<Places>,
    /// SD card; `None` if nothing is recorded.
    pub card: Option<Card>,
    /// Memory of the process.
    pub memory: Memory,
    /// Levels of the log; `None` if it is not the daemon's.
    pub log: Option<String>,
}

/// A TCP listener.
#[derive(Clone, Debug, Serialize)]
pub struct Listener {
    /// Address that is bound.
    pub address: String,
    /// `open` or `token`.
    pub access: &'static str,
}

/// A camera.
#[derive(Clone, Debug, Serialize)]
pub struct Camera {
    /// Number of its channel.
    pub channel: u16,
    /// Name for people.
    pub name: String,
    /// `on`, `off` or `standby`.
    pub state: &'static str,
    /// Reason why it is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A viewer.
#[derive(Clone, Debug, Serialize)]
pub struct Viewer {
    /// Name in its credential; without one, the name that it gave itself, or its address.
    pub name: String,
    /// Session of a viewer that proved itself.
    pub session: Option<String>,
    /// `direct` or `relay` over P2P, `tcp`, or `open` for one without a session.
    pub path: &'static str,
    /// Address, where one is known.
    pub address: Option<String>,
    /// Seconds since it came.
    pub seconds: u64,
    /// Media that it is sent, or talks.
    pub media: Vec<Media>,
}

/// A medium under way.
#[derive(Clone, Debug, Serialize)]
pub struct Media {
    /// `live`, `playback`, `download`, `snapshot` or `talk`.
    pub medium: &'static str,
    /// Number of the channel.
    pub channel: u16,
    /// Quality of a live stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<&'static str>,
    /// Seconds since it began.
    pub seconds: u64,
}

/// Places of one kind.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Places {
    /// Kind, in the plural.
    pub of: &'static str,
    /// Places that are taken.
    pub taken: usize,
    /// Places that there are.
    pub max: usize,
}

/// SD card.
#[derive(Clone, Debug, Serialize)]
pub struct Card {
    /// `starting`, `ready`, `read only` or `gone`.
    pub state: &'static str,
    /// Reason why nothing is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Number of recordings.
    pub files: usize,
    /// Bytes of all recordings.
    pub bytes: u64,
    /// Bytes that are free, if that is known.
    pub free_bytes: Option<u64>,
}

/// Memory of the process.
#[derive(Clone, Debug, Serialize)]
pub struct Memory {
    /// Bytes that the process has (`VmRSS`), if the system says so.
    pub resident_bytes: Option<u64>,
    /// Sum of the shares, in bytes.
    pub budget_bytes: usize,
    /// Shares of the parts.
    pub shares: Vec<Share>,
}

/// Share of a part in the memory.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Share {
    /// Name of the part.
    pub part: &'static str,
    /// Bytes that it may have.
    pub bytes: usize,
    /// Bytes that it has, where that is counted.
    pub used_bytes: Option<usize>,
}

impl fmt::Display for Status {
    /// A line for each thing; its first word is the kind of the thing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.ok { "" } else { ", degraded" };
        let up = Span(self.uptime_seconds);
        writeln!(
            f,
            "peercam {}, process {}, runs for {up}{state}",
            self.version, self.pid
        )?;
        row(f, "device", self.device_id.as_str())?;
        row(f, "data", Printable(&self.data_dir))?;
        if self.clock.is_none() {
            row(f, "clock", "not set")?;
        }
        for problem in &self.problems {
            problem.fmt(f)?;
        }
        self.reach(f)?;
        for camera in &self.cameras {
            camera.fmt(f)?;
        }
        for viewer in &self.viewers {
            viewer.fmt(f)?;
        }
        for Places { of, taken, max } in &self.places {
            row(f, "places", format_args!("{taken} of {max} {of}"))?;
        }
        if let Some(card) = &self.card {
            card.fmt(f)?;
        }
        self.memory.fmt(f)?;
        match &self.log {
            Some(levels) => row(f, "log", Printable(levels)),
            None => Ok(()),
        }
    }
}

impl Status {
    fn reach(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Listener { address, access } in &self.listeners {
            let whom = match *access {
                "open" => "open",
                _ => "for paired viewers",
            };
            row(f, "listener", format_args!("{address}, {whom}"))?;
        }
        for (kind, addresses) in [
            ("LAN", &self.lan),
            ("P2P", &self.udp),
            ("relay", &self.relays),
        ] {
            for address in addresses {
                row(f, kind, Printable(address))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for ProblemReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channel = self.channel.map(|channel| format!(" {channel}"));
        let name = self.name.as_ref().map(|name| format!(" \"{name}\""));
        let (channel, name) = (channel.unwrap_or_default(), name.unwrap_or_default());
        let text = format_args!(
            "{}{channel}{}: {}, for {}; {}",
            self.part,
            Printable(name),
            Printable(&self.what),
            Span(self.seconds),
            self.remedy
        );
        row(f, "problem", text)
    }
}

impl fmt::Display for Camera {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            channel,
            name,
            state,
            reason,
        } = self;
        let name = Printable(name);
        match reason {
            None => row(f, "camera", format_args!("{channel} \"{name}\": {state}")),
            Some(reason) => {
                let reason = Printable(reason);
                let text = format_args!("{channel} \"{name}\": {state}: {reason}");
                row(f, "camera", text)
            }
        }
    }
}

impl fmt::Display for Viewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Printable(&self.name);
        let address = self.address.as_deref().unwrap_or("address not known");
        let text = format_args!(
            "\"{name}\" ({}, {address}), for {}",
            self.path,
            Span(self.seconds)
        );
        row(f, "viewer", text)?;
        for Media {
            medium,
            channel,
            quality,
            seconds,
        } in &self.media
        {
            let quality = quality.map(|quality| format!(", {quality}"));
            let quality = quality.unwrap_or_default();
            let text = format_args!(
                "  {medium} of channel {channel}{quality}, for {}",
                Span(*seconds)
            );
            row(f, "", text)?;
        }
        Ok(())
    }
}

impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            state,
            reason,
            files,
            bytes,
            free_bytes,
        } = self;
        let reason = reason.as_deref().map(|reason| format!(": {reason}"));
        row(
            f,
            "SD card",
            format_args!("{state}{}", Printable(reason.unwrap_or_default())),
        )?;
        let bytes = Bytes(*bytes);
        match free_bytes {
            Some(free) => {
                let free = Bytes(*free);
                let text = format_args!("  {files} recordings, {bytes}; {free} free");
                row(f, "", text)
            }
            None => row(f, "", format_args!("  {files} recordings, {bytes}")),
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let budget = Bytes(self.budget_bytes as u64);
        match self.resident_bytes {
            Some(resident) => {
                let resident = Bytes(resident);
                let text = format_args!("{resident} in use; the budget is {budget}");
                row(f, "memory", text)?;
            }
            None => row(f, "memory", format_args!("the budget is {budget}"))?,
        }
        for Share {
            part,
            bytes,
            used_bytes,
        } in &self.shares
        {
            let bytes = Bytes(*bytes as u64);
            match used_bytes {
                Some(used) => {
                    let used = Bytes(*used as u64);
                    row(f, "", format_args!("  {part:<18} {bytes:>10}, uses {used}"))?;
                }
                None => row(f, "", format_args!("  {part:<18} {bytes:>10}"))?,
            }
        }
        Ok(())
    }
}

/// Writes one line: a kind, and what is said of it.
fn row(f: &mut fmt::Formatter<'_>, kind: &str, text: impl fmt::Display) -> fmt::Result {
    writeln!(f, "{kind:<9} {text}")
}

/// A number of seconds as people read it.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, minutes, hours) = (self.0, self.0 / 60, self.0 / 3600);
        match self.0 {
            0..60 => write!(f, "{seconds} s"),
            60..3600 => write!(f, "{minutes} min"),
            3600..86_400 => write!(f, "{hours} h {} min", minutes % 60),
            _ => write!(f, "{} d {} h", hours / 24, hours % 24),
        }
    }
}

#[cfg(test)]
mod tests;
