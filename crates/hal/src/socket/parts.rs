//! Parts of a firmware's channel beside its pictures. All of them are there from the start; what
//! the firmware does not offer, or that it has not come yet, is said when it is used.

use std::sync::Arc;

use bytes::Bytes;
use peercam_proto::{
    hal_socket::{TalkCoding, ToFirmware},
    media::{AudioCoding, AudioFormat},
};

use super::{
    channel::Channel,
    firmware_handle::{FirmwareHandle, STILL_TIME, UPKEEP_TIME},
};
use crate::{
    BoxFuture, Commands, HalError, ImagingControl, Maintenance, MakerCommand, Ptz, PtzMotion,
    PtzPosition, Snapshot, TalkSink, Talkback,
};

/// All parts of a channel.
pub(super) struct SocketParts(pub(super) Arc<Channel>);

impl Ptz for SocketParts {
    fn start(&self, motion: PtzMotion) -> Result<(), HalError> {
        let firmware = self.0.able("turning", |has| has.ptz)?;
        let PtzMotion { pan, tilt, speed } = motion;
        firmware.send(&ToFirmware::Turn(self.0.id, pan, tilt, speed));
        Ok(())
    }

    fn stop(&self) {
        if let Ok(firmware) = self.0.able("turning", |has| has.ptz) {
            firmware.send(&ToFirmware::Turn(self.0.id, 0, 0, 0));
        }
    }

    fn position(&self) -> PtzPosition {
        self.0.position()
    }
}

impl ImagingControl for SocketParts {
    fn set_flipped(&self, flipped: bool) -> Result<(), HalError> {
        let firmware = self.0.able("turning its picture", |has| has.flip)?;
        self.0.set_flipped(flipped);
        firmware.send(&ToFirmware::Flip(self.0.id, flipped));
        Ok(())
    }

    fn is_flipped(&self) -> bool {
        self.0.is_flipped()
    }
}

impl Snapshot for SocketParts {
    fn capture(&self) -> BoxFuture<'_, Result<Bytes, HalError>> {
        Box::pin(async {
            let firmware = self.0.able("stills", |has| has.snapshot)?;
            let still = firmware
                .ask_for(STILL_TIME, |id| {
                    ToFirmware::Snapshot(self.0.id, id).encode()
                })
                .await?;
            if still.starts_with(&[0xff, 0xd8]) {
                Ok(still)
            } else {
                Err(HalError::Failed(
                    "the firmware's still is no JPEG".to_owned(),
                ))
            }
        })
    }
}

impl Commands for SocketParts {
    fn run<'a>(&'a self, command: MakerCommand<'a>) -> BoxFuture<'a, Result<String, HalError>> {
        Box::pin(async move {
            let firmware = self.0.able("commands", |has| has.commands)?;
            let channel = self.0.id;
            let both = |id| {
                let caller = ToFirmware::Caller {
                    channel,
                    id,
                    scopes: command.scopes,
                    credential: command.credential,
                };
                let command = ToFirmware::Command(channel, id, command.text);
                [caller.encode(), command.encode()].concat()
            };
            let answer = firmware.ask(both).await?;
            let text = String::from_utf8(answer.into());
            text.map_err(|_| HalError::NoAnswer("the firmware's answer is no text".to_owned()))
        })
    }
}

impl Maintenance for SocketParts {
    fn reboot(&self) -> BoxFuture<'_, Result<(), HalError>> {
        Box::pin(async {
            let firmware = self.0.able("starting again", |has| has.reboot)?;
            let asked =
                firmware.ask_for(UPKEEP_TIME, |id| ToFirmware::Reboot(self.0.id, id).encode());
            asked.await.map(|_| ())
        })
    }

    fn format(&self) -> BoxFuture<'_, Result<(), HalError>> {
        Box::pin(async {
            let firmware = self.0.able("formatting its card", |has| has.format)?;
            let asked =
                firmware.ask_for(UPKEEP_TIME, |id| ToFirmware::Format(self.0.id, id).encode());
            asked.await.map(|_| ())
        })
    }
}

impl Talkback for SocketParts {
    fn check(&self) -> Result<(), HalError> {
        self.0.able("talkback", |has| has.speaker).map(|_| ())
    }

    fn open(&self, format: &AudioFormat) -> Result<Box<dyn TalkSink>, HalError> {
        let firmware = self.0.able("talkback", |has| has.speaker)?;
        let none = Bytes::new();
        let (coding, config) = match &format.coding {
            AudioCoding::Pcm => (TalkCoding::Pcm, &none),
            AudioCoding::Aac(config) if self.0.abilities().speaker_aac => (TalkCoding::Aac, config),
            other => return Err(HalError::Unsupported(other.as_str().to_owned())),
        };
        if !self.0.take_speaker() {
            return Err(HalError::Busy);
        }
        firmware.send(&ToFirmware::TalkStart {
            channel: self.0.id,
            coding,
            channels: format.channels,
            sample_rate: format.sample_rate,
            config,
        });
        Ok(Box::new(Sink {
            channel: Arc::clone(&self.0),
            firmware,
            is_aac: coding == TalkCoding::Aac,
        }))
    }
}

/// An open speaker of a firmware.
struct Sink {
    channel: Arc<Channel>,
    firmware: FirmwareHandle,
    is_aac: bool,
}

/// Bytes of a block of what is talked: whole samples.
const LARGEST_TALK: usize = 8 << 10;

impl TalkSink for Sink {
    fn push(&mut self, block: &[u8]) {
        if self.is_aac {
            // An access unit is sent whole; none is that long.
            if block.len() <= LARGEST_TALK {
                self.firmware
                    .send_sound(&ToFirmware::Talk(self.channel.id, block));
            }
            return;
        }
        for piece in block.chunks(LARGEST_TALK) {
            self.firmware
                .send_sound(&ToFirmware::Talk(self.channel.id, piece));
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.firmware.send(&ToFirmware::TalkStop(self.channel.id));
        self.channel.free_speaker(self.firmware.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use peercam_proto::{hal_socket::Abilities, media::ChannelId};

    #[tokio::test(start_paused = true)]
    async fn a_card_takes_its_time_and_a_command_has_what_apps_wait_for() {
        let channel = Channel::new(ChannelId::default(), 1);
        let (firmware, _queue) = FirmwareHandle::new(1);
        assert!(channel.claim(&firmware));
        channel.set_abilities(Abilities {
            commands: true,
            reboot: true,
            format: true,
            ..Abilities::default()
        });
        let parts = SocketParts(channel);
        let mut id = 0..;
        let mut answered = |after| {
            let (firmware, id) = (firmware.clone(), id.next().expect("endless"));
            async move {
                tokio::time::sleep(Duration::from_millis(after)).await;
                firmware.answer(id, Ok(Bytes::new()))
            }
        };
        let (formatted, _) = tokio::join!(parts.format(), answered(4_900));
        let (rebooted, _) = tokio::join!(parts.reboot(), answered(4_900));
        assert_eq!((formatted, rebooted), (Ok(()), Ok(())));
        let (late, _) = tokio::join!(parts.format(), answered(5_100));
        assert!(late.is_err_and(|error| error.to_string().contains("within 5 s")));
        let command = MakerCommand {
            text: "light_on",
            scopes: peercam_proto::credential::Scopes::default(),
            credential: None,
        };
        let (late, _) = tokio::join!(parts.run(command), answered(1_600));
        assert!(late.is_err_and(|error| error.to_string().contains("within 1.5 s")));
    }
}
