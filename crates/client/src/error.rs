//! Failures of the viewer's end, as sentences for people and as codes for apps.
//!
//! Each says on which side it was and, where there is something, what to do. No secret is in one.

use std::{fmt, io, net::SocketAddr};

use peercam_net::p2p::CloseReason;

use super::exchange::RequestError;

/// Failure of a request: which side it was, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URI has no address to try.
    #[error(
        "the pairing URI names nowhere to find the device; pair again while the device runs, with P2P on or with a listener that has access = \"token\""
    )]
    NoAddress,
    /// None of the addresses can be reached.
    #[error("the device cannot be reached over TCP: {}", Tried(.0))]
    Unreachable(Vec<(SocketAddr, io::Error)>),
    /// The device cannot be dialled.
    #[error("the device cannot be reached: {}{}", why(lost), advice(lost))]
    NotDialled {
        /// Reason of the endpoint.
        lost: CloseReason,
    },
    /// The viewer's own endpoint cannot be had.
    #[error("this machine gives no UDP port for P2P: {0}")]
    NoEndpoint(String),
    /// The connection was lost before the answer came.
    #[error("the connection to the device was lost: {0}")]
    CloseReason(CloseReason),
    /// Something else answers there. It was sent nothing secret.
    #[error(
        "what answers at {0} is no peercam listener with access = \"token\"; nothing secret was sent to it"
    )]
    NotTheDevice(SocketAddr),
    /// The proof was not accepted, or somebody in between says so.
    #[error(
        "the credential is not accepted: the device was reset or has ended all access, this URI is of another device, or (over TCP, where that answer is not authenticated) somebody stands in between"
    )]
    NotAccepted,
    /// The device refused, and it was the device.
    #[error("the device refused ({status}): {reason}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The device's sentence, made fit for a terminal.
        reason: String,
    },
    /// Bytes that the device did not seal, or not all that it did.
    #[error(
        "the answer was cut off or changed on its way; what came before it is as the device sent it"
    )]
    Broken,
    /// The body is longer than its head says.
    #[error("the device sends more than it announced; what is beyond that was not taken")]
    TooMuch,
    /// A command went out and no authentic answer came.
    #[error("{0}; whether the device did it is not known, so it is not sent again")]
    OutcomeUnknown(Box<Self>),
    /// The device did not answer in time.
    #[error("the device did not answer within {0} s")]
    Timeout(u64),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// The request cannot be written.
    #[error("the request cannot be written: {0}")]
    BadTarget(&'static str),
}

/// The codes by which apps of the mini-program kind know failures (`docs/protocol.md`, "Codes of
/// the viewer's end").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// A parameter is wrong.
    BadParameter,
    /// The name of the device cannot be read.
    BadPeerInfo,
    /// The device runs another version of the protocol.
    Incompatible,
    /// The network cannot be used at all.
    NoNetwork,
    /// A stream does not start.
    NoStream,
    /// The device is not connected.
    NotConnected,
    /// An answer cannot be opened.
    Unopened,
    /// Talking does not start.
    NoVoice,
    /// A file is not fetched.
    NoDownload,
}

impl Code {
    /// The number.
    pub const fn number(self) -> i32 {
        match self {
            Self::BadParameter => -2000,
            Self::BadPeerInfo => -2001,
            Self::Incompatible => -2005,
            Self::NoNetwork => -2202,
            Self::NoStream => -2402,
            Self::NotConnected => -2403,
            Self::Unopened => -2502,
            Self::NoVoice => -2601,
            Self::NoDownload => -2701,
        }
    }
}

impl ClientError {
    /// The documented code that fits; `None` where none does, such as for a command that the
    /// device refuses with a status of its own.
    pub fn code(&self) -> Option<Code> {
        Some(match self {
            Self::NoAddress => Code::BadPeerInfo,
            Self::Unreachable(_) | Self::NotTheDevice(_) | Self::Timeout(_) => Code::NotConnected,
            Self::NotDialled {
                lost: CloseReason::Incompatible,
            } => Code::Incompatible,
            Self::NotDialled { .. } | Self::CloseReason(_) => Code::NotConnected,
            Self::NoEndpoint(_) => Code::NoNetwork,
            Self::NotAccepted => Code::BadPeerInfo,
            Self::Broken | Self::TooMuch => Code::Unopened,
            Self::OutcomeUnknown(inner) => return inner.code(),
            Self::BadTarget(_) => Code::BadParameter,
            Self::Refused { .. } | Self::Random => return None,
        })
    }

    /// Returns whether something broke off of which the device may know why.
    pub(super) fn is_break(&self) -> bool {
        match self {
            Self::Broken | Self::CloseReason(_) => true,
            Self::OutcomeUnknown(cause) => cause.is_break(),
            _ => false,
        }
    }

    /// The one of two addresses' failures to tell of: something that answered says more than nothing.
    pub(super) fn worse(last: Option<Self>, error: Self) -> Self {
        match (last, error) {
            (Some(Self::Unreachable(mut tried)), Self::Unreachable(more)) => {
                tried.extend(more);
                Self::Unreachable(tried)
            }
            (Some(last), Self::Unreachable(_)) => last,
            (_, error) => error,
        }
    }

    /// The same of a request that must not be sent twice: what is not known is said.
    pub(super) fn of_post(self) -> Self {
        match self {
            Self::Timeout(_) | Self::Broken | Self::TooMuch | Self::NotAccepted => {
                Self::OutcomeUnknown(Box::new(self))
            }
            Self::CloseReason(_) => Self::OutcomeUnknown(Box::new(self)),
            other => other,
        }
    }
}

impl From<RequestError> for ClientError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::CutOff | RequestError::Broken => Self::Broken,
            RequestError::NotAccepted => Self::NotAccepted,
            RequestError::BadTarget(why) => Self::BadTarget(why),
        }
    }
}

/// Reason that a device cannot be dialled.
fn why(lost: &CloseReason) -> &dyn fmt::Display {
    match lost {
        CloseReason::Silent => &"it does not answer",
        lost => lost,
    }
}

/// Advice about a device that cannot be dialled.
fn advice(lost: &CloseReason) -> &'static str {
    match lost {
        CloseReason::Silent => {
            "; is it on, and connected to its relay? peercam doctor @URI says what this side sees"
        }
        CloseReason::Incompatible => "; update the older one of the two",
        CloseReason::ShuttingDown => "; it may be starting again",
        CloseReason::AnotherDevice => "; pair again with the device that you mean",
        CloseReason::Closed(_) | CloseReason::ClosedHere | CloseReason::Other(_) => "",
    }
}

struct Tried<'a>(&'a [(SocketAddr, io::Error)]);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (address, error)) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{address}: {error}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_documents() {
        let refused_version = ClientError::NotDialled {
            lost: CloseReason::Incompatible,
        };
        let unknown = ClientError::OutcomeUnknown(Box::new(ClientError::Broken));
        for (error, code) in [
            (ClientError::BadTarget("no path"), -2000),
            (ClientError::NoAddress, -2001),
            (ClientError::NotAccepted, -2001),
            (refused_version, -2005),
            (ClientError::NoEndpoint("none is free".to_owned()), -2202),
            (ClientError::CloseReason(CloseReason::Silent), -2403),
            (ClientError::Broken, -2502),
            (unknown, -2502),
        ] {
            assert_eq!(error.code().map(Code::number), Some(code), "{error}");
        }
        // Whoever asked knows what it was that the device refuses.
        assert_eq!(Code::NoStream.number(), -2402);
        assert_eq!(Code::NoVoice.number(), -2601);
        assert_eq!(Code::NoDownload.number(), -2701);
    }
}
