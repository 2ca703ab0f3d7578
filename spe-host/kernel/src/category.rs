//! What kind of health data: the categories of Art. 51(1) of Regulation (EU) 2025/327.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A category of health data: a point of Art. 51(1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Category(usize);

/// The points of Art. 51(1), with the codes of the EU's authority table of health categories.
const CATEGORIES: [(&str, &str); 17] = [
    ("a", "EHRS"),
    ("b", "DIOH"),
    ("c", "NRPE"),
    ("d", "RPDG"),
    ("e", "HRAD"),
    ("f", "HGPD"),
    ("g", "HPML"),
    ("h", "PGEH"),
    ("i", "WELA"),
    ("j", "IDHP"),
    ("k", "PHDR"),
    ("l", "MRMR"),
    ("m", "EHCT"),
    ("n", "EMRD"),
    ("o", "RMMD"),
    ("p", "RQSH"),
    ("q", "EINS"),
];

impl Category {
    /// All categories, in the order of the article.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..CATEGORIES.len()).map(Self)
    }

    /// The point and the code.
    fn names(self) -> (&'static str, &'static str) {
        CATEGORIES.get(self.0).copied().unwrap_or(("a", "EHRS"))
    }

    /// Its point of Art. 51(1).
    pub fn point(self) -> &'static str {
        self.names().0
    }

    /// Its code in the EU's authority table of health categories.
    pub fn code(self) -> &'static str {
        self.names().1
    }
}

impl TryFrom<String> for Category {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let at = CATEGORIES.iter().position(|(point, _)| *point == text);
        at.map(Self).ok_or_else(|| format!("{text:.16?} is not a point of Art. 51(1): a to q"))
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
        let points = CATEGORIES.map(|(point, _)| point);
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
    pub const ALL: Self = Self((1 << CATEGORIES.len()) - 1);

    /// Whether `category` is among them.
    pub const fn holds(self, category: Category) -> bool {
        self.0 & (1 << category.0) != 0
    }

    /// Whether the two have one in common.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
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
        Category::all().filter(move |category| self.holds(*category))
    }
}

impl From<Category> for Categories {
    fn from(category: Category) -> Self {
        Self(1 << category.0)
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
