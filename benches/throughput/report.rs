//! The figures, and what is computed from them.

use std::fmt;
use std::time::Duration;

/// Figures in the order in which they are printed. A ratio appears when both of its figures were measured.
#[derive(Default)]
pub(crate) struct Report {
    /// Messages a second, the median of the rounds.
    pub(crate) ceiling: Option<f64>,
    pub(crate) per_message: Option<f64>,
    pub(crate) credits: Option<f64>,
    /// As `credits`, over few customers.
    pub(crate) credits_hot: Option<f64>,
    /// Milliseconds of a use: of so many grants, of a customer with so many.
    pub(crate) uses: Vec<(u64, u64, f64)>,
    /// As `credits`, of all types of messages.
    pub(crate) credits_mixed: Option<f64>,
    pub(crate) per_message_latency: Option<Latency>,
    pub(crate) credits_latency: Option<Latency>,
    /// Messages a second with nothing to sweep, and with.
    pub(crate) nothing_due: Option<f64>,
    pub(crate) while_sweeping: Option<f64>,
    /// Grants a second that were swept at the same time, and once the messages were done.
    pub(crate) swept_meanwhile: Option<f64>,
    pub(crate) swept_alone: Option<f64>,
}

/// Time from publish to published event, in milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Latency {
    /// The percentiles of `samples`; `None` without samples.
    pub(crate) fn of(mut samples: Vec<Duration>) -> Option<Self> {
        samples.sort_unstable();
        Some(Self { p50: percentile(&samples, 50)?, p99: percentile(&samples, 99)? })
    }
}

/// The nearest-rank percentile of sorted samples, in milliseconds.
fn percentile(sorted: &[Duration], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).map(|sample| sample.as_secs_f64() * 1e3)
}

/// The middle one; of an even number the mean of the middle two. `None` without figures.
pub(crate) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_unstable_by(f64::total_cmp);
    let upper = *figures.get(figures.len() / 2)?;
    if figures.len() % 2 == 1 { Some(upper) } else { Some(f64::midpoint(figures[figures.len() / 2 - 1], upper)) }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_message = self.per_message_latency;
        let credits = self.credits_latency;
        rate(out, "ceiling_per_second", self.ceiling)?;
        rate(out, "per_message_per_second", self.per_message)?;
        rate(out, "credits_per_second", self.credits)?;
        rate(out, "credits_hot_per_second", self.credits_hot)?;
        rate(out, "credits_mixed_per_second", self.credits_mixed)?;
        ratio(out, "ratio_vs_per_message", self.credits, self.per_message)?;
        ratio(out, "ratio_vs_ceiling", self.credits, self.ceiling)?;
        ratio(out, "ratio_hot_vs_uniform", self.credits_hot, self.credits)?;
        ratio(out, "ratio_mixed_vs_payments", self.credits_mixed, self.credits)?;
        milliseconds(out, "per_message_p50_ms", per_message.map(|latency| latency.p50))?;
        milliseconds(out, "per_message_p99_ms", per_message.map(|latency| latency.p99))?;
        milliseconds(out, "credits_p50_ms", credits.map(|latency| latency.p50))?;
        milliseconds(out, "credits_p99_ms", credits.map(|latency| latency.p99))?;
        ratio(out, "latency_p50_ratio", credits.map(|latency| latency.p50), per_message.map(|latency| latency.p50))?;
        ratio(out, "latency_p99_ratio", credits.map(|latency| latency.p99), per_message.map(|latency| latency.p99))?;
        rate(out, "nothing_due_per_second", self.nothing_due)?;
        rate(out, "while_sweeping_per_second", self.while_sweeping)?;
        rate(out, "swept_meanwhile_per_second", self.swept_meanwhile)?;
        rate(out, "swept_alone_per_second", self.swept_alone)?;
        ratio(out, "ratio_while_sweeping", self.while_sweeping, self.nothing_due)?;
        for (touched, of, time) in &self.uses {
            milliseconds(out, &format!("use_of_{touched}_of_{of}_grants_ms"), Some(*time))?;
        }
        Ok(())
    }
}

fn rate(out: &mut fmt::Formatter<'_>, name: &str, value: Option<f64>) -> fmt::Result {
    value.map_or(Ok(()), |value| writeln!(out, "{name}: {value:.0}"))
}

fn milliseconds(out: &mut fmt::Formatter<'_>, name: &str, value: Option<f64>) -> fmt::Result {
    value.map_or(Ok(()), |value| writeln!(out, "{name}: {value:.2}"))
}

fn ratio(out: &mut fmt::Formatter<'_>, name: &str, over: Option<f64>, under: Option<f64>) -> fmt::Result {
    over.zip(under).map_or(Ok(()), |(over, under)| writeln!(out, "{name}: {:.3}", over / under))
}
