//! Applications, decisions and revocations: draft, sign, show.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use jiff::Timestamp;
use spe_kernel::{
    admission::CLOCK_SLACK,
    application::{Application, ApplicationBody},
    decision::DecisionBody,
    document::{Document, open},
    refusal::Refusal,
    revocation::{RevocationBody, Target},
};
use spe_wire::PassedOn;

use crate::{
    application::{self, WayCommand},
    connect::{self, Profile, block_on},
    document::{self, Kind, SignArgs},
    output::Output,
};

const APPLICATION: &str = include_str!("../../../policies/applications/template.toml");
const POSITIVE: &str = include_str!("../../../policies/decisions/positive.toml");
const NEGATIVE: &str = include_str!("../../../policies/decisions/negative.toml");
const PERMIT: &str = include_str!("../../../policies/revocations/permit.toml");
const PERSON: &str = include_str!("../../../policies/revocations/person.toml");

#[derive(Subcommand)]
pub(crate) enum ApplicationCommand {
    /// Print a template with every field of Art. 67(2) explained, to be filled in and signed
    Draft,
    /// Sign an application as one of its persons
    ///
    /// Purposes that are not the applicant's to have (Art. 53(2)), prohibited uses (Art. 54) and missing justifications are refused with the
    /// article.
    Sign(SignArgs),
    /// Check a signed application, and show it
    Show {
        /// The signed application
        file: PathBuf,
    },
    /// Print the JSON Schema of applications
    Schema,
    #[command(flatten)]
    Way(WayCommand),
}

#[derive(Subcommand)]
pub(crate) enum DecisionCommand {
    /// Print a template of a positive decision
    Draft {
        /// The template of a negative decision instead
        #[arg(long)]
        negative: bool,
    },
    /// Sign a decision as a data access body
    Sign(SignArgs),
    /// Check a signed decision, and show it
    Show {
        /// The signed decision
        file: PathBuf,
    },
    /// Print the JSON Schema of decisions
    Schema,
}

#[derive(Subcommand)]
pub(crate) enum RevocationCommand {
    /// Print a template of a revocation, which takes a line of permits back
    Draft {
        /// The template of a revocation that excludes a person instead
        #[arg(long)]
        person: bool,
    },
    /// Sign a revocation as a data access body
    Sign(SignArgs),
    /// Check a signed revocation, and show it
    Show {
        /// The signed revocation
        file: PathBuf,
    },
    /// Hand in a signed revocation: the hub passes it on to every node at once, and what runs under it is stopped
    Submit {
        /// The signed revocation
        file: PathBuf,
        #[command(flatten)]
        profile: Profile,
    },
    /// Print the JSON Schema of revocations
    Schema,
}

pub(crate) fn application(command: ApplicationCommand, output: Output) -> Result<()> {
    match command {
        ApplicationCommand::Draft => document::draft(APPLICATION, output),
        ApplicationCommand::Sign(args) => {
            let by_one_of_its_persons = |envelope: &[u8]| Application::verify(envelope).map(drop);
            document::sign::<ApplicationBody>(&args, |body| body.number.to_string(), by_one_of_its_persons, output)
        }
        ApplicationCommand::Show { file } => {
            Application::verify(&connect::read(&file)?)?;
            document::show::<ApplicationBody>(&file, output)
        }
        ApplicationCommand::Schema => document::schema(Kind::Application, output),
        ApplicationCommand::Way(command) => application::run(command, output),
    }
}

pub(crate) fn decision(command: DecisionCommand, output: Output) -> Result<()> {
    match command {
        DecisionCommand::Draft { negative } => document::draft(if negative { NEGATIVE } else { POSITIVE }, output),
        DecisionCommand::Sign(args) => {
            document::sign::<DecisionBody>(&args, |body| format!("on {}", body.application), |_| Ok(()), output)
        }
        DecisionCommand::Show { file } => document::show::<DecisionBody>(&file, output),
        DecisionCommand::Schema => document::schema(Kind::Decision, output),
    }
}

pub(crate) fn revocation(command: RevocationCommand, output: Output) -> Result<()> {
    match command {
        RevocationCommand::Draft { person } => document::draft(if person { PERSON } else { PERMIT }, output),
        RevocationCommand::Sign(args) => {
            is_dated(&document::read(&args.draft)?)?;
            document::sign(&args, revoked, |_| Ok(()), output)
        }
        RevocationCommand::Show { file } => document::show::<RevocationBody>(&file, output),
        RevocationCommand::Submit { file, profile } => {
            let envelope = connect::read(&file)?;
            let opened = open::<RevocationBody>(&envelope)?;
            is_dated(opened.body())?;
            let what = revoked(opened.body());
            let passed_on = block_on(async { Ok(profile.connect().await?.revoke(envelope).await?) })?;
            let known = passed_on == PassedOn::Known;
            output.say(&serde_json::json!({ "revocation": what, "passed_on": true, "known": known }), || {
                let strange = "WARNING: the hub knows no permit of that number from this issuer; if one was decided there, check the number\n";
                format!(
                    "revocation {what} passed on to every node; one that is away is told when it is back\n{}",
                    if known { "" } else { strange }
                )
            })
        }
        RevocationCommand::Schema => document::schema(Kind::Revocation, output),
    }
}

/// What a revocation takes back.
pub(crate) fn revoked(body: &RevocationBody) -> String {
    match &body.target {
        Target::Permit(number) => format!("of permit {number}"),
        Target::Person(person) => format!("of person {}", person.name),
    }
}

/// Refuses a revocation that is dated ahead by more than clocks may differ, and warns of one that reaches back.
///
/// Nodes and hub take any: a clock that is wrong must not keep a permit alive. Here a slip of the pen is found while it can be mended.
pub(crate) fn is_dated(body: &RevocationBody) -> Result<()> {
    let RevocationBody { issued_at, effective_at, .. } = body;
    if issued_at.duration_since(Timestamp::now()) > CLOCK_SLACK {
        let why = format!(
            "it says that it was issued at {issued_at}, which is in the future: write when it is issued, and sign it anew; from when on \
             it holds is effective_at"
        );
        return Err(Refusal::Malformed { document: RevocationBody::NAME.into(), why }.into());
    }
    if effective_at < issued_at {
        eprintln!(
            "WARNING: it holds since {effective_at}, which is before it was issued at {issued_at}; what left until now is not undone"
        );
    }
    Ok(())
}
