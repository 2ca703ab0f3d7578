//! Whether a permit covers what is asked, clause by clause of Art. 68(10).

use super::{Article, Permit, PermitBody, PermitData};
use crate::{
    dataset::{DatasetSchema, Offer},
    filter::Filter,
    ids::NodeName,
    job::Job,
    manifest::Input,
    plan::Plan,
    refusal::{Clause, Refusal},
};

/// Purpose, data, plan, modules, limits and conditions. Who asks is `admission`'s question.
pub(crate) fn covers(permit: &Permit, job: &Job, offer: &Offer, node: &NodeName) -> Result<(), Refusal> {
    let (body, plan) = (permit.body(), &job.body().plan);
    if !body.purposes().any(|allowed| allowed.covers(job.body().purpose)) {
        return Err(Refusal::PurposeNotInPermit { purpose: job.body().purpose });
    }
    data(body, plan, &offer.schema, node)?;
    body.windows(&offer.schema, node)?;
    request(body, plan)?;
    environment(body, plan)?;
    conditions(body, plan, node)
}

/// Columns that are read and columns that a filter names count alike.
///
/// # Privacy
/// The category that a data holder declares for a table binds the permit, and not the other way round: data of a category that nobody decided
/// on is not read under the name of another. Watched by `a_declared_category_binds_the_permit`.
fn data(body: &PermitBody, plan: &Plan, schema: &DatasetSchema, node: &NodeName) -> Result<(), Refusal> {
    let dataset = plan.dataset();
    let named: Vec<&PermitData> = body.data.iter().filter(|d| d.dataset == *dataset).collect();
    if named.is_empty() {
        return Err(Refusal::DatasetNotInPermit { dataset: dataset.clone() });
    }
    let here: Vec<&PermitData> = named.into_iter().filter(|d| d.is_at(node)).collect();
    if here.is_empty() {
        return Err(Refusal::NodeNotInPermit { dataset: dataset.clone(), node: node.clone() });
    }
    let forbid = |rule: String| Err(Refusal::PermitForbids { clause: Clause::Data, rule });
    for input in plan.inputs() {
        for column in columns(input, schema)? {
            let covering: Vec<&PermitData> = here.iter().copied().filter(|d| d.columns.contains(&column)).collect();
            let Some(first) = covering.first() else {
                return Err(Refusal::ColumnNotInPermit { dataset: dataset.clone(), column });
            };
            let declared = schema.table(&input.table).and_then(|table| table.category);
            let is_of = |d: &&&PermitData| declared.is_none_or(|category| category == d.category);
            let fitting: Vec<_> = covering.iter().filter(is_of).collect();
            if let (true, Some(category)) = (fitting.is_empty(), declared) {
                return forbid(format!(
                    "table {} of dataset {dataset} is declared as data of category {category} (Art. 51(1)), and the permit covers column {column} \
                     as data of category {}; another permit may, with that column in an entry of `data` with category = \"{category}\"",
                    input.table, first.category
                ));
            }
            if body.article == Article::Permit && !fitting.iter().any(|d| d.pseudonymised) {
                return forbid(format!(
                    "it gives anonymised access to dataset {dataset}, and a module of one's own reads pseudonymised records; a data \
                     request (Art. 69) may ask approved questions of it"
                ));
            }
        }
    }
    Ok(())
}

/// Every column that the plan touches of a table, written `table.column`.
fn columns(input: &Input, schema: &DatasetSchema) -> Result<Vec<String>, Refusal> {
    let mut all: Vec<String> = input.columns.iter().map(|column| format!("{}.{column}", input.table)).collect();
    if let (Some(text), Some(table)) = (&input.filter, schema.table(&input.table)) {
        let filter = Filter::parse(text, table).map_err(|e| Refusal::PlanUnfit { why: e.to_string() })?;
        all.extend(filter.columns().iter().map(|column| format!("{}.{column}", input.table)));
    }
    Ok(all)
}

fn request(body: &PermitBody, plan: &Plan) -> Result<(), Refusal> {
    match body.article {
        Article::Request if !body.plans.contains(&plan.digest()) => {
            Err(Refusal::PlanNotInPermit { plan: plan.digest() })
        }
        _ => Ok(()),
    }
}

fn environment(body: &PermitBody, plan: &Plan) -> Result<(), Refusal> {
    let environment = &body.environment;
    let forbid = |rule: String| Err(Refusal::PermitForbids { clause: Clause::Environment, rule });
    environment.modules.allow(plan).map_err(|why| Refusal::ModuleNotInPermit { module: plan.module(), why })?;
    if let Some(most) = environment.loss_per_job_max
        && !plan.charge().fits(most)
    {
        return forbid(format!("a job may cost at most {most}, not {}", plan.charge()));
    }
    let limits = environment.limits;
    if plan.fuel_per_subject() > limits.fuel_per_subject_max {
        let (asked, most) = (plan.fuel_per_subject(), limits.fuel_per_subject_max);
        return forbid(format!("fuel for one data subject is at most {most}, not {asked} (--fuel)"));
    }
    if plan.memory_bytes_max() > limits.memory_bytes_max {
        let (asked, most) = (plan.memory_bytes_max(), limits.memory_bytes_max);
        return forbid(format!("a guest has at most {most} bytes of memory, not {asked} (--memory)"));
    }
    Ok(())
}

fn conditions(body: &PermitBody, plan: &Plan, node: &NodeName) -> Result<(), Refusal> {
    let forbid = |rule: String| Err(Refusal::PermitForbids { clause: Clause::Conditions, rule });
    for condition in &body.conditions {
        if let Some(least) = condition.suppress_below_min.filter(|least| plan.suppress_below() < *least) {
            return forbid(format!("noisy counts below {least} must not be shown (--suppress-below {least})"));
        }
        if let Some(nodes) = &condition.nodes
            && !nodes.contains(node)
        {
            return forbid(format!("node {node} is not one of those that may be asked"));
        }
    }
    Ok(())
}
