//~ E0061 E0063
//! What happened without who did it is no entry of the audit log.
use spe_kernel::{Timestamp, audit::{ENTRY_FORMAT, Entry, Event, Salt}};

fn log(at: Timestamp, event: Event, salt: Salt) -> [Entry; 2] {
    [Entry { format: ENTRY_FORMAT.into(), at, event: event.clone(), salt: Some(salt) }, Entry::new(at, event, salt)]
}

fn main() {}
