//! Permits and officers that end or decide while a job is on its way, step by step in this process.
//!
//! What would be a bug in all of them: an answer that leaves though nobody stands for it any more; an end that is told earlier or later
//! than the answer would have been.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use spe_kernel::{
    document,
    dsse::SecretKey,
    ids::Digest,
    ledger::{Entry, Journal},
    officer::{Duty, Matter, Officer, VERDICT_FORMAT, VerdictBody},
    pace::Pace,
    permit::Review,
    refusal::{Refusal, Stop},
    revocation::{ExcludedPerson, RevocationBody, Target},
};
use spe_node::{
    run::{Escort, Given, Step, Submitted, run},
    site::Site,
};

use crate::{
    place::{DECLARATION, Place, example, module},
    question::{LOSS, PERMIT, Question, once, open, spent_pico},
};

mod at_once;

/// When something happens outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    After(Step),
    /// While the node waits for the n-th time, from 0: before the charge, and before what comes of it.
    Waiting(usize),
}

/// Lets something happen at every moment, and writes down which waits were waited out, and until when.
struct Outside<'a> {
    happens: Box<dyn FnMut(Moment) + Send + 'a>,
    begun: usize,
    held: Vec<Timestamp>,
}

impl<'a> Outside<'a> {
    fn new(happens: impl FnMut(Moment) + Send + 'a) -> Self {
        Self { happens: Box::new(happens), begun: 0, held: Vec::new() }
    }

    fn ask(&mut self, site: &Site, submitted: &Submitted) -> Result<Given, Stop> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build().unwrap();
        runtime.block_on(run(site, submitted, self))
    }
}

impl Escort for Outside<'_> {
    async fn fetch(&mut self, _: Digest) -> Result<Vec<u8>, Stop> {
        Ok(std::fs::read(module(once(0).module)).unwrap())
    }
    fn passed(&mut self, step: Step) {
        (self.happens)(Moment::After(step));
    }
    fn cancelled(&self) -> bool {
        false
    }
    /// Short, and yet long enough to be cut.
    async fn hold(&mut self, time: Timestamp) {
        (self.happens)(Moment::Waiting(self.begun));
        self.begun += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.held.push(time);
    }
}

/// A node whose answers wait for their deadline.
fn place() -> (Place, Site) {
    let place = Place::new("rho=1000");
    place.node_at_default_pace("north", &example(DECLARATION), "site = \"1\"", "rho=1000");
    let site = open(place.dir.path());
    (place, site)
}

fn secret(place: &Place, file: &str) -> SecretKey {
    std::fs::read_to_string(place.path(file)).unwrap().parse().unwrap()
}

/// The data access body takes back the permit of that number.
fn revocation(place: &Place, number: &str) -> Vec<u8> {
    revocation_from(place, Target::Permit(number.parse().unwrap()), Timestamp::now())
}

pub(crate) fn revocation_from(place: &Place, target: Target, effective_at: Timestamp) -> Vec<u8> {
    revocation_of(place, target, (Timestamp::now(), effective_at))
}

fn revocation_of(place: &Place, target: Target, (issued_at, effective_at): (Timestamp, Timestamp)) -> Vec<u8> {
    let body = RevocationBody {
        format: "spe.revocation/1".into(),
        issuer: "Example data access body".into(),
        issued_at,
        effective_at,
        reason: "the conditions were not kept".into(),
        target,
    };
    document::sign(&body, &secret(place, "access-body.key"))
}

/// Signs the place's permit anew with other words in it, as the file of that name.
pub(crate) fn permit(place: &Place, name: &str, words: &[(&str, &str)]) {
    let mut text = std::fs::read_to_string(place.path("permit.toml")).unwrap();
    for (from, to) in words {
        assert!(text.contains(from), "the permit has no {from:?}");
        text = text.replace(from, to);
    }
    std::fs::write(place.path(&format!("{name}.toml")), text).unwrap();
    let (draft, signed) = (format!("{name}.toml"), format!("{name}.json"));
    place.ok(&["permit", "sign", &draft, "--key", "access-body.key", "--out", &signed]);
}

/// Numbers of the permits that the operator is shown, and how each stands.
pub(crate) fn standings(place: &Place) -> BTreeMap<String, String> {
    let permits = place.ok(&["node", "permits", "north"]);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    permits.as_array().unwrap().iter().map(|permit| (text(&permit["number"]), text(&permit["standing"]))).collect()
}

pub(crate) fn refusal(given: Result<Given, Stop>) -> Refusal {
    match given {
        Err(Stop::Refused(refusal)) => refusal,
        Err(fault) => panic!("{fault:?}"),
        Ok(_) => panic!("it was answered, or waits"),
    }
}

fn entry(site: &Site, question: Question) -> Option<Entry> {
    site.audit().find(&question.key(site)).unwrap()
}

/// When what is charged between these times is told.
fn due(
    site: &Site,
    question: Question,
    (before, after): (Timestamp, Timestamp),
) -> std::ops::RangeInclusive<Timestamp> {
    let (plan, pace): (_, Pace) = (question.plan(site), site.policy.release);
    let longest = pace.longest(&plan, &site.offer(plan.dataset()).unwrap().schema).unwrap();
    pace.leaves(before, longest, before)..=pace.leaves(after, longest, after)
}

/// What would be a bug: a refusal that comes when the run ends, and so tells how long it took; a committed answer under a permit that
/// was taken back before it was told; a charge that is given back.
#[test]
fn a_permit_that_is_revoked_during_a_run_is_told_when_the_answer_would_have_left() {
    let (place, site) = place();
    let one = LOSS.parse::<spe_kernel::units::Loss>().unwrap().pico();
    let moments =
        [Moment::After(Step::Reserved), Moment::After(Step::Summed), Moment::After(Step::Noised), Moment::Waiting(1)];
    for (attempt, moment) in (0_u32..).zip(moments) {
        // A line of its own each time: what is revoked stays revoked.
        let number = format!("dap-2026-1{attempt:03}");
        permit(&place, &number, &[(PERMIT.0, &number)]);
        let question = once(attempt);
        let submitted = question.submitted_under((&number, &format!("{number}.json")), &site, place.dir.path(), None);
        let (mut charged_at, revoked) = ((Timestamp::MAX, Timestamp::MIN), revocation(&place, &number));
        let mut outside = Outside::new(|now| {
            match now {
                Moment::After(Step::Drawn) => charged_at.0 = Timestamp::now(),
                Moment::After(Step::Reserved) => charged_at.1 = Timestamp::now(),
                _ => {}
            }
            if now == moment {
                site.revoke(&revoked).unwrap();
            }
        });
        let told = refusal(outside.ask(&site, &submitted));
        let held = std::mem::take(&mut outside.held);
        drop(outside);
        assert!(matches!(told, Refusal::PermitRevoked { .. }), "{moment:?}: {told:?}");
        assert_eq!(held.len(), 2, "{moment:?}: the wait was cut short");
        let due = due(&site, question, charged_at);
        assert!(due.contains(&held[1]), "{moment:?}: told at {}, and due is {due:?}", held[1]);
        assert_eq!(entry(&site, question), Some(Entry::Open), "{moment:?}: an answer was committed");
        assert_eq!(spent_pico(&mut site.audit()), u64::from(attempt + 1) * one, "{moment:?}");
    }
}

/// Asks, and has the permit revoked in the first wait.
fn is_revoked_while_it_waits(place: &Place, site: &Site, submitted: &Submitted) {
    let revoked = revocation(place, PERMIT.0);
    let mut outside = Outside::new(|now| {
        if now == Moment::Waiting(0) {
            site.revoke(&revoked).unwrap();
        }
    });
    assert!(matches!(refusal(outside.ask(site, submitted)), Refusal::PermitRevoked { .. }));
}

/// What would be a bug: a charge under a permit that was taken back while the job waited for its turn.
#[test]
fn a_permit_that_is_revoked_before_the_charge_charges_nothing() {
    let (place, site) = place();
    let submitted = once(0).submitted(&site, place.dir.path(), None);
    is_revoked_while_it_waits(&place, &site, &submitted);
    assert_eq!(spent_pico(&mut site.audit()), 0);
}

/// What would be a bug: an answer that is committed or told after its permit has run out, be it during the run or the wait. Where answers
/// leave when they are ready, nobody knows before the charge how long a run takes.
#[test]
fn a_permit_that_expires_during_a_run_lets_nothing_leave() {
    let place = crate::question::place();
    let site = open(place.dir.path());
    // The module is compiled by then: what is left to do before the charge takes no ten seconds.
    Outside::new(|_| {}).ask(&site, &once(9).submitted(&site, place.dir.path(), None)).unwrap();
    for (attempt, moment) in (0_u32..).zip([Moment::After(Step::Reserved), Moment::Waiting(1)]) {
        let number = format!("dap-2026-2{attempt:03}");
        let until = Timestamp::now() + SignedDuration::from_secs(10);
        permit(&place, &number, &[(PERMIT.0, &number), ("2036-01-01T00:00:00Z", &until.to_string())]);
        let question = once(attempt);
        let submitted = question.submitted_under((&number, &format!("{number}.json")), &site, place.dir.path(), None);
        let mut outside = Outside::new(|now| {
            if now == moment {
                let left = until.duration_since(Timestamp::now()) + SignedDuration::from_millis(10);
                std::thread::sleep(left.try_into().unwrap_or_default());
            }
        });
        let told = refusal(outside.ask(&site, &submitted));
        assert!(matches!(told, Refusal::PermitExpired { .. }), "{moment:?}: {told:?}");
        assert_eq!(outside.held.len(), 2, "{moment:?}: the wait was cut short");
        assert_eq!(entry(&site, question), Some(Entry::Open), "{moment:?}: an answer was committed");
    }
    drop(site);
    let expected = [(PERMIT.0, "granted"), ("dap-2026-2000", "expired"), ("dap-2026-2001", "expired")];
    let expected = expected.map(|(number, standing)| (number.to_owned(), standing.to_owned()));
    assert_eq!(standings(&place), BTreeMap::from(expected));
}

/// What would be a bug: a charge for an answer that cannot leave any more, and a question that is spoilt for every other permit: whoever
/// hands out jobs could do that to anybody.
#[test]
fn a_permit_that_ends_before_the_answer_would_leave_charges_nothing() {
    let (place, mut site) = place();
    site.policy.release.job_ms = 1_800_000;
    let until = (Timestamp::now() + SignedDuration::from_mins(10)).to_string();
    permit(&place, "short", &[(PERMIT.0, "dap-2026-0004"), ("2036-01-01T00:00:00Z", &until)]);
    let ask = |attempt, under| {
        let submitted = once(attempt).submitted_under(under, &site, place.dir.path(), None);
        refusal(Outside::new(|_| {}).ask(&site, &submitted))
    };
    let told = ask(0, ("dap-2026-0004", "short.json"));
    assert!(matches!(told, Refusal::PermitExpired { .. }), "{told:?}");
    let soon = Timestamp::now() + SignedDuration::from_mins(10);
    site.revoke(&revocation_from(&place, Target::Permit(PERMIT.0.parse().unwrap()), soon)).unwrap();
    let told = ask(1, PERMIT);
    assert!(matches!(told, Refusal::PermitRevoked { .. }), "{told:?}");
    assert_eq!(spent_pico(&mut site.audit()), 0);
}

/// What would be a bug: an exclusion that ends during the wait, so that an answer leaves if the run was over when it began, and none if not.
#[test]
fn an_exclusion_that_ends_before_the_answer_leaves_does_not_tell_how_far_the_run_was() {
    let (place, site) = place();
    for (attempt, moment) in (0_u32..).zip([Moment::After(Step::Reserved), Moment::Waiting(1)]) {
        let until = Timestamp::now() + SignedDuration::from_secs(10);
        let name = "ada".parse().unwrap();
        let target = Target::Person(ExcludedPerson { name, identity: None, until });
        let excluded = revocation_from(&place, target, Timestamp::now() + SignedDuration::from_millis(1));
        let submitted = once(attempt).submitted(&site, place.dir.path(), None);
        let mut outside = Outside::new(|now| {
            if now == moment {
                std::thread::sleep(Duration::from_millis(5));
                site.revoke(&excluded).unwrap();
            }
            if now == Moment::Waiting(1) {
                let left = until.duration_since(Timestamp::now()) + SignedDuration::from_millis(10);
                std::thread::sleep(left.try_into().unwrap_or_default());
            }
        });
        let told = refusal(outside.ask(&site, &submitted));
        drop(outside);
        assert!(matches!(told, Refusal::PersonExcluded { .. }), "it began at {moment:?}: {told:?}");
        assert_eq!(entry(&site, once(attempt)), Some(Entry::Open));
    }
}

/// What would be a bug: an answer that a crash held back, and that leaves although the permit ended while the node waited to tell it.
#[test]
fn a_permit_that_is_revoked_while_a_stored_answer_waits_lets_nothing_leave() {
    let (place, site) = place();
    let submitted = once(0).submitted(&site, place.dir.path(), None);
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        Outside::new(|now| assert!(now != Moment::After(Step::Committed), "the process dies here"))
            .ask(&site, &submitted)
    }));
    assert!(died.is_err() && matches!(entry(&site, once(0)), Some(Entry::Answered(_))));
    is_revoked_while_it_waits(&place, &site, &submitted);
    assert_eq!(site.audit().releases().unwrap(), []);
}

/// What would be a bug: a line of permits that goes on because the revocation names its amendment, or its first, and another one is asked
/// under.
#[test]
fn a_revocation_ends_the_line_whichever_of_its_permits_it_names() {
    let (place, site) = place();
    let amended = ("dap-2026-0009", "amended.json");
    permit(
        &place,
        "amended",
        &[
            (PERMIT.0, amended.0),
            ("original = \"dap-2026-0009\"", "original = \"dap-2026-0001\"\nreplaces = \"dap-2026-0001\""),
            ("status = \"granted\"", "status = \"amended\""),
        ],
    );
    let ask = |under, attempt| {
        let submitted = once(attempt).submitted_under(under, &site, place.dir.path(), None);
        Outside::new(|_| {}).ask(&site, &submitted)
    };
    assert!(matches!(ask(PERMIT, 0), Ok(Given::Answer(_))));
    site.revoke(&revocation(&place, amended.0)).unwrap();
    let told = refusal(ask(amended, 1));
    assert!(matches!(told, Refusal::PermitRevoked { .. }), "the amendment: {told:?}");
    let told = refusal(ask(PERMIT, 2));
    assert!(matches!(told, Refusal::PermitRevoked { .. } | Refusal::PermitReplaced { .. }), "the first: {told:?}");
    assert_eq!(spent_pico(&mut site.audit()), LOSS.parse::<spe_kernel::units::Loss>().unwrap().pico());
    drop(site);
    let expected = [PERMIT.0, amended.0].map(|number| (number.to_owned(), "revoked".to_owned()));
    assert_eq!(standings(&place), BTreeMap::from(expected), "the operator is not told that the whole line has ended");
}

/// What would be a bug: a run under the first permit of a line that goes on although the line was taken back by its amendment's number.
#[test]
fn a_revocation_that_names_an_amendment_ends_what_runs_under_the_first() {
    let (place, site) = place();
    let (amended, later) = ("dap-2026-0009", (Timestamp::now() + SignedDuration::from_hours(24)).to_string());
    permit(
        &place,
        "amended",
        &[
            (PERMIT.0, amended),
            ("original = \"dap-2026-0009\"", "original = \"dap-2026-0001\"\nreplaces = \"dap-2026-0001\""),
            ("status = \"granted\"", "status = \"amended\""),
            ("valid_from = \"2026-01-01T00:00:00Z\"", &format!("valid_from = \"{later}\"")),
        ],
    );
    let (envelope, revoked) = (std::fs::read(place.path("amended.json")).unwrap(), revocation(&place, amended));
    let submitted = once(0).submitted(&site, place.dir.path(), None);
    let mut outside = Outside::new(|now| {
        if now == Moment::After(Step::Reserved) {
            site.learn(&envelope).unwrap();
            site.revoke(&revoked).unwrap();
        }
    });
    let told = refusal(outside.ask(&site, &submitted));
    assert!(matches!(told, Refusal::PermitRevoked { .. }), "{told:?}");
}

/// What would be a bug: an answer that waits for an officer, or that one refused, and that leaves by the automatic release of another
/// permit; or because the officer has left the node meanwhile.
#[test]
fn what_an_officer_was_to_decide_leaves_under_no_other_permit() {
    let (place, mut site) = place();
    place.ok(&["key", "new", "ola.key"]);
    let ola = secret(&place, "ola.key");
    site.policy.officers =
        vec![Officer { name: "ola".parse().unwrap(), key: ola.public(), duties: vec![Duty::CheckOutputs] }];
    permit(&place, "checked", &[(PERMIT.0, "dap-2026-0003"), ("release = \"automatic\"", "release = \"checked\"")]);
    let checked = ("dap-2026-0003", "checked.json");
    let ask = |site: &Site, under| {
        let submitted = once(0).submitted_under(under, site, place.dir.path(), None);
        Outside::new(|_| {}).ask(site, &submitted)
    };
    assert!(matches!(ask(&site, checked), Ok(Given::Waits(_))));
    assert!(matches!(ask(&site, PERMIT), Ok(Given::Waits(_))), "the other permit went around the officer");
    let Some(Entry::Answered(envelope)) = entry(&site, once(0)) else { panic!("nothing is durable") };
    let verdict = VerdictBody {
        format: VERDICT_FORMAT.into(),
        node: site.name.clone(),
        matter: Matter::Release(Digest::of(&envelope)),
        allowed: false,
        reason: "as the board decided".into(),
        officer: "ola".parse().unwrap(),
        decided_at: Timestamp::now(),
    };
    site.decide(&verdict.sign(&ola)).unwrap();
    site.policy.officers.clear();
    site.policy.outputs.review = Review::Automatic;
    for under in [checked, PERMIT] {
        let told = refusal(ask(&site, under));
        assert!(
            matches!(told, Refusal::OfficerRefused { .. } | Refusal::PolicyForbids { .. }),
            "a refused answer left under {under:?}: {told:?}"
        );
    }
    assert!(matches!(refusal(ask(&site, PERMIT)), Refusal::OfficerRefused { .. }));
    assert_eq!(site.audit().releases().unwrap(), []);
}
