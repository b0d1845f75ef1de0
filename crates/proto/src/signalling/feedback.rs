//! Messages from the device to a viewer: `POST /feedback` (`docs/protocol.md`, "Feedback").

use std::fmt;

use serde_json::{Map, Value};

use crate::{
    error::{Error, ErrorKind},
    text::Json,
};

/// The longest message and the longest reply, in bytes.
pub const MAX_FEEDBACK: usize = 16 << 10;

/// The key of messages that the protocol defines.
const PRIVATE: &str = "iv_private_cmd";

/// A message from the device to a viewer: JSON, at most [`MAX_FEEDBACK`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    text: String,
    kind: FeedbackKind,
}

/// Kind of a message: a call signal, or the maker's own JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedbackKind {
    /// `{"iv_private_cmd":"…"}`: about a call.
    Call(CallSignal),
    /// Any other JSON object: the maker's own.
    UserDefined,
}

/// Call event on the device's side, which a viewer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallSignal {
    /// The call was taken.
    Answer,
    /// The call was taken and is over.
    HangUp,
    /// The device called and has given up.
    Cancel,
    /// The viewer called and is not wanted.
    Reject,
    /// The viewer called and the device is in another call.
    Busy,
    /// The call was not taken in time.
    Timeout,
    /// The device takes no more of the viewer's sound and picture.
    ReceiveStop,
}

impl CallSignal {
    /// Every signal.
    const ALL: [Self; 7] = [
        Self::Answer,
        Self::HangUp,
        Self::Cancel,
        Self::Reject,
        Self::Busy,
        Self::Timeout,
        Self::ReceiveStop,
    ];

    /// Its word on the wire.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "call_answer",
            Self::HangUp => "call_hang_up",
            Self::Cancel => "call_cancel",
            Self::Reject => "call_reject",
            Self::Busy => "call_busy",
            Self::Timeout => "call_timeout",
            Self::ReceiveStop => "recv_stop",
        }
    }
}

impl Feedback {
    /// Reads a message. A trailing NUL, as some firmware appends, is cut off.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`]; [`ErrorKind::BadRequest`] for what is no JSON object, and for an
    /// `iv_private_cmd` that there is none of, or that has company.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        if body.len() > MAX_FEEDBACK {
            let reason = format!("a message has at most {MAX_FEEDBACK} bytes");
            return Err(Error::new(ErrorKind::TooLarge, reason));
        }
        let text = std::str::from_utf8(body)
            .map_err(|_| Error::bad_request("the message is not UTF-8"))?
            .trim_end_matches('\0');
        let object: Map<String, Value> = serde_json::from_str(text)
            .map_err(|_| Error::bad_request("the message is no JSON object"))?;
        let kind = match object.get(PRIVATE) {
            None => FeedbackKind::UserDefined,
            Some(word) => FeedbackKind::Call(signal(word, object.len())?),
        };
        Ok(Self {
            text: text.to_owned(),
            kind,
        })
    }

    /// `{"iv_private_cmd":"…"}`
    pub fn of_call(signal: CallSignal) -> Self {
        Self {
            text: format!("{{\"{PRIVATE}\":\"{}\"}}", signal.as_str()),
            kind: FeedbackKind::Call(signal),
        }
    }

    /// The message as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the kind of the message.
    pub fn kind(&self) -> FeedbackKind {
        self.kind
    }
}

fn signal(word: &Value, keys: usize) -> Result<CallSignal, Error> {
    if keys > 1 {
        return Err(Error::bad_request(
            "iv_private_cmd stands alone; messages of your own have another key",
        ));
    }
    let mut all = CallSignal::ALL.into_iter();
    all.find(|signal| word.as_str() == Some(signal.as_str()))
        .ok_or_else(|| {
            let words = CallSignal::ALL.map(CallSignal::as_str).join(", ");
            Error::bad_request(format!(
                "iv_private_cmd is one of {words}; messages of your own have another key"
            ))
        })
}

impl fmt::Display for Feedback {
    /// The same JSON as one line that can forge no other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Json(&self.text).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_messages_of_ones_own() {
        for signal in CallSignal::ALL {
            let text = format!(r#"{{"iv_private_cmd":"{}"}}"#, signal.as_str());
            let feedback = Feedback::parse(text.as_bytes()).expect("a signal");
            assert_eq!(feedback.kind(), FeedbackKind::Call(signal));
            assert_eq!(feedback.text(), text);
            assert_eq!(Feedback::of_call(signal), feedback);
        }
        let own = Feedback::parse(b"{\"my_message\":\"hello\\nworld\"}\0").expect("JSON");
        assert_eq!(own.kind(), FeedbackKind::UserDefined);
        assert_eq!(own.text(), r#"{"my_message":"hello\nworld"}"#);
        let hostile = Feedback::parse(b"{\"a\":\n\"\x1b[2J\"}");
        assert!(hostile.is_err(), "control characters are no JSON");
        let lines = Feedback::parse(b"{\"a\":\n\"b\"}").expect("JSON");
        assert_eq!(lines.to_string(), "{\"a\": \"b\"}");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_FEEDBACK));
        for (body, kind) in [
            (long.as_bytes(), ErrorKind::TooLarge),
            (b"".as_slice(), ErrorKind::BadRequest),
            (b"\xff", ErrorKind::BadRequest),
            (b"[1]", ErrorKind::BadRequest),
            (b"{\"a\":1", ErrorKind::BadRequest),
            (b"{\"iv_private_cmd\":\"call_me\"}", ErrorKind::BadRequest),
            (b"{\"iv_private_cmd\":1}", ErrorKind::BadRequest),
            (
                b"{\"iv_private_cmd\":\"call_cancel\",\"a\":1}",
                ErrorKind::BadRequest,
            ),
        ] {
            let error = Feedback::parse(body).expect_err("no message");
            assert_eq!(error.kind(), kind, "{error}");
        }
    }
}
