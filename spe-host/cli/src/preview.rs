//! What a job would cost, how exact it would be, and who would refuse it: from public numbers only, nothing is asked.

use anyhow::Result;
use jiff::Timestamp;
use spe_kernel::{
    admission::{NodePolicy, admit},
    dataset::Offer,
    federation::{mechanism, nominal_scale},
    ids::NodeName,
    job::{Job, Purpose},
    ledger::Charge,
    permit::{Modules, Permit, PermitBody},
    plan::Planned,
    refusal::Refusal,
    statistic::Noise,
};
use spe_wire::NodeCatalogue;

use crate::{
    output::{Output, Shown},
    show::{Table, number},
};

/// Shows price, error and verdicts. Fails like the submission would when every node would refuse.
pub(crate) fn show(signed: &[u8], permit: &[u8], nodes: &[NodeCatalogue], output: Output) -> Result<()> {
    let job = Job::verify(signed)?;
    let verdicts = verdicts(&job, permit, nodes)?;
    let refusals: Vec<_> = verdicts.iter().filter_map(|(node, refusal)| Some((node, refusal.as_ref()?))).collect();
    let count = u32::try_from(verdicts.len() - refusals.len()).unwrap_or(u32::MAX);
    let plan = &job.body().plan;
    let errors: Vec<_> = plan.outputs().iter().map(|planned| (planned, half_width(planned, count))).collect();
    let line = |(planned, half): &(&Planned, f64)| {
        let kind = planned.output.kind.name();
        serde_json::json!({ "output": planned.output.name, "kind": kind, "loss": planned.loss, "half_width_95": half })
    };
    let said = serde_json::json!({
        "plan": plan.digest(), "loss_at_each_node": plan.loss(), "nodes": count, "overlap": plan.overlap(),
        "outputs": errors.iter().map(line).collect::<Vec<_>>(),
        "refusals": refusals.iter().map(|(node, why)| serde_json::json!({ "node": node, "why": why })).collect::<Vec<_>>(),
    });
    output.say(&said, || {
        let mut table = Table::new(["output", "kind", "loss", "95 % noise on one cell, ±"]);
        for (planned, half) in &errors {
            let kind = planned.output.kind.name().replace('_', " ");
            table.row([planned.output.name.clone(), kind, planned.loss.to_string(), number(*half, *half)]);
        }
        let mut text =
            format!("plan {}\ncosts {} at each of {count} nodes\n{}", plan.digest(), plan.loss(), table.render());
        text.push_str("A mean divides its noise by the people behind it.\n");
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

/// Half width of the 95 % noise interval of one cell, in people or in the output's unit.
fn half_width(planned: &Planned, nodes: u32) -> f64 {
    let mechanism = mechanism(planned.loss.measure());
    let noise = Noise { mechanism, scale: nominal_scale(planned), nodes: nodes.max(1) };
    noise.reach() * noise.sd() / f64::from(1_u32 << planned.grid_bits.min(31))
}

/// What each node that would be asked would say, as far as job, permit and budget decide it.
fn verdicts(job: &Job, permit: &[u8], nodes: &[NodeCatalogue]) -> Result<Vec<(NodeName, Option<Refusal>)>> {
    let (_, signer) = PermitBody::read(permit)?;
    let plan = &job.body().plan;
    let open = NodePolicy {
        access_bodies: vec![signer],
        purposes: Purpose::ALL.to_vec(),
        modules: Modules::Any,
        loss_per_job_min: Vec::new(),
        loss_per_job_max: vec![plan.loss()],
        fuel_per_subject_max: u64::MAX,
        guest_memory_bytes_max: u64::MAX,
        job_age_days_max: 1,
    };
    let say = |node: &NodeName, offer: &Offer| -> Result<(), Refusal> {
        let now = Timestamp::now();
        let permit = Permit::verify(permit, &open.access_bodies, now)?;
        let admitted = admit(job.clone(), &permit, offer, &open, node, now)?;
        let Charge { loss: asked, permit_cap: cap, .. } = *admitted.charge();
        if !asked.fits(cap) {
            return Err(Refusal::PermitLossExhausted {
                asked,
                spent: spe_kernel::units::Loss::zero(cap.measure()),
                cap,
            });
        }
        let (dataset, spent, cap) = (plan.dataset().clone(), offer.spent, offer.budget);
        let within = spent.plus(asked).is_ok_and(|sum| sum.fits(cap));
        if within { Ok(()) } else { Err(Refusal::DatasetLossExhausted { dataset, asked, spent, cap }) }
    };
    let asked = nodes.iter().filter(|n| job.asks(&n.node));
    let verdict = |n: &NodeCatalogue| {
        let offer = n.catalogue.datasets.iter().find(|o| o.schema.name == *plan.dataset())?;
        Some((n.node.clone(), say(&n.node, offer).err()))
    };
    Ok(asked.filter_map(verdict).collect())
}
