//! Locks that decide what a panic of their holder leaves behind.
//!
//! [`Guarded`] is mended, [`Vital`] ends the process. Nothing else in the workspace looks at a
//! poisoned lock.

use std::{
    any::type_name,
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard},
    thread::panicking,
};

use super::{Exit, end_process};

/// A lock around what can be made whole again. After a panic of whoever held it, the next one who
/// takes it finds what `mend` has made of it, never what was left half changed.
#[derive(Debug)]
pub struct Guarded<T> {
    value: Mutex<T>,
    mend: fn(&mut T),
}

impl<T> Guarded<T> {
    /// Has `mend` make it whole after a panic.
    pub const fn new(value: T, mend: fn(&mut T)) -> Self {
        Self {
            value: Mutex::new(value),
            mend,
        }
    }

    /// Guards a value that is whole after each statement: one that is replaced, or a list whose
    /// entries mean something each by itself. A panic leaves nothing to mend.
    pub const fn whole(value: T) -> Self {
        Self::new(value, |_| ())
    }

    /// Takes it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(|poisoned| {
            let mut value = poisoned.into_inner();
            tracing::error!(
                table = type_name::<T>(),
                "what a panic has left half changed is made anew"
            );
            (self.mend)(&mut value);
            // Should that panic too, the next one mends it.
            self.value.clear_poison();
            value
        })
    }
}

impl<T: Default> Default for Guarded<T> {
    /// Empty, and emptied after a panic.
    fn default() -> Self {
        Self::new(T::default(), |value| *value = T::default())
    }
}

/// A lock around what decides who is let in. What a panic leaves of that cannot be trusted, and
/// nothing could be made of it but guesses: a panic of whoever holds it ends the process.
#[derive(Debug, Default)]
pub struct Vital<T>(Mutex<T>);

/// Hold of a [`Vital`].
#[derive(Debug)]
pub struct VitalGuard<'a, T> {
    value: MutexGuard<'a, T>,
    /// Set if the thread unwound already: somebody who cleans up after a panic may take it.
    was_panicking: bool,
}

impl<T> Vital<T> {
    /// Around this.
    pub const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Takes it.
    pub fn lock(&self) -> VitalGuard<'_, T> {
        match self.0.lock() {
            Ok(value) => VitalGuard {
                value,
                was_panicking: panicking(),
            },
            Err(_) => untrusted::<T>(),
        }
    }
}

impl<T> Deref for VitalGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for VitalGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T> Drop for VitalGuard<'_, T> {
    fn drop(&mut self) {
        if panicking() && !self.was_panicking {
            untrusted::<T>();
        }
    }
}

fn untrusted<T>() -> ! {
    end_process(Exit::Untrusted, || {
        tracing::error!(
            table = type_name::<T>(),
            "panicked while it was decided who is let in: the process ends"
        );
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{super::*, *};

    #[test]
    fn what_was_left_half_changed_is_never_seen() {
        let pair = Guarded::new((1, 1), |pair| *pair = (0, 0));
        let panicked = run(Part::Service, "test", || {
            let mut pair = pair.lock();
            pair.0 = 2;
            panic!("between two halves");
        });
        assert_eq!(panicked, Err::<(), _>(Panicked));
        assert_eq!(*pair.lock(), (0, 0));
        *pair.lock() = (3, 3);
        assert_eq!(*pair.lock(), (3, 3), "and mended once");
    }

    /// Runs a test of this file in a process of its own, in which it does what ends that.
    fn ends_with(test: &str) -> Option<i32> {
        let program = std::env::current_exe().unwrap();
        let name = format!("boundary::lock::tests::{test}");
        let mut child = Command::new(program);
        child.args(["--exact", &name, "--nocapture"]);
        child.env("PEERCAM_TEST_CHILD", test);
        child.output().unwrap().status.code()
    }

    #[test]
    fn a_panic_with_a_hold_of_who_is_let_in_ends_the_process() {
        const NAME: &str = "a_panic_with_a_hold_of_who_is_let_in_ends_the_process";
        if std::env::var_os("PEERCAM_TEST_CHILD").is_none() {
            assert_eq!(ends_with(NAME), Some(Exit::Untrusted as i32));
            return;
        }
        let access = Vital::new(0);
        let _ = run(Part::Connection, "test", || {
            let _held = access.lock();
            panic!("while it is held");
        });
    }

    #[test]
    fn who_takes_it_while_cleaning_up_ends_nothing() {
        struct Leaves<'a>(&'a Vital<u8>);
        impl Drop for Leaves<'_> {
            fn drop(&mut self) {
                *self.0.lock() += 1;
            }
        }
        let access = Vital::new(0);
        let _ = run(Part::Connection, "test", || {
            let _leaves = Leaves(&access);
            panic!("elsewhere");
        });
        assert_eq!(*access.lock(), 1);
    }
}
