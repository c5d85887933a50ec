//! One `credits run` as a child process.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use super::http;
use super::wait::until;

/// How much of a log a failed test shows.
const SHOWN_LINES: usize = 60;

/// A running worker, or one that has ended.
pub(crate) struct WorkerProcess {
    child: Child,
    log: PathBuf,
    /// Ports of the services: what else the log names on loopback is the worker's own.
    foreign: Vec<String>,
}

impl WorkerProcess {
    pub(super) fn spawn(mut command: Command, log: PathBuf, foreign: Vec<String>) -> Self {
        let out = File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        Self { child: command.spawn().unwrap(), log, foreign }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Where it serves health and metrics: it takes a free port and says so in its log.
    pub(crate) fn http(&self) -> Result<SocketAddr, String> {
        let log = self.log();
        let mut named = log.split(|c: char| !(c.is_ascii_alphanumeric() || ".:".contains(c)));
        let own = named.find_map(|word| {
            let address: SocketAddr = word.parse().ok()?;
            (!self.foreign.contains(&address.port().to_string())).then_some(address)
        });
        own.ok_or_else(|| format!("no address in its log yet:\n{log}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<(u16, String), String> {
        http::get(self.http()?, path).await
    }

    /// Waits until it says that it is ready.
    pub(crate) async fn ready(&mut self, limit: Duration) {
        until("the worker is ready", limit, async || {
            assert!(self.is_running(), "the worker ended while it was waited for");
            match self.get("/readyz").await? {
                (200, _) => Ok(()),
                (status, body) => Err(format!("/readyz: {status} {body}")),
            }
        })
        .await;
    }

    /// The value of one line of its metrics.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64, String> {
        let (_, text) = self.get("/metrics").await?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).ok_or_else(|| format!("no {name} in\n{text}"))
    }

    /// A line of /proc/PID/status in KiB, such as `VmHWM`.
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM.
    pub(crate) fn ask_to_stop(&self) {
        self.signal("TERM");
    }

    /// SIGSTOP: it keeps its sockets and does nothing.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.id())]).status().unwrap();
        assert!(sent.success(), "SIG{name} could not be sent");
    }

    /// Waits for its end: how it ended, and after how long.
    pub(crate) async fn ended(&mut self, limit: Duration) -> (Exit, Duration) {
        let begun = Instant::now();
        let status = until("the process ends", limit, async || {
            self.child.try_wait().unwrap().ok_or_else(|| "it runs".to_owned())
        })
        .await;
        (Exit::from(status), begun.elapsed())
    }

    pub(super) fn show_log(&self) {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(SHOWN_LINES);
        eprintln!("--- the end of {} ({} lines)\n{}\n---", self.log.display(), lines.len(), lines[from..].join("\n"));
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(i32),
    Signal(i32),
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        status.code().map_or_else(|| Self::Signal(status.signal().unwrap_or_default()), Self::Code)
    }
}
