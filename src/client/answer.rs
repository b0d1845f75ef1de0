use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{ClientError, connection::in_time};
use crate::proto::sealed::{Head, Opener, Record};

/// An authentic answer of the device; its body comes piece by piece.
pub struct Answer {
    head: Head,
    body: Incoming,
    opener: Opener,
    has_ended: bool,
}

impl Answer {
    /// Waits for the head of an answer, and for the reason if it is a refusal.
    pub(super) async fn open(body: Incoming, opener: Opener) -> Result<Self, ClientError> {
        let mut answer = Self {
            head: Head {
                status: 0,
                headers: Vec::new(),
            },
            body,
            opener,
            has_ended: false,
        };
        match in_time(answer.record()).await?? {
            Some(Record::Head(head)) => answer.head = head,
            _ => return Err(ClientError::Broken),
        }
        if answer.status() < 400 {
            return Ok(answer);
        }
        let status = answer.status();
        let text = answer.collect(4096).await?;
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let reason = json["reason"].as_str().unwrap_or("it gave no reason");
        Err(ClientError::Refused {
            status,
            reason: reason
                .chars()
                .filter(|c| !c.is_control())
                .take(512)
                .collect(),
        })
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The next piece of the body; `None` if it has ended in order.
    ///
    /// # Errors
    /// [`ClientError::Broken`] if it was cut off or changed; what came before is authentic.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.record().await? {
                Some(Record::Data(data) | Record::Last(data)) if data.is_empty() => {}
                Some(Record::Data(data) | Record::Last(data)) => return Ok(Some(data.freeze())),
                Some(Record::Head(_)) => return Err(ClientError::Broken),
                None => return Ok(None),
            }
        }
    }

    /// The whole body, if it is not longer than `limit` bytes.
    ///
    /// # Errors
    /// As [`Answer::piece`]; one that is too long is [`ClientError::Broken`] too.
    pub async fn collect(&mut self, limit: usize) -> Result<Bytes, ClientError> {
        let read = async {
            let mut whole = BytesMut::new();
            while let Some(piece) = self.piece().await? {
                whole.extend_from_slice(&piece);
                if whole.len() > limit {
                    return Err(ClientError::Broken);
                }
            }
            Ok(whole.freeze())
        };
        in_time(read).await?
    }

    async fn record(&mut self) -> Result<Option<Record>, ClientError> {
        loop {
            let record = self.opener.next_record().map_err(|_| ClientError::Broken)?;
            if record.is_some() || self.has_ended {
                return Ok(record);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    self.opener.feed(&data);
                }
                Some(Err(_)) => return Err(ClientError::Broken),
                None => {
                    self.has_ended = true;
                    self.opener.finish().map_err(|_| ClientError::Broken)?;
                }
            }
        }
    }
}
