//! Carries log lines to their end on a thread of its own, and drops them rather than waiting.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::time::{Duration, Instant};

use super::Metrics;

/// Lines that may wait to be written: a few seconds of a busy log, a few megabytes.
const WAITING_LINES: usize = 10_000;

/// How long the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

enum Job {
    Write(Vec<u8>),
    /// Answer once everything before has been written.
    Flush(Sender<()>),
}

/// Where log lines go in. Cheap to clone; a write never waits and never fails.
#[derive(Clone)]
pub(super) struct Sink {
    jobs: SyncSender<Job>,
    metrics: Metrics,
}

/// Writes the last lines when it is dropped, but waits no longer than a second for a reader that has stopped.
#[must_use = "log lines are lost if it is dropped at once"]
pub struct LogGuard {
    jobs: SyncSender<Job>,
}

/// Starts the thread that writes to `end`.
pub(super) fn open(end: Box<dyn Write + Send>, metrics: Metrics) -> (Sink, LogGuard) {
    let (jobs, waiting) = sync_channel(WAITING_LINES);
    let started = std::thread::Builder::new().name("log".to_owned()).spawn(move || carry(&waiting, end));
    // Without the thread the channel has no receiver: every line counts as dropped, and the work goes on.
    drop(started);
    (Sink { jobs: jobs.clone(), metrics }, LogGuard { jobs })
}

fn carry(waiting: &Receiver<Job>, mut end: Box<dyn Write + Send>) {
    while let Ok(job) = waiting.recv() {
        match job {
            // A closed stderr is no reason to stop, and there is nowhere left to say so.
            Job::Write(line) => {
                let _ = end.write_all(&line);
            }
            Job::Flush(done) => {
                let _ = end.flush();
                let _ = done.send(());
            }
        }
    }
}

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.jobs.try_send(Job::Write(line.to_vec())).is_err() {
            self.metrics.log_line_dropped();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let deadline = Instant::now() + LAST_LINES;
        let (done, written) = channel();
        let mut job = Job::Flush(done);
        while let Err(TrySendError::Full(back)) = self.jobs.try_send(job) {
            if Instant::now() >= deadline {
                return;
            }
            job = back;
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// An end that lets nothing through while its lock is held.
    struct Gate(Arc<Mutex<Vec<u8>>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_last_lines_are_written_before_the_end() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut sink, guard) = open(Box::new(Gate(Arc::clone(&written))), Metrics::default());
        for _ in 0..100 {
            sink.write_all(b"line\n").unwrap();
        }
        drop(guard);
        assert_eq!(written.lock().unwrap().len(), 500);
    }

    #[test]
    fn a_reader_that_has_stopped_stops_neither_the_work_nor_the_end() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let metrics = Metrics::default();
        let (mut sink, guard) = open(Box::new(Gate(Arc::clone(&written))), metrics.clone());
        let stuck = written.lock().unwrap();
        let started = Instant::now();
        for _ in 0..WAITING_LINES + 100 {
            sink.write_all(b"line\n").unwrap();
        }
        drop(guard);
        assert!(started.elapsed() < Duration::from_secs(10));
        drop(stuck);
        let dropped = metrics.encode().lines().find_map(|line| {
            line.strip_prefix("credits_log_lines_dropped_total ").and_then(|count| count.parse::<usize>().ok())
        });
        assert!((99..=100).contains(&dropped.unwrap()), "{dropped:?}");
    }
}
