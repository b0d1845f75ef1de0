//! The simulated still camera and card.

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use bytes::Bytes;
use jpeg_encoder::{ImageBuffer, JpegColorType};
use peercam_proto::media::Quality;
use peercam_task::boundary::{self, Part};

use super::{
    Fault,
    scene::{self, Canvas, View},
    shared::{Shared, size},
};
use crate::{BoxFuture, HalError, ImagingControl, Snapshot, Storage, StorageState};

/// Control of how pictures are taken.
pub(super) struct SimPicture {
    shared: Arc<Shared>,
}

impl SimPicture {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl ImagingControl for SimPicture {
    fn set_flipped(&self, flipped: bool) -> Result<(), HalError> {
        self.shared.flipped.store(flipped, Ordering::Relaxed);
        Ok(())
    }

    fn is_flipped(&self) -> bool {
        self.shared.flipped.load(Ordering::Relaxed)
    }
}

/// Stills of the middle picture.
pub(super) struct SimSnapshot {
    shared: Arc<Shared>,
}

impl SimSnapshot {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Snapshot for SimSnapshot {
    fn capture(&self) -> BoxFuture<'_, Result<Bytes, HalError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            boundary::blocking(Part::Camera, "sim-snapshot", move || jpeg(&shared))
                .await
                .map_err(|error| HalError::Failed(format!("the still camera failed: {error}")))?
        })
    }
}

fn jpeg(shared: &Shared) -> Result<Bytes, HalError> {
    const PERCENT: u8 = 85;
    let (width, height) = size(Quality::High);
    let mut canvas = Canvas::new(width, height);
    let frame = shared.frame_now();
    scene::draw(
        &mut canvas,
        &View {
            frame,
            wall_millis: shared.clock.wall_millis()
                + shared.config.faults.clock_offset_millis(frame),
            pan: shared.motor.cells(),
            band: frame,
            flipped: shared.flipped.load(Ordering::Relaxed),
        },
    );
    let still = Still {
        canvas,
        width: width as u16,
        height: height as u16,
    };
    let mut file = Vec::new();
    jpeg_encoder::Encoder::new(&mut file, PERCENT)
        .encode_image(still)
        .map_err(|error| HalError::Failed(format!("the still was not coded: {error}")))?;
    Ok(file.into())
}

/// A canvas as the JPEG encoder reads it.
struct Still {
    canvas: Canvas,
    width: u16,
    height: u16,
}

impl ImageBuffer for Still {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        self.width
    }

    fn height(&self) -> u16 {
        self.height
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        // JPEG has full-range levels, video leaves head and foot room.
        let stretch = |level: u8, middle: i32, range: i32| {
            ((i32::from(level) - middle) * 255 / range + if middle == 16 { 0 } else { 128 })
                .clamp(0, 255) as u8
        };
        for x in 0..usize::from(self.width) {
            let (luma, cb, cr) = self.canvas.pixel(x, usize::from(y));
            buffers[0].push(stretch(luma, 16, 219));
            buffers[1].push(stretch(cb, 128, 224));
            buffers[2].push(stretch(cr, 128, 224));
        }
    }
}

/// A card of 8 GiB that only has faults; the files are real and lie elsewhere.
pub(super) struct SimStorage {
    shared: Arc<Shared>,
}

impl SimStorage {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn suffers(&self, fault: Fault) -> bool {
        self.shared
            .config
            .faults
            .strikes(fault, self.shared.frame_now())
    }
}

const CARD_BYTES: u64 = 8 << 30;

impl Storage for SimStorage {
    fn state(&self) -> StorageState {
        if self.suffers(Fault::CardPulled) {
            return StorageState::Missing;
        }
        let free = if self.suffers(Fault::CardFull) {
            0
        } else {
            CARD_BYTES
        };
        StorageState::Ready {
            total: CARD_BYTES,
            free,
        }
    }

    fn admit(&self, _bytes: u64) -> Result<(), HalError> {
        const SLOW_WRITE: Duration = Duration::from_millis(500);
        if self.suffers(Fault::SlowDisk) {
            thread::sleep(SLOW_WRITE);
        }
        match self.state() {
            StorageState::Missing => Err(HalError::Missing),
            StorageState::Ready { free: 0, .. } => Err(HalError::Full),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::{
        Camera,
        sim::{Config, Faults, SimCamera},
    };

    #[test]
    fn a_card_without_faults_takes_everything() {
        let camera = SimCamera::new(
            Clock::start(),
            Config {
                faults: Faults::new(1, vec![]),
                ..Config::default()
            },
        );
        let card = camera.capabilities().storage.expect("has a card");
        assert_eq!(card.admit(1 << 20), Ok(()));
        assert!(matches!(card.state(), StorageState::Ready { free, .. } if free > 0));
    }
}
