//! `spe`: a secure processing environment for federated health data.
#![allow(rustdoc::invalid_html_tags, reason = "help texts are read in a terminal")]

mod advise;
mod budget;
mod certificate;
mod chart;
mod connect;
mod data;
mod demo;
mod hub;
mod invent;
mod job;
mod key;
mod module;
mod node;
mod optout;
mod output;
mod page;
mod permit;
mod preview;
mod rehearse;
mod replay;
mod selftest;
mod show;
mod submit;
mod verify;
mod workshop;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use output::{Output, Shown};
use spe_kernel::refusal::Refusal;

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
    /// Keep a data holder's node: it dials out to the hub and decides alone
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Bring data into a node
    #[command(subcommand)]
    Data(data::DataCommand),
    /// Look at analysis modules, and rehearse them on made-up people
    #[command(subcommand)]
    Module(module::ModuleCommand),
    /// Sign and show data permits
    #[command(subcommand)]
    Permit(permit::PermitCommand),
    /// Make and show keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Submit and follow jobs
    #[command(subcommand)]
    Job(job::JobCommand),
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
        Command::Node(command) => node::run(command, output),
        Command::Data(command) => data::run(command, output),
        Command::Module(command) => module::run(command, output),
        Command::Permit(command) => permit::run(command, output),
        Command::Key(command) => key::run(command, output),
        Command::Job(command) => job::run(command, output),
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

/// Says what went wrong; a refusal's class is the exit code (`docs/operations.md`).
fn fail(error: &anyhow::Error, output: Output) -> ExitCode {
    let shown = error.downcast_ref::<Shown>().map(|Shown(refusal)| refusal);
    let refusal = error.downcast_ref::<Refusal>().or(shown);
    let message = output::tame(&format!("{error:#}"));
    if output.json && shown.is_none() {
        let said = serde_json::json!({ "error": message, "refusal": refusal });
        output.say(&said, String::new).ok();
    }
    if shown.is_none() || !output.json {
        eprintln!("error: {message}");
    }
    ExitCode::from(refusal.map_or(1, |r| Refusal::class(r).codes().0))
}
