//! One firmware's connection: read, answered, and closed for what it does wrong.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use peercam_proto::{
    hal_socket::{FromFirmware, HEAD, Head, MessageError, ToFirmware, VERSION, text},
    media::{ChannelId, StreamId},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, mpsc},
    time::{Instant, timeout},
};

use super::{
    SMALL, Shared,
    channel::Channel,
    firmware_handle::FirmwareHandle,
    stream::{Captured, Stream, StreamError},
};
use crate::timeline::Timeline;

/// Time to say hello, and to end a message that was begun.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// Time to take the reason why it is sent away.
const FAREWELL: Duration = Duration::from_millis(200);
/// Room for a body to begin with; it doubles.
const FIRST_ROOM: usize = 4 << 10;
/// Interval at which a firmware is told how many frames were dropped here.
const TELL_DROPPED: Duration = Duration::from_secs(1);

/// Reason why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// An end in order.
    #[error("the firmware closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Io(std::io::Error),
    #[error("the firmware ended in the middle of a message")]
    Torn,
    #[error("the firmware stalls in the middle of a message")]
    Stalled,
    #[error("the firmware does not read what it is told")]
    Stuck,
    #[error(
        "a message of {0} bytes, and memory allows {1}; lower the bitrate, or raise runtime.memory"
    )]
    TooLarge(usize, usize),
    #[error("the first message is no hello")]
    NoHello,
    #[error("version {0}, and this daemon speaks version {VERSION}")]
    Version(u16),
    #[error("channel {0} is not one of this socket's in the configuration")]
    NoSuchChannel(ChannelId),
    #[error("another firmware delivers channel {0}")]
    Taken(ChannelId),
    #[error("stream {0} was not announced")]
    Unannounced(StreamId),
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error(transparent)]
    Stream(#[from] StreamError),
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Serves a firmware until one of both ends it.
pub(super) async fn serve(shared: &Arc<Shared>, socket: UnixStream, number: u64) {
    let (mut read, mut write) = socket.into_split();
    let (firmware, mut queue) = FirmwareHandle::new(number);
    let mut connection = Connection {
        shared: Arc::clone(shared),
        firmware: firmware.clone(),
        name: String::new(),
        timeline: Timeline::default(),
        streams: BTreeMap::new(),
        told: Instant::now(),
    };
    let mut is_within = false;
    let ended = tokio::select! {
        ended = connection.read(&mut read) => ended,
        error = send_all(&mut queue, &mut write, &mut is_within) => Ended::Io(error),
        () = firmware.stuck() => Ended::Stuck,
    };
    let reason = ended.to_string();
    match ended {
        // Somebody looked whether there is a daemon.
        Ended::Closed if connection.name.is_empty() => {}
        Ended::Closed => tracing::info!(firmware = connection.name, "the firmware has left"),
        _ => tracing::warn!(
            firmware = connection.name,
            reason,
            "the firmware's connection ends"
        ),
    }
    firmware.close();
    for channel in shared.channels().values() {
        channel.release(number, &reason);
    }
    // Behind half a message it would be taken for the other half.
    if !is_within {
        let goodbye = ToFirmware::Goodbye(&reason).encode();
        // One that has gone, or does not listen, need not know.
        let _ = timeout(FAREWELL, write.write_all(&goodbye)).await;
    }
}

/// Sends what there is; `is_within` says whether a message is on its way and not whole.
async fn send_all(
    queue: &mut mpsc::Receiver<Vec<u8>>,
    write: &mut OwnedWriteHalf,
    is_within: &mut bool,
) -> std::io::Error {
    while let Some(message) = queue.recv().await {
        *is_within = true;
        if let Err(error) = write.write_all(&message).await {
            return error;
        }
        *is_within = false;
    }
    // The other end is held by whoever waits here.
    std::future::pending().await
}

struct Connection {
    shared: Arc<Shared>,
    firmware: FirmwareHandle,
    name: String,
    /// All streams of a firmware have one clock.
    timeline: Timeline,
    streams: BTreeMap<StreamId, Announced>,
    /// Time at which the firmware was last told of dropped frames.
    told: Instant,
}

struct Announced {
    channel: Arc<Channel>,
    stream: Stream,
    /// Frames that were dropped here, up to the last time the firmware was told, and before it
    /// came.
    dropped: u64,
    before: u64,
    /// Frames that the firmware has dropped, as it said.
    dropped_there: u32,
}

impl Connection {
    async fn read(&mut self, read: &mut OwnedReadHalf) -> Ended {
        match self.converse(read).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn converse(
        &mut self,
        read: &mut OwnedReadHalf,
    ) -> Result<std::convert::Infallible, Ended> {
        let hello = timeout(MESSAGE_TIMEOUT, receive(read, &self.shared, Head::is_hello)).await;
        match hello.map_err(|_| Ended::NoHello)?? {
            FromFirmware::Hello { version: 0, .. } => return Err(Ended::NoHello),
            FromFirmware::Hello { version, .. } if version != VERSION => {
                return Err(Ended::Version(version));
            }
            FromFirmware::Hello { name, .. } => self.name = name,
            _ => return Err(Ended::NoHello),
        }
        tracing::info!(firmware = self.name, "the firmware has come");
        self.firmware.send(&ToFirmware::Welcome);
        loop {
            let message = receive(read, &self.shared, |_| true).await?;
            self.take(message)?;
        }
    }

    fn channel(&self, id: ChannelId) -> Result<Arc<Channel>, Ended> {
        let channels = self.shared.channels();
        let exists = |channel: &&Arc<Channel>| channel.is_used() || channel.is_of(&self.firmware);
        let channel = channels.get(&id).filter(exists);
        let channel = channel.ok_or(Ended::NoSuchChannel(id))?;
        if channel.claim(&self.firmware) {
            Ok(Arc::clone(channel))
        } else {
            Err(Ended::Taken(id))
        }
    }

    fn take(&mut self, message: FromFirmware) -> Result<(), Ended> {
        match message {
            FromFirmware::Hello { .. } => return Err(Ended::NoHello),
            FromFirmware::Stream(id, info) => {
                let channel = self.channel(id.channel)?;
                let stream = Stream::new(id, &info)?;
                channel.announce(id.quality, info);
                let before = channel.fanout(id.quality).lost();
                let known = self.streams.remove(&id);
                let (dropped, before, dropped_there) = known.map_or((0, before, 0), |known| {
                    (known.dropped, known.before, known.dropped_there)
                });
                let announced = Announced {
                    channel,
                    stream,
                    dropped,
                    before,
                    dropped_there,
                };
                self.streams.insert(id, announced);
            }
            FromFirmware::Picture {
                stream: id,
                time,
                composition_micros,
                framing,
                data,
            } => {
                let arrival = self.shared.clock.now();
                let (announced, timeline) = self.announced(id)?;
                if !announced.channel.is_used() {
                    return Ok(());
                }
                let captured = Captured {
                    time,
                    composition_micros,
                    framing,
                    data: &data,
                };
                announced
                    .stream
                    .picture(&captured, timeline, arrival, &announced.channel)?;
                self.tell_dropped();
            }
            FromFirmware::Sound {
                stream: id,
                time,
                data,
            } => {
                let arrival = self.shared.clock.now();
                let (announced, timeline) = self.announced(id)?;
                if !announced.channel.is_used() {
                    return Ok(());
                }
                announced
                    .stream
                    .sound(time, &data, timeline, arrival, &announced.channel)?;
            }
            FromFirmware::Offline(id, reason) => {
                let (announced, _) = self.announced(id)?;
                announced.stream.restart();
                for fanout in announced
                    .channel
                    .fanouts_of(id.quality)
                    .into_iter()
                    .flatten()
                {
                    fanout.offline(&reason);
                }
            }
            FromFirmware::Abilities(id, abilities) => self.channel(id)?.set_abilities(abilities),
            FromFirmware::Position(id, position) => self.channel(id)?.set_position(position),
            FromFirmware::Answer { id, done, data } => {
                let answer = if done { Ok(data) } else { Err(text(&data)) };
                if !self.firmware.answer(id, answer) {
                    tracing::debug!(id, "an answer of the firmware came too late");
                }
            }
            FromFirmware::Dropped(id, frames) => {
                let (announced, _) = self.announced(id)?;
                let more = frames.saturating_sub(announced.dropped_there);
                announced.dropped_there = frames;
                self.shared.metrics.lost(id, "firmware", more.into());
            }
        }
        Ok(())
    }

    fn announced(&mut self, id: StreamId) -> Result<(&mut Announced, &mut Timeline), Ended> {
        let announced = self.streams.get_mut(&id).ok_or(Ended::Unannounced(id))?;
        Ok((announced, &mut self.timeline))
    }

    /// Tells the firmware how many frames were dropped here, now and then.
    fn tell_dropped(&mut self) {
        if self.told.elapsed() < TELL_DROPPED {
            return;
        }
        self.told = Instant::now();
        for (id, announced) in &mut self.streams {
            let dropped = announced.channel.fanout(id.quality).lost() - announced.before;
            if dropped > announced.dropped {
                self.shared
                    .metrics
                    .lost(*id, "daemon", dropped - announced.dropped);
                announced.dropped = dropped;
                let dropped = u32::try_from(dropped).unwrap_or(u32::MAX);
                self.firmware.send(&ToFirmware::Dropped(*id, dropped));
            }
        }
    }
}

/// The next message, if its kind `is_due`.
async fn receive(
    read: &mut OwnedReadHalf,
    shared: &Shared,
    is_due: impl Fn(Head) -> bool,
) -> Result<FromFirmware, Ended> {
    let mut head = [0; HEAD];
    if read.read(&mut head[..1]).await? == 0 {
        return Err(Ended::Closed);
    }
    let rest = async {
        read.read_exact(&mut head[1..]).await?;
        let head = Head::parse(&head)?;
        if !is_due(head) {
            return Err(Ended::NoHello);
        }
        if head.length > shared.largest {
            return Err(Ended::TooLarge(head.length, shared.largest));
        }
        let body = read_body(read, head.length, &shared.large).await?;
        Ok::<_, Ended>(FromFirmware::parse(head, body)?)
    };
    match timeout(MESSAGE_TIMEOUT, rest).await {
        Ok(Err(Ended::Io(error))) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(Ended::Torn)
        }
        Ok(received) => received,
        Err(_) => Err(Ended::Stalled),
    }
}

/// A body. Its room grows with what has come, not with what was announced; beyond [`SMALL`] it is a
/// part of what all connections have.
async fn read_body(
    read: &mut OwnedReadHalf,
    length: usize,
    large: &Semaphore,
) -> std::io::Result<Bytes> {
    let mut body = Vec::new();
    read_up_to(read, length.min(SMALL), &mut body).await?;
    if length > SMALL {
        let beyond = u32::try_from(length - SMALL).unwrap_or(u32::MAX);
        // It is never closed.
        let _room = large.acquire_many(beyond).await;
        read_up_to(read, length, &mut body).await?;
    }
    Ok(body.into())
}

async fn read_up_to(
    read: &mut OwnedReadHalf,
    length: usize,
    body: &mut Vec<u8>,
) -> std::io::Result<()> {
    let mut limited = read.take((length - body.len()) as u64);
    while body.len() < length {
        if body.len() == body.capacity() {
            let more = body.len().max(FIRST_ROOM).min(length - body.len());
            body.reserve_exact(more);
        }
        if limited.read_buf(body).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn large_bodies_share_their_room_and_take_it_as_they_come() {
        const LENGTH: usize = 2 * SMALL;
        let large = Semaphore::new(SMALL + 1);
        let (near, mut far) = UnixStream::pair().expect("sockets");
        let (mut first, _keep) = near.into_split();
        let (near, mut other) = UnixStream::pair().expect("sockets");
        let (mut second, _keep_too) = near.into_split();
        // What is announced takes nothing.
        far.write_all(&[1; SMALL - 1]).await.expect("room");
        let mut stalls = Box::pin(read_body(&mut first, LENGTH, &large));
        let yields = || async {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            _ = &mut stalls => panic!("it is not whole"),
            () = yields() => {}
        }
        assert_eq!(large.available_permits(), SMALL + 1);
        far.write_all(&[1; 2]).await.expect("room");
        tokio::select! {
            biased;
            _ = &mut stalls => panic!("it is not whole"),
            () = yields() => {}
        }
        assert_eq!(large.available_permits(), 1);
        // Another one waits, though all of it has come; small ones do not.
        other.write_all(&[2; LENGTH]).await.expect("room");
        let mut waits = Box::pin(read_body(&mut second, LENGTH, &large));
        tokio::select! {
            biased;
            _ = &mut waits => panic!("there is no room"),
            () = yields() => {}
        }
        drop(stalls);
        assert_eq!(waits.await.expect("a body"), vec![2; LENGTH]);
        assert_eq!(large.available_permits(), SMALL + 1);
    }
}
