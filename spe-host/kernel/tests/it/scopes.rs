//! The clauses of Art. 68(10) that a permit's plan, environment and conditions are checked by, each violated in turn.

use jiff::Timestamp;
use spe_kernel::{
    admission::{NodePolicy, admit},
    dataset::Offer,
    ids::Digest,
    job::{Job, JobBody, Purpose},
    permit::{
        Article, Condition, Limits, ModuleClass, Modules, OptOutException, Permit, PermitBody, PermitData, TimeRange,
    },
    purpose::Article53,
    refusal::{Clause, Refusal},
};

use crate::fixture::{body_key, job, loss, offer, permit, person_key, policy};

fn ask(change: impl FnOnce(&mut PermitBody), job: &JobBody, policy: &NodePolicy) -> Result<(), Refusal> {
    ask_of(&offer("rho=2"), change, job, policy)
}

fn ask_of(
    offer: &Offer,
    change: impl FnOnce(&mut PermitBody),
    job: &JobBody,
    policy: &NodePolicy,
) -> Result<(), Refusal> {
    let now: Timestamp = "2030-06-01T00:00:00Z".parse().unwrap();
    let mut body = permit();
    change(&mut body);
    let permit = Permit::verify(&body.sign(&body_key()), &policy.access_bodies, now)?;
    let job = Job::verify(&job.sign(&person_key()))?;
    admit(job, &permit, offer, policy, &"north".parse().unwrap(), now).map(drop)
}

fn class(kinds: &[&str], rounds_max: u32, outputs_max: u32) -> Modules {
    Modules::Class(ModuleClass { kinds: kinds.iter().map(|k| (*k).to_owned()).collect(), rounds_max, outputs_max })
}

fn condition(suppress_below_min: Option<u32>, nodes: Option<&str>) -> Vec<Condition> {
    let nodes = nodes.map(|node| vec![node.parse().unwrap()]);
    vec![Condition { text: "a condition".into(), suppress_below_min, nodes }]
}

fn request(permit: &mut PermitBody, plan: Digest) {
    (permit.article, permit.plans, permit.data[0].pseudonymised) = (Article::Request, vec![plan], false);
}

/// What would be a bug: a clause that says something and binds nobody, or one that binds who keeps it.
#[test]
fn each_clause_binds_and_lets_pass_what_keeps_it() {
    let plan = job().plan.digest();
    let (fuel, memory) = (job().plan.fuel_per_subject(), job().plan.memory_bytes_max());
    let limits = |fuel_per_subject_max, memory_bytes_max| Limits { fuel_per_subject_max, memory_bytes_max };
    let kinds = &["count", "grouped_mean"];
    type Change<'a> = &'a dyn Fn(&mut PermitBody);
    let cases: [(&str, Clause, Change<'_>, Change<'_>); 12] = [
        ("node", Clause::Data, &|p| p.data[0].nodes = vec!["south".parse().unwrap()], &|p| {
            p.data[0].nodes = vec!["north".parse().unwrap()]
        }),
        ("access", Clause::Data, &|p| p.data[0].pseudonymised = false, &|_| {}),
        (
            "time",
            Clause::Data,
            &|p| p.data[0].time_range = Some(TimeRange { from: Some("2015-01-01".parse().unwrap()), until: None }),
            &|_| {},
        ),
        ("plan", Clause::Request, &|p| request(p, Digest::of(b"another")), &|p| request(p, plan)),
        ("kinds", Clause::Environment, &|p| p.environment.modules = class(&["count"], 9, 9), &|p| {
            p.environment.modules = class(kinds, 1, 2)
        }),
        ("outputs", Clause::Environment, &|p| p.environment.modules = class(kinds, 9, 1), &|_| {}),
        ("rounds", Clause::Environment, &|p| p.environment.modules = class(kinds, 0, 9), &|_| {}),
        ("loss of a job", Clause::Environment, &|p| p.environment.loss_per_job_max = Some(loss("rho=0.099")), &|p| {
            p.environment.loss_per_job_max = Some(loss("rho=0.1"))
        }),
        ("fuel", Clause::Environment, &|p| p.environment.limits = limits(fuel - 1, memory), &|p| {
            p.environment.limits = limits(fuel, memory)
        }),
        ("memory", Clause::Environment, &|p| p.environment.limits = limits(fuel, memory - 1), &|_| {}),
        ("small counts", Clause::Conditions, &|p| p.conditions = condition(Some(1), None), &|p| {
            p.conditions = condition(Some(0), None)
        }),
        ("nodes", Clause::Conditions, &|p| p.conditions = condition(None, Some("south")), &|p| {
            p.conditions = condition(None, Some("north"))
        }),
    ];
    for (name, clause, violated, kept) in cases {
        let refusal = ask(violated, &job(), &policy()).expect_err(name);
        assert_eq!(refusal.clause(), Some(clause), "{name}: {refusal}");
        assert!(refusal.to_string().contains(&format!("(clause: {clause})")), "{name}: {refusal}");
        ask(kept, &job(), &policy()).expect(name);
    }
}

/// An entry of `data`: its category, columns of `visits`, and whether modules of one's own may read them.
type Entry<'a> = (&'a str, &'a [&'a str], bool);

/// What would be a bug: a table that is read, or filtered by, as data of another category than the data holder declares; a dataset with tables of
/// several categories that no permit can cover; a table that declares none and cannot be read any more.
#[test]
fn a_declared_category_binds_the_permit() {
    let mut declared = offer("rho=2");
    declared.schema.tables[0].category = Some("f".parse().unwrap());
    let filtered = |filter: &str| {
        let mut raw = serde_json::to_value(job().plan).unwrap();
        raw["inputs"][0]["filter"] = filter.into();
        JobBody { plan: serde_json::from_value(raw).unwrap(), ..job() }
    };
    let entries = |entries: &[Entry<'_>]| {
        let with = |(category, columns, pseudonymised): &Entry<'_>| PermitData {
            category: category.parse().unwrap(),
            columns: columns.iter().map(|column| format!("visits.{column}")).collect(),
            pseudonymised: *pseudonymised,
            ..permit().data[0].clone()
        };
        let data: Vec<_> = entries.iter().map(with).collect();
        move |p: &mut PermitBody| p.data = data
    };
    let (read, older) = (&["clinic", "days"][..], filtered("age > 50"));
    for (permitted, asked) in [
        (&[("f", read, true)][..], &job()),
        (&[("a", read, true), ("f", read, true)], &job()),
        (&[("f", &["days"][..], true), ("f", &["clinic"], true)], &job()),
        (&[("f", read, true), ("f", &["age"], true)], &older),
        (&[("f", read, false), ("f", read, true)], &job()),
    ] {
        assert_eq!(ask_of(&declared, entries(permitted), asked, &policy()), Ok(()), "{permitted:?}");
    }
    for (permitted, asked, column) in [
        (&[("a", read, true)][..], &job(), "visits.clinic"),
        (&[("a", &["clinic"][..], true), ("f", &["days"], true)], &job(), "visits.clinic"),
        (&[("f", &["clinic"], true), ("a", &["days"], true)], &job(), "visits.days"),
        (&[("f", read, true), ("a", &["age"], true)], &older, "visits.age"),
    ] {
        let refusal = ask_of(&declared, entries(permitted), asked, &policy()).expect_err("another category is read");
        let says = refusal.to_string();
        assert_eq!(refusal.clause(), Some(Clause::Data), "{permitted:?}: {says}");
        for part in [
            "table visits of dataset care",
            "category f",
            &format!("column {column} as data of category a"),
            "Art. 51(1)",
        ] {
            assert!(says.contains(part), "{permitted:?}: {says:?} does not say {part:?}");
        }
    }
    let anonymised = ask_of(&declared, entries(&[("a", read, true), ("f", read, false)]), &job(), &policy());
    assert!(
        anonymised.is_err_and(|why| why.to_string().contains("anonymised")),
        "the access of another category counted"
    );
    for category in ["a", "f", "q"] {
        assert_eq!(ask(entries(&[(category, read, true)]), &job(), &policy()), Ok(()), "nothing is declared");
    }
}

/// What would be a bug: a limit on what a job costs that a person who is at two nodes bears twice.
#[test]
fn what_a_job_may_cost_is_what_a_person_bears() {
    let mut twice = offer("rho=2");
    twice.schema.overlap = 2;
    let mut raw = serde_json::to_value(job().plan).unwrap();
    raw["overlap"] = 2.into();
    let job = JobBody { plan: serde_json::from_value(raw).unwrap(), ..job() };
    let limited = |most: &str| {
        let most = loss(most);
        ask_of(&twice, |p| p.environment.loss_per_job_max = Some(most), &job, &policy())
    };
    assert_eq!(limited("rho=0.2"), Ok(()));
    let refusal = limited("rho=0.19").expect_err("0.1 at each of two nodes");
    assert_eq!(refusal.clause(), Some(Clause::Environment), "{refusal}");
}

#[test]
fn a_node_that_is_not_named_is_told_so() {
    let refused = ask(|p| p.data[0].nodes = vec!["south".parse().unwrap()], &job(), &policy());
    assert!(matches!(refused, Err(Refusal::NodeNotInPermit { .. })), "not that a column is missing");
}

#[test]
fn a_part_of_a_purpose_is_covered_by_the_whole_and_not_the_other_way() {
    let asked = |stated, permitted| {
        let job = JobBody { purpose: stated, ..job() };
        ask(|p| p.purpose.article53 = vec![Article53(permitted)], &job, &policy())
    };
    let (research, training) = (Purpose::ScientificResearch, Purpose::AlgorithmTraining);
    assert!(asked(training, research).is_ok() && asked(training, training).is_ok());
    assert!(matches!(asked(research, training), Err(Refusal::PurposeNotInPermit { .. })));
    assert!(matches!(asked(Purpose::ProductDevelopment, training), Err(Refusal::PurposeNotInPermit { .. })));
}

/// What would be a bug: people who opted out and are in the data though this node's operator never agreed to it.
#[test]
fn an_exception_from_opt_outs_needs_the_node_too() {
    let exception = |p: &mut PermitBody| {
        p.opt_out_exception = Some(OptOutException { national_law: "§ 1".into(), reason: "rare".into() });
    };
    let refused = ask(exception, &job(), &policy()).unwrap_err();
    assert!(
        matches!(refused, Refusal::PolicyForbids { .. }) && refused.to_string().contains("Art. 68(10)(c)"),
        "{refused}"
    );
    ask(exception, &job(), &NodePolicy { opt_out_exceptions: true, ..policy() }).unwrap();
}
