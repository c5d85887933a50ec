//! How long to wait before trying again: jittered exponential backoff without an end.
//!
//! Every wait grows by half up to a limit that it never exceeds, and is drawn at random from the range around it, so
//! that workers which lost the same broker do not come back in step. It never gives up: giving up is the operator's
//! decision. Called by every room that reconnects; the only module that names the `backoff` crate, which is asked for
//! by the owner and unmaintained (see `deny.toml`).

use std::time::Duration;

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff;

/// A wait is drawn from this much below to this much above the current interval.
const JITTER: f64 = 0.5;

/// A sequence of waits that grow until [`Retry::reset`].
#[derive(Debug)]
pub struct Retry {
    intervals: backoff::ExponentialBackoff,
    max: Duration,
}

impl Retry {
    /// Waits that start around `initial` and never exceed `max`.
    #[must_use]
    pub fn new(initial: Duration, max: Duration) -> Self {
        let intervals = ExponentialBackoffBuilder::new()
            .with_initial_interval(initial.min(max))
            .with_max_interval(max.div_f64(1.0 + JITTER))
            .with_randomization_factor(JITTER)
            .with_max_elapsed_time(None)
            .build();
        Self { intervals, max }
    }

    /// How long to wait before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        self.intervals.next_backoff().unwrap_or(self.max).min(self.max)
    }

    /// Starts again from the shortest wait: something worked.
    pub fn reset(&mut self) {
        self.intervals.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_never_end() {
        let max = Duration::from_secs(4);
        let mut retry = Retry::new(Duration::from_millis(100), max);
        assert!(retry.next_delay() <= Duration::from_millis(150));
        let waits: Vec<_> = (0..1000).map(|_| retry.next_delay()).collect();
        assert!(waits.iter().all(|wait| *wait <= max));
        assert!(waits[100..].iter().all(|wait| *wait >= max / 4), "the last waits are not long");
    }

    #[test]
    fn waits_are_jittered() {
        let mut retry = Retry::new(Duration::from_secs(1), Duration::from_secs(1));
        let first = retry.next_delay();
        assert!((0..20).any(|_| retry.next_delay() != first));
    }

    #[test]
    fn a_success_starts_again_from_the_shortest_wait() {
        let mut retry = Retry::new(Duration::from_millis(100), Duration::from_mins(1));
        for _ in 0..50 {
            retry.next_delay();
        }
        retry.reset();
        assert!(retry.next_delay() <= Duration::from_millis(150));
    }
}
