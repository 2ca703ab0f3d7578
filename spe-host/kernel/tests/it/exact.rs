//! Exact tables: what may be asked, who opens them, what is suppressed, who signs, and that they never mix with noise.

use spe_kernel::{
    admission::{Admitted, NodePolicy, admit},
    dataset::DatasetSchema,
    disclosure::{ANSWER_TYPE, Answer, Committed, Confidential, Draw, DrawnOutput, Fresh, Mechanism, OutputSums},
    dsse::{self, SecretKey},
    exact::{ExactRules, PEOPLE_DEFAULT, SUPPRESSED},
    federation::{merge, open_answer},
    gate::{ByTwo, Cleared, Examined, OutputRules, examine},
    ids::{NodeName, PersonName},
    job::{Job, JobBody},
    ledger::Ledger,
    manifest::Manifest,
    officer::{Matter, Officer, VERDICT_FORMAT, Verdict, VerdictBody},
    permit::{ModuleClass, Modules, Permit, PermitBody, Review},
    plan::{Choices, FUEL_DEFAULT, MEMORY_DEFAULT_BYTES, Plan, Release},
    refusal::Refusal,
};

use crate::{
    disk::{Memory, paid},
    fixture::{body_key, job, loss, manifest_json, module, offer, permit, person_key, policy, schema},
};

fn north() -> NodeName {
    "north".parse().unwrap()
}

fn signer() -> SecretKey {
    SecretKey::from_seed(&[3; 32])
}

/// The plan of a module with these outputs.
fn try_plan(outputs: serde_json::Value, choices: &Choices) -> Result<Plan, String> {
    let mut manifest = manifest_json();
    manifest["outputs"] = outputs;
    let manifest = Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).unwrap();
    Plan::new(&manifest, module(), &schema(), choices).map_err(|e| e.0)
}

fn exactly(cost: &str) -> Choices {
    Choices { release: Release::ExactTables, suppress_below: 10, ..Choices::new(loss(cost)) }
}

fn clinics() -> serde_json::Value {
    serde_json::json!([{ "name": "clinics", "kind": "histogram", "categories": ["a", "b", "c"], "default": null }])
}

/// People by clinic: three and `other`.
fn plan() -> Plan {
    try_plan(clinics(), &exactly("rho=0.1")).unwrap()
}

fn opened() -> (PermitBody, NodePolicy) {
    let mut permit = permit();
    permit.environment.release = Review::ExactTables;
    let rules = ExactRules::new(PEOPLE_DEFAULT, vec![loss("rho=0.1")]).unwrap();
    (permit, NodePolicy { exact_tables: Some(rules), ..policy() })
}

fn ask(plan: Plan, permit: &PermitBody, policy: &NodePolicy) -> Result<Admitted, Refusal> {
    let now = "2030-06-02T00:00:00Z".parse().unwrap();
    let permit = Permit::verify(&permit.sign(&body_key()), &[body_key().public()], now).unwrap();
    let job = Job::verify(&JobBody { plan, ..job() }.sign(&person_key())).unwrap();
    admit(job, &permit, &offer("rho=1"), policy, &north(), now)
}

fn admitted() -> Admitted {
    let (permit, policy) = opened();
    ask(plan(), &permit, &policy).unwrap()
}

/// A committed exact answer about so many people in each cell.
fn committed(ledger: &mut Ledger<Memory>, people: &[i128]) -> Committed {
    let admitted = admitted();
    let charge = admitted.charge();
    let bits = admitted.plan().outputs()[0].grid_bits;
    let paid = paid(ledger.reserve(charge, &[]));
    let sums = vec![OutputSums::Cells(people.iter().map(|people| people << bits).collect())];
    let noised = Confidential::seal(sums).noise(paid, Draw::exact(admitted.exact().unwrap())).unwrap();
    ledger.commit(noised, &north(), &signer()).unwrap()
}

fn fresh() -> (Memory, Ledger<Memory>) {
    let memory = Memory::default();
    (memory.clone(), Ledger::open(memory).unwrap())
}

fn answer(people: &[i128]) -> Answer {
    let (memory, mut ledger) = fresh();
    committed(&mut ledger, people);
    let Some(spe_kernel::ledger::Entry::Answered(envelope)) = found(&memory) else { panic!("no answer") };
    open_answer(&envelope, &plan(), &north(), signer().public()).unwrap()
}

fn found(memory: &Memory) -> Option<spe_kernel::ledger::Entry> {
    spe_kernel::ledger::Journal::find(&mut memory.clone(), &admitted().charge().key).unwrap()
}

/// What would be a bug: an exact sum of bounded numbers, keys that nobody made public, or a second table to subtract from the first.
#[test]
fn only_one_table_of_people_can_be_asked_for() {
    let refused = |outputs, choices: &Choices| try_plan(outputs, choices).unwrap_err();
    let mean = serde_json::json!([{ "name": "stay", "kind": "mean", "lower": 0.0, "upper": 30.0, "default": null }]);
    assert!(refused(mean, &exactly("rho=0.1")).contains("exact tables count people"));
    let sum = serde_json::json!([{ "name": "stay", "kind": "sum", "lower": 0.0, "upper": 1.0, "default": null }]);
    assert!(refused(sum, &exactly("rho=0.1")).contains("exact tables count people"));
    let keys = serde_json::json!([{ "name": "days", "kind": "keys", "released_max": 8, "default": null }]);
    assert!(refused(keys, &exactly("rho=0.1,delta=0.000001")).contains("exact tables count people"));
    let two = serde_json::json!([
        { "name": "people", "kind": "count", "default": null }, { "name": "long", "kind": "count", "default": null }]);
    assert!(refused(two, &exactly("rho=0.1")).contains("one table"));
    for suppress_below in [0, 2] {
        let few = Choices { suppress_below, ..exactly("rho=0.1") };
        assert!(refused(clinics(), &few).contains("--suppress-below 3"));
    }
    let cross = serde_json::json!([{ "name": "cross", "kind": "grouped_count", "default": null, "groups": [
        { "name": "clinic", "categories": ["a", "b"] }, { "name": "age", "edges": [0, 18, 65] }] }]);
    assert!(try_plan(cross, &exactly("rho=0.1")).is_ok());
}

/// What would be a bug: a table in which somebody is in two cells, so that one less the other tells of a few; or two nodes with the same people,
/// of which one shows what the other suppresses.
#[test]
fn nobody_is_counted_twice_in_an_exact_table() {
    let mut several = clinics();
    several[0]["per_subject"] = 2.into();
    let why = try_plan(several.clone(), &exactly("rho=0.1")).unwrap_err();
    assert!(why.contains("up to 2 cells"), "{why}");
    assert!(try_plan(several, &Choices { release: Release::Noisy, ..exactly("rho=0.1") }).is_ok());
    let mut manifest = manifest_json();
    manifest["outputs"] = clinics();
    let manifest = Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).unwrap();
    let shared = DatasetSchema { overlap: 2, ..schema() };
    let why = Plan::new(&manifest, module(), &shared, &exactly("rho=0.1")).unwrap_err().0;
    assert!(why.contains("at one node only"), "{why}");
}

/// What would be a bug: a plan that asks for noise and has another digest than before, or one digest for both questions.
#[test]
fn noise_is_what_a_plan_asks_for_that_says_nothing() {
    let noisy = try_plan(clinics(), &Choices { release: Release::Noisy, ..exactly("rho=0.1") }).unwrap();
    let written = serde_json::to_string(&noisy).unwrap();
    assert!(!written.contains("release"), "{written}");
    assert!(serde_json::to_string(&plan()).unwrap().contains(r#""release":"exact_tables""#));
    assert_ne!(noisy.digest(), plan().digest());
    assert_eq!(noisy.mechanism(), Mechanism::DiscreteGaussian);
}

/// What would be a bug: any of the three missing, and an exact table all the same.
#[test]
fn permit_and_policy_must_both_open_it() {
    let (permit, policy) = opened();
    assert!(ask(plan(), &permit, &policy).unwrap().exact().is_some());
    // A noisy question under the same permit is a noisy question.
    let noisy = try_plan(clinics(), &Choices { release: Release::Noisy, ..exactly("rho=0.1") }).unwrap();
    assert!(ask(noisy, &permit, &policy).unwrap().exact().is_none());
    let closed = NodePolicy { exact_tables: None, ..policy.clone() };
    let refusal = ask(plan(), &permit, &closed).unwrap_err();
    assert!(matches!(&refusal, Refusal::PolicyForbids { rule } if rule.contains("[exact_tables]")), "{refusal}");
    for review in [Review::Automatic, Review::Checked] {
        let mut other = permit.clone();
        other.environment.release = review;
        let refusal = ask(plan(), &other, &policy).unwrap_err();
        assert!(matches!(&refusal, Refusal::PermitForbids { rule, .. } if rule.contains("exact_tables")), "{refusal}");
    }
    let class = ModuleClass { kinds: vec!["histogram".into()], rounds_max: 1, outputs_max: 1 };
    for modules in [Modules::Any, Modules::Class(class)] {
        let mut other = permit.clone();
        other.environment.modules = modules;
        let refusal = ask(plan(), &other, &policy).unwrap_err();
        assert!(matches!(&refusal, Refusal::PermitForbids { rule, .. } if rule.contains("by digest")), "{refusal}");
    }
}

/// What would be a bug: an exact table for less than its price, in another measure, with smaller cells than the node wants, or with fuel or
/// memory of the researcher's choice: who runs out leaves a cell, and two tables would tell of those few.
#[test]
fn an_exact_table_has_its_price_and_its_least_cell() {
    let (permit, policy) = opened();
    let forbidden =
        |choices: &Choices, policy: &NodePolicy| match ask(try_plan(clinics(), choices).unwrap(), &permit, policy)
            .unwrap_err()
        {
            Refusal::PolicyForbids { rule } => rule,
            other => panic!("{other}"),
        };
    assert!(forbidden(&exactly("rho=0.099"), &policy).contains("costs rho=0.1"));
    let few = Choices { suppress_below: 9, ..exactly("rho=0.1") };
    assert!(forbidden(&few, &policy).contains("fewer than 10 people"));
    let other = ExactRules::new(10, vec![loss("epsilon=1")]).unwrap();
    let other = NodePolicy { exact_tables: Some(other), ..policy.clone() };
    assert!(forbidden(&exactly("rho=0.1"), &other).contains("no price in rho"));
    let fuel = Choices { fuel_per_subject: FUEL_DEFAULT - 1, ..exactly("rho=0.1") };
    let memory = Choices { memory_bytes_max: 2 * MEMORY_DEFAULT_BYTES, ..exactly("rho=0.1") };
    for chosen in [fuel, memory] {
        assert!(forbidden(&chosen, &policy).contains("--fuel 50000 --memory 2097152"));
    }
    assert_eq!(admitted().charge().loss, loss("rho=0.1"), "the price goes into the ledger");
}

/// What would be a bug: a small cell in the signed answer, a count that is not the count, or an ε for what has none.
#[test]
fn the_answer_has_the_counts_and_no_small_ones() {
    let answer = answer(&[40, 3, 25, 50]);
    let one = 1_i128 << plan().outputs()[0].grid_bits;
    let output = &answer.outputs[0];
    assert_eq!(output.cells.0, [40 * one, SUPPRESSED, SUPPRESSED, 50 * one], "3, and 25 that would give it away");
    assert_eq!((output.mechanism, output.scale), (Mechanism::Exact, 0.0));
    let written = serde_json::to_string(&answer).unwrap();
    assert!(written.contains("exact-not-differentially-private") && !written.contains("epsilon"), "{written}");
    assert_eq!(answer.certificate.exact_tables, 1);
    let [statistic] = &merge(&plan(), &[answer])[..] else { panic!("one table") };
    let told: Vec<_> = statistic.estimates.iter().map(|e| (e.suppressed, e.value, e.low, e.high)).collect();
    assert_eq!(told[0], (false, 40.0, 40.0, 40.0));
    assert_eq!(told[1], (true, 0.0, 0.0, 0.0));
    assert_eq!(statistic.noise_sd, 0.0);
}

/// What would be a bug: a length that tells how much was suppressed.
#[test]
fn an_exact_answer_has_the_same_length_whatever_is_suppressed() {
    let length = |people: &[i128]| serde_json::to_vec(&answer(people)).unwrap().len();
    assert_eq!(length(&[40, 3, 25, 50]), length(&[400_000, 0, 0, 0]));
    assert_eq!(length(&[40, 3, 25, 50]), length(&[40, 30, 25, 50]));
}

/// What would be a bug: a number beside a node's suppressed cell, from which that one could be told when its total is known.
#[test]
fn what_one_node_suppresses_is_suppressed_in_the_merge() {
    let (some, all) = (answer(&[40, 3, 25, 50]), answer(&[100, 200, 300, 400]));
    let [statistic] = &merge(&plan(), &[some, all])[..] else { panic!("one table") };
    let shown: Vec<_> = statistic.estimates.iter().map(|e| (!e.suppressed).then_some(e.value)).collect();
    assert_eq!(shown, [Some(140.0), None, None, Some(450.0)]);
}

/// What would be a bug: a node's answer with a small or lone suppressed cell, with noise, or noisy under an exact plan or the other way round.
#[test]
fn exact_and_noisy_answers_do_not_pass_for_each_other() {
    let (good, plan) = (answer(&[40, 3, 25, 50]), plan());
    let open = |answer: &Answer, plan: &Plan| {
        let envelope = dsse::sign(ANSWER_TYPE, &serde_json::to_vec(answer).unwrap(), &signer());
        open_answer(&envelope, plan, &north(), signer().public())
    };
    let lie = |change: &dyn Fn(&mut Answer)| {
        let mut answer = good.clone();
        change(&mut answer);
        open(&answer, &plan).unwrap_err()
    };
    assert!(open(&good, &plan).is_ok());
    let one = 1_i128 << plan.outputs()[0].grid_bits;
    assert!(lie(&|a| a.outputs[0].cells.0[0] = 9 * one).contains("shape or noise"), "a cell about 9 people");
    assert!(lie(&|a| a.outputs[0].cells.0[0] = 40 * one + 1).contains("shape or noise"), "no whole people");
    assert!(lie(&|a| a.outputs[0].cells.0[2] = 25 * one).contains("shape or noise"), "one suppressed cell alone");
    assert!(lie(&|a| a.outputs[0].scale = 1.0).contains("shape or noise"));
    assert!(lie(&|a| a.outputs[0].mechanism = Mechanism::DiscreteGaussian).contains("shape or noise"));
    let noisy = try_plan(clinics(), &Choices { release: Release::Noisy, ..exactly("rho=0.1") }).unwrap();
    assert!(open(&Answer { plan: noisy.digest(), ..good.clone() }, &noisy).is_err(), "no noise where noise was asked");
}

/// What would be a bug: `release` or anybody else that makes "noise" of no distribution, or an exact draw for another question.
#[test]
fn no_noise_is_only_for_what_was_granted() {
    let seal = |cells: Vec<i128>| Confidential::seal(vec![OutputSums::Cells(cells)]);
    let admitted = admitted();
    let (_, mut ledger) = fresh();
    let payment = paid(ledger.reserve(admitted.charge(), &[]));
    let none = DrawnOutput { mechanism: Mechanism::Exact, scale: 0.0, sensitivity: 1, noise: Fresh::Cells(vec![0; 4]) };
    assert!(seal(vec![0; 4]).noise(payment, Draw::new(admitted.plan().digest(), vec![none])).is_err());
    let (permit, policy) = opened();
    let another = ask(try_plan(clinics(), &exactly("rho=0.2")).unwrap(), &permit, &policy).unwrap();
    let payment = paid(ledger.reserve(another.charge(), &[]));
    assert!(seal(vec![0; 4]).noise(payment, Draw::exact(admitted.exact().unwrap())).is_err());
    for sums in [vec![0; 3], vec![1, 0, 0, 0], vec![-(1 << 20), 0, 0, 0]] {
        let (_, mut ledger) = fresh();
        let payment = paid(ledger.reserve(admitted.charge(), &[]));
        assert!(seal(sums).noise(payment, Draw::exact(admitted.exact().unwrap())).is_err(), "no numbers of people");
    }
}

/// What would be a bug: a later noisy answer that certifies an ε for all that was spent, although exact tables were bought, also after a restart.
#[test]
fn no_epsilon_is_certified_beside_exact_tables() {
    let (memory, mut ledger) = fresh();
    committed(&mut ledger, &[40, 3, 25, 50]);
    let (permit, policy) = opened();
    let noisy = |cost: &str| {
        let choices = Choices { release: Release::Noisy, ..exactly(cost) };
        ask(try_plan(clinics(), &choices).unwrap(), &permit, &policy).unwrap().charge().clone()
    };
    let certificate =
        |ledger: &mut Ledger<Memory>, cost: &str| paid(ledger.reserve(&noisy(cost), &[])).certificate().clone();
    let before = certificate(&mut ledger, "rho=0.2");
    let after = certificate(&mut Ledger::open(memory).unwrap(), "rho=0.3");
    for certificate in [before, after] {
        assert_eq!((certificate.exact_tables, certificate.spent), (1, None));
        assert!(certificate.charge.is_some(), "what its own noise costs is as it was");
    }
}

fn examined(committed: &Committed) -> Examined {
    examine(committed, &plan(), (&north(), signer().public()), &OutputRules::default()).unwrap()
}

fn verdict(about: &Committed, name: &str, seed: u8, allowed: bool) -> Verdict {
    decided(Matter::Release(about.digest()), name, seed, allowed)
}

fn decided(matter: Matter, name: &str, seed: u8, allowed: bool) -> Verdict {
    let (name, key): (PersonName, _) = (name.parse().unwrap(), SecretKey::from_seed(&[seed; 32]));
    let body = VerdictBody {
        format: VERDICT_FORMAT.into(),
        node: north(),
        matter,
        allowed,
        reason: "too few".into(),
        officer: name.clone(),
        decided_at: "2030-01-01T00:00:00Z".parse().unwrap(),
    };
    let officer = Officer { name, key: key.public(), duties: vec![matter.duty()] };
    Verdict::verify(&body.sign(&key), &north(), &[officer]).unwrap()
}

/// What would be a bug: an exact table that leaves by itself, on one signature, on two of one person, on that of who approved the run, or against
/// one refusal.
#[test]
fn two_persons_sign_for_an_exact_table() {
    let table = || committed(&mut fresh().1, &[40, 3, 25, 50]);
    let (answer, other) = (table(), committed(&mut fresh().1, &[40, 30, 25, 50]));
    let seen = examined(&answer);
    let (ola, max) = (verdict(&answer, "ola", 4, true), verdict(&answer, "max", 5, true));
    let answer = Cleared::automatically(answer, &seen, Review::Automatic).err().expect("nobody answers for it");
    assert!(Cleared::by_officer(table(), &seen, &ola).is_err(), "one officer let an exact table out");
    let (ada, key) = ("ada".parse().unwrap(), person_key().public());
    let run = Matter::Run(admitted().job().digest());
    let after = |approval: &Verdict, verdicts: &[&Verdict]| {
        let verdicts: Vec<_> = verdicts.iter().map(|v| (*v).clone()).collect();
        ByTwo::of(answer.digest(), &verdicts, (&ada, key), approval)
    };
    let by = |verdicts: &[&Verdict]| after(&decided(run, "pat", 9, true), verdicts);
    assert!(by(&[]).unwrap().is_none() && by(&[&ola]).unwrap().is_none());
    assert!(by(&[&ola, &ola]).unwrap().is_none(), "the same signature twice");
    assert!(by(&[&ola, &verdict(&answer, "ola", 6, true)]).unwrap().is_none(), "one person with two keys");
    assert!(by(&[&ola, &verdict(&answer, "olaf", 4, true)]).unwrap().is_none(), "one key under two names");
    assert!(by(&[&ola, &verdict(&answer, "ada", 7, true)]).unwrap().is_none(), "who asks signed");
    assert!(by(&[&ola, &verdict(&answer, "eve", 2, true)]).unwrap().is_none(), "who asks signed under another name");
    assert!(by(&[&ola, &verdict(&other, "max", 5, true)]).unwrap().is_none(), "one signed for another answer");
    let refused = by(&[&ola, &max, &verdict(&answer, "kim", 8, false)]).unwrap_err();
    assert_eq!(refused, Refusal::OfficerRefused { reason: "too few".into() });
    for (name, seed) in [("ola", 4), ("ola", 9), ("pat", 4)] {
        let approval = decided(run, name, seed, true);
        assert!(after(&approval, &[&ola, &max]).unwrap().is_none(), "who approved the run signed: {name} with {seed}");
        assert!(
            after(&approval, &[&ola, &max, &verdict(&answer, "kim", 8, true)]).unwrap().is_some(),
            "two others signed"
        );
    }
    assert!(after(&decided(run, "pat", 9, false), &[&ola, &max]).is_err(), "the run was refused");
    assert!(after(&verdict(&answer, "pat", 9, true), &[&ola, &max]).is_err(), "nobody approved the run");
    let both = by(&[&ola, &max]).unwrap().expect("two persons signed");
    assert!(Cleared::by_two_officers(other, &both).is_err(), "they signed for another answer");
    assert!(Cleared::by_two_officers(answer, &both).is_ok());
}

/// What would be a bug: a group whose people are all in one cell, and nobody who is told to look.
#[test]
fn a_lone_cell_is_found() {
    let findings = |people: &[i128]| examined(&committed(&mut fresh().1, people)).findings().join("\n");
    assert!(findings(&[40, 30, 25, 50]).contains("NOT differentially private; 0 of 4 cells are suppressed"));
    assert!(!findings(&[40, 30, 25, 50]).contains("class disclosure"));
    assert!(findings(&[400, 5, 6, 7]).contains("class disclosure"));
}

/// What would be a bug: a policy that opens exact tables by a word in another place than its own section.
#[test]
fn a_policy_opens_them_in_one_place() {
    let refused =
        serde_json::from_str::<OutputRules>(r#"{"review": "exact_tables", "people_min": 0}"#).unwrap_err().to_string();
    assert!(refused.contains("[exact_tables]"), "{refused}");
    let few = serde_json::from_str::<ExactRules>(r#"{"people_min": 2, "price": ["rho=0.1"]}"#).unwrap_err().to_string();
    assert!(few.contains("at least 3"), "{few}");
}
