use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Counter of permits: for viewers of the device, or for what one of them has under way.
#[derive(Clone, Debug, Default)]
pub struct UseCount(Arc<AtomicUsize>);

/// A place that was taken. Dropping it frees it.
#[derive(Debug)]
pub struct InUse(UseCount);

impl UseCount {
    /// Takes a place, if fewer than `max` are taken.
    pub fn take(&self, max: usize) -> Option<InUse> {
        let taken = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (count < max).then_some(count + 1)
            });
        taken.ok().map(|_| InUse(self.clone()))
    }

    /// Places that are taken.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back() {
        let places = UseCount::default();
        let (one, two) = (places.take(2).expect("free"), places.take(2));
        assert!(two.is_some() && places.take(2).is_none());
        drop(one);
        assert!(places.take(2).is_some());
    }
}
