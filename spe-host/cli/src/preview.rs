//! What a job would cost, how exact it would be, when it would answer, and who would refuse it: from public numbers only,
//! nothing is asked.

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use spe_kernel::{
    admission::{NodePolicy, admit},
    conversion::{EpsilonAt, epsilon_at, epsilons_of, noise_sd},
    dataset::{DatasetSchema, Offer},
    disclosure::Mechanism,
    dsse::SecretKey,
    exact::{ExactRules, PEOPLE_MIN},
    fault::Fault,
    federation::{key_threshold, mechanism, nominal_scale},
    gate::OutputRules,
    ids::{Digest, NodeName},
    job::{Job, Purpose},
    ledger::{AnswerKey, Charge, Entry, Event, Journal, Ledger, Total},
    manifest::Kind,
    pace::Pace,
    permit::{Modules, Permit, PermitBody, PermitId},
    person::{Identity, People},
    plan::{Plan, Planned},
    refusal::Refusal,
    statistic::{Noise, cells_of_people},
    units::{Loss, Measure, grid_one},
};
use spe_wire::NodeCatalogue;

use crate::{
    advise::in_other_measure,
    known::Known,
    output::{Output, Shown},
    show::{EXACT, Table, epsilons, noise_name, number},
};

/// Shows price, error, time and verdicts. Fails like the submission would when every node would refuse.
pub(crate) fn show(
    (signed, identity): (&[u8], Option<Identity>),
    permit: &[u8],
    nodes: &[NodeCatalogue],
    schema: &DatasetSchema,
    known: Known,
    output: Output,
) -> Result<()> {
    let job = Job::verify(signed)?.recognised(identity);
    let verdicts = verdicts(&job, permit, nodes)?;
    let refusals: Vec<_> = verdicts.iter().filter_map(|(node, refusal)| Some((node, refusal.as_ref()?))).collect();
    let count = u32::try_from(verdicts.len() - refusals.len()).unwrap_or(u32::MAX);
    let preview = Preview { ledgers: ledgers(&job, nodes), ..Preview::of(&job.body().plan, schema, count) };
    let mut said = preview.json();
    if let Some(fields) = said.as_object_mut() {
        let refused = refusals.iter().map(|(node, why)| json!({ "node": node, "why": why })).collect();
        fields.insert("refusals".into(), Value::Array(refused));
        fields.insert("asked_before".into(), json!(known.before));
        fields.insert("rehearsal".into(), json!(known.rehearsal.as_ref().ok()));
    }
    output.say(&said, || {
        let mut text = preview.text() + &known.text();
        for (node, why) in &refusals {
            text.push_str(&format!("{node} would refuse: {why}\n"));
        }
        text.push_str("Each node's own policy comes on top and is not known here.\n");
        text
    })?;
    match refusals.first() {
        Some((_, why)) if count == 0 => Err(Shown((*why).clone()).into()),
        _ => Ok(()),
    }
}

/// The nodes that would be asked, and what each accounts the dataset in.
fn ledgers(job: &Job, nodes: &[NodeCatalogue]) -> Vec<(NodeName, Measure)> {
    let plan = &job.body().plan;
    let offer = |n: &NodeCatalogue| {
        let offer = n.catalogue.datasets.iter().find(|o| o.schema.name == *plan.dataset())?;
        Some((n.node.clone(), offer.budget.measure()))
    };
    nodes.iter().filter(|n| job.asks(&n.node)).filter_map(offer).collect()
}

/// What public numbers say of a plan.
struct Preview<'a> {
    plan: &'a Plan,
    nodes: u32,
    /// What each node that would be asked accounts the dataset in.
    ledgers: Vec<(NodeName, Measure)>,
    /// The charge as ε at two δ on top of its own.
    epsilon: [EpsilonAt; 2],
    outputs: Vec<Expected<'a>>,
    /// How long each round takes at a node of the usual pace, or why that one would refuse.
    longest: Result<SignedDuration, Refusal>,
}

/// What to expect of one output.
struct Expected<'a> {
    planned: &'a Planned,
    /// 95 % half width of the noise on one sum over all nodes, in people or in the output's unit.
    half_width: f64,
    /// The same under the other distribution, at the same ε; none where the two do not compare.
    other_half_width: Option<f64>,
    /// Below how many people, at one node, a key is not released.
    threshold: Option<f64>,
}

impl<'a> Preview<'a> {
    fn of(plan: &'a Plan, schema: &DatasetSchema, nodes: u32) -> Self {
        let epsilon = epsilons_of(plan.charge(), schema.subjects_max);
        let [at, _] = epsilon;
        let outputs = plan.outputs().iter().map(|planned| Expected::of(plan, planned, nodes, at.delta)).collect();
        Self { plan, nodes, ledgers: Vec::new(), epsilon, outputs, longest: Pace::default().longest(plan, schema) }
    }

    fn is_exact(&self) -> bool {
        self.plan.mechanism() == Mechanism::Exact
    }

    fn json(&self) -> Value {
        let plan = self.plan;
        let epsilon = (!self.is_exact()).then_some(self.epsilon);
        let output = |e: &Expected<'_>| {
            json!({ "output": e.planned.output.name, "kind": e.planned.output.kind.name(), "loss": e.planned.loss,
                "half_width_95": e.half_width, "other_mechanism_half_width_95": e.other_half_width, "threshold": e.threshold })
        };
        json!({
            "plan": plan.digest(), "loss_at_each_node": plan.loss(), "charge_at_each_node": plan.charge(), "nodes": self.nodes,
            "overlap": plan.overlap(), "rounds": rounds(plan), "epsilon": epsilon, "mechanism": plan.mechanism(),
            "suppress_below": plan.suppress_below(), "outputs": self.outputs.iter().map(output).collect::<Vec<_>>(),
            "seconds_at_usual_pace": self.longest.as_ref().ok().map(SignedDuration::as_secs_f64),
        })
    }

    fn text(&self) -> String {
        let plan = self.plan;
        if self.is_exact() {
            return self.exact();
        }
        let mut table = Table::new(["output", "kind", "loss", "95 % noise on one sum, ±"]);
        for Expected { planned, half_width, .. } in &self.outputs {
            let kind = planned.output.kind.name().replace('_', " ");
            let loss = planned.loss.to_string();
            table.row([planned.output.name.clone(), kind, loss, number(*half_width, *half_width)]);
        }
        let mut text = self.other_ledger().unwrap_or_default();
        text.push_str(&format!("plan {}\n{}\n{}", plan.digest(), self.cost(), table.render()));
        text.push_str(&format!("{}\n", self.mechanism()));
        for Expected { planned, threshold, .. } in &self.outputs {
            if let Some(people) = threshold {
                text.push_str(&format!(
                    "{}: a key with fewer than about {people:.0} people at a node is not released there\n",
                    planned.output.name
                ));
            }
        }
        if plan.suppress_below() > 0 {
            text.push_str(&format!(
                "noisy counts below {}, and means over so few, are not shown\n",
                plan.suppress_below()
            ));
        }
        text.push_str(&format!("{}\nA mean divides its noise by the people behind it.\n", self.time()));
        text
    }

    /// What to know before asking for an exact table.
    fn exact(&self) -> String {
        let plan = self.plan;
        let names: Vec<_> = plan.outputs().iter().map(|planned| planned.output.name.as_str()).collect();
        let others = self.other_ledger().unwrap_or_default();
        format!(
            "{others}plan {}\nexact table {}: {EXACT}\ncosts {} of the ledger at each node, which rations it\ncells about fewer than {} people are \
             suppressed, and others where a total would give those away\nan officer of each node approves the module before the run, and two sign \
             for the release: it leaves when they have\n{}\n",
            plan.digest(),
            names.join(", "),
            plan.charge(),
            plan.suppress_below(),
            self.time()
        )
    }

    /// Nodes that account the dataset in the other measure refuse the loss as it is written: what to write for them.
    fn other_ledger(&self) -> Option<String> {
        let (plan, [at, _]) = (self.plan, self.epsilon);
        let others = self.ledgers.iter().filter(|(_, measure)| *measure != plan.measure());
        let nodes: Vec<_> = others.map(|(node, _)| node.to_string()).collect();
        let (_, measure) = self.ledgers.iter().find(|(_, measure)| *measure != plan.measure())?;
        let measure = measure.parameter();
        let instead = in_other_measure(plan.loss(), at.delta).map_or_else(
            || format!("--loss {measure}=<decimal>"),
            |loss| format!("--loss {loss}, which is about the same ε at δ = {:.1e}", at.delta),
        );
        Some(format!(
            "WARNING: dataset {} is accounted in {measure}, not in {}, at {}\n  write {instead} (and any --output-loss in {measure})\n",
            plan.dataset(),
            plan.measure().parameter(),
            nodes.join(", ")
        ))
    }

    /// The price, and what it means.
    fn cost(&self) -> String {
        let plan = self.plan;
        let rounds = match rounds(plan) {
            Some(rounds) => format!(" over {rounds} rounds, all charged before the first"),
            None => String::new(),
        };
        let overlap = match plan.overlap() {
            1 => String::new(),
            m => format!("\none person may be at {m} nodes, so each node charges {}", plan.charge()),
        };
        let epsilon = epsilons(&self.epsilon);
        let nodes = if self.nodes == 0 { "each node".into() } else { format!("each of {} nodes", self.nodes) };
        format!("costs {} at {nodes}{rounds}{overlap}\nwhich is {epsilon}", plan.loss())
    }

    /// Which distribution, why, and what the other would give.
    fn mechanism(&self) -> String {
        let measure = self.plan.measure();
        let other = match measure {
            Measure::Zcdp => Measure::Pure,
            Measure::Pure => Measure::Zcdp,
        };
        let alternative = |e: &Expected<'_>| {
            let half = e.other_half_width?;
            Some(format!("{} ±{}", e.planned.output.name, number(half, half)))
        };
        let alternatives: Vec<_> = self.outputs.iter().filter_map(alternative).collect();
        let [at, _] = self.epsilon;
        let compared = match alternatives.as_slice() {
            [] => String::new(),
            list => {
                format!("; {} at the same ε (δ = {:.1e}): {}", noise_name(mechanism(other)), at.delta, list.join(", "))
            }
        };
        let parameter = measure.parameter();
        let why = if self.other_ledger().is_some() { "the loss is written" } else { "the dataset is accounted" };
        format!("noise: {}, because {why} in {parameter}{compared}", noise_name(mechanism(measure)))
    }

    /// When an answer leaves at the earliest: a node's pace is its own, and known here is what most will have.
    fn time(&self) -> String {
        let each = if rounds(self.plan).is_some() { "each round's answer leaves" } else { "an answer leaves" };
        let less = if self.is_exact() {
            "fuel and memory are the same for everybody who asks"
        } else {
            "less --fuel and --memory make it less"
        };
        match &self.longest {
            Ok(longest) => format!(
                "at a node of the usual pace {each} {:.1} s after it began, however early it is ready; {less}",
                longest.as_secs_f64()
            ),
            Err(why) => format!("a node of the usual pace would refuse: {why}"),
        }
    }
}

/// How many rounds, if the module has rounds.
fn rounds(plan: &Plan) -> Option<u32> {
    (!plan.state().is_empty()).then(|| plan.rounds())
}

impl<'a> Expected<'a> {
    fn of(plan: &Plan, planned: &'a Planned, nodes: u32, delta: f64) -> Self {
        let is_exact = plan.mechanism() == Mechanism::Exact;
        let scale = if is_exact { 0.0 } else { nominal_scale(planned) };
        let one = f64::from(grid_one(planned.grid_bits));
        #[expect(clippy::cast_precision_loss, reason = "for display")]
        let threshold =
            matches!(planned.output.kind, Kind::Keys(_)).then(|| key_threshold(planned, scale) as f64 / one);
        let width = |(measure, scale): (Measure, f64)| {
            half_width(measure, scale, nodes.max(1) * cells_of_people(&planned.output.kind, measure))
        };
        let half_width = width((planned.loss.measure(), scale / one));
        let other_half_width = other_scale(plan, planned, delta).filter(|_| !is_exact).map(width);
        Self { planned, half_width, other_half_width, threshold }
    }
}

/// Half width of the 95 % noise interval of a sum of so many cells, in the unit of `scale`.
fn half_width(measure: Measure, scale: f64, cells: u32) -> f64 {
    let noise = Noise { mechanism: mechanism(measure), scale, nodes: cells };
    noise.reach() * noise.sd()
}

/// The scale that the other distribution would need if the whole job cost the same ε at `delta`, in the output's unit; the output
/// keeps its share. None for keys, whose δ is another matter.
fn other_scale(plan: &Plan, planned: &Planned, delta: f64) -> Option<(Measure, f64)> {
    if plan.loss().delta_atto() > 0 {
        return None;
    }
    let rounds = f64::from(plan.rounds());
    let share = planned.loss.approx() * rounds / plan.loss().approx();
    let sensitivity = |measure| {
        #[expect(clippy::cast_precision_loss, reason = "a sensitivity is below 2^53")]
        let units = planned.output.kind.sensitivity(measure, planned.grid_bits) as f64;
        units / f64::from(grid_one(planned.grid_bits))
    };
    let whole = |loss: Loss| epsilon_at(loss, delta).epsilon;
    match plan.measure() {
        Measure::Zcdp => {
            let epsilon = whole(plan.loss()) * share / rounds;
            Some((Measure::Pure, sensitivity(Measure::Pure) / epsilon))
        }
        Measure::Pure => {
            // The noise of one count at this ε tells its ρ: σ² = 1/(2ρ).
            let [_, (_, sd)] = noise_sd(1, whole(plan.loss()), delta);
            let rho = share / rounds / (2.0 * sd * sd);
            Some((Measure::Zcdp, sensitivity(Measure::Zcdp) / (2.0 * rho).sqrt()))
        }
    }
}

/// What each node that would be asked would say, as far as job, permit and budget decide it.
fn verdicts(job: &Job, permit: &[u8], nodes: &[NodeCatalogue]) -> Result<Vec<(NodeName, Option<Refusal>)>> {
    let (_, signer) = PermitBody::read(permit)?;
    let plan = &job.body().plan;
    let open = NodePolicy {
        access_bodies: vec![signer],
        purposes: Purpose::ALL.to_vec(),
        modules: Modules::Any,
        opt_out_exceptions: true,
        loss_per_job_min: Vec::new(),
        loss_per_job_max: vec![plan.charge()],
        fuel_per_subject_max: u64::MAX,
        guest_memory_bytes_max: u64::MAX,
        suppress_below_min: 0,
        release: Pace { job_seconds_max: u32::MAX, ..Pace::default() },
        job_age_days_max: 1,
        officer_days_max: 30,
        people: People::default(),
        outputs: OutputRules::default(),
        officers: Vec::new(),
        exact_tables: ExactRules::new(PEOPLE_MIN, vec![plan.loss()]).ok(),
    };
    let say = |node: &NodeName, offer: &Offer| -> Result<(), Refusal> {
        let now = Timestamp::now();
        let permit = Permit::verify(permit, &open.access_bodies, now)?;
        let admitted = admit(job.clone(), &permit, offer, &open, node, now)?;
        decide(admitted.charge(), offer.spent)
    };
    let asked = nodes.iter().filter(|n| job.asks(&n.node));
    let verdict = |n: &NodeCatalogue| {
        let offer = n.catalogue.datasets.iter().find(|o| o.schema.name == *plan.dataset())?;
        Some((n.node.clone(), say(&n.node, offer).err()))
    };
    Ok(asked.filter_map(verdict).collect())
}

/// What a ledger would say of a charge, where others have spent so much and nothing was spent under this permit.
fn decide(charge: &Charge, spent: Loss) -> Result<(), Refusal> {
    // Nobody's key: a permit that is not this one.
    let permit = PermitId { issuer: SecretKey::from_seed(&[0; 32]).public(), ..charge.permit.clone() };
    let total = Total { dataset: charge.key.dataset.clone(), permit, spent, exact_tables: 0 };
    let ledger = Ledger::open(Others(total)).map_err(|_| Refusal::Internal { id: "preview".into() })?;
    ledger.decide(charge).map(drop)
}

/// A journal in which all was spent by others.
struct Others(Total);

impl Journal for Others {
    fn totals(&mut self) -> Result<Vec<Total>, Fault> {
        Ok(vec![self.0.clone()])
    }
    fn find(&mut self, _: &AnswerKey) -> Result<Option<Entry>, Fault> {
        Ok(None)
    }
    fn leaves_at(&mut self, _: &AnswerKey) -> Result<Option<Timestamp>, Fault> {
        Ok(None)
    }
    fn paid_by(&mut self, _: &Charge) -> Result<bool, Fault> {
        Ok(false)
    }
    fn state(&mut self, _: &AnswerKey) -> Result<Option<Vec<f64>>, Fault> {
        Ok(None)
    }
    fn bought(&mut self, _: Digest) -> Result<bool, Fault> {
        Ok(false)
    }
    fn append(&mut self, _: &Event<'_>) -> Result<(), Fault> {
        Err(Fault::new("previewing a charge", "a preview charges nothing"))
    }
}
