//! Waiting for conditions.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// No test waits longer than this for one thing, unless it says so.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// Between two looks.
const POLL: Duration = Duration::from_millis(20);
/// One look uses up no more of a limit than this: on a machine that was halted meanwhile nobody else had that time.
const MOST_PER_LOOK: Duration = Duration::from_secs(20);

/// Looks until `look` gives a value, and gives that. `look` says in its error what it saw instead: if `limit` passes,
/// the test fails with the last of it.
pub(crate) async fn until<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let mut used = Duration::ZERO;
    let mut poll = interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = "no answer at all".to_owned();
    loop {
        let begun = Instant::now();
        poll.tick().await;
        match timeout(limit.saturating_sub(used), look()).await {
            Ok(Ok(value)) => return value,
            Ok(Err(instead)) => seen = instead,
            Err(_) => {}
        }
        used += begun.elapsed().min(MOST_PER_LOOK);
        assert!(used < limit, "not within {limit:?}: {what}\nlast seen: {seen}");
    }
}
