//! A worker as a process: started, watched, stopped in order, never left behind.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::settings::VARIABLE_PREFIX;

/// A worker drains within 25 s; more than that is a fault.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Lines of its log that are shown when a worker ends by itself.
const LOG_LINES: usize = 20;

/// A running worker. Killed when dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it writes goes to a log file under the target directory.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(name: &str, mut command: Command) -> Result<Self> {
        let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{name}.log"));
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        for (variable, _) in std::env::vars().filter(|(variable, _)| variable.starts_with(VARIABLE_PREFIX)) {
            command.env_remove(variable);
        }
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Fails as soon as the worker is no longer there.
    ///
    /// # Errors
    /// The end of its log.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        bail!("{} ended by itself: {status}\n{}", self.name, self.log_tail());
    }

    /// Sends SIGTERM and waits until the worker has drained.
    ///
    /// # Errors
    /// It takes too long or exits with another code than 0.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.check_alive()?;
        let sent = Command::new("kill").arg(self.child.id().to_string()).status().context("kill")?;
        ensure!(sent.success(), "{} cannot be told to stop", self.name);
        self.ended(STOP_LIMIT).await
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Errors
    /// It takes longer than `limit` or exits with another code than 0.
    pub(crate) async fn ended(&mut self, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "{} failed: {status}\n{}", self.name, self.log_tail());
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("{} did not end within {limit:?}\n{}", self.name, self.log_tail());
    }

    /// The end of the worker's log.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
