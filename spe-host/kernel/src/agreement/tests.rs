//! What two parties may state, and what follows from it.

use super::*;
use crate::{
    document::{Opened, open, sign},
    dsse::SecretKey,
};

pub(super) fn key(party: Party) -> SecretKey {
    SecretKey::from_seed(&[if party == Party::Hub { 1 } else { 2 }; 32])
}

pub(super) fn at(hour: i64) -> Timestamp {
    Timestamp::from_second(3_600 * hour).unwrap()
}

fn said(by: &SecretKey, number: u32, act: Act) -> Opened<AgreementBody> {
    let (format, node) = (AgreementBody::FORMAT.into(), "north".parse().unwrap());
    let signed_at = at(i64::from(number));
    open(&sign(&AgreementBody { format, node, number, signed_at, act }, by)).unwrap()
}

fn offer(number: u32, until: Option<i64>) -> Opened<AgreementBody> {
    let act = Terms::of(&number.to_be_bytes()).offered(at(1), until.map(at));
    said(&key(Party::Hub), number, act)
}

fn agreed() -> (Agreement, Digest) {
    let mut agreement = Agreement::new("north".parse().unwrap(), key(Party::Hub).public(), key(Party::Node).public());
    let offer = offer(1, Some(100));
    let digest = offer.digest();
    assert_eq!(agreement.standing(at(2)), Standing::Open);
    assert_eq!(agreement.add(offer.clone()), Ok(true));
    assert_eq!(agreement.add(offer), Ok(false));
    assert_eq!(agreement.standing(at(2)), Standing::Open, "an offer alone binds nobody");
    agreement.add(said(&key(Party::Node), 1, Act::Accept { offer: digest })).unwrap();
    (agreement, digest)
}

#[test]
fn two_signatures_make_it_live_for_its_time() {
    let (agreement, _) = agreed();
    assert_eq!(agreement.standing(at(0)), Standing::NotYet { from: at(1) });
    assert_eq!(agreement.live(at(2)), Ok(()));
    assert_eq!(agreement.standing(at(100)), Standing::Over { until: at(100) });
}

#[test]
fn either_party_stops_it_alone_and_only_that_party_resumes_it() {
    for (stops, other) in [(Party::Hub, Party::Node), (Party::Node, Party::Hub)] {
        let (mut agreement, offer) = agreed();
        let stopping = said(&key(stops), 7, Act::Suspend { offer, reason: "repairs".into() });
        agreement.add(stopping.clone()).unwrap();
        let Err(Refusal::AgreementNotLive { why, .. }) = agreement.live(at(2)) else { panic!("not suspended") };
        assert!(why.contains("suspended it"), "{why}");
        assert!(!why.contains("repairs"), "researchers read the parties' own words: {why}");
        agreement.add(said(&key(other), 8, Act::Resume { offer })).unwrap();
        assert!(agreement.live(at(2)).is_err(), "the other party resumed it");
        // Statements arrive in any order: an older one does not undo a later one.
        agreement.add(said(&key(stops), 5, Act::Resume { offer })).unwrap();
        assert!(agreement.live(at(2)).is_err(), "an older statement undid a later one");
        agreement.add(said(&key(stops), 9, Act::Resume { offer })).unwrap();
        assert_eq!(agreement.live(at(2)), Ok(()));
        assert_eq!(agreement.add(stopping), Ok(false), "a replayed statement is new");
        assert_eq!(agreement.live(at(2)), Ok(()), "a replayed statement stopped it again");
    }
}

#[test]
fn what_is_ended_stays_ended_until_another_offer_is_accepted() {
    let (mut agreement, first) = agreed();
    agreement.add(said(&key(Party::Node), 2, Act::Terminate { offer: first, reason: "we leave".into() })).unwrap();
    agreement.add(said(&key(Party::Node), 3, Act::Resume { offer: first })).unwrap();
    agreement.add(said(&key(Party::Node), 4, Act::Accept { offer: first })).unwrap();
    assert!(matches!(agreement.standing(at(2)), Standing::Terminated { .. }), "it was brought back to life");
    let second = offer(2, None);
    let digest = second.digest();
    agreement.add(second).unwrap();
    assert!(matches!(agreement.standing(at(2)), Standing::Terminated { .. }), "an offer alone revived it");
    agreement.add(said(&key(Party::Node), 5, Act::Accept { offer: digest })).unwrap();
    assert_eq!(agreement.live(at(200)), Ok(()));
}

/// What would be a bug: a party that fills the other's disk with statements, or thereby keeps it from ending the agreement; also by making it
/// countersign as many.
#[test]
fn a_party_states_so_much_and_no_more() {
    let (mut agreement, offer) = agreed();
    let suspend = |number| Act::Suspend { offer, reason: format!("{number}") };
    for number in 2..=1_000 {
        let statement = said(&key(Party::Hub), number, suspend(number));
        let second = countersigned(Party::Node, number, statement.digest());
        assert_eq!((agreement.add(statement), agreement.add(second)), (Ok(true), Ok(true)));
    }
    let refused = agreement.add(said(&key(Party::Hub), 1_001, suspend(1_001)));
    assert!(matches!(refused, Err(Refusal::Malformed { .. })), "{refused:?}");
    assert_eq!(agreement.add(said(&key(Party::Hub), 1_000, suspend(1_000))), Ok(false), "one that is known");
    let ending = Act::Terminate { offer, reason: "we leave".into() };
    assert_eq!(agreement.add(said(&key(Party::Node), 2_000, ending)), Ok(true), "the node cannot leave");
}

#[test]
fn nobody_speaks_for_the_other_party() {
    let (mut agreement, offer) = agreed();
    let stranger = SecretKey::from_seed(&[9; 32]);
    let end = || Act::Terminate { offer, reason: "mischief".into() };
    assert!(agreement.add(said(&stranger, 9, end())).is_err(), "a stranger ended it");
    assert!(agreement.add(said(&key(Party::Hub), 9, Act::Accept { offer })).is_err(), "the hub accepted its own offer");
    let terms = Terms::of(b"mine").offered(at(1), None);
    assert!(agreement.add(said(&key(Party::Node), 9, terms)).is_err(), "a node offered terms to itself");
    let body = AgreementBody { node: "south".parse().unwrap(), ..said(&key(Party::Hub), 9, end()).body().clone() };
    let elsewhere = open(&sign(&body, &key(Party::Hub))).unwrap();
    assert!(agreement.add(elsewhere).is_err(), "another node's agreement counted");
    assert_eq!(agreement.live(at(2)), Ok(()));
}

/// A countersignature of that statement, by that party.
fn countersigned(by: Party, number: u32, statement: Digest) -> Opened<AgreementBody> {
    said(&key(by), number, Act::Countersign { statement })
}

fn why(refused: Result<bool, Refusal>) -> String {
    let Err(Refusal::Malformed { why, .. }) = refused else { panic!("it was not refused as it must be: {refused:?}") };
    why
}

/// What would be a bug: a suspension or an end that waits for the other's signature, one that has only one signature in the end, or a
/// signature of receipt that changes how it stands.
#[test]
fn every_change_is_countersigned_and_none_waits_for_it() {
    for (states, signs) in [(Party::Hub, Party::Node), (Party::Node, Party::Hub)] {
        let (mut agreement, offer) = agreed();
        let reason = || "an audit".to_owned();
        let acts = [
            Act::Suspend { offer, reason: reason() },
            Act::Resume { offer },
            Act::Terminate { offer, reason: reason() },
        ];
        for (i, act) in (0..).zip(acts) {
            let statement = said(&key(states), 10 + i, act);
            agreement.add(statement.clone()).unwrap();
            let stands = agreement.standing(at(2));
            assert_eq!(stands.name() == "live", i == 1, "what one party states waits for the other: {stands:?}");
            assert_eq!(agreement.uncountersigned(signs), [statement.digest()]);
            assert_eq!(agreement.uncountersigned(states), [], "a party would sign what it has stated itself");
            assert_eq!(agreement.add(countersigned(signs, 10 + i, statement.digest())), Ok(true));
            assert_eq!(agreement.uncountersigned(signs), [], "it was countersigned");
            assert_eq!(agreement.standing(at(2)), stands, "a countersignature changed how it stands");
        }
        let changes = agreement.changes();
        assert_eq!(changes.len(), 4);
        for change in changes {
            let second = change.second.unwrap_or_else(|| panic!("{:?} has one signature", change.statement.body()));
            assert_ne!(second.signer(), change.statement.signer(), "both signatures are of one party");
            assert_eq!(second.body().act.seconds(), Some(change.statement.digest()));
        }
    }
}

/// What would be a bug: a signature that somebody else made, that is under something else, or that counts twice.
#[test]
fn a_countersignature_is_of_the_other_party_and_of_what_was_stated() {
    let (mut agreement, offer) = agreed();
    let suspension = said(&key(Party::Hub), 7, Act::Suspend { offer, reason: "an audit".into() });
    let of = suspension.digest();
    assert!(
        why(agreement.add(countersigned(Party::Node, 7, of))).contains("neither party has stated"),
        "before it was stated"
    );
    agreement.add(suspension).unwrap();
    assert!(why(agreement.add(countersigned(Party::Hub, 8, of))).contains("its signer's own statement"));
    assert!(why(agreement.add(countersigned(Party::Node, 7, Digest::of(b"another")))).contains("neither party"));
    assert!(why(agreement.add(countersigned(Party::Node, 7, offer))).contains("\"offer\""), "an offer is accepted");
    let stranger = said(&SecretKey::from_seed(&[9; 32]), 7, Act::Countersign { statement: of });
    assert!(matches!(agreement.add(stranger), Err(Refusal::UntrustedKey { .. })), "a stranger signed for the node");
    assert_eq!(agreement.uncountersigned(Party::Node), [of], "a false signature counts");
    assert_eq!(agreement.add(said(&key(Party::Node), 8, Act::Accept { offer: of })), Ok(true));
    assert_eq!(agreement.uncountersigned(Party::Node), [of], "an acceptance of something else is a countersignature");

    let second = countersigned(Party::Node, 9, of);
    assert_eq!(agreement.add(second.clone()), Ok(true));
    let before = agreement.statements().len();
    assert_eq!(agreement.add(second.clone()), Ok(false), "a replayed one is new");
    assert_eq!(agreement.add(countersigned(Party::Node, 10, of)), Ok(false), "a second one of the same is new");
    assert!(why(agreement.add(countersigned(Party::Hub, 9, second.digest()))).contains("\"countersign\""));
    assert_eq!(agreement.statements().len(), before, "something was kept of what is none");
}

/// The digests of all that was stated, as they are read.
fn read(agreement: &Agreement) -> Vec<Digest> {
    agreement.statements().into_iter().map(Opened::digest).collect()
}

/// Two statements of a party have one number where its store was put back between them.
///
/// What would be a bug: parties that have the same statements, and disagree on what they mean because these came in another order.
#[test]
fn of_equal_numbers_the_order_of_arrival_decides_nothing() {
    let (start, offer) = agreed();
    let reason = |why: &str| why.to_owned();
    let other = said(&key(Party::Hub), 2, Terms::of(b"other").offered(at(1), None));
    let third = said(&key(Party::Hub), 2, Terms::of(b"third").offered(at(1), None));
    let accepts = |of: &Opened<AgreementBody>| said(&key(Party::Node), 2, Act::Accept { offer: of.digest() });
    let cases = [
        vec![other.clone(), third.clone(), accepts(&other), accepts(&third)],
        vec![
            said(&key(Party::Hub), 5, Act::Suspend { offer, reason: reason("an audit") }),
            said(&key(Party::Hub), 5, Act::Resume { offer }),
            said(&key(Party::Node), 5, Act::Suspend { offer, reason: reason("repairs") }),
            said(&key(Party::Node), 5, Act::Suspend { offer, reason: reason("holidays") }),
        ],
        vec![
            said(&key(Party::Hub), 5, Act::Terminate { offer, reason: reason("an end") }),
            said(&key(Party::Hub), 5, Act::Terminate { offer, reason: reason("another end") }),
            said(&key(Party::Hub), 5, Act::Resume { offer }),
        ],
    ];
    for (case, all) in cases.into_iter().enumerate() {
        let mut seen: Vec<_> = permutations(&all).into_iter().map(|all| meaning(&start, all)).collect();
        assert_eq!(seen.len(), (1..=all.len()).product::<usize>());
        seen.dedup();
        assert_eq!(seen.len(), 1, "case {case}: the order decides: {seen:?}");
    }
}

/// What is read from an agreement and those statements, which come in that order.
fn meaning(start: &Agreement, statements: Vec<Opened<AgreementBody>>) -> impl PartialEq + std::fmt::Debug + use<> {
    let mut one = start.clone();
    for statement in statements {
        assert_eq!(one.add(statement), Ok(true));
    }
    let changes: Vec<_> = one.changes().iter().map(|change| change.statement.digest()).collect();
    let offers = [one.latest_offer(), one.accepted()].map(|offer| offer.map(Opened::digest));
    (read(&one), changes, offers, one.standing(at(9)), one.last_unstopped())
}

fn permutations<T: Clone>(all: &[T]) -> Vec<Vec<T>> {
    let Some((first, rest)) = all.split_first() else { return vec![Vec::new()] };
    let with_first = |mut order: Vec<T>, at| {
        order.insert(at, first.clone());
        order
    };
    permutations(rest).iter().flat_map(|order| (0..=order.len()).map(move |at| with_first(order.clone(), at))).collect()
}

/// What would be a bug: statements that mean something else in another order, or a countersignature that is none and keeps others out.
#[test]
fn statements_are_taken_in_any_order_and_false_countersignatures_are_left_out() {
    let (mut agreement, offer) = agreed();
    let suspension = said(&key(Party::Node), 7, Act::Suspend { offer, reason: "repairs".into() });
    let end = said(&key(Party::Hub), 8, Act::Terminate { offer, reason: "an end".into() });
    let seconds = [countersigned(Party::Hub, 9, suspension.digest()), countersigned(Party::Node, 9, end.digest())];
    let nothing = countersigned(Party::Node, 11, Digest::of(b"nothing"));
    let mut all = Vec::from(seconds);
    all.extend([nothing, suspension, end]);
    let mut seen = Vec::new();
    for turn in 0..all.len() {
        all.rotate_left(1);
        let mut one = agreement.clone();
        let taken = one.take(all.clone()).unwrap();
        assert_eq!((taken.new.len(), taken.left_out.len()), (4, 1), "turn {turn}: {taken:?}");
        assert!(one.take(all.clone()).unwrap().new.is_empty(), "the same again is new");
        assert!(one.changes().iter().all(|change| change.second.is_some()));
        seen.push((read(&one), one.standing(at(2))));
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "the order decides: {seen:?}");
    let forged = said(&SecretKey::from_seed(&[9; 32]), 1, Act::Countersign { statement: offer });
    let body = AgreementBody { node: "south".parse().unwrap(), ..forged.body().clone() };
    let elsewhere = open(&sign(&body, &key(Party::Node))).unwrap();
    for one in [forged, elsewhere] {
        assert!(agreement.take(vec![one]).is_err(), "what is no party's on this agreement was passed over in silence");
    }
}

/// What would be a bug: an offer that is accepted for another text than the one that was read.
#[test]
fn terms_are_known_by_both_digests() {
    let terms = Terms::of(b"the terms");
    let offer = said(&key(Party::Hub), 1, terms.offered(at(1), None));
    assert_eq!(terms.are_those_of(&offer), Ok(()));
    let other = Terms::of(b"other terms").are_those_of(&offer).unwrap_err().to_string();
    assert!(other.contains("sha256:") && other.contains("the hub's operator has the text"), "{other}");
    let Act::Offer { terms, from, until, .. } = offer.body().act else { panic!("an offer") };
    let false_sha = Act::Offer { terms, terms_sha256: Some(Sha256::of(b"other terms")), from, until };
    assert!(
        Terms::of(b"the terms").are_those_of(&said(&key(Party::Hub), 2, false_sha)).is_err(),
        "two texts in one offer"
    );
    let earlier = said(&key(Party::Hub), 3, Act::Offer { terms, terms_sha256: None, from, until });
    assert_eq!(Terms::of(b"the terms").are_those_of(&earlier), Ok(()), "an earlier version's offer");
    let bad = serde_json::from_str::<Sha256>("\"sha256:00\"").unwrap_err().to_string();
    assert!(bad.contains("64 hexadecimal digits"), "{bad}");
    // FIPS 180-4, of the empty text.
    assert_eq!(Sha256::of(b"").hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
