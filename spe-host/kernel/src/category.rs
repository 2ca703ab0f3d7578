//! What kind of health data: the categories of Art. 51(1) of Regulation (EU) 2025/327.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A category of health data: a point of Art. 51(1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Category {
    /// (a) Electronic health records.
    HealthRecords,
    /// (b) Factors that affect health: socio-economic, environmental, behavioural.
    HealthDeterminants,
    /// (c) Aggregated data on needs, resources, provision, access, expenditure and financing.
    HealthcareResources,
    /// (d) Data on pathogens that affect human health.
    Pathogens,
    /// (e) Administrative data of healthcare: dispensations, reimbursement claims, payments.
    Administration,
    /// (f) Human genetic, epigenomic and genomic data.
    HumanGenetics,
    /// (g) Other human molecular data: proteomic, transcriptomic, metabolomic, lipidomic and other omic data.
    HumanMolecules,
    /// (h) Personal data that medical devices generate by themselves.
    MedicalDevices,
    /// (i) Data from wellness applications.
    WellnessApplications,
    /// (j) Professional status, specialisation and institution of those who treat.
    Professionals,
    /// (k) Registries of public health.
    PopulationRegistries,
    /// (l) Medical registries and mortality registries.
    MedicalRegistries,
    /// (m) Clinical trials, studies, investigations and performance studies.
    ClinicalTrials,
    /// (n) Other health data from medical devices.
    OtherDeviceData,
    /// (o) Registries of medicinal products and medical devices.
    ProductRegistries,
    /// (p) Research cohorts, questionnaires and surveys, after the first publication of results.
    ResearchCohorts,
    /// (q) Biobanks and associated databases.
    Biobanks,
}

impl Category {
    /// All categories, in the order of the article.
    pub const ALL: [Self; 17] = [
        Self::HealthRecords,
        Self::HealthDeterminants,
        Self::HealthcareResources,
        Self::Pathogens,
        Self::Administration,
        Self::HumanGenetics,
        Self::HumanMolecules,
        Self::MedicalDevices,
        Self::WellnessApplications,
        Self::Professionals,
        Self::PopulationRegistries,
        Self::MedicalRegistries,
        Self::ClinicalTrials,
        Self::OtherDeviceData,
        Self::ProductRegistries,
        Self::ResearchCohorts,
        Self::Biobanks,
    ];

    /// Its point of Art. 51(1).
    pub const fn point(self) -> &'static str {
        self.names().0
    }

    /// Its code in the EU's authority table of health categories.
    pub const fn code(self) -> &'static str {
        self.names().1
    }

    /// The point and the code.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::HealthRecords => ("a", "EHRS"),
            Self::HealthDeterminants => ("b", "DIOH"),
            Self::HealthcareResources => ("c", "NRPE"),
            Self::Pathogens => ("d", "RPDG"),
            Self::Administration => ("e", "HRAD"),
            Self::HumanGenetics => ("f", "HGPD"),
            Self::HumanMolecules => ("g", "HPML"),
            Self::MedicalDevices => ("h", "PGEH"),
            Self::WellnessApplications => ("i", "WELA"),
            Self::Professionals => ("j", "IDHP"),
            Self::PopulationRegistries => ("k", "PHDR"),
            Self::MedicalRegistries => ("l", "MRMR"),
            Self::ClinicalTrials => ("m", "EHCT"),
            Self::OtherDeviceData => ("n", "EMRD"),
            Self::ProductRegistries => ("o", "RMMD"),
            Self::ResearchCohorts => ("p", "RQSH"),
            Self::Biobanks => ("q", "EINS"),
        }
    }
}

impl TryFrom<String> for Category {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|category| category.point() == text)
            .ok_or_else(|| format!("{text:.16?} is not a point of Art. 51(1): a to q"))
    }
}

impl std::str::FromStr for Category {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.to_owned().try_into()
    }
}

impl From<Category> for String {
    fn from(category: Category) -> Self {
        category.point().into()
    }
}

impl JsonSchema for Category {
    fn schema_name() -> Cow<'static, str> {
        "Category".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let points = Self::ALL.map(Self::point);
        json_schema!({ "type": "string", "enum": points, "description": "A category of health data: a point of Art. 51(1)." })
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.point())
    }
}

/// Some of the categories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Categories(u32);

impl Categories {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self((1 << Category::ALL.len()) - 1);

    /// Whether `category` is among them.
    pub const fn holds(self, category: Category) -> bool {
        self.0 & (1 << category as u32) != 0
    }

    /// Whether the two have one in common.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether all of them are among the others.
    pub const fn within(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }

    /// A bit for each, the first point of the article lowest.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Those of [`Self::bits`]; `None` of bits that are no category's.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits & !Self::ALL.0 == 0 { Some(Self(bits)) } else { None }
    }

    /// Those of either.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These without those.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Each of them, in the order of the article.
    pub fn iter(self) -> impl Iterator<Item = Category> {
        Category::ALL.into_iter().filter(move |category| self.holds(*category))
    }
}

impl From<Category> for Categories {
    fn from(category: Category) -> Self {
        Self(1 << category as u32)
    }
}

impl FromIterator<Category> for Categories {
    fn from_iter<I: IntoIterator<Item = Category>>(categories: I) -> Self {
        categories.into_iter().map(Self::from).fold(Self::NONE, Self::and)
    }
}

/// Their points, separated by commas: `a,f`.
impl fmt::Display for Categories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.iter().map(Category::point).collect::<Vec<_>>().join(","))
    }
}

impl std::str::FromStr for Categories {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(str::parse::<Category>).collect()
    }
}
