use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use spe_kernel::dsse::SecretKey;

use super::*;

/// One of jobs that all stand.
fn queue() -> Queue {
    Queue::new(|_| Ok(()))
}

fn work(bytes: usize) -> Work {
    let key = SecretKey::from_seed(&[1; 32]).public();
    let leave = Leave {
        issuer: key,
        number: "p-1".parse().expect("a number"),
        numbers: vec![],
        valid_until: "2030-01-01T00:00:00Z".parse().expect("a time"),
        person: "anna".parse().expect("a name"),
        signer: key,
        login: None,
    };
    Work { submission: Submission { job: vec![0; bytes], permit: Vec::new() }, next: None, leave, share: None }
}

fn of(person: &str, bytes: usize) -> Work {
    let work = work(bytes);
    let share = Some(Share::Person(work.leave.issuer, person.parse().expect("a name")));
    Work { share, ..work }
}

fn under(permit: &str) -> Work {
    let work = work(1);
    Work { leave: Leave { number: permit.parse().expect("a number"), ..work.leave }, ..work }
}

fn job(name: &str) -> JobId {
    name.parse().expect("a name")
}

/// What would be a bug: a hub that fills the node's memory; jobs that wait for an officer for weeks and take the room of all others.
#[test]
fn what_has_no_room_is_refused() {
    let queue = queue();
    queue.put(&job("first"), work(WAITING.bytes / 2)).expect("room");
    queue.put(&job("first"), work(WAITING.bytes)).expect("it waits already");
    let full = queue.put(&job("second"), work(WAITING.bytes / 2 + 1)).expect_err("more than there is room for");
    assert!(full.to_string().contains("try again later"), "{full}");
    assert!(!queue.cancel(&job("first")));
    queue.put(&job("second"), work(WAITING.bytes)).expect("room");
    assert!(!queue.cancel(&job("second")));
    queue.park(job("third"), work(PARKED.bytes - 1)).expect("room");
    queue.park(job("third"), work(PARKED.bytes)).expect("it waits for an officer already");
    assert_eq!(queue.state().parked.len(), 1, "a job that was offered again fills the officers' room");
    let full = queue.park(job("fourth"), work(2)).expect_err("officers have enough");
    assert!(full.to_string().contains("an officer"), "{full}");
    queue.put(&job("fifth"), work(WAITING.bytes / 2)).expect("what waits for an officer takes half at most");
}

/// What would be a bug: one person with a permit whose jobs keep all others out, by number or by size, or who is not told that it is their share;
/// one whose share never comes back; a round, which was paid for, that is refused because its person asks so much.
#[test]
fn nobody_keeps_out_all_others() {
    let queue = queue();
    for number in 0..WAITING.jobs / 2 {
        queue.put(&job(&format!("a-{number}")), of("anna", 1)).expect("half of it is anna's");
    }
    queue.put(&job("a-0"), of("anna", 1)).expect("it waits already");
    let full = queue.put(&job("a"), of("anna", 1)).expect_err("more than half of the room").to_string();
    assert!(full.contains("of this person") && full.contains("try again later"), "{full}");
    queue.put(&job("round"), work(1)).expect("nobody's share");
    queue.put(&job("b"), of("bob", WAITING.bytes / 2)).expect("half of it is bob's");
    queue.put(&job("b-2"), of("bob", 1)).expect_err("more than half of the bytes");
    queue.put(&job("c"), of("carl", 1)).expect("anna and bob have it all");
    queue.cancel(&job("a-1"));
    queue.put(&job("a"), of("anna", 1)).expect("a place of hers is free");
    queue.park(job("b"), of("bob", PARKED.bytes / 2)).expect("half of it is bob's");
    let full = queue.park(job("b-2"), of("bob", 1)).expect_err("more than half of the officers' room").to_string();
    assert!(full.contains("an officer") && full.contains("of this person"), "{full}");
    queue.park(job("c"), of("carl", PARKED.bytes / 2)).expect("bob has it all");
}

/// What would be a bug: one person with a permit that is over, whose jobs take all the room until each has been told.
#[test]
fn what_stands_no_more_has_its_share_and_no_more() {
    let over = |leave: &Leave| Err(Refusal::PermitRevoked { number: leave.number.clone(), since: "now".into() });
    let queue = Queue::new(over);
    queue.put(&job("a"), of("anna", WAITING.bytes / 2)).expect("half of it is anna's");
    let full = queue.put(&job("a-2"), of("anna", 1)).expect_err("more than half of the room").to_string();
    assert!(full.contains("of this person"), "{full}");
    queue.put(&job("b"), of("bob", WAITING.bytes / 2)).expect("anna has it all");
    assert_eq!(queue.state().over.len(), 2);
}

/// Those that are told that they stand no more, until there is no other.
async fn told(queue: &Queue) -> Vec<String> {
    let mut told = Vec::new();
    while !queue.state().over.is_empty() {
        let (job, _, why) = queue.next_over().await;
        assert!(matches!(why, Refusal::PermitRevoked { .. }), "{job}: {why}");
        told.push(job.to_string());
    }
    told
}

/// What would be a bug: a job under a revoked permit that waits until the one under way is over, be it new, waiting for its turn or for an officer;
/// the one under way, whose end is told before it is due because the hub offers it again; a job under another permit that goes with them, or
/// loses its place; one of which nobody is told, or twice.
#[tokio::test]
async fn what_stands_no_more_waits_for_no_turn() {
    let revoked = Arc::new(AtomicBool::new(false));
    let known = Arc::clone(&revoked);
    let queue = Queue::new(move |leave: &Leave| {
        let number = leave.number.clone();
        let is_over = known.load(Ordering::Relaxed) && number.as_str() == "p-1";
        if is_over { Err(Refusal::PermitRevoked { number, since: "now".into() }) } else { Ok(()) }
    });
    for (name, permit) in [("held", "p-1"), ("first", "p-2"), ("second", "p-1"), ("third", "p-2")] {
        queue.put(&job(name), under(permit)).expect("room");
    }
    let (running, _) = queue.take().await.expect("it is open");
    assert_eq!(running, job("held"));
    queue.put(&job("held"), under("p-1")).expect("it is put behind itself");
    queue.park(job("other"), under("p-2")).expect("room");
    queue.unpark();
    assert_eq!(told(&queue).await, [""; 0], "nothing was revoked");
    queue.park(job("asks-officer"), under("p-1")).expect("room");
    revoked.store(true, Ordering::Relaxed);
    queue.unpark();
    assert_eq!(told(&queue).await, ["second", "asks-officer"]);
    for name in ["new", "new", "held"] {
        queue.put(&job(name), under("p-1")).expect("room");
    }
    queue.put(&job("last"), under("p-2")).expect("room");
    assert_eq!(told(&queue).await, ["new"]);
    for name in ["first", "third", "other", "last"] {
        assert_eq!(queue.take().await.map(|(job, _)| job), Some(job(name)));
    }
    assert!(queue.state().waiting.is_empty(), "something under the revoked permit waits");
}
