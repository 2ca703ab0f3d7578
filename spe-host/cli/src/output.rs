//! Where answers go: text for people, JSON for programs.

use std::io::Write;

use anyhow::Result;

/// A refusal that the command's answer shows already; what is left is the exit code.
#[derive(Debug, thiserror::Error)]
#[error("no node answered: {0}")]
pub(crate) struct Shown(pub(crate) spe_kernel::refusal::Refusal);

/// A job that no node has answered yet; the command's answer shows how it stands, and this is what it waits for.
#[derive(Debug, thiserror::Error)]
#[error("no answer yet: {0}")]
pub(crate) struct Waits(pub(crate) String);

/// A command that failed after it had answered: its answer says what is wrong, and this says that something is.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Answered(pub(crate) String);

/// How a command answers.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Prints `value` as JSON with `--json`, else `text`.
    pub(crate) fn say(self, value: &impl serde::Serialize, text: impl FnOnce() -> String) -> Result<()> {
        let mut out = std::io::stdout().lock();
        let written = if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(value)?)
        } else {
            out.write_all(text().as_bytes())
        };
        match written {
            // `spe … | head` is not an error.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }
}

/// Sends the log to standard error; `RUST_LOG` says how much.
pub(crate) fn log() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}

/// Resolves when the process is interrupted or terminated.
pub(crate) async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!(
        "told to stop: finishing what is under way; a second signal ends it at once, and a charge already made stays spent"
    );
    tokio::spawn(async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        std::process::exit(1);
    });
}

/// `text` without what a terminal would obey: names and reasons come from other members.
pub(crate) fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}
