//! A media file as a camera: FLV or non-fragmented MP4, looped at its own pace.
//!
//! H.264 or H.265 with AAC or G.711. The file is read by a thread of its own, a little ahead of
//! time; it is never held in memory. Timestamps go on over the loop without a seam.

mod codec;
mod flv;
mod mp4;
mod source;

use std::{
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use peercam_proto::media::{Frame, Quality, TrackKind, Tracks};

use crate::{Camera, HalError, MediaInput, clock::Clock};

/// A file that plays in a loop. Every quality is the same picture, and the encoder inside the
/// file takes no requests, so there are no controls.
#[derive(Clone, Debug)]
pub struct FileCamera {
    clock: Clock,
    path: PathBuf,
    extent: Extent,
}

impl FileCamera {
    /// A camera that plays the file at `path`. Reads the whole file once to make sure that it can
    /// be played. **Blocks** for as long as that takes.
    ///
    /// # Errors
    /// [`FileError`] if the file cannot be read, is damaged, fragmented, or holds a codec that the
    /// protocol does not carry; its text names file, track and codec.
    pub fn new(clock: Clock, path: PathBuf) -> Result<Self, FileError> {
        let extent = Movie::open(&path, None)?.extent;
        Ok(Self {
            clock,
            path,
            extent,
        })
    }
}

impl Camera for FileCamera {
    fn open(&self, _quality: Quality) -> Result<MediaInput, HalError> {
        let source = source::FileSource::new(self.clock, self.path.clone(), self.extent);
        Ok(source.into())
    }
}

/// A file that cannot be played, and the reason.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct FileError {
    path: PathBuf,
    problem: Problem,
}

/// A fault of a file.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("cannot be read: {0}")]
    Io(io::Error),
    #[error("is neither FLV nor MP4")]
    UnknownContainer,
    #[error("is damaged {0}")]
    Damaged(String),
    #[error(
        "is a fragmented MP4, which is not supported as a source; \
         `ffmpeg -i in.mp4 -c copy out.mp4` makes a plain one"
    )]
    Fragmented,
    #[error("the {track} track is {codec}, which is not supported; {}", supported(*track))]
    UnsupportedCodec { track: TrackKind, codec: String },
    #[error("has no picture that decoding could start with")]
    NoKeyFrame,
    #[error("has neither a video nor an audio track")]
    Empty,
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn supported(track: TrackKind) -> &'static str {
    match track {
        TrackKind::Video => "H.264 and H.265 are",
        TrackKind::Audio => "AAC, G.711 A-law and G.711 µ-law are",
    }
}

/// An open file, from its first key frame to its end.
#[derive(Debug)]
struct Movie {
    frames: Frames,
    tracks: Tracks,
    extent: Extent,
}

/// Extent of a file on its own time line.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// Decoding time of the first sample.
    start_micros: i64,
    /// After how long it begins again.
    length_micros: i64,
    identity: Identity,
}

/// Tells a file from another one that took its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

/// The frames of a file, from its first key frame to its end, and again. Their times are on the
/// file's own time line.
#[derive(Debug)]
struct Frames {
    container: Container,
    has_video: bool,
    waits_for_key: bool,
}

#[derive(Debug)]
enum Container {
    Flv(flv::FlvFile),
    Mp4(Box<mp4::Mp4File>),
}

impl Frames {
    fn new(container: Container, has_video: bool) -> Self {
        Self {
            container,
            has_video,
            waits_for_key: has_video,
        }
    }

    /// The next frame that is not empty.
    fn next(&mut self) -> Result<Option<Frame>, Problem> {
        loop {
            let frame = match &mut self.container {
                Container::Flv(file) => file.next_frame(),
                Container::Mp4(file) => file.next_frame(),
            }?;
            let Some(frame) = frame else { return Ok(None) };
            if frame.data.is_empty() {
                continue;
            }
            self.waits_for_key &= !frame.is_video_key();
            if !self.waits_for_key {
                return Ok(Some(frame));
            }
        }
    }

    /// Goes back to the first key frame.
    fn rewind(&mut self) -> Result<(), Problem> {
        self.waits_for_key = self.has_video;
        match &mut self.container {
            Container::Flv(file) => file.rewind(),
            Container::Mp4(file) => {
                file.rewind();
                Ok(())
            }
        }
    }
}

impl Movie {
    /// Opens a file. Reads all of it to check and measure it, unless that is known.
    fn open(path: &Path, known: Option<Extent>) -> Result<Self, FileError> {
        let read = || {
            // Asked before opening: opening a pipe would wait for its other end.
            let metadata = std::fs::metadata(path)?;
            if metadata.is_dir() {
                return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
            }
            if !metadata.is_file() {
                return Err(Problem::UnknownContainer);
            }
            Self::read(File::open(path)?, known)
        };
        read().map_err(|problem| FileError {
            path: path.to_owned(),
            problem,
        })
    }

    fn read(file: File, known: Option<Extent>) -> Result<Self, Problem> {
        let identity = Identity::of(&file)?;
        let (container, tracks) = match sniff(&file)? {
            Kind::Flv => {
                let (file, tracks) = flv::FlvFile::open(file)?;
                (Container::Flv(file), tracks)
            }
            Kind::Mp4 => {
                let (file, tracks) = mp4::Mp4File::open(file)?;
                (Container::Mp4(Box::new(file)), tracks)
            }
        };
        if tracks == Tracks::default() {
            return Err(Problem::Empty);
        }
        let mut frames = Frames::new(container, tracks.video.is_some());
        let extent = match known {
            Some(extent) if extent.identity == identity => extent,
            _ => measure(&mut frames, identity)?,
        };
        frames.rewind()?;
        Ok(Self {
            frames,
            tracks,
            extent,
        })
    }
}

/// Reads through once, from the first key frame on, as it will be played.
///
/// A loop is as long as what is shown and heard, not as what is decoded: encoders that reorder
/// pictures decode the first one early. The last picture of a track is taken to last as long as the
/// distance of the two before.
fn measure(frames: &mut Frames, identity: Identity) -> Result<Extent, Problem> {
    const SHORTEST_LOOP_MICROS: i64 = 40_000;
    let mut last_decoded = [None; 2];
    let (mut decoded, mut presented) = (Range::default(), Range::default());
    while let Some(frame) = frames.next()? {
        let micros = frame.time.as_micros();
        let last = &mut last_decoded[frame.track as usize];
        let interval = last
            .map_or(SHORTEST_LOOP_MICROS, |last: i64| micros - last)
            .max(0);
        *last = Some(micros);
        decoded.include(micros, 0);
        presented.include(micros + i64::from(frame.composition_micros), interval);
    }
    match (decoded.0, presented.0) {
        (Some((first, last)), Some((start, end))) => {
            let length_micros = (end - start)
                .max(last - first + 1000)
                .max(SHORTEST_LOOP_MICROS);
            Ok(Extent {
                start_micros: first,
                length_micros,
                identity,
            })
        }
        _ if frames.waits_for_key => Err(Problem::NoKeyFrame),
        _ => Err(Problem::Empty),
    }
}

/// The smallest and the largest time of something.
#[derive(Clone, Copy, Default)]
struct Range(Option<(i64, i64)>);

impl Range {
    fn include(&mut self, start: i64, length: i64) {
        let end = start + length;
        let (first, last) = self.0.unwrap_or((start, end));
        self.0 = Some((first.min(start), last.max(end)));
    }
}

enum Kind {
    Flv,
    Mp4,
}

fn sniff(file: &File) -> Result<Kind, Problem> {
    use std::os::unix::fs::FileExt;
    let mut head = [0; 8];
    match file.read_exact_at(&mut head, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(Problem::UnknownContainer)
        }
        Err(error) => Err(error.into()),
        Ok(()) if head.starts_with(b"FLV") => Ok(Kind::Flv),
        Ok(())
            if matches!(
                &head[4..],
                b"ftyp" | b"moov" | b"mdat" | b"free" | b"skip" | b"wide"
            ) =>
        {
            Ok(Kind::Mp4)
        }
        Ok(()) => Err(Problem::UnknownContainer),
    }
}
