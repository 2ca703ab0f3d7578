//! What becomes of a node's agreement when it crashes, and what its audit log tells.

use std::{
    fs,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use spe_kernel::{
    agreement::{Act, AgreementBody, Party, Standing, Terms},
    audit::{Entry, Event, Who},
    document::{Document, open, sign},
    dsse::SecretKey,
    ids::{Digest, NodeName},
    refusal::{Refusal, Stop},
};

use super::{Answer, Book, Passed};
use crate::journal::Records;

fn hub() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("an instant")
}

/// A node's folder and records, in a folder that goes with the test.
struct World {
    folder: PathBuf,
    name: NodeName,
    key: SecretKey,
}

impl World {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("spe-agreement-{}-{name}", std::process::id()));
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).expect("a folder");
        Self { folder, name: "north".parse().expect("a name"), key: SecretKey::from_seed(&[2; 32]) }
    }

    /// What `book`'s node has accepted: the digest of the hub's first offer.
    fn agreed(&self, book: &Book) -> Digest {
        let offer = self.says(1, Terms::of(b"terms").offered(at(0), None));
        let agreed = open::<AgreementBody>(&offer).expect("an offer").digest();
        book.answer(&[offer], at(1)).expect("accepted");
        agreed
    }

    fn statements(&self) -> PathBuf {
        self.folder.join("agreement")
    }

    fn book<'a>(&'a self, folder: &'a Path) -> Book<'a> {
        Book::new(folder, (&self.name, &self.key), hub().public())
    }

    fn says(&self, number: u32, act: Act) -> Vec<u8> {
        let (format, node) = (AgreementBody::FORMAT.into(), self.name.clone());
        sign(&AgreementBody { format, node, number, signed_at: at(i64::from(number)), act }, &hub())
    }

    fn records(&self) -> Records {
        Records::open(&self.folder.join("ledger.sqlite")).expect("records")
    }

    /// What the audit log tells of the agreement: who, what, and the statements that it names.
    fn told(&self) -> Vec<(String, String, Vec<Digest>)> {
        let all = self.records().entries(0, 1_000).expect("the log").into_iter();
        let entries = all.map(|(_, body)| Entry::parse(&body.expect("a body")).expect("an entry"));
        let told = entries.filter_map(|entry| match entry.event {
            Event::AgreementChanged { document, stated, seconds, .. } => {
                let digests = std::iter::once(document).chain(seconds.map(|first| first.document)).collect();
                Some((entry.actor.to_string(), stated?, digests))
            }
            _ => None,
        });
        told.collect()
    }

    fn files(&self, ending: &str) -> Vec<PathBuf> {
        let all = fs::read_dir(self.statements()).expect("a folder").map(|file| file.expect("a file").path());
        all.filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::remove_dir_all(to).ok();
    fs::create_dir_all(to).expect("a folder");
    for file in fs::read_dir(from).expect("a folder") {
        let file = file.expect("a file");
        fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
    }
}

/// A crash is a folder as it was between two writes: each file that the whole way made is taken away again, latest first, as a rename that
/// did not happen, and its unfinished part put in its place.
///
/// What would be a bug: an acceptance or countersignature that is never made after a crash, or made twice; a statement that is told twice in
/// the log, or never; a suspension that does not count because the node died before it countersigned.
#[test]
fn a_crash_between_any_two_writes_leaves_nothing_half_done() {
    let world = World::new("crash");
    let (folder, whole) = (world.statements(), world.folder.join("whole"));
    let book = world.book(&folder);
    let offer = world.says(1, Terms::of(b"terms").offered(at(0), None));
    let digest = open::<AgreementBody>(&offer).expect("an offer").digest();
    book.answer(std::slice::from_ref(&offer), at(1)).expect("accepted");
    let suspension = world.says(2, Act::Suspend { offer: digest, reason: "an audit".into() });
    let stated = [offer, suspension];
    let before: Vec<_> = world.files("json");
    book.answer(&stated, at(2)).expect("countersigned");
    copy(&folder, &whole);
    let mut made: Vec<_> = world.files("json").into_iter().filter(|file| !before.contains(file)).collect();
    // The hub's statement is kept before the node's own is made.
    made.sort_by_key(|file| {
        open::<AgreementBody>(&fs::read(file).expect("a file")).expect("a statement").signer() != hub().public()
    });
    assert_eq!(made.len(), 2, "the suspension and its countersignature");
    for lost in 0..=made.len() {
        for log_first in [false, true] {
            copy(&whole, &folder);
            fs::remove_file(world.folder.join("ledger.sqlite")).ok();
            for file in made.iter().skip(made.len() - lost) {
                fs::rename(file, file.with_extension("json.part")).expect("a write that was not finished");
            }
            if log_first {
                book.log(&world.records()).expect("what is there is told");
            }
            let standing = book.read().expect("what is there is whole").standing(at(3));
            let known = lost < made.len();
            assert_eq!(matches!(standing, Standing::Suspended { .. }), known, "{lost} lost: it does not count alone");
            let (_, signed) = book.answer(&stated, at(3)).expect("it goes on");
            assert_eq!(signed, lost > 0, "{lost} lost: signed twice, or never");
            let (agreement, again) = book.answer(&stated, at(4)).expect("it goes on");
            assert!(!again, "{lost} lost: it is signed again and again");
            assert!(agreement.changes().iter().all(|change| change.second.is_some()), "{lost} lost: one signature");
            assert_eq!(world.files("json").len(), 4, "{lost} lost: a statement is there twice");
            for _ in 0..2 {
                book.log(&world.records()).expect("it is told");
            }
            let told = world.told();
            let stated: Vec<_> = told.iter().map(|(_, stated, _)| stated.as_str()).collect();
            assert_eq!(stated, ["offer", "accept", "suspend", "countersign"], "{lost} lost: told twice, or never");
            for (actor, stated, digests) in &told {
                let second = ["accept", "countersign"].contains(&stated.as_str());
                assert_eq!((actor.as_str(), digests.len()), ("node", if second { 2 } else { 1 }), "{told:?}");
            }
            assert!(world.files("part").is_empty(), "{lost} lost: what was not finished stays");
        }
    }
}

/// What would be a bug: an entry that names the node where a person acted; a person whose name stays beside the statement; a crash that
/// makes the log forget who it was.
#[test]
fn the_log_names_the_person_also_when_a_crash_came_in_between() {
    let world = World::new("who");
    let folder = world.statements();
    let book = world.book(&folder);
    let agreed = world.agreed(&book);
    let suspends = |_: &_| Ok(Act::Suspend { offer: agreed, reason: "repairs".into() });
    book.state(suspends, &Who::account("kim"), at(2)).expect("stated");
    let before: Vec<_> = ["json", "who"].into_iter().flat_map(|ending| world.files(ending)).collect();
    assert_eq!(before.len(), 4, "who made the statement is not written down: {before:?}");
    let who = world.files("who").pop().expect("a name");
    let name = fs::read(&who).expect("a name");
    // The log is told, and the node dies before it has removed the name.
    book.log(&world.records()).expect("told");
    fs::write(&who, name).expect("put back");
    book.log(&world.records()).expect("told");
    assert!(world.files("who").is_empty(), "a person's name stays beside the statement");
    let told = world.told();
    let suspension: Vec<_> = told.iter().filter(|(_, stated, _)| stated == "suspend").collect();
    let [(actor, ..)] = suspension.as_slice() else { panic!("one entry: {told:?}") };
    let people = world.records().people().expect("people");
    let person = people.iter().find(|(tag, _)| tag.to_string() == *actor).map(|(_, person)| person.name.as_str());
    assert_eq!(person, Some("account kim"), "it does not name who did it: {told:?}");
}

/// What would be a bug: two countersignatures of one statement, made by the node and by a command beside it at the same time; a number that
/// two statements have.
#[test]
fn who_changes_something_waits_for_the_other() {
    let world = World::new("turns");
    let folder = world.statements();
    let offer = world.says(1, Terms::of(b"terms").offered(at(0), None));
    let agreed = open::<AgreementBody>(&offer).expect("an offer").digest();
    let suspension = world.says(2, Act::Suspend { offer: agreed, reason: "an audit".into() });
    let stated = [offer, suspension];
    std::thread::scope(|scope| {
        for second in 0..8 {
            let (world, folder, stated) = (&world, &folder, &stated);
            scope.spawn(move || world.book(folder).answer(stated, at(second)).expect("answered"));
        }
    });
    assert_eq!(world.files("json").len(), 4, "something was signed twice");
    let agreement = world.book(&folder).read().expect("an agreement");
    assert_eq!(agreement.next_number(Party::Node), 3, "a number was given twice");
}

/// Exchanges with a hub that answers so, and gives what it was told.
fn exchanged(book: &Book<'_>, passed: &mut Passed, hub: impl Fn(&[Vec<u8>]) -> Answer) -> Vec<Vec<Vec<u8>>> {
    let (mut told, mut answer) = (Vec::new(), None);
    while let Some(tell) = book.step(passed, answer).expect("a step") {
        answer = Some(hub(&tell));
        told.push(tell);
    }
    told
}

/// The names of what was told, sorted.
fn acts(told: &[Vec<u8>]) -> Vec<&'static str> {
    let mut acts: Vec<_> =
        told.iter().map(|one| open::<AgreementBody>(one).expect("a statement").body().act.name()).collect();
    acts.sort_unstable();
    acts
}

/// What would be a bug: a node whose hub can never resume what it suspended, since it is of an earlier version and refuses the node's
/// countersignature with all that comes with it; a hub of this version that is told less.
#[test]
fn a_hub_that_knows_no_countersignatures_is_heard_all_the_same() {
    let world = World::new("earlier");
    let folder = world.statements();
    let book = world.book(&folder);
    let offer = world.says(1, Terms::of(b"terms").offered(at(0), None));
    let agreed = open::<AgreementBody>(&offer).expect("an offer").digest();
    let suspension = world.says(2, Act::Suspend { offer: agreed, reason: "an audit".into() });
    let resumption = world.says(3, Act::Resume { offer: agreed });
    let (mut stated, mut passed) = (vec![offer], Passed::default());
    let earlier = |told: &[Vec<u8>], stated: &[Vec<u8>]| match acts(told).contains(&"countersign") {
        true => Err(Refusal::Malformed { document: "the agreement".into(), why: "unknown variant".into() }),
        false => Ok(stated.to_vec()),
    };
    exchanged(&book, &mut passed, |told| earlier(told, &stated));
    stated.push(suspension);
    let told = exchanged(&book, &mut passed, |told| earlier(told, &stated));
    let told: Vec<_> = told.iter().map(|told| acts(told)).collect();
    assert_eq!(told, [vec![], vec!["accept", "countersign", "offer", "suspend"], vec!["accept"]], "not told again");
    assert_eq!(book.read().expect("an agreement").standing(at(9)).name(), "suspended");
    stated.push(resumption);
    let told = exchanged(&book, &mut passed, |told| earlier(told, &stated));
    assert!(told.iter().all(|told| !acts(told).contains(&"countersign")), "it is refused again and again: {told:?}");
    assert_eq!(book.read().expect("an agreement").standing(at(9)).name(), "live", "the resumption is not heard");

    // One of this version is told all of it, when the node next connects.
    let told = exchanged(&book, &mut Passed::default(), |_| Ok(stated.clone()));
    let [told] = told.as_slice() else { panic!("told more than once: {told:?}") };
    assert_eq!(told.len(), 6, "three of the hub's, and the node's signature under each");
    let refuses = |_: &[Vec<u8>]| Err(Refusal::Malformed { document: "the agreement".into(), why: "no".into() });
    let (mut passed, mut answer, mut refused) = (Passed::default(), None, 0);
    let ended = loop {
        match book.step(&mut passed, answer) {
            Ok(Some(tell)) => answer = Some(refuses(&tell)),
            ended => break ended,
        }
        refused += 1;
    };
    assert!(matches!((ended, refused), (Err(Stop::Refused(_)), 2)), "a hub that refuses anything is told for ever");
}

/// What would be a bug: a node that tells the hub the same every few seconds, or looks at the same again; one that keeps from a hub whose
/// store was put back what that hub has lost; one by whose statements a hub takes its own key for the node's.
#[test]
fn what_has_passed_is_told_once_a_connection_and_all_of_it() {
    let world = World::new("once");
    let folder = world.statements();
    let book = world.book(&folder);
    let stated = vec![world.says(1, Terms::of(b"terms").offered(at(0), None))];
    let hub = |_: &[Vec<u8>]| Ok(stated.clone());
    let mut passed = Passed::default();
    assert_eq!(exchanged(&book, &mut passed, hub).len(), 2, "the acceptance is told at once");
    for _ in 0..2 {
        assert_eq!(exchanged(&book, &mut passed, hub), [Vec::<Vec<u8>>::new()], "the same is told again");
    }
    // What was heard is not looked at again: not even what is gone since then.
    fs::remove_dir_all(&folder).expect("gone");
    exchanged(&book, &mut passed, hub);
    assert!(!folder.exists(), "the same is looked at every few seconds");
    exchanged(&book, &mut Passed::default(), hub);
    let agreed = book.read().expect("an agreement").accepted().expect("accepted").digest();
    for reason in ["one", "two", "three"] {
        let suspends = |_: &_| Ok(Act::Suspend { offer: agreed, reason: reason.into() });
        book.state(suspends, &Who::Node, at(2)).expect("stated");
        let told = exchanged(&book, &mut Passed::default(), hub).concat();
        assert_eq!(told.len(), world.files("json").len(), "not all is told: {:?}", acts(&told));
        assert!(told.ends_with(&stated), "the hub's own comes before the node's");
    }
}

/// What would be a bug: a node that by itself accepts terms that its operator has left unaccepted, because its folder was lost; one that does not
/// take back what it has stated itself.
#[test]
fn a_node_that_lost_its_folder_accepts_nothing_by_itself_and_has_its_own_again() {
    let world = World::new("lost");
    let folder = world.statements();
    let book = world.book(&folder);
    let agreed = world.agreed(&book);
    let suspends = |_: &_| Ok(Act::Suspend { offer: agreed, reason: "repairs".into() });
    book.state(suspends, &Who::Node, at(2)).expect("stated");
    let harsh = world.says(2, Terms::of(b"harsh terms").offered(at(1), None));
    let offers = vec![fs::read(folder.join(format!("{}.json", agreed.hex()))).expect("the first offer"), harsh];
    let own: Vec<_> = world.files("json").iter().map(|file| fs::read(file).expect("a statement")).collect();
    fs::remove_dir_all(&folder).expect("lost");

    let (agreement, signed) = book.answer(&offers, at(3)).expect("heard");
    assert!(!signed && agreement.accepted().is_none(), "it accepted one of two offers by itself");
    let (agreement, _) = book.answer(&own, at(4)).expect("heard");
    assert_eq!(agreement.standing(at(5)).name(), "suspended", "its own suspension is gone");
    assert_eq!(agreement.next_number(Party::Node), 3, "a number would be given twice");
}

/// What would be a bug: a node that takes what another than its hub signed, or that stops for a countersignature which is none.
#[test]
fn a_false_countersignature_of_the_hub_is_left_out_and_a_forged_one_refused() {
    let world = World::new("false");
    let folder = world.statements();
    let book = world.book(&folder);
    let agreed = world.agreed(&book);
    let suspends = |_: &_| Ok(Act::Suspend { offer: agreed, reason: "repairs".into() });
    let mine = book.state(suspends, &Who::Node, at(2)).expect("stated").uncountersigned(Party::Hub);
    let [mine] = mine.as_slice() else { panic!("the hub has to sign one: {mine:?}") };
    for (number, statement) in [(2, Digest::of(b"nothing")), (3, agreed)] {
        let (agreement, _) =
            book.answer(&[world.says(number, Act::Countersign { statement })], at(3)).expect("left out");
        assert_eq!(agreement.uncountersigned(Party::Hub), [*mine], "it counts as the hub's signature");
    }
    let theirs = world.says(4, Act::Countersign { statement: *mine });
    let mut forged: serde_json::Value = serde_json::from_slice(&theirs).expect("JSON");
    let stranger = SecretKey::from_seed(&[9; 32]).public().to_string();
    *forged.pointer_mut("/signatures/0/keyid").expect("a signature") = stranger.into();
    let refused = book.answer(&[serde_json::to_vec(&forged).expect("JSON")], at(4));
    assert!(matches!(refused, Err(Stop::Refused(_))), "a signature that is none counts");
    let (agreement, _) = book.answer(&[world.says(5, Act::Countersign { statement: *mine })], at(5)).expect("taken");
    assert!(agreement.uncountersigned(Party::Hub).is_empty(), "the hub's own does not count");
}
