//! The twin of what names nobody: with its person a job is a job, with its actor an entry is an entry.
use spe_kernel::{
    Timestamp,
    audit::{ActorId, ENTRY_FORMAT, Entry, Event, Salt},
    ids::{PermitNumber, PersonName},
    job::{JOB_FORMAT, JobBody, Purpose},
    plan::Plan,
};

fn ask(permit: PermitNumber, person: PersonName, purpose: Purpose, signed_at: Timestamp, plan: Plan) -> JobBody {
    JobBody { format: JOB_FORMAT.into(), permit, person, purpose, nodes: vec![], signed_at, plan, identity: None }
}

fn log(at: Timestamp, actor: ActorId, event: Event, salt: Salt) -> [Entry; 2] {
    let entry = Entry { format: ENTRY_FORMAT.into(), at, actor: actor.clone(), event: event.clone(), salt: Some(salt) };
    [entry, Entry::new(at, actor, event, salt)]
}

fn main() {}
