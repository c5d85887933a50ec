//! `credits publish`: files as billing messages.

use std::path::PathBuf;

/// Publish files as billing messages
///
/// Each file is the body of one message, as it is, with the content type `application/cloudevents+json`, and goes to
/// the billing exchange under its event's type. Waits for the broker's confirm of each. Exits with 1 if the broker
/// refused one or no queue takes it, with 69 if the broker cannot be reached.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files to publish, in this order; - is stdin
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The routing key, instead of each event's own type; needed for files that name none of the billing types
    #[arg(long = "as", value_name = "TYPE")]
    pub routing_key: Option<String>,
}
