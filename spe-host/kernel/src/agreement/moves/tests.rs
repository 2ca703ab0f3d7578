//! What a party can decide, and what it finds changed.

use jiff::SignedDuration;

use super::{super::REASON_BYTES_MAX, *};
use crate::{
    agreement::{
        AgreementBody,
        tests::{at, key},
    },
    document::{Document, open, sign},
    ids::NodeName,
};

fn none() -> Agreement {
    Agreement::new("north".parse().unwrap(), key(Party::Hub).public(), key(Party::Node).public())
}

/// Has a party decide, and signs what it states.
fn does(agreement: &mut Agreement, party: Party, step: Move) -> Result<(), Refusal> {
    let number = agreement.next_number(party);
    let act = agreement.decide(party, step, at(10))?;
    let signed_at = next(agreement);
    let body =
        AgreementBody { format: AgreementBody::FORMAT.into(), node: agreement.node().clone(), number, signed_at, act };
    body.check()?;
    agreement.add(open(&sign(&body, &key(party))).unwrap())?;
    Ok(())
}

/// Later than all before it.
fn next(agreement: &Agreement) -> Timestamp {
    at(10) + SignedDuration::from_secs(i64::try_from(agreement.statements().len()).unwrap())
}

fn terms(text: &str) -> Move {
    Move::Offer { terms: Terms::of(text.as_bytes()), until: None }
}

fn accepts(text: &str) -> Move {
    Move::Accept { terms: Some(Terms::of(text.as_bytes())) }
}

fn suspends() -> Move {
    Move::Suspend("repairs".into())
}

fn ends() -> Move {
    Move::Terminate("it is over".into())
}

fn agreed() -> Agreement {
    let mut agreement = none();
    does(&mut agreement, Party::Hub, terms("first")).unwrap();
    does(&mut agreement, Party::Node, accepts("first")).unwrap();
    agreement
}

fn standing(agreement: &Agreement) -> &'static str {
    agreement.standing(at(11)).name()
}

/// Why nothing is stated; and that nothing was.
fn why(agreement: &mut Agreement, party: Party, step: Move) -> String {
    let before = agreement.statements().len();
    let refused = does(agreement, party, step.clone());
    assert_eq!(agreement.statements().len(), before, "{step:?}: it was signed all the same");
    match refused {
        Err(Refusal::NothingToState { why, .. }) => why,
        other => panic!("{step:?} of {party:?}: {other:?}"),
    }
}

/// What would be a bug: a statement that is signed, told to the other party and written into two logs, and changes nothing; an operator who
/// believes that it did.
#[test]
fn what_would_change_nothing_is_not_stated() {
    let (hub, node) = (Party::Hub, Party::Node);
    let mut fresh = none();
    assert!(why(&mut fresh, node, accepts("first")).contains("offered nothing"));
    for (party, step) in [(hub, suspends()), (node, suspends()), (hub, Move::Resume), (node, ends())] {
        assert!(why(&mut fresh, party, step).contains("nothing was agreed on"));
    }
    assert!(why(&mut fresh, node, terms("mine")).contains("the hub's to make"));
    assert!(why(&mut fresh, hub, accepts("first")).contains("not the hub"));
    for (stops, other) in [(hub, node), (node, hub)] {
        let mut agreement = agreed();
        assert!(why(&mut agreement, node, Move::Accept { terms: None }).contains("accepted already"));
        assert!(why(&mut agreement, hub, terms("first")).contains("the same terms"));
        assert!(why(&mut agreement, stops, Move::Resume).contains("not suspended"));
        does(&mut agreement, stops, suspends()).unwrap();
        assert!(why(&mut agreement, stops, suspends()).contains("already"));
        let told = why(&mut agreement, other, Move::Resume);
        assert!(told.contains(&format!("{} resumes it", agreement.name(stops))), "{told}");
        does(&mut agreement, other, suspends()).unwrap();
        assert_eq!(agreement.stops().len(), 2, "one party's suspension hides the other's");
        does(&mut agreement, stops, Move::Resume).unwrap();
        assert_eq!(standing(&agreement), "suspended", "a party lifts what the other suspended");
        does(&mut agreement, other, Move::Resume).unwrap();
        assert_eq!(standing(&agreement), "live");
        does(&mut agreement, stops, ends()).unwrap();
        for party in [hub, node] {
            for step in [suspends(), Move::Resume, ends()] {
                let told = why(&mut agreement, party, step);
                assert!(told.contains(&format!("{} ended it", agreement.name(stops))), "{told}");
            }
        }
        assert!(why(&mut agreement, node, Move::Accept { terms: None }).contains("can offer anew"));
        // The same terms, anew.
        does(&mut agreement, hub, terms("first")).unwrap();
        does(&mut agreement, node, accepts("first")).unwrap();
        assert_eq!(standing(&agreement), "live");
    }
}

/// What would be a bug: an acceptance of a text that was not read, or of an offer by which what is live ends.
#[test]
fn only_what_was_read_and_holds_is_accepted() {
    let mut agreement = agreed();
    does(&mut agreement, Party::Hub, terms("second")).unwrap();
    let other = does(&mut agreement, Party::Node, accepts("first"));
    assert!(matches!(other, Err(Refusal::OtherTerms { .. })), "{other:?}");
    let over = agreement.decide(Party::Hub, Move::Offer { terms: Terms::of(b"x"), until: Some(at(5)) }, at(1)).unwrap();
    let number = agreement.next_number(Party::Hub);
    let (format, node) = (AgreementBody::FORMAT.into(), agreement.node().clone());
    let body = AgreementBody { format, node, number, signed_at: at(1), act: over };
    agreement.add(open(&sign(&body, &key(Party::Hub))).unwrap()).unwrap();
    assert!(why(&mut agreement, Party::Node, Move::Accept { terms: None }).contains("was over at"));
    assert_eq!(standing(&agreement), "live");
}

/// Signs an act that no command would make.
fn forces(agreement: &mut Agreement, party: Party, act: Act) {
    let number = agreement.next_number(party);
    numbered(agreement, party, number, act);
}

fn numbered(agreement: &mut Agreement, party: Party, number: u32, act: Act) {
    let one = signed((agreement.node(), party), (number, next(agreement)), act);
    agreement.add(one).unwrap();
}

/// The party's next statement.
fn said(agreement: &Agreement, party: Party, act: Act) -> Opened<AgreementBody> {
    signed((agreement.node(), party), (agreement.next_number(party), next(agreement)), act)
}

fn signed((node, by): (&NodeName, Party), (number, signed_at): (u32, Timestamp), act: Act) -> Opened<AgreementBody> {
    let (format, node) = (AgreementBody::FORMAT.into(), node.clone());
    open(&sign(&AgreementBody { format, node, number, signed_at, act }, &key(by))).unwrap()
}

/// What would be a bug: an end that does not count, since who states it has lost count of its own statements.
#[test]
fn an_end_of_what_is_agreed_on_counts_whatever_its_number() {
    for party in [Party::Hub, Party::Node] {
        let mut agreement = none();
        numbered(&mut agreement, Party::Hub, 5, Terms::of(b"first").offered(at(1), None));
        let offer = agreement.latest_offer().unwrap().digest();
        numbered(&mut agreement, Party::Node, 5, Act::Accept { offer });
        assert_eq!(standing(&agreement), "live");
        numbered(&mut agreement, party, 2, Act::Terminate { offer, reason: "we leave".into() });
        assert_eq!(standing(&agreement), "terminated", "{party:?}");
    }
}

/// The hub has offered other terms, and suspends or ends what is agreed on before the node has accepted them.
///
/// What would be a bug: a node that gets rid of that by accepting the offer from before it, or an offer that it had accepted earlier still.
#[test]
fn an_offer_from_before_a_suspension_does_not_lift_it() {
    for (stop, stands) in [(suspends(), "suspended"), (ends(), "terminated")] {
        let mut agreement = agreed();
        let first = agreement.accepted().unwrap().digest();
        does(&mut agreement, Party::Hub, terms("second")).unwrap();
        does(&mut agreement, Party::Hub, stop).unwrap();
        let second = agreement.latest_offer().unwrap().digest();
        if stands == "terminated" {
            assert!(why(&mut agreement, Party::Node, accepts("second")).contains("can offer anew"));
        }
        forces(&mut agreement, Party::Node, Act::Accept { offer: second });
        assert_eq!(standing(&agreement), stands, "an offer from before it lifted it");
        forces(&mut agreement, Party::Node, Act::Accept { offer: first });
        assert_eq!(standing(&agreement), stands, "an offer from long before it lifted it");
        // One from after it is the hub's own will.
        does(&mut agreement, Party::Hub, terms("third")).unwrap();
        assert_eq!(standing(&agreement), stands);
        does(&mut agreement, Party::Node, accepts("third")).unwrap();
        assert_eq!(standing(&agreement), "live");
        // And a node's suspension, from before it accepts.
        does(&mut agreement, Party::Hub, terms("fourth")).unwrap();
        does(&mut agreement, Party::Node, suspends()).unwrap();
        does(&mut agreement, Party::Node, accepts("fourth")).unwrap();
        assert_eq!(standing(&agreement), "live", "who suspends and then accepts other terms takes part");
    }
}

/// A party whose store was put back from a copy gives numbers twice, and hears later of what it had stated before.
///
/// What would be a bug: a suspension, or an end, that the party's own forgotten words lift, and that everybody then takes for lifted.
#[test]
fn what_a_party_has_forgotten_lifts_nothing() {
    for party in [Party::Hub, Party::Node] {
        let copy = agreed();
        let mut lost = copy.clone();
        does(&mut lost, party, suspends()).unwrap();
        does(&mut lost, party, Move::Resume).unwrap();
        if party == Party::Hub {
            does(&mut lost, Party::Hub, terms("second")).unwrap();
            does(&mut lost, Party::Node, accepts("second")).unwrap();
        }
        assert_eq!(standing(&lost), "live");
        let offer = copy.accepted().unwrap().digest();
        let later = next(&lost) + SignedDuration::from_secs(1);
        let acts = [
            (Act::Suspend { offer, reason: "a breach".into() }, "suspended"),
            (Act::Terminate { offer, reason: "a breach".into() }, "terminated"),
        ];
        for (act, stands) in acts {
            let anew = signed((copy.node(), party), (copy.next_number(party), later), act);
            let mut both = lost.clone();
            assert_eq!(both.add(anew), Ok(true));
            assert_eq!(standing(&both), stands, "{party:?}: forgotten words lift what was stated since");
            assert_eq!(both.signed_at(party, at(1)), later, "what follows is not later");
            if stands == "suspended" {
                let act = both.decide(party, Move::Resume, later).unwrap();
                let at = (both.next_number(party), both.signed_at(party, at(1)));
                both.add(signed((copy.node(), party), at, act)).unwrap();
                assert_eq!(standing(&both), "live", "{party:?}: it cannot be resumed any more");
            }
        }
    }
}

/// What would be a bug: a party that has said so much that it can no longer stop.
#[test]
fn whoever_has_said_much_can_still_suspend_and_end() {
    for party in [Party::Hub, Party::Node] {
        let mut agreement = agreed();
        let offer = agreement.accepted().unwrap().digest();
        for _ in 1..998 {
            agreement.add(said(&agreement, party, Act::Resume { offer })).unwrap();
        }
        assert!(does(&mut agreement, party, suspends()).is_ok(), "{party:?} cannot suspend it");
        assert_eq!(standing(&agreement), "suspended");
        assert!(why(&mut agreement, party, Move::Resume).contains("999 statements"), "nothing is kept for its end");
        // They are read in whatever order files have.
        let mut again = none();
        let all: Vec<_> = agreement.statements().into_iter().rev().cloned().collect();
        assert_eq!(again.take(all).unwrap().new.len(), agreement.statements().len());
        assert_eq!(standing(&again), "suspended");
        assert!(does(&mut agreement, party, ends()).is_ok(), "{party:?} cannot end it");
        assert_eq!(standing(&agreement), "terminated");
        let more = said(&agreement, party, Act::Terminate { offer, reason: "once more".into() });
        assert!(agreement.add(more).is_err(), "there is no limit");
    }
}

/// A clock that was ahead once, and from which on all is signed at that time, since a party's times never go back.
///
/// What would be a bug: an end that ends every later agreement too, until the clock has caught up.
#[test]
fn what_was_signed_ahead_of_time_ends_nothing_that_is_agreed_on_later() {
    for party in [Party::Hub, Party::Node] {
        let mut agreement = agreed();
        let offer = agreement.accepted().unwrap().digest();
        let ahead = at(1_000);
        let number = agreement.next_number(party);
        let end = Act::Terminate { offer, reason: "it is over".into() };
        agreement.add(signed((agreement.node(), party), (number, ahead), end)).unwrap();
        assert_eq!(standing(&agreement), "terminated");
        for (party, step) in [(Party::Hub, terms("second")), (Party::Node, accepts("second"))] {
            let act = agreement.decide(party, step, at(11)).unwrap();
            let turn = (agreement.next_number(party), agreement.signed_at(party, at(11)));
            agreement.add(signed((agreement.node(), party), turn, act)).unwrap();
        }
        assert_eq!(standing(&agreement), "live", "{party:?}: it can never begin again");
    }
}

/// What would be a bug: a party that goes back alone to terms which both have replaced.
#[test]
fn nobody_goes_back_alone_to_terms_that_were_replaced() {
    let mut agreement = agreed();
    let first = agreement.accepted().unwrap().digest();
    does(&mut agreement, Party::Hub, terms("second")).unwrap();
    does(&mut agreement, Party::Node, accepts("second")).unwrap();
    let second = agreement.accepted().unwrap().digest();
    forces(&mut agreement, Party::Node, Act::Accept { offer: first });
    assert_eq!(agreement.accepted().unwrap().digest(), second);
    does(&mut agreement, Party::Node, ends()).unwrap();
    forces(&mut agreement, Party::Node, Act::Accept { offer: first });
    assert_eq!(standing(&agreement), "terminated");
}

/// What would be a bug: a reason with which no statement of the party is heard again, since it does not go in one piece.
#[test]
fn a_reason_is_some_words_on_one_line() {
    for party in [Party::Hub, Party::Node] {
        for (reason, why) in [
            (" ".to_owned(), "empty"),
            ("x".repeat(REASON_BYTES_MAX + 1), "limit is 2000"),
            ("é".repeat(REASON_BYTES_MAX / 2 + 1), "limit is 2000"),
            ("two\nlines".into(), "line break"),
        ] {
            let refused = does(&mut agreed(), party, Move::Suspend(reason)).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
        // Of an earlier version, which took any words: it is read, and counts.
        let mut agreement = agreed();
        let offer = agreement.accepted().unwrap().digest();
        forces(&mut agreement, party, Act::Suspend { offer, reason: format!("two\nlines{}", "x".repeat(3_000)) });
        assert_eq!(standing(&agreement), "suspended");
        let mut agreement = agreed();
        // What takes most room in JSON.
        does(&mut agreement, party, Move::Terminate("\"".repeat(REASON_BYTES_MAX))).unwrap();
        let longest = agreement.statements().into_iter().map(|one| sign(one.body(), &key(party)).len()).max().unwrap();
        assert!(longest < 8 << 10, "it does not go in one piece: {longest} bytes");
    }
}
