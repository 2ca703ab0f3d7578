//! Who may do what: the one table of endpoints and roles. What is not in it is refused.

use std::{fmt, str::FromStr};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use spe_kernel::{
    ids::{IdError, NodeName, PersonName},
    refusal::Refusal,
};
use spe_wire::{Peer, pki::Role as Member};

use crate::{stop::Stop, store::members};

macro_rules! named {
    ($(#[$doc:meta])* $type:ident { $($(#[$one:meta])* $variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $type { $($(#[$one])* $variant),+ }
        impl $type {
            /// All of them, in the table's order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
        impl FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                let known = || Self::ALL.iter().map(|one| one.name()).collect::<Vec<_>>().join(", ");
                Self::ALL.iter().copied().find(|one| one.name() == text).ok_or_else(|| format!("{text:?} is none of {}", known()))
            }
        }
    };
}

named! {
    /// What a person is listed for.
    PersonRole {
        /// Applies for data, Art. 67.
        Applicant = "applicant",
        /// Answers for a project, Art. 68(10)(d).
        PrincipalInvestigator = "principal-investigator",
        /// Works with data under a permit, Art. 2(2)(u).
        DataUser = "data-user",
        /// Acts for a data holder, for its nodes.
        HolderOfficer = "holder-officer",
        /// Assesses applications for an access body, for its nodes.
        Assessor = "assessor",
        /// Reviews what leaves, Art. 73(2), for nodes.
        OutputChecker = "output-checker",
        /// Looks whether everybody keeps to the rules, Art. 73(3).
        Auditor = "auditor",
        /// Keeps the hub.
        Operator = "operator",
        /// Whose data it is.
        DataSubject = "data-subject",
    }
}

impl PersonRole {
    /// Whether somebody has the role for certain nodes only.
    pub const fn is_for_nodes(self) -> bool {
        matches!(self, Self::HolderOfficer | Self::Assessor | Self::OutputChecker)
    }
}

named! {
    /// What can be asked of a hub: one for each method of the proto's services, of the same name.
    Endpoint {
        /// A certificate for a token.
        Enrol = "Enrol",
        /// The public register.
        Register = "Register",
        /// The activity report.
        Activity = "Activity",
        /// Store a module.
        PutModule = "PutModule",
        /// Ask a question.
        Submit = "Submit",
        /// Follow a job of one's own.
        Watch = "Watch",
        /// See a job of one's own.
        View = "View",
        /// See the answers to a job of one's own.
        Answers = "Answers",
        /// Cancel a job of one's own.
        Cancel = "Cancel",
        /// List one's own jobs.
        Jobs = "Jobs",
        /// See what nodes offer.
        Browse = "Browse",
        /// Take work as a node.
        Attend = "Attend",
        /// Offer datasets as a node.
        Offer = "Offer",
        /// Fetch a job's module as a node.
        FetchModule = "FetchModule",
        /// State something on the participation agreement as a node.
        Agree = "Agree",
        /// Report on a job as a node.
        Report = "Report",
        /// Have the log cosigned as a node.
        Witness = "Witness",
        /// Submit an application.
        Apply = "Apply",
        /// List applications: one's own, or those with a part of one's nodes.
        Applications = "Applications",
        /// See such an application.
        Application = "Application",
        /// Take an application of one's own back.
        Withdraw = "Withdraw",
        /// Hand in a data access body's notice on the parts of one's nodes.
        Notify = "Notify",
        /// Hand in a data access body's decision on the parts of one's nodes.
        Decide = "Decide",
        /// Add to an application of one's own what is missing.
        Complete = "Complete",
        /// Hand in a data access body's signed revocation.
        Revoke = "Revoke",
        /// Publish the result of a job of one's own.
        Publish = "Publish",
    }
}

/// Whom an endpoint is open to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Everybody, also without a certificate.
    Public,
    /// Nodes.
    Nodes,
    /// Persons of these roles.
    Persons(&'static [PersonRole]),
}

impl Endpoint {
    /// The table. `docs/roles.md` shows it.
    ///
    /// # Security
    /// Every method of the hub takes what it needs from a `Caller`, and there is no other way to one than through this table:
    /// an endpoint without a line does not compile. Watched by `everybody_may_do_what_the_table_says_and_nothing_else`.
    pub const fn open(self) -> Open {
        use PersonRole::{Applicant, Assessor, Auditor, DataUser, HolderOfficer, PrincipalInvestigator};
        match self {
            Self::Enrol | Self::Register | Self::Activity => Open::Public,
            Self::Attend | Self::Offer | Self::FetchModule | Self::Report | Self::Agree | Self::Witness => Open::Nodes,
            Self::Browse => Open::Persons(PersonRole::ALL),
            Self::PutModule
            | Self::Submit
            | Self::Watch
            | Self::View
            | Self::Answers
            | Self::Cancel
            | Self::Jobs
            | Self::Publish => Open::Persons(&[PrincipalInvestigator, DataUser]),
            Self::Apply | Self::Withdraw | Self::Complete => Open::Persons(&[Applicant, PrincipalInvestigator]),
            Self::Applications | Self::Application => {
                Open::Persons(&[Applicant, PrincipalInvestigator, HolderOfficer, Assessor, Auditor])
            }
            Self::Notify | Self::Decide | Self::Revoke => Open::Persons(&[HolderOfficer, Assessor]),
        }
    }
}

/// A role that a person is listed with; for which node, where it is for nodes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Listed {
    /// The role.
    pub role: PersonRole,
    /// The node, where the role is for nodes.
    pub node: Option<NodeName>,
}

/// Written `assessor@north`, or `data-user`.
impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => f.pad(&format!("{}@{node}", self.role)),
            None => self.role.fmt(f),
        }
    }
}

impl FromStr for Listed {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (role, node) = text.split_once('@').map_or((text, None), |(role, node)| (role, Some(node)));
        let role: PersonRole = role.parse()?;
        let node: Option<NodeName> = node.map(str::parse).transpose().map_err(|e: IdError| e.to_string())?;
        match (role.is_for_nodes(), &node) {
            (true, None) => Err(format!("a person is {role} for a node: write {role}@<node>, once for each node")),
            (false, Some(_)) => Err(format!("the role {role} is not for a node: write {role} alone")),
            _ => Ok(Self { role, node }),
        }
    }
}

/// The roles of a person who is invited without any: what a researcher does.
pub const ROLES_DEFAULT: [Listed; 2] =
    [Listed { role: PersonRole::Applicant, node: None }, Listed { role: PersonRole::DataUser, node: None }];

/// Who calls, and may. Made only by [`authorise`].
#[derive(Debug)]
pub(crate) struct Caller {
    endpoint: Endpoint,
    who: Who,
}

#[derive(Debug)]
enum Who {
    Node(NodeName),
    /// With those of the person's roles that open the endpoint.
    Person(PersonName, Vec<Listed>),
    Anybody,
}

/// Finds out who calls, and refuses who may not.
pub(crate) fn authorise(db: &Connection, peer: Peer, endpoint: Endpoint) -> Result<Caller, Stop> {
    let refuse = |who: String, what: String| Err(Refusal::NotAllowed { who, what }.into());
    let open = endpoint.open();
    if open == Open::Public {
        return Ok(Caller { endpoint, who: Who::Anybody });
    }
    let who = match (members::caller(db, peer)?, open) {
        (Member::Node(node), Open::Nodes) => Who::Node(node),
        (Member::Person(person), Open::Persons(roles)) => {
            let mut listed = members::roles(db, &person)?;
            listed.retain(|one| roles.contains(&one.role));
            if listed.is_empty() {
                let names = roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(", ");
                let what = format!(
                    "do {endpoint}: it is for the roles {names}; the hub's operator gives roles (`spe hub roles`)"
                );
                return refuse(format!("person {person}"), what);
            }
            Who::Person(person, listed)
        }
        (other, Open::Nodes) => return refuse(other.to_string(), format!("do {endpoint}: it is for nodes")),
        (other, _) => return refuse(other.to_string(), format!("do {endpoint}: it is for persons")),
    };
    Ok(Caller { endpoint, who })
}

impl Caller {
    /// The node that calls.
    pub(crate) fn node(self) -> Result<NodeName, Stop> {
        match self.who {
            Who::Node(node) => Ok(node),
            _ => Err(self.misfit("node")),
        }
    }

    /// The person who calls.
    pub(crate) fn person(self) -> Result<PersonName, Stop> {
        match self.who {
            Who::Person(person, _) => Ok(person),
            _ => Err(self.misfit("person")),
        }
    }

    /// The nodes that the person acts for here.
    pub(crate) fn nodes(&self) -> Vec<NodeName> {
        match &self.who {
            Who::Person(_, listed) => listed.iter().filter_map(|one| one.node.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether the person is here in that role.
    pub(crate) fn is(&self, role: PersonRole) -> bool {
        matches!(&self.who, Who::Person(_, listed) if listed.iter().any(|one| one.role == role))
    }

    /// A method that expects another caller than the table lets in: the table is wrong, and nobody gets through.
    fn misfit(&self, expected: &str) -> Stop {
        spe_kernel::fault::Fault::new("asking who calls", format!("{} expects a {expected}", self.endpoint)).into()
    }
}

/// The table as `docs/roles.md` shows it, in Markdown.
pub fn table() -> String {
    let columns = || PersonRole::ALL.iter().map(|role| role.name()).chain(["node", "public"]);
    let mut text = format!("| endpoint | {} |\n", columns().collect::<Vec<_>>().join(" | "));
    text.push_str(&format!("|---|{}\n", columns().map(|_| "---|").collect::<String>()));
    for endpoint in Endpoint::ALL {
        let open = endpoint.open();
        let person =
            |role: &PersonRole| open == Open::Public || matches!(open, Open::Persons(roles) if roles.contains(role));
        let cells = PersonRole::ALL
            .iter()
            .map(person)
            .chain([matches!(open, Open::Public | Open::Nodes), open == Open::Public]);
        let cells = cells.map(|may| if may { "✓" } else { "" }).collect::<Vec<_>>().join(" | ");
        text.push_str(&format!("| {endpoint} | {cells} |\n"));
    }
    text
}
