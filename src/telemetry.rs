//! What the process says about itself: log lines on stderr and numbers for a scraper.
//!
//! Logs never stop the work: a line that finds no room, because whoever reads stderr has stopped, is dropped and
//! counted. Libraries that would log message bodies or log-ins are capped whatever level is set, and `RUST_LOG` is not
//! read, so that nothing lifts the caps. Called by `cli` once, before anything else runs; every room logs through
//! `tracing` and counts through [`Metrics`]. It never decides anything.

mod metrics;
mod sink;

use std::io::{IsTerminal, Write};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::settings::{LogFormat, LogSettings};

pub use self::metrics::{Metrics, RetryKind, Side};
pub use self::sink::LogGuard;

/// Libraries that say too much, with the finest level that each may log at.
///
/// lapin logs the bodies of returned messages at WARN and the log-in at TRACE; `broker` reports its errors in our words.
/// sqlx logs statements, slow ones at WARN; rustls and hyper flood DEBUG.
const CAPS: [(&str, LevelFilter); 9] = [
    ("lapin", LevelFilter::OFF),
    ("amq_protocol", LevelFilter::ERROR),
    ("async_rs", LevelFilter::ERROR),
    ("sqlx", LevelFilter::WARN),
    ("rustls", LevelFilter::WARN),
    ("hyper", LevelFilter::WARN),
    ("hyper_util", LevelFilter::WARN),
    ("mio", LevelFilter::WARN),
    ("axum", LevelFilter::WARN),
];

/// Starts logging to stderr. The last lines are written when the guard is dropped, so keep it until the end.
///
/// A second call in one process changes nothing.
pub fn start(settings: &LogSettings, metrics: &Metrics) -> LogGuard {
    let (sink, guard) = sink::open(stderr(), metrics.clone());
    let colours = settings.format == LogFormat::Text && std::io::stderr().is_terminal();
    // An error says that logging has been started before: the first start stays.
    let _ = subscriber(settings, colours, move || sink.clone()).try_init();
    guard
}

/// A handle of its own: a write that is stuck must not hold the lock that a panic's message needs.
fn stderr() -> Box<dyn Write + Send> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        if let Ok(own) = std::io::stderr().as_fd().try_clone_to_owned() {
            return Box::new(std::fs::File::from(own));
        }
    }
    Box::new(std::io::stderr())
}

fn subscriber<W>(settings: &LogSettings, colours: bool, writer: W) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colours);
    let lines = match settings.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    tracing_subscriber::registry().with(lines).with(filter(LevelFilter::from_level(settings.level)))
}

fn filter(level: LevelFilter) -> Targets {
    let capped = CAPS.map(|(target, cap)| (target, cap.min(level)));
    Targets::new().with_default(level).with_targets(capped)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What is logged at `level` in `format` while `log` runs.
    fn logged(level: tracing::Level, format: LogFormat, log: impl FnOnce()) -> String {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let writer = Shared(Arc::clone(&lines));
        let subscriber = subscriber(&LogSettings { level, format }, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, log);
        let bytes = lines.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[derive(Clone)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_level_is_the_finest_that_is_shown() {
        let text = logged(tracing::Level::INFO, LogFormat::Text, || {
            tracing::info!(count = 3, "shown");
            tracing::debug!("hidden");
        });
        assert!(text.contains("shown") && text.contains("count=3") && !text.contains("hidden"), "{text}");
    }

    #[test]
    fn libraries_that_log_bodies_and_logins_are_capped_at_every_level() {
        let text = logged(tracing::Level::TRACE, LogFormat::Text, || {
            tracing::warn!(target: "lapin::returned_messages", "canary");
            tracing::trace!(target: "lapin::io_loop", "canary");
            tracing::debug!(target: "sqlx::query", "canary");
            tracing::trace!(target: "credits::broker", "ours");
        });
        assert!(text.contains("ours") && !text.contains("canary"), "{text}");
    }

    #[test]
    fn a_cap_does_not_make_a_library_louder_than_the_level() {
        let text = logged(tracing::Level::ERROR, LogFormat::Text, || tracing::warn!(target: "sqlx::query", "slow"));
        assert_eq!(text, "");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = logged(tracing::Level::INFO, LogFormat::Json, || {
            tracing::info!(queue = "credits.signup", "two\nlines");
        });
        assert_eq!(text.lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["message"], &line["queue"]), (&"two\nlines".into(), &"credits.signup".into()));
    }
}
