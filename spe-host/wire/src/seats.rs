//! Who may still sit down: so many connections at the same time, of which one certificate takes a few only.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use spe_kernel::ids::Digest;

/// How many connections a server holds. One more is closed at once.
#[derive(Debug, Clone, Copy)]
pub struct Seats {
    /// Connections at the same time.
    pub connections_max: usize,
    /// Those of one certificate: a member that takes all it can leaves room for the others.
    pub connections_per_member_max: usize,
}

/// The seats of one server, and who sits there.
pub(crate) struct Hall {
    seats: Seats,
    taken: Mutex<HashMap<Digest, usize>>,
}

impl Hall {
    pub(crate) fn new(seats: Seats) -> Self {
        Self { seats, taken: Mutex::default() }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Digest, usize>> {
        // Each change is one statement; nothing that panics leaves the counts half changed.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat for the owner of the certificate, until it is dropped; or why there is none.
    pub(crate) fn sit(self: &Arc<Self>, who: Digest) -> Result<Seat, &'static str> {
        let mut taken = self.taken();
        if taken.values().sum::<usize>() >= self.seats.connections_max {
            return Err("all connections are taken; raise `connections_max`");
        }
        let own = taken.entry(who).or_default();
        if *own >= self.seats.connections_per_member_max {
            return Err("this certificate has all the connections that one may have (`connections_per_member_max`)");
        }
        *own = own.saturating_add(1);
        Ok(Seat { hall: Arc::clone(self), who })
    }
}

/// One connection's right to be there.
pub(crate) struct Seat {
    hall: Arc<Hall>,
    who: Digest,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.hall.taken();
        match taken.get_mut(&self.who) {
            Some(own) if *own > 1 => *own = own.saturating_sub(1),
            _ => drop(taken.remove(&self.who)),
        }
    }
}
