//! Data permits: draft, sign, show, check, export.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Subcommand;
use jiff::{SignedDuration, Timestamp};
use spe_kernel::{
    document::{Opened, open},
    dsse::PublicKey,
    permit::{Condition, Modules, Permit, PermitBody, PermitData, PermitPerson, agreement},
    purpose::ApplicantBody,
};

use crate::{
    connect,
    document::{self, Kind},
    output::Output,
};

/// The template that `draft` prints, and a test signs.
const TEMPLATE: &str = include_str!("../../../policies/permits/template.toml");

#[derive(Subcommand)]
pub(crate) enum PermitCommand {
    /// Print a template with every field of Art. 68(10) explained, to be filled in and signed
    Draft,
    /// Sign a permit as a data access body
    ///
    /// DRAFT is a TOML file as in policies/permits/; docs/permit-format.md explains each field. The same checks are made as at a node, so
    /// that no permit is signed that no node would read.
    Sign(document::SignArgs),
    /// Check a signed permit's signature and show what it allows
    Show {
        /// The signed permit
        file: PathBuf,
    },
    /// Check a signed permit as a node does that trusts its issuer: signature, rules of the Regulation, validity now
    Check {
        /// The signed permit
        file: PathBuf,
        /// The access body's public key; without it, whoever signed is trusted
        #[arg(long, value_name = "KEY")]
        access_body: Option<PublicKey>,
    },
    /// Print a permit as an ODRL 2.2 agreement (JSON-LD), for dataspaces; the signed permit counts, not this
    Odrl {
        /// The signed permit
        file: PathBuf,
    },
    /// Print the JSON Schema of permits
    Schema,
}

pub(crate) fn run(command: PermitCommand, output: Output) -> Result<()> {
    match command {
        PermitCommand::Draft => document::draft(TEMPLATE, output),
        PermitCommand::Sign(args) => {
            document::sign::<PermitBody>(&args, |body| body.number.to_string(), |_| Ok(()), output)?;
            oddly_dated(&document::read(&args.draft)?, Timestamp::now());
            Ok(())
        }
        PermitCommand::Show { file } => show(&file, output),
        PermitCommand::Check { file, access_body } => check(&file, access_body, output),
        PermitCommand::Odrl { file } => {
            let permit = opened(&connect::read(&file)?, &file)?;
            let agreement = agreement(permit.body(), &permit.signer());
            let text = serde_json::to_string_pretty(&agreement)?;
            output.say(&agreement, || text + "\n")
        }
        PermitCommand::Schema => document::schema(Kind::Permit, output),
    }
}

/// Warns of dates that a template may have left.
fn oddly_dated(body: &PermitBody, now: Timestamp) {
    let PermitBody { issued_at, valid_until, .. } = body;
    if now.duration_since(*issued_at) > SignedDuration::from_hours(24) {
        eprintln!(
            "WARNING: its issued_at is {issued_at}: whoever has opted out since then is covered all the same (Art. 71(3)), and the hub takes \
             no permit that is dated before its application; write when it is issued, and sign it anew"
        );
    }
    if *valid_until <= now {
        eprintln!("WARNING: its valid_until is {valid_until}: it has ended, and no node takes a job under it");
    }
}

/// Opens a signed permit, whoever signed it, naming the file when it is none.
pub(crate) fn opened(envelope: &[u8], file: &Path) -> Result<Opened<PermitBody>> {
    open(envelope).with_context(|| format!("{} is not a signed permit (`spe permit sign` makes one)", file.display()))
}

fn check(file: &Path, access_body: Option<PublicKey>, output: Output) -> Result<()> {
    let envelope = connect::read(file)?;
    let document = opened(&envelope, file)?;
    let signer = document.signer();
    // A decision may give a permit that is valid later.
    let not_now = || format!("permit {}, whose digest for a decision is {}", document.body().number, document.digest());
    let permit = Permit::verify(&envelope, &[access_body.unwrap_or(signer)], Timestamp::now()).with_context(not_now)?;
    let (number, id) = (&permit.body().number, permit.id());
    let said =
        serde_json::json!({ "permit": number, "line": id.number, "signed_by": signer, "digest": permit.digest() });
    output.say(&said, || {
        format!(
            "permit {number} is well-formed, signed by {signer}, and valid now.\nIts digest, for a decision: {}\nIts losses count for the line of {} at each node and \
             dataset. Whether a node has seen it replaced or revoked, that node knows (`spe node permits`).\n",
            permit.digest(),
            id.number
        )
    })
}

fn show(file: &Path, output: Output) -> Result<()> {
    let envelope = connect::read(file)?;
    let permit = opened(&envelope, file)?;
    let said = serde_json::json!({ "permit": permit.body(), "signed_by": permit.signer(), "digest": permit.digest() });
    output.say(&said, || text(&permit))
}

/// How a person is told from others.
fn known_by(person: &PermitPerson) -> String {
    let key = person.key.map(|key| key.to_string());
    let login = person.identity.as_ref().map(|who| format!("login {} at {}", who.subject, who.issuer));
    key.into_iter().chain(login).collect::<Vec<_>>().join(" and ")
}

/// Everything that it says, by point of Art. 68(10).
fn text(permit: &Opened<PermitBody>) -> String {
    let (body, signer) = (permit.body(), permit.signer());
    let mut lines = document::Lines::default();
    let status = format!("{:?}", body.status).to_lowercase();
    lines.add("permit", format!("{} ({status}, {})", body.number, body.article));
    if let Some(replaced) = &body.replaces {
        lines.add("replaces", format!("{replaced}, in the line of {}", body.original));
    }
    lines.add("application", format!("{} (the applicant's number)", body.application));
    lines.add("issuer", format!("{} (signed by {signer})", body.issuer));
    lines.add("issued", body.issued_at.to_string());
    lines.add("digest", format!("{}, of what was signed: decisions, receipts and audit logs name it", permit.digest()));
    lines.add("applicant", format!("{} ({} body)", body.applicant, body_text(body.applicant_body)));
    body.data.iter().for_each(|data| lines.add("(a) data", data_text(data)));
    let points: Vec<_> = body.purposes().map(|p| format!("({}) {p}", p.point())).collect();
    lines.add("(b) purpose", format!("{}: {}", points.join(", "), body.purpose.text));
    lines.add(
        "(c) opt-outs",
        match &body.opt_out_exception {
            None => "are heeded".into(),
            Some(exception) => format!("are not heeded, under {}: {}", exception.national_law, exception.reason),
        },
    );
    for person in &body.persons {
        lines.add("(d) person", format!("{}, {:?}: {}", person.name, person.role, known_by(person)));
    }
    lines.add("(e) valid", format!("{} to {}", body.valid_from, body.valid_until));
    environment(body, &mut lines);
    for fee in &body.fees {
        lines.add("(g) fee", format!("{} {} for {}", fee.amount, fee.currency, fee.item));
    }
    body.conditions.iter().for_each(|condition| lines.add("(h) condition", condition_text(condition)));
    lines.render() + "The signature is good. Whether a node trusts the signer is in that node's policy.\n"
}

/// As it is written in a permit.
const fn body_text(body: ApplicantBody) -> &'static str {
    match body {
        ApplicantBody::Public => "public",
        ApplicantBody::OnBehalfOfPublic => "on-behalf-of-public",
        ApplicantBody::Private => "private",
    }
}

fn data_text(data: &PermitData) -> String {
    let nodes: Vec<_> = data.nodes.iter().map(ToString::to_string).collect();
    let nodes = if nodes.is_empty() { String::new() } else { format!(" at {}", nodes.join(", ")) };
    let day = |day: Option<jiff::civil::Date>| day.map_or_else(|| "…".into(), |day| day.to_string());
    let range = data.time_range.map(|range| format!("; from {} until before {}", day(range.from), day(range.until)));
    let access = if data.pseudonymised { "pseudonymised" } else { "anonymised" };
    let (category, code) = (data.category.point(), data.category.code());
    let columns = data.columns.join(", ");
    format!(
        "{}{nodes}: {columns}{} (Art. 51(1)({category}) {code}; {}; {access})",
        data.dataset,
        range.unwrap_or_default(),
        data.format
    )
}

fn environment(body: &PermitBody, lines: &mut document::Lines) {
    let environment = &body.environment;
    lines.add("(f) runtime", environment.runtime.clone());
    let list =
        |digests: &[spe_kernel::ids::Digest]| digests.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    lines.add(
        "(f) modules",
        match &environment.modules {
            Modules::Any => "any".into(),
            Modules::Only(digests) => list(digests),
            Modules::Class(class) => format!(
                "any with at most {} outputs of the kinds {}, in at most {} rounds",
                class.outputs_max,
                class.kinds.join(", "),
                class.rounds_max
            ),
        },
    );
    if !body.plans.is_empty() {
        lines.add("plans", list(&body.plans));
    }
    lines.add("(f) loss", format!("{} in all, at each node and dataset", environment.loss_cap));
    if let Some(most) = environment.loss_per_job_max {
        lines.add("(f) loss", format!("{most} of one job"));
    }
    let limits = environment.limits;
    lines.add(
        "(f) limits",
        format!("fuel {} for one person, memory {} bytes", limits.fuel_per_subject_max, limits.memory_bytes_max),
    );
    lines.add("(f) release", format!("{:?}", environment.release).to_lowercase());
}

fn condition_text(condition: &Condition) -> String {
    let least = condition.suppress_below_min.map(|least| format!(" [no noisy counts below {least}]"));
    let nodes = condition
        .nodes
        .as_ref()
        .map(|nodes| format!(" [only at {}]", nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")));
    format!("{}{}{}", condition.text, least.unwrap_or_default(), nodes.unwrap_or_default())
}
