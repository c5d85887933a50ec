//! How far a long verb is, on stderr: one line that moves on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// How wide a bar is.
const WIDTH: u64 = 30;

/// Tells how far something is, not too often.
pub(super) struct Progress {
    begun: Instant,
    told: Option<Instant>,
    every: Duration,
    on_terminal: bool,
}

impl Progress {
    /// Begins now. It is told so often on a terminal, and so often elsewhere.
    pub(super) fn new(on_terminal: Duration, elsewhere: Duration) -> Self {
        let is_terminal = stderr().is_terminal();
        let every = if is_terminal { on_terminal } else { elsewhere };
        Self { begun: Instant::now(), told: None, every, on_terminal: is_terminal }
    }

    /// Begins now, and tells nothing until the first time has passed.
    pub(super) fn patient(on_terminal: Duration, elsewhere: Duration) -> Self {
        let progress = Self::new(on_terminal, elsewhere);
        Self { told: Some(progress.begun), ..progress }
    }

    /// Tells it, unless that was done a moment ago.
    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.told.is_some_and(|told| told.elapsed() < self.every) {
            return;
        }
        self.told = Some(Instant::now());
        let line = line();
        // Nobody can be told if this fails.
        let _ = if self.on_terminal { write!(stderr(), "\r\x1b[K{line}") } else { writeln!(stderr(), "{line}") };
    }

    /// So many of all, with a bar on a terminal. The last time is always told.
    pub(super) fn tell_bar(&mut self, done: u64, all: u64, what: &str) {
        if done >= all {
            self.told = None;
        }
        let drawn = if self.on_terminal { bar(done, all) + " " } else { String::new() };
        let rate = per_second(done, self.begun.elapsed());
        self.tell(|| format!("{drawn}{} %  {done} of {all} {what}, {rate} a second", percent(done, all)));
    }

    /// Takes the moving line away, and gives how long it took.
    pub(super) fn end(&self) -> Duration {
        if self.on_terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
        self.begun.elapsed()
    }
}

fn percent(done: u64, all: u64) -> u64 {
    done.saturating_mul(100).checked_div(all).unwrap_or(100)
}

fn per_second(done: u64, took: Duration) -> u128 {
    (u128::from(done) * 1_000).checked_div(took.as_millis()).unwrap_or_default()
}

fn bar(done: u64, all: u64) -> String {
    let full = done.saturating_mul(WIDTH).checked_div(all).unwrap_or(WIDTH).min(WIDTH);
    let signs = |sign: &str, count: u64| sign.repeat(usize::try_from(count).unwrap_or_default());
    format!("[{}{}]", signs("#", full), signs(" ", WIDTH - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_the_work_is_done() {
        for (done, all, full, share) in [(0, 6, 0, 0), (3, 6, 15, 50), (6, 6, 30, 100), (0, 0, 30, 100)] {
            let drawn = bar(done, all);
            assert_eq!(
                (drawn.matches('#').count(), drawn.len(), percent(done, all)),
                (full, 32, share),
                "{done} of {all}"
            );
        }
    }
}
