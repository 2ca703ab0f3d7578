//! Whom a development issuer knows.

use serde::{Deserialize, Serialize};

/// A person of a development issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// `sub` of the person's tokens.
    pub subject: String,
    /// What the page calls the person; no token says it.
    pub name: String,
    /// Level of assurance that tokens say; none if left out.
    #[serde(default)]
    pub acr: Option<String>,
    /// Means of authentication that tokens say, though nobody was asked for any.
    #[serde(default)]
    pub amr: Vec<String>,
}

/// The persons' file: `[[persons]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persons {
    /// The persons.
    pub persons: Vec<Person>,
}
