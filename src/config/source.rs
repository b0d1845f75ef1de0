//! `source` of a channel: where its picture comes from.

use std::path::{Path, PathBuf};

use peercam_hal::AudioPolicy;

use crate::document::Table;

/// Source of a channel's picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// `{ kind = "sim" }`: the simulated camera.
    #[cfg(feature = "sim")]
    Sim(peercam_hal::sim::Config),
    /// `{ kind = "file", path = "…" }`: a media file in a loop. The path is relative to the
    /// configuration file.
    File {
        /// The file.
        path: PathBuf,
    },
    /// `{ kind = "rtsp", url = "…" }`: a camera that speaks RTSP.
    #[cfg(feature = "rtsp")]
    Rtsp(Box<peercam_hal::rtsp::Config>),
    /// `{ kind = "jpeg", url = "…" }`: a camera that hands over JPEGs by HTTP.
    #[cfg(feature = "rtsp")]
    Jpeg(Box<peercam_hal::rtsp::JpegConfig>),
    /// `{ kind = "socket", path = "…" }`: firmware that connects to a Unix socket. Channels with
    /// the same path share the socket. The path is relative to the configuration file.
    Socket {
        /// The socket.
        config: peercam_hal::socket::Config,
    },
    /// `{ kind = "own" }`: a camera of the program that runs the daemon
    /// ([`Daemon::with_cameras`](crate::Daemon::with_cameras)).
    Own,
}

impl Source {
    /// Bits per second of this quality: those that are known, or else the usual ones.
    #[cfg(feature = "record")]
    pub(super) fn usual_rate(&self, quality: peercam_proto::media::Quality) -> u32 {
        const USUAL: [u32; 3] = [500_000, 1_500_000, 4_000_000];
        match self {
            #[cfg(feature = "sim")]
            Self::Sim(sim) => sim.bitrate[quality as usize],
            _ => USUAL[quality as usize],
        }
    }
}

/// `kind`, which says what other keys there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sim,
    File,
    Rtsp,
    Jpeg,
    Socket,
    Own,
}

impl Kind {
    const WORDS: [(&str, Self); 6] = [
        ("sim", Self::Sim),
        ("file", Self::File),
        ("rtsp", Self::Rtsp),
        ("jpeg", Self::Jpeg),
        ("socket", Self::Socket),
        ("own", Self::Own),
    ];

    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let kind = table.require("kind", "sim, file, rtsp, jpeg or socket is needed");
        let kind = kind.word(&Self::WORDS);
        match kind {
            // An option of another kind is a mistake, not a wish.
            Some(_) => table.call_unknown("this kind of source has no such option"),
            None => table.leave(),
        }
        kind
    }

    /// Reads the other options.
    #[cfg_attr(not(feature = "rtsp"), expect(unused_variables))]
    pub(super) fn source(
        self,
        table: &mut Table<'_>,
        base: &Path,
        sound: AudioPolicy,
    ) -> Option<Source> {
        match self {
            #[cfg(feature = "sim")]
            Self::Sim => Some(Source::Sim(super::sim::read(table))),
            Self::File => {
                let path = table.get("path");
                if !path.is_there() {
                    table.peek("kind").refuse("a file source needs a path");
                }
                let path = base.join(path.path()?);
                Some(Source::File { path })
            }
            Self::Socket => super::socket::read(table, base),
            Self::Own => Some(Source::Own),
            #[cfg(feature = "rtsp")]
            Self::Rtsp => super::rtsp::rtsp(table, sound).map(Source::Rtsp),
            #[cfg(feature = "rtsp")]
            Self::Jpeg => super::rtsp::jpeg(table).map(Source::Jpeg),
            #[cfg(not(all(feature = "rtsp", feature = "sim")))]
            _ => {
                let message = "this program was built without the feature that this source needs";
                table.peek("kind").refuse(message);
                table.leave();
                None
            }
        }
    }
}
