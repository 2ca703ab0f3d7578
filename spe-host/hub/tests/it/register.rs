//! What the public sees, and the activity report.

use jiff::ToSpan;
use spe_hub::Record;
use spe_kernel::{
    decision::{DecisionBody, Outcome},
    document::{Document, open, sign},
    notice::Step,
    permit::{Article, PermitBody, Status},
    refusal::Refusal,
    revocation::{RevocationBody, Target},
};
use spe_wire::{
    HubClient, Ruling, encode,
    governance::{Activity, PartOutcome, Period},
    tls::fingerprint,
};

use crate::{
    agreements::operator,
    answers::Claim,
    applications::{Case, NODES},
    federation::plan,
    papers::{application, body_of, granting, notice, now, permit_for, refusing},
};

pub(crate) async fn public(case: &Case) -> HubClient {
    let dir = case.federation.dir.path();
    let ca = fingerprint(&dir.join("authority/ca.pem")).unwrap();
    HubClient::stranger(&spe_hub::Config::read(dir).unwrap().public, ca).await.unwrap()
}

/// North grants the permit under which the test's jobs are asked, middle refuses, south decides nothing.
async fn decided() -> Case {
    let case = Case::new().await;
    let permit = permit_for(&application(&case.anna, "app-1"), "permit-1", &["north"]);
    (case.federation.set_time)(now() + 240.hours());
    let granted = granting(&case.envelope, &["north"], &permit, &body_of("north"));
    case.assessors[0].hub.decide(&case.id, granted).await.unwrap();
    case.assessors[1].hub.decide(&case.id, refusing(&case.envelope, &["middle"], &body_of("middle"))).await.unwrap();
    case
}

/// What would be a bug: a refusal without its reason, a part that is missing, a register that needs a certificate.
#[tokio::test]
async fn everybody_sees_who_got_what_and_who_did_not() {
    let case = decided().await;
    let register = public(&case).await.register().await.unwrap();
    let [entry] = register.entries.as_slice() else { panic!("one application, {} entries", register.entries.len()) };
    assert_eq!((entry.article, entry.applicant.as_str()), (Article::Permit, "Institute"));
    assert_eq!(entry.description, "a count");
    assert_eq!(entry.purposes[0].0.point(), "e");
    let part = |node: &str| entry.parts.iter().find(|part| part.node.as_str() == node).unwrap();
    assert_eq!(part("north").permit.as_ref().map(|number| number.as_str()), Some("permit-1"));
    assert_eq!(part("middle").outcome, Some(PartOutcome::Refused));
    assert!(part("middle").reasons[0].starts_with("Art. 68(1)(c)"), "a refusal without its reason");
    assert_eq!(part("south").outcome, None);
    // The permit ends on 2 March 2027.
    assert_eq!(entry.results_due.map(|day| day.to_string()), Some("2028-09-02".into()));
}

/// What would be a bug: persons of an application, or what passes between applicant and access body, in public.
#[tokio::test]
async fn the_register_names_applicants_and_nobody_else() {
    let case = decided().await;
    let revoked = RevocationBody {
        format: RevocationBody::FORMAT.into(),
        issuer: "a data access body".into(),
        issued_at: now(),
        effective_at: now(),
        reason: "anna did not publish (Art. 61(4)), as her assessor-north wrote to her by post".into(),
        target: Target::Permit("permit-1".parse().unwrap()),
    };
    case.assessors[0].hub.revoke(sign(&revoked, &body_of("north"))).await.unwrap();
    let register = serde_json::to_string(&public(&case).await.register().await.unwrap()).unwrap();
    assert!(register.contains("Institute"), "the applicant is missing");
    assert!(register.contains("Art. 61(4)"), "a measure without its provision");
    for hidden in ["anna", "assessor-north", "by post", "its head", &case.anna.key.public().to_string()] {
        assert!(!register.contains(hidden), "{hidden:?} is public: {register}");
    }
}

/// What would be a bug: what a data access body wrote to an applicant in public, because nobody answered it in time; a part that lapsed and does not
/// say why; an applicant or access body who cannot read what was missing any more.
#[tokio::test]
async fn of_a_part_that_lapsed_the_public_sees_the_article() {
    let case = Case::new().await;
    let asking = Step::InformationNeeded { missing: vec!["anna is to say which year".into()] };
    let asked = notice(&case.envelope, &["middle"], asking, &body_of("middle"));
    case.assessors[1].hub.notify(&case.id, asked).await.unwrap();
    (case.federation.set_time)(now() + 960.hours());
    let register = public(&case).await.register().await.unwrap();
    let part = register.entries[0].parts.iter().find(|part| part.node.as_str() == "middle").unwrap();
    assert_eq!(part.outcome, Some(PartOutcome::Lapsed));
    assert_eq!(part.reasons, ["Art. 68(4): the application was not completed within four weeks"]);
    let register = serde_json::to_string(&register).unwrap();
    assert!(!register.contains("which year"), "what was missing is public: {register}");
    for reader in [&case.anna, &case.assessors[1]] {
        let view = reader.hub.application(&case.id).await.unwrap();
        let part = view.parts.iter().find(|part| part.node.as_str() == "middle").unwrap();
        assert!(part.reasons[0].contains("missing was: anna is to say which year"), "{}: {part:?}", reader.name);
    }
}

/// What would be a bug: a result that is published before it is complete, by somebody else, twice, or that the hub forgets with
/// the job.
#[tokio::test]
async fn a_result_is_published_by_whom_it_belongs_to_and_stays() {
    let mut case = decided().await;
    let mut work = case.nodes[0].attend().await;
    let job = {
        case.anna.hub.put_module(crate::federation::MODULE.to_vec()).await.unwrap();
        case.anna.hub.submit(case.anna.submission(0, &["north"])).await.unwrap()
    };
    assert_eq!(crate::federation::job_of(&mut work).await, job);
    let early = case.anna.hub.publish(&job).await.expect_err("a job without an answer was published");
    assert!(early.to_string().contains("not complete"), "{early}");
    let answer = Claim::honest(&case.nodes[0], &plan(0), 42).release();
    case.nodes[0].hub.report(&job, encode(&answer)).await.unwrap();
    let bob = case.federation.person("bob").await;
    assert!(matches!(bob.hub.publish(&job).await, Err(Refusal::NotFound { .. })), "somebody else's result");
    case.anna.hub.publish(&job).await.unwrap();
    case.anna.hub.publish(&job).await.expect("again changes nothing");
    case.federation.stop().await;
    case.federation.start(|config| config.jobs_kept_per_person_max = 0).await;
    let register = public(&case).await.register().await.unwrap();
    let [result] = register.entries[0].results.as_slice() else { panic!("{:?}", register.entries[0].results) };
    assert_eq!((&result.job, result.coverage.as_str()), (&job, "1 of 1 nodes"));
    assert_eq!(result.statistics.len(), 1);
    let first = permit_for(&application(&case.anna, "app-1"), "permit-1", &["north"]);
    let second = PermitBody {
        status: Status::Amended,
        replaces: Some(first.number.clone()),
        number: "permit-2".parse().unwrap(),
        ..first
    };
    let amending = granting(&case.envelope, &["north"], &second, &body_of("north"));
    case.assessors[0].hub.decide(&case.id, amending).await.unwrap();
    let register = public(&case).await.register().await.unwrap();
    assert_eq!(register.entries[0].results.len(), 1, "a result is nobody's since its permit was amended");
    assert!(register.other_results.is_empty());
}

fn value<'a>(report: &'a Activity, name: &str, of: &str) -> Option<&'a str> {
    let found = report.indicators.iter().find(|one| one.name == name && one.of == of);
    found.unwrap_or_else(|| panic!("no {name} of {of:?}")).value.as_deref()
}

/// What would be a bug: a number that is not that of the period, or a number where nothing is recorded.
#[tokio::test]
async fn the_activity_report_counts_what_happened_in_its_period() {
    let case = decided().await;
    let hub = public(&case).await;
    let report = hub.activity(Period::default()).await.unwrap();
    assert_eq!(value(&report, "applications for a data permit", ""), Some("1"));
    assert_eq!(value(&report, "health data requests", ""), Some("0"));
    assert_eq!(value(&report, "applications by purpose", "Art. 53(1)(e)"), Some("1"));
    assert_eq!(value(&report, "applications by kind of applicant", "private"), Some("1"));
    assert_eq!(value(&report, "parts granted", ""), Some("1"));
    assert_eq!(value(&report, "parts refused", ""), Some("1"));
    assert_eq!(value(&report, "average number of days between application and permit", ""), Some("10.0"));
    assert_eq!(value(&report, "audits of health data users", ""), None, "a number where nothing is recorded");
    let points: std::collections::BTreeSet<_> = report.indicators.iter().map(|one| one.point.as_str()).collect();
    assert_eq!(points.into_iter().collect::<String>(), "abcdefghijk", "a point of Art. 59(1) is missing");
    let before = hub.activity(Period { from: None, until: Some(now()) }).await.unwrap();
    assert!(before.indicators.iter().all(|one| one.name != "parts granted"), "a permit before its time");
    let backwards = hub.activity(Period { from: Some(now()), until: Some(now()) }).await;
    assert!(matches!(backwards, Err(Refusal::Malformed { .. })), "a report over no time at all: {backwards:?}");
    let revocation = |number: &str| RevocationBody {
        format: RevocationBody::FORMAT.into(),
        issuer: "a data access body".into(),
        issued_at: now(),
        effective_at: now(),
        reason: "anna did not publish".into(),
        target: Target::Permit(number.parse().unwrap()),
    };
    assert_eq!(value(&report, "permits revoked, Art. 63(3)", ""), Some("0"));
    for again in 0..2 {
        let body = RevocationBody { reason: format!("anna did not publish {again}"), ..revocation("permit-1") };
        case.assessors[0].hub.revoke(sign(&body, &body_of("north"))).await.unwrap();
    }
    case.assessors[0].hub.revoke(sign(&revocation("permit-of-nobody"), &body_of("north"))).await.unwrap();
    let recorded_at = now();
    for count in [3, 2, -1] {
        let of = "accuracy".to_owned();
        let record = Record { point: "i".parse().unwrap(), of, count, at: recorded_at, recorded_at };
        spe_hub::record(case.federation.dir.path(), &record, &operator()).unwrap();
    }
    let early = Record { point: "k".parse().unwrap(), of: "apps".into(), count: 1, at: now() + 1.hours(), recorded_at };
    assert!(
        spe_hub::record(case.federation.dir.path(), &early, &operator()).is_err(),
        "a number of the future was recorded"
    );
    let db = rusqlite::Connection::open(case.federation.dir.path().join("hub.sqlite")).unwrap();
    for (node, shown) in [("north", "a"), ("north", "b"), ("middle", "a")] {
        let sql = "INSERT INTO evidence (node, kind, seen, shown) VALUES (?1, 'forked', 'seen', ?2)";
        db.execute(sql, [node, shown]).unwrap();
    }
    let report = hub.activity(Period::default()).await.unwrap();
    let forked = value(&report, "audit logs of nodes that the hub found with two histories", "");
    assert_eq!(forked, Some("2"), "one log that was found out twice, and another");
    assert_eq!(value(&report, "permits revoked, Art. 63(3)", ""), Some("1"), "one line that was revoked twice");
    let strange = value(&report, "numbers revoked that no decision here gave to a permit", "");
    assert_eq!(strange, Some("1"), "a number that nobody knows is no permit");
    assert_eq!(value(&report, "data quality labels", "accuracy"), Some("4"));
    assert!(report.indicators.iter().all(|one| one.point != "i" || one.of == "accuracy"), "recorded, and not recorded");
    assert_eq!(value(&report, "average number of days between application and permit", "data permits"), Some("10.0"));
    let text = serde_json::to_string(&report).unwrap();
    assert!(!text.contains("anna") && NODES.iter().all(|node| !text.contains(&format!("assessor-{node}"))));
}

/// What would be a bug: an applicant, or a data access body, by whose words nobody can read the register any more.
#[tokio::test]
async fn a_register_is_read_whatever_is_in_it() {
    let case = Case::new().await;
    let mut long = application(&case.anna, "app-2");
    long.applicant.name = "x".repeat(60_000);
    let envelope = sign(&long, &case.anna.key);
    let id = case.anna.hub.apply(envelope.clone()).await.unwrap();
    (case.federation.set_time)(now() + 240.hours());
    let Ruling { decision, .. } = refusing(&envelope, &["middle"], &body_of("middle"));
    let mut body = open::<DecisionBody>(&decision).unwrap().body().clone();
    let Outcome::Negative { reasons, .. } = &mut body.outcome else { panic!("a refusal") };
    reasons[0].text = "y".repeat(2_500_000);
    let ruling = Ruling { decision: sign(&body, &body_of("middle")), permit: None };
    case.assessors[1].hub.decide(&id, ruling).await.unwrap();
    let register = public(&case).await.register().await.unwrap();
    assert_eq!((register.entries.len(), register.left_out), (2, None));
    let entry = register.entries.iter().find(|entry| entry.application == id).unwrap();
    assert!(entry.applicant.starts_with("xxx") && entry.applicant.ends_with("(shortened)"), "{}", entry.applicant);
    let size = serde_json::to_vec(&register).unwrap().len();
    assert!(size < 20_000, "{size} bytes: a few of those fill what goes in one piece");
}
