//! A connection to a camera that speaks RTSP.

use std::time::Duration;

use bytes::Bytes;
use peercam_proto::{
    media::{AudioCodec, AudioTrack, MediaTime, TrackKind, VideoCodec, VideoTrack},
    text,
};
use retina::{
    client::{
        Described, InitialTimestampPolicy, PlayOptions, Session as Client, SessionIdPolicy,
        SessionOptions, SetupOptions, Stream, UnknownRtcpSsrcPolicy,
    },
    codec::{CodecItem, ParametersRef, VideoParameters, VideoParametersCodec},
};
use tokio::time::Instant;
use url::Url;

use super::{
    Config, Credentials, Transport, growth,
    intake::{Picture, Sound},
    packets::{Assembly, Packets},
    reorder_depth,
};
use crate::tracks;

/// Time to connect, be let in and be told what there is.
const OPEN: Duration = Duration::from_secs(4);
/// A camera that sends nothing for so long has gone.
const PICTURE_TIMEOUT: Duration = Duration::from_secs(4);
/// Characters of a camera's own words that are shown.
const MAX_WORDS: usize = 200;

/// Reason why a camera does not deliver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The camera did not let us in. Trying often could lock the account.
    #[error("it refuses user and password (401)")]
    Credentials,
    /// The camera made what reads it panic. The log says where.
    #[error("{FAULT}")]
    Fault,
    /// Anything else, as a sentence.
    #[error("{0}")]
    Other(String),
}

/// Sentence on a camera that makes what reads it panic.
pub(super) const FAULT: &str = "what it sends makes the library that reads it fail; that is a fault of the library, so please report the camera";

impl Failure {
    pub(super) fn new(error: &retina::Error) -> Self {
        let text = error.to_string();
        let line = first_line(&text);
        match error.status_code() {
            Some(401) => Self::Credentials,
            Some(200..300) => Self::Other(format!("its answer is of no use: {line}")),
            Some(404) => {
                Self::Other("it has no such stream (404); the path of the URL is wrong".to_owned())
            }
            Some(code) => Self::Other(format!("it refuses the request ({code})")),
            None => Self::Other(line),
        }
    }

    /// Sentence on it, for somebody who was given these credentials for the camera.
    pub(super) fn reason(&self, credentials: Option<&Credentials>) -> String {
        match (self, credentials) {
            (Self::Credentials, None) => {
                "it asks for a user and a password (401), and was given none".to_owned()
            }
            _ => self.to_string(),
        }
    }

    /// Message of the library.
    pub(super) fn said(text: &str) -> Self {
        Self::Other(first_line(text))
    }
}

/// Returns the first line alone: the rest is for people who read network captures, and a URL in it
/// may have a password. Cameras' own words are in it too.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let line = line.split("rtsp://").next().unwrap_or_default();
    text::line(line, MAX_WORDS)
}

/// An event of a camera's session.
pub(super) enum Item {
    /// A picture.
    Picture(Picture),
    /// A block of sound.
    Sound(Sound),
    /// The camera's clock of a track was this when the one that both share was that, in µs.
    Report(TrackKind, i64, i64),
}

/// A camera that plays.
pub(super) struct Session {
    packets: Packets,
    video: Option<usize>,
    audio: Option<usize>,
    audio_track: Option<AudioTrack>,
    video_track: Option<VideoTrack>,
    last_picture: Instant,
    /// Pictures each second, as the description of the session says; 0 if it does not.
    frame_rate: f64,
}

impl Session {
    /// Connects and has the camera play its first picture and its first sound.
    pub(super) async fn open(
        url: &Url,
        credentials: Option<&Credentials>,
        config: &Config,
    ) -> Result<Self, Failure> {
        within_time(Self::connect(url, credentials, config)).await
    }

    /// Connects and has the camera describe what it has, as [`Session::open`] does; nothing is set up, so
    /// there is nothing to be torn down.
    pub(super) async fn check(
        url: &Url,
        credentials: Option<&Credentials>,
        config: &Config,
    ) -> Result<(), Failure> {
        within_time(async { describe(url, credentials, config).await.map(|_| ()) }).await
    }

    async fn connect(
        url: &Url,
        credentials: Option<&Credentials>,
        config: &Config,
    ) -> Result<Self, Failure> {
        let (mut client, Offer { video, sound }) = describe(url, credentials, config).await?;
        let (mut audio, audio_track) = sound.unzip();
        let frame_rate = video.and_then(|video| client.streams()[video].framerate());
        for place in [video, audio].into_iter().flatten() {
            let options = SetupOptions::default().transport(config.transport.into());
            if let Err(error) = client.setup(place, options).await {
                let failure = Failure::new(&error);
                if Some(place) == video || failure == Failure::Credentials {
                    return Err(failure);
                }
                tracing::warn!(camera = super::shown(url), %failure, "the camera's sound is left out");
                audio = None;
            }
        }
        // Cameras are often wrong about both; arrival and sender reports say it better.
        let options = PlayOptions::default()
            .initial_timestamp(InitialTimestampPolicy::Ignore)
            .unknown_rtcp_ssrc(UnknownRtcpSsrcPolicy::DropPackets);
        let assemblies = Assembly::all(client.sdp(), client.streams());
        let playing = client
            .play(options)
            .await
            .map_err(|error| Failure::new(&error))?;
        let mut session = Self {
            packets: Packets::new(playing, assemblies, config.memory),
            video,
            audio,
            audio_track: audio_track.filter(|_| audio.is_some()),
            video_track: None,
            last_picture: Instant::now(),
            frame_rate: frame_rate.map_or(0.0, f64::from),
        };
        session.read_video_track();
        Ok(session)
    }

    /// Returns whether there is a picture.
    pub(super) fn has_video(&self) -> bool {
        self.video.is_some()
    }

    /// The sound, if there is any.
    pub(super) fn audio_track(&self) -> Option<&AudioTrack> {
        self.audio_track.as_ref()
    }

    /// Returns the decoder configuration of the newest picture, if that is known.
    pub(super) fn video_track(&self) -> Option<&VideoTrack> {
        self.video_track.as_ref()
    }

    /// Returns the places by which pictures are reordered, as far as the camera says.
    pub(super) fn depth(&self) -> usize {
        let parameters = self.video.and_then(|video| self.packets.parameters(video));
        let Some(ParametersRef::Video(parameters)) = parameters else {
            return 0;
        };
        let said = match parameters.codec_params() {
            VideoParametersCodec::H264 { sps, .. } => reorder_depth::h264(sps),
            VideoParametersCodec::H265 { sps, .. } => reorder_depth::h265(sps),
            _ => None,
        };
        said.unwrap_or(0)
    }

    /// Waits for what comes next; `now` tells the time when it has come. Cancel-safe.
    pub(super) async fn next(&mut self, now: impl Fn() -> MediaTime) -> Result<Item, Failure> {
        loop {
            // Sound and reports do not make up for a picture that does not come.
            let deadline = match self.video {
                Some(_) => self.last_picture + PICTURE_TIMEOUT,
                None => Instant::now() + PICTURE_TIMEOUT,
            };
            let next = async { growth::bounded(self.packets.next()).await? };
            let item = match tokio::time::timeout_at(deadline, next).await {
                Err(_) => {
                    let reason = match self.video {
                        Some(_) => "it sends no pictures any more",
                        None => "it sends nothing any more",
                    };
                    return Err(Failure::Other(reason.to_owned()));
                }
                // What has come already is not stopped by a deadline.
                Ok(Ok(Some(CodecItem::AudioFrame(_) | CodecItem::Rtcp(_))))
                    if self.video.is_some() && Instant::now() > deadline =>
                {
                    let reason = "it sends sound, and no pictures any more";
                    return Err(Failure::Other(reason.to_owned()));
                }
                Ok(Ok(None)) => return Err(Failure::Other("it ended the connection".to_owned())),
                Ok(Err(failure)) => return Err(failure),
                Ok(Ok(Some(item))) => item,
            };
            let track = |place| match place {
                place if Some(place) == self.video => Some(TrackKind::Video),
                place if Some(place) == self.audio => Some(TrackKind::Audio),
                _ => None,
            };
            match item {
                CodecItem::VideoFrame(frame) => {
                    self.last_picture = Instant::now();
                    if frame.has_new_parameters() || self.video_track.is_none() {
                        self.read_video_track();
                    }
                    return Ok(Item::Picture(Picture {
                        shown: micros(frame.timestamp()),
                        arrival: now(),
                        lost: frame.loss() > 0,
                        data: frame.into_data().into(),
                    }));
                }
                CodecItem::AudioFrame(frame) if !frame.data().is_empty() => {
                    return Ok(Item::Sound(Sound {
                        start: micros(frame.timestamp()),
                        arrival: now(),
                        data: Bytes::copy_from_slice(frame.data()),
                    }));
                }
                CodecItem::Rtcp(packet) => {
                    let reports = packet.pkts().filter_map(|one| one.as_sender_report().ok()?);
                    let shared = reports
                        .map(|report| ntp_micros(report.ntp_timestamp().0))
                        .next();
                    let stamp = packet.rtp_timestamp().map(micros);
                    if let (Some(track), Some(stamp), Some(Some(shared))) =
                        (track(packet.stream_id()), stamp, shared)
                    {
                        return Ok(Item::Report(track, stamp, shared));
                    }
                }
                _ => {}
            }
        }
    }

    fn read_video_track(&mut self) {
        let parameters = self.video.and_then(|video| self.packets.parameters(video));
        if let Some(ParametersRef::Video(parameters)) = parameters {
            self.video_track = video_track(parameters, self.frame_rate);
        }
    }
}

/// Tracks of a camera that are taken, by their places.
struct Offer {
    video: Option<usize>,
    sound: Option<(usize, AudioTrack)>,
}

/// Connects, and asks what there is. There is something that is taken.
async fn describe(
    url: &Url,
    credentials: Option<&Credentials>,
    config: &Config,
) -> Result<(Client<Described>, Offer), Failure> {
    let credentials = credentials.map(|known| retina::client::Credentials {
        username: known.user.clone(),
        password: known.password.expose().to_owned(),
    });
    let options = SessionOptions::default()
        .creds(credentials)
        .session_id(SessionIdPolicy::UseFirst)
        .user_agent(concat!("peercam/", env!("CARGO_PKG_VERSION")).to_owned());
    let client = Client::describe(url.clone(), options)
        .await
        .map_err(|error| Failure::new(&error))?;
    let streams = client.streams();
    let offer = Offer {
        video: streams.iter().position(is_video),
        sound: if config.sound {
            sound_of(streams, url)
        } else {
            None
        },
    };
    if offer.video.is_none() && offer.sound.is_none() {
        let offered = streams.iter().map(Stream::encoding_name);
        let offered: Vec<_> = offered.collect();
        return Err(Failure::Other(format!(
            "it offers {}; H.264 and H.265 are taken, with AAC-LC or G.711",
            if offered.is_empty() {
                "nothing".to_owned()
            } else {
                text::line(&offered.join(", "), MAX_WORDS)
            }
        )));
    }
    Ok((client, offer))
}

/// Does something with a camera in the time and the memory that it may take to open it.
async fn within_time<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let work = async { growth::bounded(work).await? };
    let done = tokio::time::timeout(OPEN, work).await;
    done.unwrap_or_else(|_| Err(Failure::Other("it did not answer within 4 s".to_owned())))
}

fn is_video(stream: &Stream) -> bool {
    stream.media() == "video" && matches!(stream.encoding_name(), "h264" | "h265")
}

fn video_track(parameters: &VideoParameters, described: f64) -> Option<VideoTrack> {
    let codec = match parameters.codec_params() {
        VideoParametersCodec::H264 { .. } => VideoCodec::H264,
        VideoParametersCodec::H265 { .. } => VideoCodec::H265,
        _ => return None,
    };
    let (width, height) = parameters.pixel_dimensions();
    let said = parameters
        .frame_rate()
        .filter(|(duration, _)| *duration > 0)
        .map(|(duration, scale)| f64::from(scale) / f64::from(duration));
    // Encoders that do not know write nonsense.
    let plausible = |rate: &f64| (1.0..=240.0).contains(rate);
    let frame_rate = said.filter(plausible).or(Some(described).filter(plausible));
    Some(VideoTrack {
        codec,
        config: Bytes::copy_from_slice(parameters.extra_data()),
        width,
        height,
        frame_rate: frame_rate.unwrap_or(0.0),
    })
}

/// The first sound that is taken, and where it stands.
fn sound_of(streams: &[Stream], url: &Url) -> Option<(usize, AudioTrack)> {
    let mut offered = streams.iter().enumerate();
    offered.find_map(|(place, stream)| match audio_track(stream)? {
        Ok(track) => Some((place, track)),
        Err(reason) => {
            tracing::warn!(camera = super::shown(url), %reason, "the camera's sound is left out");
            None
        }
    })
}

/// The track of a stream of sound, or why it is left out; `None` for what is none that is known.
fn audio_track(stream: &Stream) -> Option<Result<AudioTrack, String>> {
    if stream.media() != "audio" {
        return None;
    }
    let Some(ParametersRef::Audio(parameters)) = stream.parameters() else {
        return None;
    };
    let codec = match stream.encoding_name() {
        "mpeg4-generic" => {
            let track = tracks::aac(Bytes::copy_from_slice(parameters.extra_data()));
            return Some(track.map_err(|error| error.to_string()));
        }
        "pcma" => AudioCodec::PcmA,
        "pcmu" => AudioCodec::PcmU,
        _ => return None,
    };
    let track = tracks::g711(codec, parameters.clock_rate(), parameters.channels().get());
    Some(track.map_err(|error| error.to_string()))
}

fn micros(stamp: retina::Timestamp) -> i64 {
    let clock_rate = i128::from(stamp.clock_rate().get());
    (i128::from(stamp.elapsed()) * 1_000_000 / clock_rate) as i64
}

/// Microseconds of an NTP time; `None` for a camera that does not know any.
fn ntp_micros(ntp: u64) -> Option<i64> {
    let micros = (u128::from(ntp) * 1_000_000) >> 32;
    (ntp != 0).then_some(micros as i64)
}

impl From<Transport> for retina::client::Transport {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::Tcp(Default::default()),
            Transport::Udp => Self::Udp(Default::default()),
        }
    }
}
