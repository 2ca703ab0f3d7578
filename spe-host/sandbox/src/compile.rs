//! Compiling in a process of its own: the caller's side.

use std::{
    ffi::OsString,
    fs,
    io::{Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use spe_kernel::fault::Fault;
use tempfile::NamedTempFile;

use crate::{
    child::{DONE, INVALID, Order},
    trusted::Artifact,
};

/// Time on the wall for each second of processor time: others may be at work too.
const PATIENCE: u32 = 4;

/// How modules are compiled: the program to start, and what one module may cost.
#[derive(Debug, Clone)]
pub struct Compiler {
    /// A program that calls [`crate::compile_child`], usually the running one.
    pub program: PathBuf,
    /// The arguments that make it do so.
    pub args: Vec<OsString>,
    /// Processor time for one module; on the wall it may take four times as long.
    pub seconds_max: u32,
    /// Memory for one module.
    pub memory_bytes_max: u64,
}

/// Why there is no artifact.
pub(crate) enum Uncompiled {
    /// The module is to blame, and would be again.
    Refused(&'static str),
    /// It took too long on the wall, for which a busy host may be to blame.
    Late(&'static str),
    /// The host is.
    Failed(Fault),
}

impl From<Fault> for Uncompiled {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

const TOO_LONG: &str = "compiling it takes more time than this node allows: make it smaller";
const TOO_LARGE: Uncompiled =
    Uncompiled::Refused("compiling it takes more memory than this node allows: make it smaller");
const UNCOMPILABLE: Uncompiled = Uncompiled::Refused("the compiler refuses it: split very large functions");

const SIGABRT: i32 = 6;
const SIGXCPU: i32 = 24;

impl Compiler {
    /// Compiles a module; `scratch` is a file that the other process writes and nobody else knows.
    pub(crate) fn compile(&self, module: &[u8], scratch: &NamedTempFile) -> Result<Artifact, Uncompiled> {
        let order = Order {
            artifact: scratch.path().to_owned(),
            seconds_max: self.seconds_max.into(),
            memory_bytes_max: self.memory_bytes_max,
        };
        let mut head = serde_json::to_vec(&order).map_err(Fault::while_("ordering a compilation"))?;
        head.push(b'\n');
        judged(self.run(&head, module)?)?;
        Ok(Artifact::vouched(fs::read(scratch.path()).map_err(Fault::while_("reading a compiled module"))?))
    }

    fn run(&self, head: &[u8], module: &[u8]) -> Result<ExitStatus, Uncompiled> {
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            // A signal that stops the node lets the job under way finish, and so its compiler.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Fault::while_("starting the compiler"))?;
        let (ended, end) = mpsc::channel();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        thread::scope(|scope| {
            // A process that dies early breaks the pipe; its exit status says why, so that errors here say nothing.
            scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(head).and_then(|()| pipe.write_all(module))));
            scope.spawn(move || {
                // Nothing is written there: the end of the stream is the end of the process.
                let _ = stdout.map(|pipe| std::io::copy(&mut pipe.take(u64::MAX), &mut std::io::sink()));
                ended.send(())
            });
            let in_time = end.recv_timeout(Duration::from_secs(self.seconds_max.into()) * PATIENCE).is_ok();
            finished(&mut child, in_time)
        })
    }
}

/// Waits for a process that ended, or ends it.
fn finished(child: &mut Child, in_time: bool) -> Result<ExitStatus, Uncompiled> {
    if !in_time {
        child.kill().map_err(Fault::while_("stopping the compiler"))?;
    }
    let status = child.wait().map_err(Fault::while_("waiting for the compiler"))?;
    if in_time { Ok(status) } else { Err(Uncompiled::Late(TOO_LONG)) }
}

fn judged(status: ExitStatus) -> Result<(), Uncompiled> {
    match (status.code(), status.signal()) {
        (Some(DONE), _) => Ok(()),
        (Some(INVALID), _) => Err(UNCOMPILABLE),
        (_, Some(SIGXCPU)) => Err(Uncompiled::Refused(TOO_LONG)),
        // What a failed allocation does.
        (_, Some(SIGABRT)) => Err(TOO_LARGE),
        _ => Err(Fault::new("compiling a module", status).into()),
    }
}
