//! `spe`: a secure processing environment for federated health data.
#![allow(rustdoc::invalid_html_tags, reason = "help texts are read in a terminal")]

mod account;
mod advise;
mod agreement;
mod application;
mod audit;
mod budget;
mod certificate;
mod charged;
mod chart;
mod connect;
mod data;
mod demo;
mod desk;
mod document;
mod exit;
mod fitted;
mod governance;
mod hub;
mod incident;
mod instant;
mod invent;
mod job;
mod join;
mod key;
mod keyholder;
mod known;
mod login;
mod misses;
mod module;
mod node;
mod optout;
mod output;
mod page;
mod permit;
mod policy;
mod preview;
mod register;
mod rehearse;
mod replay;
mod selftest;
mod show;
mod submit;
mod verify;
mod waiting;
mod workshop;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use output::{Answered, Output, Shown, Waits};

/// A secure processing environment for federated health data.
///
/// A researcher submits a WebAssembly module to a hub. Nodes run it over their own pseudonymised data, one data subject
/// at a time in a sandbox, add differentially private noise, and only then does an answer leave. `spe demo` shows it all.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    /// Answer with JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a hub and three nodes on this machine over real data, and answer a policymaker's question
    Demo(demo::DemoArgs),
    /// Keep a hub: it routes jobs and merges answers, and holds no data
    #[command(subcommand)]
    Hub(hub::HubCommand),
    /// Join a federation with an invitation: make a private key here, and get a certificate for it
    Join(join::JoinArgs),
    /// Keep a data holder's node: it dials out to the hub and decides alone
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Keep a key holder: it makes pseudonyms and keeps keys, for nodes that may not, and sees no data
    #[command(subcommand)]
    Keyholder(keyholder::KeyholderCommand),
    /// Bring data into a node
    #[command(subcommand)]
    Data(data::DataCommand),
    /// Look at analysis modules, and rehearse them on made-up people
    #[command(subcommand)]
    Module(module::ModuleCommand),
    /// Draft, sign, check and show data permits
    #[command(subcommand)]
    Permit(permit::PermitCommand),
    /// Apply for data: draft, sign, submit and follow applications; decide on them for an access body
    #[command(subcommand)]
    Application(governance::ApplicationCommand),
    /// Draft, sign and show decisions on applications
    #[command(subcommand)]
    Decision(governance::DecisionCommand),
    /// Draft, sign and show revocations of permits and exclusions of persons
    #[command(subcommand)]
    Revocation(governance::RevocationCommand),
    /// Read or export the public register: who got which data for what, who did not and why, and what came of it
    #[command(subcommand)]
    Register(register::RegisterCommand),
    /// Reports that the Regulation asks for
    #[command(subcommand)]
    Report(register::ReportCommand),
    /// Check a node's rules, and try them on golden cases
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Make and show keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Prove who owns a key: log in with an issuer of OpenID Connect, and keep the login beside the key
    Login(login::LoginArgs),
    /// NOT FOR PRODUCTION: serve an issuer of logins on this machine that asks nobody for a password
    DevIssuer(login::DevIssuerArgs),
    /// Submit and follow jobs
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Look at, check, export and witness a node's audit log; check receipts
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Show datasets, nodes and the privacy loss that is left; compare ledgers before a dataset is registered
    Budget(budget::BudgetArgs),
    /// Compile one module, as the child process of a node
    #[command(hide = true)]
    CompileModule,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => return misused(&usage),
    };
    let output = Output { json: cli.json };
    match dispatch(cli.command, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, output),
    }
}

fn dispatch(command: Command, output: Output) -> anyhow::Result<()> {
    match command {
        Command::Demo(args) => demo::run(&args, output),
        Command::Hub(command) => hub::run(command, output),
        Command::Join(args) => join::run(&args, output),
        Command::Node(command) => node::run(command, output),
        Command::Keyholder(command) => keyholder::run(command, output),
        Command::Data(command) => data::run(command, output),
        Command::Module(command) => module::run(command, output),
        Command::Permit(command) => permit::run(command, output),
        Command::Application(command) => governance::application(command, output),
        Command::Decision(command) => governance::decision(command, output),
        Command::Revocation(command) => governance::revocation(command, output),
        Command::Register(command) => register::run(&command, output),
        Command::Report(command) => register::report(&command, output),
        Command::Policy(command) => policy::run(command, output),
        Command::Key(command) => key::run(command, output),
        Command::Login(args) => login::run(args, output),
        Command::DevIssuer(args) => login::dev_issuer(&args, output),
        Command::Job(command) => job::run(command, output),
        Command::Audit(command) => audit::run(command, output),
        Command::Budget(args) => budget::run(&args, output),
        Command::CompileModule => node::compile_child(),
    }
}

/// Wrong use of the command line; help and version are no errors.
fn misused(usage: &clap::Error) -> ExitCode {
    if usage.use_stderr() && std::env::args().any(|arg| arg == "--json") {
        let said = serde_json::json!({ "error": usage.to_string() });
        Output { json: true }.say(&said, String::new).ok();
    }
    usage.print().ok();
    ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2))
}

/// Says what went wrong; its class is the exit code (`docs/operations.md`).
fn fail(error: &anyhow::Error, output: Output) -> ExitCode {
    let shown = error.is::<Shown>();
    let message = output::tame(&format!("{error:#}"));
    let answered = shown || error.is::<Waits>() || error.is::<Answered>();
    if output.json && !answered {
        let said = serde_json::json!({ "error": message, "refusal": exit::refusal(error) });
        output.say(&said, String::new).ok();
    }
    if !shown || !output.json {
        eprintln!("error: {message}");
    }
    ExitCode::from(exit::class(error).map_or(1, |class| class.codes().0))
}
