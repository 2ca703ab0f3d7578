//! Art. 68(10)(b), (c), (d), (g) and (h): purpose, opt-outs, persons, fees, conditions.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{
    dsse::PublicKey,
    ids::{NodeName, PersonName},
    person::PersonIdentity,
    purpose::Article53,
};

/// (b) What the data is used for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PurposeStatement {
    /// Points of Art. 53(1).
    pub article53: Vec<Article53>,
    /// In words.
    pub text: String,
}

/// (c) An exception from opt-outs, Art. 71(4): people who opted out are in the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OptOutException {
    /// The national law that allows it.
    pub national_law: String,
    /// Why it is applied.
    pub reason: String,
}

/// (d) A natural person who may act, known by a key, by a login, or by both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PermitPerson {
    /// The person.
    pub name: PersonName,
    /// Exactly one is the principal investigator.
    pub role: Role,
    /// The key that signs the person's jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PublicKey>,
    /// The person's login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<PersonIdentity>,
}

/// What a person is in the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Leads it.
    PrincipalInvestigator,
    /// Works in it.
    DataUser,
}

impl PermitPerson {
    /// The principal investigator of that name and key.
    pub const fn investigator(name: PersonName, key: PublicKey) -> Self {
        Self { name, role: Role::PrincipalInvestigator, key: Some(key), identity: None }
    }
}

/// One principal investigator, and each person is one natural person who can be told from the others (Art. 73(1)(d)).
pub(crate) fn check_persons(persons: &[PermitPerson]) -> Result<(), String> {
    let investigators = persons.iter().filter(|p| p.role == Role::PrincipalInvestigator).count();
    if investigators != 1 {
        return Err(format!("persons has {investigators} principal investigators; exactly one is needed"));
    }
    for (i, person) in persons.iter().enumerate() {
        if person.key.is_none() && person.identity.is_none() {
            return Err(format!(
                "person {} has neither a key nor an identity: nobody could be told to be it",
                person.name
            ));
        }
        for other in persons.iter().skip(i + 1) {
            let same = |what: &str| Err(format!("persons {} and {} have the same {what}", person.name, other.name));
            match other {
                _ if other.name == person.name => return same("name"),
                _ if other.key.is_some() && other.key == person.key => return same("key"),
                _ if other.identity.is_some() && other.identity == person.identity => return same("identity"),
                _ => {}
            }
        }
    }
    Ok(())
}

/// (g) A fee, Art. 62.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fee {
    /// What for.
    pub item: String,
    /// How much: a decimal number as text, such as `1200.00`.
    pub amount: Amount,
    /// In which currency: an ISO 4217 code.
    pub currency: Currency,
}

/// A decimal number with at most two places, as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Amount(String);

/// An ISO 4217 code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(String);

macro_rules! text {
    ($type:ident, $pattern:literal, $expected:literal, $tame:expr) => {
        impl TryFrom<String> for $type {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                let tame: fn(&str) -> bool = $tame;
                if tame(&text) { Ok(Self(text)) } else { Err(format!("{text:.32?} is not {}", $expected)) }
            }
        }
        impl From<$type> for String {
            fn from($type(text): $type) -> Self {
                text
            }
        }
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

text!(
    Amount,
    "^[0-9]{1,12}([.][0-9]{1,2})?$",
    "an amount: digits, and at most two after a point, such as 1200.00",
    |text| {
        let digits =
            |part: &str, most: usize| (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        match text.split_once('.') {
            Some((whole, cents)) => digits(whole, 12) && digits(cents, 2),
            None => digits(text, 12),
        }
    }
);
text!(Currency, "^[A-Z]{3}$", "a currency: three capital letters, such as EUR", |text| {
    text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase())
});

/// (h) A specific condition: words for people, and what of it nodes check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// In words.
    pub text: String,
    /// Noisy counts below it must not be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppress_below_min: Option<u32>,
    /// The only nodes that may be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<NodeName>>,
}
