//! Prove who owns a key: log in with an issuer of OpenID Connect. `docs/identity.md`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use spe_identity::{
    LogIn, Login, Url,
    development::{DevelopmentIssuer, MARK, choose},
    log_in,
};
use spe_kernel::{dsse::PublicKey, person::Identity};
use spe_wire::write_secret;

use crate::{
    connect::block_on,
    key,
    output::{Output, told_to_stop},
};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct LoginArgs {
    #[command(subcommand)]
    command: Option<LoginCommand>,
    /// The issuer's address, exactly as the nodes' operators write it
    #[arg(long, value_name = "URL", required = true)]
    issuer: Option<String>,
    /// What spe is registered as there
    #[arg(long, value_name = "ID", required = true)]
    client_id: Option<String>,
    /// Your secret key file: the login is for this key, and is kept beside it
    #[arg(long, value_name = "FILE", required = true)]
    key: Option<PathBuf>,
    /// Level of assurance to ask the issuer for (acr_values)
    #[arg(long)]
    acr: Option<String>,
    /// Only print the address to open, and do not start a browser
    #[arg(long)]
    no_browser: bool,
    /// With an issuer for development: choose the person of this subject on its page, without a browser
    #[arg(long, value_name = "SUBJECT")]
    development_person: Option<String>,
    /// How long to wait for you, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,
}

#[derive(Subcommand)]
enum LoginCommand {
    /// Show who a key's login says that you are, and until when
    Show {
        /// Your secret key file
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct DevIssuerArgs {
    /// Whom it knows: a TOML file with `[[persons]]`, each with subject, name, amr and, if wanted, acr
    #[arg(long, value_name = "FILE")]
    persons: PathBuf,
    /// Where to serve; on this machine only
    #[arg(long, default_value = "127.0.0.1:8400")]
    listen: SocketAddr,
}

/// The login that belongs to a key file: `me.key` → `me.login.json`.
fn beside(key: &Path) -> PathBuf {
    key.with_extension("login.json")
}

pub(crate) fn run(args: LoginArgs, output: Output) -> Result<()> {
    if let Some(LoginCommand::Show { key }) = args.command {
        return show(&key, output);
    }
    let needed = "--issuer, --client-id and --key are needed";
    let file = args.key.context(needed)?;
    let asked = LogIn {
        issuer: args.issuer.context(needed)?,
        client_id: args.client_id.context(needed)?,
        key: key::read(&file)?.public(),
        acr: args.acr,
        patience: Duration::from_secs(args.patience),
    };
    let (browser, person) = (!args.no_browser, args.development_person);
    let login = block_on(async {
        let (page, shown) = tokio::sync::oneshot::channel();
        let show = |url: &Url| {
            eprintln!("Log in there: {url}");
            page.send(url.clone()).ok();
        };
        let opening = async {
            let Ok(url) = shown.await else { return Ok(()) };
            match person {
                Some(subject) => Ok(choose(&url, &subject).await?),
                None if browser => open_browser(&url),
                None => Ok(()),
            }
        };
        // Whatever fails first ends it: nobody comes back from a page that could not be used.
        let logging_in = async { Ok(log_in(&asked, show).await?) };
        let (login, ()) = tokio::try_join!(logging_in, opening)?;
        Ok(login)
    })?;
    keep(&beside(&file), &login)?;
    let identity = login.recognise(asked.key, Timestamp::now())?;
    say(&identity, &login, output)
}

/// Starts a browser where there is a screen; without one the printed address is enough.
fn open_browser(url: &Url) -> Result<()> {
    let screen = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let opener = match (cfg!(target_os = "macos"), screen) {
        (true, _) => "open",
        (false, true) => "xdg-open",
        (false, false) => return Ok(()),
    };
    let quiet =
        Command::new(opener).arg(url.as_str()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if quiet.is_err() {
        eprintln!("No browser could be started; open the address yourself.");
    }
    Ok(())
}

/// Writes the login, in place of an earlier one, readable by its owner alone.
fn keep(file: &Path, login: &Login) -> Result<()> {
    let new = file.with_extension("new");
    if new.exists() {
        std::fs::remove_file(&new).with_context(|| format!("removing {}", new.display()))?;
    }
    write_secret(&new, serde_json::to_vec_pretty(login)?)?;
    std::fs::rename(&new, file).with_context(|| format!("writing {}", file.display()))
}

/// The login beside `key`, if there is one.
pub(crate) fn kept(key: &Path) -> Result<Option<Login>> {
    let file = beside(key);
    match std::fs::read(&file) {
        Ok(text) => Ok(Some(Login::read(&text).with_context(|| file.display().to_string())?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
    }
}

/// The login beside the key file, and who it says the owner of `public` is, for a job that is signed at `signed_at`.
pub(crate) fn proof(key: &Path, public: PublicKey, signed_at: Timestamp) -> Result<Option<(String, Identity)>> {
    let Some(login) = kept(key)? else { return Ok(None) };
    let advice = || format!("{}: run `spe login` again, or remove the file", beside(key).display());
    let identity = login.recognise(public, signed_at).with_context(advice)?;
    Ok(Some((login.id_token, identity)))
}

fn show(file: &Path, output: Output) -> Result<()> {
    let public = key::read(file)?.public();
    let Some(login) = kept(file)? else {
        bail!("{} does not exist: `spe login` makes it", beside(file).display());
    };
    let identity = login.recognise(public, Timestamp::now()).with_context(|| beside(file).display().to_string())?;
    say(&identity, &login, output)
}

fn say(identity: &Identity, login: &Login, output: Output) -> Result<()> {
    let who = identity.who();
    let json = serde_json::json!({ "issuer": who.issuer, "subject": who.subject, "acr": identity.acr(), "amr": identity.amr(),
        "auth_time": identity.auth_time(), "ends_at": login.ends_at });
    output.say(&json, || {
        format!(
            "subject    {}\nissuer     {}\nassurance  acr {}, amr {}\nlogged in  {}, good until {}\n",
            who.subject,
            who.issuer,
            identity.acr().unwrap_or("none"),
            if identity.amr().is_empty() { "none".into() } else { identity.amr().join(", ") },
            identity.auth_time(),
            login.ends_at
        )
    })
}

pub(crate) fn dev_issuer(args: &DevIssuerArgs, output: Output) -> Result<()> {
    let persons = spe_node::config::read_toml(&args.persons)?;
    block_on(async {
        let issuer = DevelopmentIssuer::bind(args.listen, persons).await?;
        output.say(&serde_json::json!({ "issuer": issuer.issuer(), "development": MARK }), || {
            format!("{MARK}: issuer for development at {}\n", issuer.issuer())
        })?;
        issuer.serve(told_to_stop()).await?;
        Ok(())
    })
}
