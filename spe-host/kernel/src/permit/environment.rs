//! Art. 68(10)(f): technical characteristics and tools of the secure processing environment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ids::Digest, plan::Plan, units::Loss};

/// What may be run, and how much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// The environment, in words.
    pub runtime: String,
    /// With which modules.
    pub modules: Modules,
    /// Privacy loss in all, at each node and dataset, over the whole line of permits.
    pub loss_cap: Loss,
    /// Privacy loss of one job at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_per_job_max: Option<Loss>,
    /// How answers are reviewed before they leave, Art. 73(2).
    pub release: Review,
    /// Limits on what a job uses.
    pub limits: Limits,
}

/// The modules that may be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Modules {
    /// Any module: the sandbox and the release engine do not rely on review.
    Any,
    /// These only.
    Only(Vec<Digest>),
    /// Any that asks for no more than this.
    Class(ModuleClass),
}

/// A class of modules: what they may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModuleClass {
    /// Kinds of outputs, such as `count` or `histogram`.
    pub kinds: Vec<String>,
    /// Rounds at most.
    pub rounds_max: u32,
    /// Outputs at most.
    pub outputs_max: u32,
}

/// Limits on what a job uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Most fuel for one data subject.
    pub fuel_per_subject_max: u64,
    /// Most linear memory of a guest in bytes.
    pub memory_bytes_max: u64,
}

impl Limits {
    /// The largest that can be written in TOML; the node's own limits are below.
    pub const NONE: Self = Self { fuel_per_subject_max: u64::MAX >> 1, memory_bytes_max: u64::MAX >> 1 };
}

/// How answers are reviewed before they leave, Art. 73(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Review {
    /// By the node's automatic checks, which the data access body approves with the permit.
    Automatic,
    /// By a named person, besides.
    Checked,
    /// As `checked`; and exact tables may be asked for, which are not differentially private and leave when two persons have signed.
    #[serde(rename = "exact_tables")]
    ExactTables,
}

impl Modules {
    /// Why the module of `plan` is not among them.
    ///
    /// # Errors
    /// What of the plan is outside.
    pub fn allow(&self, plan: &Plan) -> Result<(), String> {
        match self {
            Self::Any => Ok(()),
            Self::Only(list) if list.contains(&plan.module()) => Ok(()),
            Self::Only(_) => Err(format!("module {} is not in the list", plan.module())),
            Self::Class(class) => class.allow(plan),
        }
    }
}

impl ModuleClass {
    fn allow(&self, plan: &Plan) -> Result<(), String> {
        let Self { kinds, rounds_max, outputs_max } = self;
        let stray = plan.outputs().iter().find(|p| !kinds.iter().any(|kind| kind == p.output.kind.name()));
        if let Some(stray) = stray {
            return Err(format!(
                "output {:?} is a {}, which is not one of {kinds:?}",
                stray.output.name,
                stray.output.kind.name()
            ));
        }
        if plan.rounds() > *rounds_max {
            return Err(format!("{} rounds are more than {rounds_max}", plan.rounds()));
        }
        let outputs = plan.outputs().len();
        if u32::try_from(outputs).map_or(true, |count| count > *outputs_max) {
            return Err(format!("{outputs} outputs are more than {outputs_max}"));
        }
        Ok(())
    }
}
