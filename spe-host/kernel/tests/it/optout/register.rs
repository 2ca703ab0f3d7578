//! The register's file and its head: what is read back, and what becomes of a damaged one.

use jiff::Timestamp;
use spe_kernel::{
    ids::Digest,
    job::Purpose,
    keys::Scheme,
    optout::{Channel, Choice, Clock, ClockBehind, Damage, Decision, Entry, Header, History, Scope, Subject, founding},
};

use super::{ADA, BEN, RESEARCH, at, entry, letter, out};

fn header() -> Header {
    Header {
        dataset: "care".parse().unwrap(),
        key_columns: 1,
        pseudonyms: Scheme { version: 1, check: Digest::of(b"key") },
    }
}

pub(super) fn decision(choice: Choice, purposes: &[Purpose], effective_at: Option<Timestamp>) -> Decision {
    Decision { choice, scope: Scope::of(purposes, &[]), effective_at, channel: letter() }
}

/// A register's file and head.
#[derive(Clone)]
pub(super) struct Disk {
    pub(super) log: Vec<u8>,
    head: Vec<u8>,
}

impl Disk {
    pub(super) fn new() -> Self {
        let (log, head) = founding(&header());
        Self { log, head }
    }

    fn read(&self) -> Result<History, Damage> {
        History::read(&self.log, &self.head)
    }

    fn damage(&self) -> Option<String> {
        self.read().err().map(|damage| damage.to_string())
    }

    pub(super) fn add(&mut self, subjects: &[Subject], decision: &Decision, clock: Clock) -> Result<(), ClockBehind> {
        let history = self.read().unwrap();
        let addition = history.append(subjects, decision, clock)?;
        self.log.truncate(history.whole_bytes());
        self.log.extend_from_slice(&addition.lines);
        self.head = addition.head;
        Ok(())
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.read().unwrap().entries().to_vec()
    }
}

/// Ada opts out, Ben and two others too, Ada comes back.
fn sample() -> Disk {
    let mut disk = Disk::new();
    disk.add(&[ADA], &decision(Choice::OptsOut, &[], None), Clock::Says(at(1))).unwrap();
    disk.add(&[BEN, [3; 16], [4; 16]], &decision(Choice::OptsOut, &[RESEARCH], Some(at(9))), Clock::Says(at(2)))
        .unwrap();
    disk.add(&[ADA], &decision(Choice::ComesBack, &[], None), Clock::Says(at(3))).unwrap();
    disk
}

#[test]
fn what_was_entered_is_read() {
    let (disk, found) = (sample(), sample().entries());
    let whole = disk.read().unwrap();
    assert_eq!((whole.header(), whole.torn_bytes(), whole.whole_bytes()), (&header(), 0, disk.log.len()));
    let mut expected = vec![entry(ADA, Choice::OptsOut, 1, 1)];
    let research = |subject| Entry { scope: Scope::of(&[RESEARCH], &[]), ..entry(subject, Choice::OptsOut, 9, 2) };
    expected.extend([BEN, [3; 16], [4; 16]].map(research));
    expected.push(entry(ADA, Choice::ComesBack, 3, 3));
    assert!(found == expected);
    assert!(Disk::new().entries().is_empty(), "a new register is empty, and is one");
}

/// What would be a bug: any change by accident after which somebody counts as not opted out.
#[test]
fn a_damaged_register_is_not_read() {
    let whole = sample();
    for at in 0..whole.log.len() {
        let mut flipped = whole.clone();
        flipped.log[at] ^= 1;
        assert!(flipped.damage().is_some(), "byte {at} may be changed");
        let mut cut = whole.clone();
        cut.log.truncate(at);
        assert!(cut.damage().is_some(), "everything from byte {at} on may be lost");
    }
    for at in 0..whole.head.len() {
        let mut flipped = whole.clone();
        flipped.head[at] ^= 1;
        assert!(flipped.damage().is_some(), "byte {at} of the head may be changed");
        assert!(Disk { head: whole.head[..at].to_vec(), ..whole.clone() }.damage().is_some());
    }
    let lines: Vec<_> = whole.log.split_inclusive(|b| *b == b'\n').collect();
    for one in 0..lines.len() {
        let without: Vec<_> = lines.iter().enumerate().filter(|(i, _)| *i != one).map(|(_, l)| *l).collect();
        assert!(Disk { log: without.concat(), ..whole.clone() }.damage().is_some(), "line {one} may be taken out");
        for other in 0..one {
            let mut swapped = lines.clone();
            swapped.swap(one, other);
            assert!(Disk { log: swapped.concat(), ..whole.clone() }.damage().is_some(), "{one} and {other} may change");
        }
    }
    let why = Disk { log: lines[..3].concat(), ..whole.clone() }.damage().unwrap();
    assert!(why.contains("lines are gone"), "{why}");
    let mut bent = whole.clone();
    bent.log[lines[0].len() + lines[1].len() + 40] ^= 1;
    assert_eq!(bent.damage().unwrap(), "entry 2 is not as it was written");
}

/// What would be a bug: an interrupted append that loses what was acknowledged before, that makes the register unreadable for ever, or
/// of which half a line counts.
#[test]
fn a_torn_append_loses_nothing_that_was_acknowledged() {
    let before = sample();
    let mut after = before.clone();
    after.add(&[BEN, ADA], &decision(Choice::ComesBack, &[], None), Clock::Says(at(4))).unwrap();
    let first = before.log.len() + (after.log.len() - before.log.len()) / 2;
    for cut in before.log.len()..=after.log.len() {
        // The process died before the head was replaced.
        let mut torn = Disk { log: after.log[..cut].to_vec(), head: before.head.clone() };
        let found = torn.read().unwrap();
        let whole = 5 + usize::from(cut >= first) + usize::from(cut == after.log.len());
        assert_eq!(found.entries().len(), whole, "cut at {cut}");
        assert!(found.entries()[..5] == before.entries()[..]);
        assert_eq!(found.whole_bytes() + found.torn_bytes(), cut, "nobody is told of what is passed over");
        torn.add(&[ADA], &decision(Choice::OptsOut, &[], None), Clock::Says(at(5))).unwrap();
        assert_eq!((torn.entries().len(), torn.read().unwrap().torn_bytes()), (whole + 1, 0), "not mended at {cut}");
    }
    // An older head beside a longer register, from a copy of one file: what is there counts.
    let old = Disk { head: Disk::new().head, ..after.clone() };
    assert!(old.entries() == after.entries());
}

/// What would be a bug: a time in the register that nobody's clock showed, or a register that nobody can write to any more.
#[test]
fn a_clock_that_is_wrong_is_noticed_and_can_be_put_right() {
    let mut disk = Disk::new();
    let opts_out = decision(Choice::OptsOut, &[], None);
    disk.add(&[ADA], &opts_out, Clock::Says(at(50_000))).unwrap();
    let behind = disk.add(&[BEN], &opts_out, Clock::Says(at(10)));
    assert_eq!(behind, Err(ClockBehind { last: at(50_000), now: at(10) }));
    assert_eq!(disk.entries().len(), 1);
    assert!(out(&disk.entries(), 10, RESEARCH).is_empty(), "permits until the clock is put right are as they were");
    disk.add(&[BEN], &Decision { effective_at: Some(at(1)), ..opts_out.clone() }, Clock::WasAhead(at(10))).unwrap();
    assert_eq!([9, 10].map(|hours| out(&disk.entries(), hours, RESEARCH).len()), [0, 1], "Ada's is in effect later");
    disk.add(&[ADA], &opts_out, Clock::Says(at(11))).unwrap();
    assert_eq!(out(&disk.entries(), 11, RESEARCH), [ADA, BEN]);
    // The clock was ahead for Ada's letter only, whose own date is right: it counts from the first entry with the right time on.
    let mut disk = Disk::new();
    disk.add(&[ADA], &Decision { effective_at: Some(at(5)), ..opts_out.clone() }, Clock::Says(at(50_000))).unwrap();
    disk.add(&[BEN], &opts_out, Clock::WasAhead(at(10))).unwrap();
    assert_eq!([9, 10].map(|hours| out(&disk.entries(), hours, RESEARCH).len()), [0, 2]);
}

#[test]
fn sources_are_short_and_one_line() {
    for good in ["web form", "letter", "Anruf – Empfang", &"x".repeat(64)] {
        assert!(good.parse::<Channel>().is_ok(), "{good:?}");
    }
    for bad in ["", " web form", "a\tb", "a\nb", "\u{1b}[31m", &"x".repeat(65)] {
        assert!(bad.parse::<Channel>().is_err(), "{bad:?} would break a line, or a terminal");
    }
}

/// What would be a bug: an entry of which nobody can say who made it, though the account was known; an account's name that stops a choice or
/// breaks a line; a register of before that cannot be read or gone on with.
#[test]
fn who_entered_a_choice_is_read_and_need_not_be_there() {
    let mut disk = sample();
    let by = |account: &str| Decision {
        channel: letter().entered_by(account),
        ..decision(Choice::OptsOut, &[RESEARCH], None)
    };
    for account in ["account kim", "a\tb\nc", &"é".repeat(40), " \n"] {
        disk.add(&[ADA, BEN], &by(account), Clock::Says(at(4))).unwrap();
    }
    let read = disk.entries();
    let accounts: Vec<_> = read.iter().map(|entry| entry.channel.by()).collect();
    let cut = "é".repeat(32);
    let told = [Some("account kim"), Some("a b c"), Some(cut.as_str()), None].into_iter().flat_map(|by| [by; 2]);
    assert_eq!(accounts, [None; 5].into_iter().chain(told).collect::<Vec<_>>());
    assert!(read.iter().all(|entry| entry.channel.as_str() == letter().as_str()), "the source is another one");
    // It is chained like all else.
    let text = String::from_utf8(disk.log.clone()).unwrap();
    let forged = Disk { log: text.replace("account kim", "account eve").into_bytes(), ..disk.clone() };
    assert!(forged.damage().unwrap().contains("not as it was written"));
    let (log, head) = disk.read().unwrap().carried(&header(), |_, _| None);
    let carried = History::read(&log, &head).unwrap();
    assert!(carried.entries() == read, "a rotation forgets who entered them");
}

/// What would be a bug: a rotation after which somebody who opted out is back, a time that is another one, or an old register that
/// cannot be read any more.
#[test]
fn entries_are_carried_over_to_new_pseudonyms_with_their_times() {
    let old = header();
    let (mut log, mut head) = founding(&old);
    let enter = |log: &mut Vec<u8>, head: &mut Vec<u8>, subject, hours| {
        let decision =
            Decision { choice: Choice::OptsOut, scope: Scope::EVERYTHING, effective_at: None, channel: letter() };
        let history = History::read(log, head).unwrap();
        let addition = history.append(&[subject], &decision, Clock::Says(at(hours))).unwrap();
        log.extend_from_slice(&addition.lines);
        *head = addition.head;
    };
    enter(&mut log, &mut head, ADA, 1);
    enter(&mut log, &mut head, BEN, 2);
    let new = Header { pseudonyms: Scheme { version: 2, check: Digest::of(b"new key") }, ..old };
    let history = History::read(&log, &head).unwrap();
    // Ben is not in the data: nobody can say what his new pseudonym is.
    let ada = |version, subject: &Subject| (version == 1 && *subject == ADA).then_some([3; 16]);
    let (mut log, mut head) = history.carried(&new, ada);
    enter(&mut log, &mut head, [4; 16], 3);
    let carried = History::read(&log, &head).unwrap();
    let told: Vec<_> = carried.entries().iter().map(|e| (e.version, e.subject, e.recorded_at)).collect();
    assert_eq!(told, [(2, [3; 16], at(1)), (1, BEN, at(2)), (2, [4; 16], at(3))]);
    assert_eq!((carried.header(), carried.versions()), (&new, vec![1, 2]));
    let newer = Header { pseudonyms: Scheme { version: 3, check: Digest::of(b"newer key") }, ..new };
    let (log, head) = carried.carried(&newer, |version, subject| (version == 1 && *subject == BEN).then_some([5; 16]));
    let all = History::read(&log, &head).unwrap();
    assert_eq!(all.entries().iter().map(|e| e.version).collect::<Vec<_>>(), [2, 3, 2], "Ben came late, and is met");
}
