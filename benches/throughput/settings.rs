//! What to measure and how much of it, from the environment.
//!
//! - `CREDITS_BENCH_MESSAGES` (100000): messages of a throughput run.
//! - `CREDITS_BENCH_ROUNDS` (3): interleaved rounds, of which the median counts.
//! - `CREDITS_BENCH_LATENCY_MESSAGES` (12000): measured messages of each worker in the latency part.
//! - `CREDITS_BENCH_SWEEP_GRANTS` (1000000): grants that expire at one instant in the sweep part.
//! - `CREDITS_BENCH_ONLY` (all): a list with commas of `ceiling`, `per-message`, `credits`, `latency`, `sweep`, `uses`, and for one
//!   worker's latency alone `latency:per-message` or `latency:credits`, for one load of `credits` alone
//!   `credits:uniform`, `credits:hot` or `credits:mixed`.

use std::env;

use anyhow::{Context, Result, bail};

/// The prefix of the variables above. Workers do not get them: they have settings of their own.
pub(crate) const VARIABLE_PREFIX: &str = "CREDITS_BENCH_";

/// One measurement that can be left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Ceiling,
    PerMessage,
    CreditsUniform,
    CreditsHot,
    CreditsMixed,
    LatencyPerMessage,
    LatencyCredits,
    Sweep,
    Uses,
}

const ALL_PARTS: [Part; 9] = [
    Part::Ceiling,
    Part::PerMessage,
    Part::CreditsUniform,
    Part::CreditsHot,
    Part::CreditsMixed,
    Part::LatencyPerMessage,
    Part::LatencyCredits,
    Part::Sweep,
    Part::Uses,
];

/// The settings of one run.
pub(crate) struct Settings {
    /// The database to be connected to while the benchmark's own ones are made anew.
    pub(crate) database_url: String,
    pub(crate) amqp_url: String,
    /// Messages of a throughput run.
    pub(crate) messages: u64,
    pub(crate) rounds: usize,
    /// Measured messages of each worker in the latency part, warm-up not counted.
    pub(crate) latency_messages: u64,
    /// Grants that expire at one instant.
    pub(crate) sweep_grants: u64,
    parts: Vec<Part>,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// A missing URL, a number that is none or zero, an unknown part.
    pub(crate) fn from_env() -> Result<Self> {
        Ok(Self {
            database_url: required("DATABASE_URL")?,
            amqp_url: required("AMQP_URL")?,
            messages: number("MESSAGES", 100_000)?,
            rounds: usize::try_from(number("ROUNDS", 3)?)?,
            latency_messages: number("LATENCY_MESSAGES", 12_000)?,
            sweep_grants: number("SWEEP_GRANTS", 1_000_000)?,
            parts: parts()?,
        })
    }

    /// Whether `part` is to be measured.
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }
}

/// The value of an environment variable that must be there.
///
/// # Errors
/// It is not.
pub(crate) fn required(name: &str) -> Result<String> {
    env::var(name).with_context(|| format!("{name} is not set; `make bench` starts private services and sets it"))
}

fn number(name: &str, default: u64) -> Result<u64> {
    let name = format!("{VARIABLE_PREFIX}{name}");
    let Ok(text) = env::var(&name) else { return Ok(default) };
    match text.parse() {
        Ok(0) | Err(_) => bail!("{name} is `{text}`, not a positive number"),
        Ok(number) => Ok(number),
    }
}

fn parts() -> Result<Vec<Part>> {
    let name = format!("{VARIABLE_PREFIX}ONLY");
    let Ok(text) = env::var(&name) else { return Ok(ALL_PARTS.to_vec()) };
    let mut parts = Vec::new();
    for word in text.split(',').map(str::trim) {
        match word {
            "ceiling" => parts.push(Part::Ceiling),
            "per-message" => parts.push(Part::PerMessage),
            "credits" => parts.extend([Part::CreditsUniform, Part::CreditsHot, Part::CreditsMixed]),
            "credits:uniform" => parts.push(Part::CreditsUniform),
            "credits:hot" => parts.push(Part::CreditsHot),
            "credits:mixed" => parts.push(Part::CreditsMixed),
            "latency" => parts.extend([Part::LatencyPerMessage, Part::LatencyCredits]),
            "latency:per-message" => parts.push(Part::LatencyPerMessage),
            "sweep" => parts.push(Part::Sweep),
            "uses" => parts.push(Part::Uses),
            "latency:credits" => parts.push(Part::LatencyCredits),
            _ => bail!("{name}: no part is called `{word}`"),
        }
    }
    Ok(parts)
}
