use bytes::Bytes;
use peercam_proto::credential::{CredentialId, Scopes};

use super::{BoxFuture, HalError};

/// A pan/tilt motor.
pub trait Ptz: Send + Sync {
    /// Starts moving and goes on until [`Ptz::stop`] or the end of the range. A second call
    /// replaces the first.
    ///
    /// # Errors
    /// [`HalError`] if it does not move.
    fn start(&self, motion: PtzMotion) -> Result<(), HalError>;

    /// Stops. Harmless if nothing moves.
    fn stop(&self);

    /// Returns the position at which the motor points now.
    fn position(&self) -> PtzPosition;
}

/// A direction and a speed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PtzMotion {
    /// -1 left, 0 not at all, 1 right.
    pub pan: i8,
    /// -1 down, 0 not at all, 1 up.
    pub tilt: i8,
    /// 1 (slowest) to 10.
    pub speed: u8,
}

/// A position and its range, in the motor's own steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PtzPosition {
    /// Horizontal position; grows to the right.
    pub x: i32,
    /// Vertical position; grows upwards.
    pub y: i32,
    /// Smallest and largest `x`.
    pub x_range: (i32, i32),
    /// Smallest and largest `y`.
    pub y_range: (i32, i32),
}

/// Control of how pictures are taken, whichever quality they have.
pub trait ImagingControl: Send + Sync {
    /// Turns the picture by 180°, as for a camera that hangs from the ceiling, or back.
    ///
    /// # Errors
    /// [`HalError`] if it does not turn.
    fn set_flipped(&self, flipped: bool) -> Result<(), HalError>;

    /// Returns whether the picture is turned.
    fn is_flipped(&self) -> bool;
}

/// A still camera.
pub trait Snapshot: Send + Sync {
    /// Takes one picture, as a JPEG file. Whoever asks waits only so long, and may give up.
    fn capture(&self) -> BoxFuture<'_, Result<Bytes, HalError>>;
}

/// Commands that a camera's maker defined.
pub trait Commands: Send + Sync {
    /// Has the camera do what a command says and gives what it answers, for the viewer.
    fn run<'a>(&'a self, command: MakerCommand<'a>) -> BoxFuture<'a, Result<String, HalError>>;
}

/// A command for a camera's maker, and who sends it. Whether that one may is the maker's to decide:
/// all that the daemon knows of it is that its sender may send commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MakerCommand<'a> {
    /// JSON, written anew from what the viewer sent; or other text, as it came.
    pub text: &'a str,
    /// Scopes of the sender.
    pub scopes: Scopes,
    /// Issuer and id of the credential that the sender proved; `None` if nothing had to be
    /// proved.
    pub credential: Option<(&'a str, CredentialId)>,
}

/// Maintenance of a camera.
pub trait Maintenance: Send + Sync {
    /// Has it start again.
    fn reboot(&self) -> BoxFuture<'_, Result<(), HalError>>;

    /// Has it format its card.
    fn format(&self) -> BoxFuture<'_, Result<(), HalError>>;
}
