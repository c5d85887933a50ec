//! Waiting for conditions.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

/// No test waits longer than this for one thing, unless it says so.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// Between two looks.
const POLL: Duration = Duration::from_millis(20);

/// Looks until `look` gives a value, and gives that. `look` says in its error what it saw instead: if `limit` passes,
/// the test fails with the last of it.
pub(crate) async fn until<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + limit;
    let mut poll = interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = "no answer at all".to_owned();
    loop {
        poll.tick().await;
        match timeout_at(deadline, look()).await {
            Ok(Ok(value)) => return value,
            Ok(Err(instead)) => seen = instead,
            Err(_) => {}
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}\nlast seen: {seen}");
    }
}
