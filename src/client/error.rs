use std::{fmt, io, net::SocketAddr};

/// Why a request did not work: which side it was, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URI has no address to try.
    #[error(
        "the pairing URI names no address (lan=…); pair again while the device runs with a listener that has access = \"token\""
    )]
    NoAddress,
    /// None of the addresses can be reached.
    #[error("the device cannot be reached: {}", Tried(.0))]
    Unreachable(Vec<(SocketAddr, io::Error)>),
    /// Something else answers there. It was sent nothing secret.
    #[error(
        "what answers at {0} is no peercam listener with access = \"token\"; nothing secret was sent to it"
    )]
    NotTheDevice(SocketAddr),
    /// The proof was not accepted, or somebody in between says so.
    #[error(
        "the credential is not accepted: the device was reset or has ended all access, this URI is of another device, or somebody stands in between (the answer is not authenticated)"
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
    /// What came is not what the device sealed.
    #[error(
        "the answer was cut off or changed on its way; what came before it is as the device sent it"
    )]
    Broken,
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

impl ClientError {
    /// Which of two addresses' failures to tell of: something that answered says more than nothing.
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
