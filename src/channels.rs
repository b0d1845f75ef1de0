//! The channels of the device: number, name, camera and what that camera can do.
//!
//! Keeps: there is one list, and whoever needs a channel asks it; what is taken out of it is a
//! snapshot, which others may replace meanwhile. A room's own state of a channel is in the entry
//! too, and goes with it. Configuration and what rooms do with a camera do not belong here.

use std::{
    any::{Any, TypeId},
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use peercam_hal::{Camera, Capabilities};
use peercam_proto::{
    credential::Channels,
    error::{Error, ErrorKind},
    media::ChannelId,
};
use peercam_task::boundary::Guarded;

/// A channel: a camera with its number and name.
pub struct ChannelEntry {
    /// Its number.
    pub id: ChannelId,
    /// Its name for people.
    pub name: String,
    /// The hardware.
    pub camera: Arc<dyn Camera>,
    /// Parts of the hardware, as it has told once.
    pub capabilities: Capabilities,
    states: Arc<States>,
}

/// Entries by their numbers.
pub type ChannelMap = BTreeMap<ChannelId, Arc<ChannelEntry>>;

/// States that rooms keep of a channel, by their types.
type States = Guarded<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>;

impl ChannelEntry {
    /// A channel of which no room knows anything yet.
    pub fn new(id: ChannelId, name: String, camera: Arc<dyn Camera>) -> Self {
        Self {
            id,
            name,
            capabilities: camera.capabilities(),
            camera,
            // Each state is whole by itself.
            states: Arc::new(Guarded::whole(HashMap::new())),
        }
    }

    /// The same channel with another name.
    #[must_use]
    pub fn renamed(&self, name: String) -> Self {
        Self {
            id: self.id,
            name,
            camera: Arc::clone(&self.camera),
            capabilities: self.capabilities.clone(),
            states: Arc::clone(&self.states),
        }
    }

    /// The same channel with another camera. What rooms keep is kept: some of it is about the
    /// channel, whichever camera it has.
    #[must_use]
    pub fn with_camera(&self, camera: Arc<dyn Camera>) -> Self {
        Self {
            capabilities: camera.capabilities(),
            camera,
            ..self.renamed(self.name.clone())
        }
    }

    /// State that a room keeps of this channel, made when it is first asked for.
    pub fn state<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
        let mut states = self.states.lock();
        let state = states.entry(TypeId::of::<T>());
        let state = state.or_insert_with(|| Arc::<T>::default());
        // It is of this type by its key.
        Arc::clone(state).downcast().unwrap_or_default()
    }

    /// Makes sure that the camera has a moving picture.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if it has not.
    pub fn check_video(&self) -> Result<(), Error> {
        let id = self.id;
        let reason = || format!("the camera of channel {id} hands over single pictures only");
        let has_video = (!self.capabilities.stills_only).then_some(());
        has_video.ok_or_else(|| Error::new(ErrorKind::Unsupported, reason()))
    }
}

/// The list of channels. Cheap to clone.
#[derive(Clone)]
pub struct ChannelRegistry {
    entries: Arc<Guarded<Arc<ChannelMap>>>,
}

impl Default for ChannelRegistry {
    /// No channels.
    fn default() -> Self {
        Self::new([])
    }
}

impl ChannelRegistry {
    /// A list of these channels.
    pub fn new(entries: impl IntoIterator<Item = ChannelEntry>) -> Self {
        let entries = entries.into_iter();
        let entries = entries.map(|entry| (entry.id, Arc::new(entry)));
        Self {
            // It is only ever replaced.
            entries: Arc::new(Guarded::whole(Arc::new(entries.collect()))),
        }
    }

    /// Puts these entries in the place of all others, which come back.
    pub fn replace(&self, entries: ChannelMap) -> Arc<ChannelMap> {
        std::mem::replace(&mut *self.entries.lock(), Arc::new(entries))
    }

    /// All channels that there are now. No camera is asked for this.
    pub fn all(&self) -> Arc<ChannelMap> {
        Arc::clone(&self.entries.lock())
    }

    /// Those that somebody may see.
    pub fn visible(&self, visible: &Channels) -> Vec<Arc<ChannelEntry>> {
        let entries = self.all();
        let entries = entries.values().filter(|entry| visible.contains(entry.id));
        entries.cloned().collect()
    }

    /// A channel, if it exists now.
    pub fn get(&self, id: ChannelId) -> Option<Arc<ChannelEntry>> {
        self.entries.lock().get(&id).cloned()
    }

    /// A channel that has to exist.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], naming those that do.
    pub fn require(&self, id: ChannelId) -> Result<Arc<ChannelEntry>, Error> {
        self.require_visible(id, &Channels::All)
    }

    /// The same for somebody who may see `visible` ones: those it may not see are as if they were
    /// not there.
    ///
    /// # Errors
    /// As [`ChannelRegistry::require`].
    pub fn require_visible(
        &self,
        id: ChannelId,
        visible: &Channels,
    ) -> Result<Arc<ChannelEntry>, Error> {
        let entry = self.get(id).filter(|_| visible.contains(id));
        entry.ok_or_else(|| {
            let visible = self.visible(visible).into_iter();
            let ids: Vec<String> = visible.map(|entry| entry.id.to_string()).collect();
            let reason = match &ids[..] {
                [] => "there is no such channel".to_owned(),
                ids => format!(
                    "there is no such channel; this device has {}",
                    ids.join(", ")
                ),
            };
            Error::new(ErrorKind::NotFound, reason)
        })
    }
}

#[cfg(test)]
impl ChannelRegistry {
    /// Channel 0 with a camera that has these parts, and no picture.
    pub(crate) fn for_tests(capabilities: Capabilities) -> Self {
        struct Parts(Capabilities);
        impl Camera for Parts {
            fn open(
                &self,
                _: peercam_proto::media::Quality,
            ) -> Result<peercam_hal::MediaInput, peercam_hal::HalError> {
                Err(peercam_hal::HalError::Missing)
            }
            fn capabilities(&self) -> Capabilities {
                self.0.clone()
            }
        }
        let camera = Arc::new(Parts(capabilities));
        Self::new([ChannelEntry::new(ChannelId(0), "front".to_owned(), camera)])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

    use peercam_hal::{HalError, MediaInput};
    use peercam_proto::media::Quality;

    use super::*;

    struct Blind;

    impl Camera for Blind {
        fn open(&self, _: Quality) -> Result<MediaInput, HalError> {
            Err(HalError::Missing)
        }
    }

    fn registry(ids: &[u16]) -> ChannelRegistry {
        let camera = |id| ChannelEntry::new(ChannelId(id), format!("camera {id}"), Arc::new(Blind));
        ChannelRegistry::new(ids.iter().copied().map(camera))
    }

    #[test]
    fn what_does_not_exist_is_told_with_what_does_and_may_be_seen() {
        let channels = registry(&[0, 3, 7]);
        assert_eq!(channels.require(ChannelId(3)).unwrap().name, "camera 3");
        let refused = |id, visible: &Channels| {
            let required = channels.require_visible(ChannelId(id), visible);
            required.map(|entry| entry.id).unwrap_err()
        };
        let unknown = refused(1, &Channels::All);
        assert_eq!(unknown.kind(), ErrorKind::NotFound);
        assert!(unknown.reason().ends_with("this device has 0, 3, 7"));
        let some = Channels::Only([ChannelId(3)].into());
        assert_eq!(
            refused(0, &some),
            refused(1, &some),
            "as if it were not there"
        );
        assert!(refused(0, &some).reason().ends_with("this device has 3"));
    }

    #[test]
    fn a_camera_of_single_pictures_has_no_moving_one() {
        for stills_only in [true, false] {
            let channels = ChannelRegistry::for_tests(Capabilities {
                stills_only,
                ..Capabilities::default()
            });
            let checked = channels.require(ChannelId(0)).unwrap().check_video();
            let refused = checked.map_err(|error| error.kind()).err();
            assert_eq!(refused, stills_only.then_some(ErrorKind::Unsupported));
        }
    }

    #[test]
    fn a_room_finds_its_state_again_and_no_other() {
        let channels = registry(&[0, 1]);
        let state = |id| channels.get(ChannelId(id)).unwrap().state::<AtomicU8>();
        state(0).store(5, Ordering::Relaxed);
        assert_eq!(state(0).load(Ordering::Relaxed), 5);
        assert_eq!(state(1).load(Ordering::Relaxed), 0);
        let other = channels.get(ChannelId(0)).unwrap().state::<AtomicBool>();
        assert!(
            !other.load(Ordering::Relaxed),
            "another room's state is another one"
        );
    }
}
