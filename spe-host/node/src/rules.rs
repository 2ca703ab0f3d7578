//! The operator's own rules, in Cedar (`rules.cedar`), on top of permit and policy: who may ask what of which dataset, at what
//! loss, at which hours, and what an officer has to approve first.
//!
//! Rules cannot widen anything: they are asked after [`spe_kernel::admission::admit`] has agreed. Deny by default.

use std::path::Path;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request, Response, Schema, ValidationMode, Validator,
};
use jiff::{Timestamp, tz::TimeZone};
use miette::Diagnostic;
use serde::{Deserialize, Serialize};
use serde_json::json;
use spe_kernel::{
    admission::Admitted,
    dataset::DatasetSchema,
    fault::Fault,
    filter::Filter,
    ids::{ColumnName, DatasetName, Digest, PermitNumber, PersonName, TableName},
    plan::Plan,
    units::Loss,
};
use spe_wire::FileError;

pub mod golden;

/// What rules can speak about.
pub const SCHEMA: &str = include_str!("../../../policies/rules/schema.cedarschema");
/// The rules that a node starts with: everything that permit and policy allow.
pub const OPEN: &str = include_str!("../../../policies/rules/open.cedar");
/// Largest file of rules, in bytes.
const RULES_BYTES_MAX: u64 = 1 << 20;

/// A node's rules, each of which fits [`SCHEMA`].
pub struct Rules {
    policies: PolicySet,
    schema: Schema,
}

/// What rules are asked. A function of request, permit and time only (**data-blind refusal**).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "explained in policies/rules/schema.cedarschema, which a test compares it with")]
pub struct Question {
    pub person: PersonName,
    pub key: String,
    pub dataset: DatasetName,
    pub permit: PermitNumber,
    pub access_body: String,
    pub purpose: String,
    pub module: Digest,
    pub columns: Vec<String>,
    pub kinds: Vec<String>,
    pub loss: Loss,
    pub rounds: u32,
    pub overlap: u32,
    pub suppress_below: u32,
    pub exact: bool,
    pub fuel_per_subject: u64,
    pub memory_bytes: u64,
    pub hour: i8,
    pub weekday: i8,
}

/// What the rules decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// It may be answered.
    Run,
    /// An officer of this node has to approve it first.
    Ask(Grounds),
    /// It may not.
    Refuse(Grounds),
}

/// The rules that forbid; none where nothing permits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grounds(Vec<Ground>);

/// One rule that forbids.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Ground {
    id: String,
    reason: Option<String>,
}

impl Rules {
    /// The rules of `file`, or [`OPEN`] where there is none.
    ///
    /// # Errors
    /// As [`Rules::read`].
    pub fn of(file: Option<&Path>) -> Result<Self, FileError> {
        let open = || Self::parse(OPEN).map_err(FileError::at(Path::new("policies/rules/open.cedar")));
        file.map_or_else(open, Self::read)
    }

    /// Reads and checks a file of rules.
    ///
    /// # Errors
    /// The line that is no Cedar, or the rule that speaks of what there is not.
    pub fn read(file: &Path) -> Result<Self, FileError> {
        let at = FileError::at(file);
        let size = std::fs::metadata(file).map_err(FileError::at(file))?.len();
        if size > RULES_BYTES_MAX {
            return Err(at(format!("it has {size} bytes; rules have at most {RULES_BYTES_MAX}")));
        }
        let text = std::fs::read_to_string(file).map_err(FileError::at(file))?;
        Self::parse(&text).map_err(at)
    }

    /// Checks the text of rules.
    ///
    /// # Errors
    /// What is wrong with it, for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|e| format!("the schema of rules: {e}"))?;
        let policies: PolicySet = text.parse().map_err(|e: cedar_policy::ParseErrors| located(&e, text))?;
        if policies.templates().next().is_some() {
            return Err("a rule has a ?principal or ?resource; name them".into());
        }
        if policies.is_empty() {
            return Err("there is no rule, so nothing would ever run; start from policies/rules/open.cedar".into());
        }
        let checked = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
        let wrong: Vec<String> = checked.validation_errors().map(ToString::to_string).collect();
        if wrong.is_empty() { Ok(Self { policies, schema }) } else { Err(wrong.join("; ")) }
    }

    /// Decides over `question`.
    ///
    /// # Errors
    /// A question that does not fit the schema: a fault of this program, and nothing runs.
    pub fn decide(&self, question: &Question) -> Result<Ruling, Fault> {
        Ok(match self.answer("run", question)? {
            Err(grounds) => Ruling::Refuse(grounds),
            Ok(()) => match self.answer("run_unattended", question)? {
                Ok(()) => Ruling::Run,
                Err(grounds) => Ruling::Ask(grounds),
            },
        })
    }

    fn answer(&self, action: &str, question: &Question) -> Result<Result<(), Grounds>, Fault> {
        let asking = "asking the operator's rules";
        let uid = |kind: &str, id: &str| {
            EntityUid::from_json(json!({ "type": kind, "id": id })).map_err(Fault::while_(asking))
        };
        let principal = uid("Person", question.person.as_str())?;
        let resource = uid("Dataset", question.dataset.as_str())?;
        let action = uid("Action", action)?;
        let entities = json!([
            { "uid": { "type": "Person", "id": question.person }, "parents": [],
              "attrs": { "name": question.person, "key": question.key } },
            { "uid": { "type": "Dataset", "id": question.dataset }, "parents": [], "attrs": { "name": question.dataset } },
        ]);
        let entities = Entities::from_json_value(entities, Some(&self.schema)).map_err(Fault::while_(asking))?;
        let context = Context::from_json_value(question.context(), Some((&self.schema, &action)));
        let context = context.map_err(Fault::while_(asking))?;
        let request = Request::new(principal, action, resource, context, Some(&self.schema));
        let request = request.map_err(Fault::while_(asking))?;
        let response = Authorizer::new().is_authorized(&request, &self.policies, &entities);
        // A rule that cannot be evaluated (an overflow) is skipped by Cedar; a forbidding one must not be.
        if let Some(error) = response.diagnostics().errors().next() {
            return Err(Fault::new(asking, error));
        }
        Ok(if response.decision() == Decision::Allow { Ok(()) } else { Err(self.grounds(&response)) })
    }

    /// Why `response` is no: the rules that forbid, by their `@id` and `@reason`.
    fn grounds(&self, response: &Response) -> Grounds {
        let ground = |id| {
            let named = |key| self.policies.annotation(id, key).map(str::to_owned);
            Ground { id: named("id").unwrap_or_else(|| id.to_string()), reason: named("reason") }
        };
        let mut grounds: Vec<_> = response.diagnostics().reason().map(ground).collect();
        grounds.sort();
        Grounds(grounds)
    }
}

/// Cedar's message, with the line at which it applies.
fn located(errors: &cedar_policy::ParseErrors, text: &str) -> String {
    let line = |error: &cedar_policy::ParseError| {
        let offset = error.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
        offset.and_then(|at| text.get(..at)).map_or(1, |before| before.matches('\n').count() + 1)
    };
    errors.iter().map(|error| format!("line {}: {error}", line(error))).collect::<Vec<_>>().join("; ")
}

impl Question {
    /// What an admitted job asks, at the instant `now`.
    ///
    /// # Errors
    /// A row filter that does not parse any more, which admission has ruled out.
    pub fn of(admitted: &Admitted, schema: &DatasetSchema, now: Timestamp) -> Result<Self, Fault> {
        let (job, plan, charge) = (admitted.job(), admitted.plan(), admitted.charge());
        let now = now.to_zoned(TimeZone::UTC);
        Ok(Self {
            person: job.body().person.clone(),
            key: job.signer().to_string(),
            dataset: plan.dataset().clone(),
            permit: charge.permit.number.clone(),
            access_body: charge.permit.issuer.to_string(),
            purpose: job.body().purpose.to_string(),
            module: plan.module(),
            columns: columns(plan, schema)?,
            kinds: plan.outputs().iter().map(|planned| planned.output.kind.name().to_owned()).collect(),
            loss: charge.loss,
            rounds: plan.rounds(),
            overlap: plan.overlap(),
            suppress_below: plan.suppress_below(),
            exact: admitted.exact().is_some(),
            fuel_per_subject: plan.fuel_per_subject(),
            memory_bytes: plan.memory_bytes_max(),
            hour: now.hour(),
            weekday: now.weekday().to_monday_one_offset(),
        })
    }

    fn context(&self) -> serde_json::Value {
        let tables = self.columns.iter().filter_map(|name| name.split_once('.').map(|(table, _)| table));
        json!({
            "permit": self.permit,
            "access_body": self.access_body,
            "purpose": self.purpose,
            "module": self.module,
            "tables": tables.collect::<std::collections::BTreeSet<_>>(),
            "columns": self.columns,
            "kinds": self.kinds,
            "measure": self.loss.measure().parameter(),
            "loss_micro": self.loss.pico().div_ceil(1_000_000),
            "delta_pico": self.loss.delta_atto().div_ceil(1_000_000),
            "rounds": self.rounds,
            "overlap": self.overlap,
            "suppress_below": self.suppress_below,
            "exact": self.exact,
            "fuel_per_subject": long(self.fuel_per_subject),
            "memory_bytes": long(self.memory_bytes),
            "hour": self.hour,
            "weekday": self.weekday,
        })
    }
}

/// Cedar's numbers are signed; what is larger is as large as can be said.
fn long(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Columns that are read and columns that a filter names, as `table.column`, each once.
fn columns(plan: &Plan, schema: &DatasetSchema) -> Result<Vec<String>, Fault> {
    let mut names = std::collections::BTreeSet::new();
    for input in plan.inputs() {
        let name = |column: &ColumnName, table: &TableName| format!("{table}.{column}");
        names.extend(input.columns.iter().map(|column| name(column, &input.table)));
        if let (Some(text), Some(table)) = (&input.filter, schema.table(&input.table)) {
            let filter = Filter::parse(text, table).map_err(Fault::while_("reading an admitted filter"))?;
            names.extend(filter.columns().iter().map(|column| name(column, &input.table)));
        }
    }
    Ok(names.into_iter().collect())
}

impl Grounds {
    /// The rules' names.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|ground| ground.id.as_str())
    }
}

impl std::fmt::Display for Grounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let told = |ground: &Ground| match &ground.reason {
            Some(reason) => format!("{reason} (rule {})", ground.id),
            None => format!("rule {}", ground.id),
        };
        match self.0.as_slice() {
            [] => f.write_str("no rule of its operator permits it"),
            grounds => f.write_str(&grounds.iter().map(told).collect::<Vec<_>>().join("; ")),
        }
    }
}

#[cfg(test)]
mod tests;
