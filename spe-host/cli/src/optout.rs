//! The register of opt-outs, for a node's operator or intake desk. Works while the node runs.

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;
use spe_kernel::{
    category::Categories,
    ids::{DatasetName, Digest, TableName},
    job::Purpose,
    optout::{AsOf, Choice, Entry, History, Scope, Subject, excluded, refused, short},
    refusal::Refusal,
};
use spe_node::{config::NodeConfig, keys::Holder};
use spe_vault::{Register, RegisterError, Vault};

use crate::{connect, exit::Refused, output::Output, permit, show::Table};

mod enter;
use enter::{ChoiceArgs, enter};

/// Lines of a list that a terminal shows; `--json` has all.
const LINES_MAX: usize = 60;

#[derive(Subcommand)]
pub(crate) enum OptoutCommand {
    /// Enter that persons opt out: later permits do not cover them; earlier ones are not affected (Art. 71(3))
    Add(ChoiceArgs),
    /// Enter that persons take their opt-out back: later permits cover them again
    Withdraw(ChoiceArgs),
    /// Show one person's own entries, and what they come to now
    Show {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        person: Person,
    },
    /// Count entries and show who is left out now, by the first digits of pseudonyms
    List {
        #[command(flatten)]
        at: At,
    },
    /// Check every entry, and compute what stands as snapshot in answers under a permit
    Verify(VerifyArgs),
}

/// Which register.
#[derive(Args)]
pub(crate) struct At {
    /// The node's folder
    dir: PathBuf,
    /// The dataset
    #[arg(long)]
    dataset: DatasetName,
}

/// Who it is about. Names of persons are hashed at once: they are neither stored nor shown.
#[derive(Args)]
pub(crate) struct Person {
    /// The person's id as it stands in the source; once for each key column of the declaration, in its order
    #[arg(long = "id", value_name = "PERSONAL_ID", allow_hyphen_values = true, required_unless_present = "file")]
    id: Vec<String>,
    /// Persons' ids, one a line, several key columns separated by tabs; - reads standard input, so that no id is in the shell's history
    #[arg(long = "ids-file", value_name = "FILE", conflicts_with = "id")]
    file: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    at: At,
    /// A signed permit: which cohort it covers, for each of its purposes
    #[arg(long, value_name = "FILE")]
    permit: Option<PathBuf>,
    /// The digest of an earlier snapshot of the dataset; the current one if left out
    #[arg(long, value_name = "DIGEST", requires = "permit")]
    snapshot: Option<Digest>,
    /// A table that the job reads; may be given several times; all of the dataset's if left out
    #[arg(long = "table", value_name = "TABLE", requires = "permit")]
    tables: Vec<TableName>,
}

pub(crate) fn run(command: OptoutCommand, output: Output) -> Result<()> {
    match command {
        OptoutCommand::Add(args) => enter(&args, Choice::OptsOut, output),
        OptoutCommand::Withdraw(args) => enter(&args, Choice::ComesBack, output),
        OptoutCommand::Show { at, person } => show(&at, &person, output),
        OptoutCommand::List { at } => list(&at, output),
        OptoutCommand::Verify(args) => verify(&args, output),
    }
}

impl At {
    fn config(&self) -> Result<NodeConfig> {
        Ok(NodeConfig::read(&self.dir)?)
    }

    fn register(&self) -> Result<Register> {
        Ok(Register::of(&self.config()?.vault_dir(), &self.dataset)?)
    }

    fn subjects(&self, register: &Register, named: &[Vec<String>]) -> Result<Vec<Subject>> {
        Ok(register.subjects(&self.keys()?, named)?)
    }

    /// The pseudonyms of those persons by each version that entries have: those of before a rotation stand under an older one until the person
    /// is met in the data.
    fn by_version(&self, register: &Register, history: &History, named: &[Vec<String>]) -> Result<Vec<Vec<Subject>>> {
        let keys = self.keys()?;
        let versions = history.versions().into_iter();
        Ok(versions.map(|version| register.subjects_by(&keys, named, version)).collect::<Result<_, _>>()?)
    }

    /// The key holder, which alone can make pseudonyms.
    fn keys(&self) -> Result<Holder> {
        Ok(Holder::open(&self.config()?.keyholder_file)?)
    }
}

impl Person {
    /// The values that name each person.
    fn named(&self) -> Result<Vec<Vec<String>>> {
        let Some(file) = &self.file else { return Ok(vec![self.id.clone()]) };
        let text = read_ids(file).with_context(|| format!("reading {}", file.display()))?;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let named: Vec<Vec<String>> = lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect();
        if named.is_empty() {
            return Err(Refused::wrong(format!("{} names nobody", file.display())));
        }
        Ok(named)
    }
}

fn read_ids(file: &Path) -> std::io::Result<String> {
    if file.as_os_str() != "-" {
        return std::fs::read_to_string(file);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map(|_| text)
}

/// What an interrupted command left.
fn torn(bytes: usize, became: &str) -> String {
    match bytes {
        0 => String::new(),
        _ => format!(
            "the last {bytes} bytes, of a command that was interrupted and never said that it was done, {became}: what it should have \
             entered must be entered again\n"
        ),
    }
}

const fn word(choice: Choice) -> &'static str {
    match choice {
        Choice::OptsOut => "opts-out",
        Choice::ComesBack => "comes-back",
    }
}

/// What somebody is left out of for `purpose`: of all data, or of some categories.
fn out_of(purpose: Purpose, categories: Categories) -> String {
    Scope::of(&[purpose], &categories.iter().collect::<Vec<_>>()).to_string()
}

fn show(at: &At, person: &Person, output: Output) -> Result<()> {
    let register = at.register()?;
    let named = person.named()?;
    let subjects = at.subjects(&register, &named)?;
    let [subject] = subjects.as_slice() else {
        return Err(Refused::wrong(format!("show is about one person; {} are named", subjects.len())));
    };
    let history = register.read()?;
    let mut own_pseudonyms = at.by_version(&register, &history, &named)?.concat();
    own_pseudonyms.push(*subject);
    let is_own = |(_, e): &(usize, &Entry)| own_pseudonyms.contains(&e.subject);
    let own: Vec<(usize, &Entry)> = (1..).zip(history.entries()).filter(is_own).collect();
    let one = |e: &Entry| {
        if own_pseudonyms.contains(&e.subject) { Entry { subject: *subject, ..e.clone() } } else { e.clone() }
    };
    let entries: Vec<Entry> = history.entries().iter().map(one).collect();
    let now = Timestamp::now();
    let out = |purpose| refused(&entries, now, purpose).into_iter().find(|(who, _)| who == subject);
    let now_out: Vec<_> = Purpose::ALL.iter().filter_map(|p| out(*p).map(|(_, some)| out_of(*p, some))).collect();
    let json: Vec<_> = own
        .iter()
        .map(|(number, e)| {
            json!({ "entry": number, "choice": word(e.choice), "scope": e.scope.to_string(), "recorded_at": e.recorded_at,
                "effective_at": e.effective_at, "source": e.channel.as_str(), "by": e.channel.by() })
        })
        .collect();
    output.say(&json!({ "entries": json, "left_out_of": now_out }), || {
        let mut table = Table::new(["entry", "recorded", "in effect", "choice", "for", "source", "entered by"]);
        for (number, e) in &own {
            let times = [e.recorded_at, e.effective_at].map(|t| t.to_string());
            let [recorded, effective] = times;
            let (choice, scope) = (word(e.choice).to_owned(), e.scope.to_string());
            let (source, by) = (e.channel.as_str().to_owned(), e.channel.by().unwrap_or("not known").to_owned());
            table.row([number.to_string(), recorded, effective, choice, scope, source, by]);
        }
        let now = match now_out.as_slice() {
            [] => "permits issued now cover this person".into(),
            out => format!("permits issued now do not cover this person for {}", out.join(", ")),
        };
        let nothing = match own.as_slice() {
            [] => format!(
                "nothing was ever entered of this id in the register of dataset {}: check how it is written\n",
                at.dataset
            ),
            _ => String::new(),
        };
        format!("{}{nothing}{now}\n{}", table.render(), torn(history.torn_bytes(), "is passed over"))
    })
}

fn list(at: &At, output: Output) -> Result<()> {
    let history = at.register()?.read()?;
    let now = Timestamp::now();
    let by_purpose = Purpose::ALL.map(|p| (p, refused(history.entries(), now, p)));
    let mut people: BTreeMap<Subject, (usize, Vec<String>)> = BTreeMap::new();
    for entry in history.entries() {
        people.entry(entry.subject).or_default().0 += 1;
    }
    for (purpose, out) in &by_purpose {
        for (subject, categories) in out {
            people.entry(*subject).or_default().1.push(out_of(*purpose, *categories));
        }
    }
    let counts: serde_json::Map<_, _> = by_purpose.iter().map(|(p, out)| (p.to_string(), out.len().into())).collect();
    let json: Vec<_> = people
        .iter()
        .map(|(s, (entries, out))| json!({ "pseudonym": short(s), "entries": entries, "left_out_of": out }))
        .collect();
    let said = json!({ "dataset": at.dataset, "entries": history.entries().len(), "persons": json, "left_out": counts,
        "torn_bytes": history.torn_bytes() });
    output.say(&said, || {
        let mut table = Table::new(["pseudonym", "entries", "left out of"]);
        for (subject, (entries, out)) in people.iter().take(LINES_MAX) {
            let everything =
                Purpose::ALL.iter().zip(out).filter(|(p, out)| p.to_string() == **out).count() == Purpose::ALL.len();
            let out = if everything { "everything".into() } else { out.join(", ") };
            table.row([short(subject) + "…", entries.to_string(), out]);
        }
        let more = people.len().saturating_sub(LINES_MAX);
        let more = if more > 0 { format!("  … and {more} more; --json has all\n") } else { String::new() };
        let counts = by_purpose.iter().map(|(p, out)| format!("  {p}: {}\n", out.len()));
        format!(
            "dataset {}: {} entries of {} persons; left out of permits issued now, of all the data or some:\n{}{}{more}{}",
            at.dataset,
            history.entries().len(),
            people.len(),
            counts.collect::<String>(),
            table.render(),
            torn(history.torn_bytes(), "is passed over")
        )
    })
}

fn verify(args: &VerifyArgs, output: Output) -> Result<()> {
    let history = args.at.register()?.read()?;
    let config = args.at.config()?;
    // The list can be checked without the key holder; who is in it cannot.
    let own_key = match args.at.register()?.check_key(&args.at.keys()?, &history) {
        Ok(()) => Some(true),
        Err(RegisterError::Keys(spe_kernel::keys::KeyError::Away(_))) => None,
        Err(wrong) => return Err(wrong.into()),
    };
    let cohorts = args.permit.as_ref().map(|file| cohorts(args, &config, &history, file)).transpose()?;
    let cohorts = cohorts.unwrap_or_default();
    let json: Vec<_> = cohorts
        .iter()
        .map(|(purpose, out, snapshot)| json!({ "purpose": purpose, "left_out": out, "snapshot_in_answers": snapshot }))
        .collect();
    let last = history.entries().last().map(|e| e.recorded_at);
    let said = json!({ "dataset": args.at.dataset, "entries": history.entries().len(), "last_recorded_at": last,
        "chain": history.chain(), "torn_bytes": history.torn_bytes(), "key_matches": own_key, "cohorts": json });
    output.say(&said, || {
        let mut text = format!(
            "dataset {}: {} entries, whole and in order, chain {}\n{}",
            args.at.dataset,
            history.entries().len(),
            history.chain(),
            torn(history.torn_bytes(), "is passed over")
        );
        if !cohorts.is_empty() {
            let mut table = Table::new(["purpose", "left out", "snapshot in answers"]);
            for (purpose, out, snapshot) in &cohorts {
                table.row([purpose.to_string(), out.to_string(), snapshot.to_string()]);
            }
            text += &table.render();
        }
        text
    })
}

/// For each purpose of a permit: how many are left out, and what stands as snapshot in answers under it.
fn cohorts(
    args: &VerifyArgs,
    config: &NodeConfig,
    history: &History,
    file: &Path,
) -> Result<Vec<(Purpose, usize, Digest)>> {
    let permit = permit::opened(&connect::read(file)?, file)?;
    let body = permit.body();
    let dataset = &args.at.dataset;
    let listed = Vault::list(&config.vault_dir())?;
    let held = listed.iter().find(|listed| listed.schema.name == *dataset);
    let held = held.ok_or_else(|| RegisterError::NoDataset { dataset: dataset.clone() })?;
    let snapshot = args.snapshot.unwrap_or(held.snapshot);
    if let Some(stray) = args.tables.iter().find(|table| held.schema.table(table).is_none()) {
        let tables: Vec<_> = held.schema.tables.iter().map(|table| table.name.as_str()).collect();
        let why = format!("dataset {dataset} has no table {stray}; it has {}", tables.join(", "));
        return Err(Refused::missing(why));
    }
    let tables = match args.tables.as_slice() {
        [] => held.schema.tables.iter().map(|table| &table.name).collect(),
        named => named.iter().collect::<Vec<_>>(),
    };
    let reads = held.schema.categories(tables.into_iter());
    if body.data.iter().all(|data| data.dataset != *dataset) {
        let refusal = Refusal::DatasetNotInPermit { dataset: dataset.clone() };
        return Err(anyhow::Error::from(refusal).context(file.display().to_string()));
    }
    let windows = body.windows(&held.schema, &config.name)?;
    // An exception from opt-outs, where the node accepts it, leaves nobody out.
    let entries = if body.opt_out_exception.is_some() { &[] } else { history.entries() };
    let cohort = |purpose: &Purpose| {
        let out = excluded(entries, AsOf { at: body.issued_at, purpose: *purpose, reads }, &held.schema);
        (*purpose, out.subjects().len(), windows.digest(out.cohort(snapshot)))
    };
    Ok(body.purposes().map(|purpose| cohort(&purpose)).collect())
}
