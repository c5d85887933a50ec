//! `credits publish`: files as billing messages.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use super::output::{self, Format, Listing};
use super::{ExitError, Global, block_on};
use crate::app;
use crate::broker::{self, Confirm, Outgoing, publish_all};
use crate::domain::ids::MAX_ID_BYTES;
use crate::domain::message::MessageType;

/// What every file is taken for: the worker then says what is wrong with it.
const CONTENT_TYPE: &str = "application/cloudevents+json";

/// Publish files as billing messages
///
/// Each file is the body of one message, as it is, with the content type `application/cloudevents+json`. Its routing
/// key is its event's type; a file that names none of the billing types, or is no JSON, goes out as payment-succeeded,
/// and the worker says what is wrong with it. Waits for the broker's confirm of each. Exits with 1 if the broker
/// refused one or no queue takes it, with 69 if the broker cannot be reached.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files to publish, in this order; - is stdin
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The exchange, instead of the one that the settings name; it has to exist
    #[arg(long, value_name = "NAME")]
    pub exchange: Option<String>,
    /// The routing key of all, instead of each event's own type
    #[arg(long, value_name = "KEY")]
    pub routing_key: Option<String>,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}

/// Publishes files as billing messages.
///
/// # Errors
/// [`ExitError::Failed`] if a file cannot be read or one is not confirmed, [`ExitError::Unavailable`] without a broker.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    let settings = global.settings()?;
    let options = app::broker(&settings)?;
    options.check()?;
    let messages = args.files.iter().map(|file| read(file, args.routing_key.as_deref())).collect::<Result<_, _>>()?;
    let exchange = args.exchange.as_deref().unwrap_or(&options.billing_exchange);
    let (shown, all) = block_on(publish(&options, exchange, messages, args))?;
    output::show(&shown)?;
    if all { Ok(()) } else { Err(ExitError::Failed(anyhow::anyhow!("not every message is confirmed"))) }
}

/// Publishes, and gives what became of each as text, and whether all are confirmed.
pub(super) async fn publish(
    options: &broker::Options,
    exchange: &str,
    messages: Vec<Outgoing>,
    args: &Args,
) -> Result<(String, bool), ExitError> {
    let keys: Vec<(String, String)> =
        messages.iter().map(|message| (message.routing_key.clone(), message.message_id.clone())).collect();
    let confirms = publish_all(options, exchange, messages).await?;
    let mut listing = Listing::new(&["file", "routing_key", "message_id", "result"]);
    for ((file, (key, id)), confirm) in args.files.iter().zip(keys).zip(&confirms) {
        listing.add([file.display().to_string(), key, id, words(confirm)].map(Some));
    }
    Ok((listing.render(args.format), confirms.iter().all(|confirm| *confirm == Confirm::Acked)))
}

fn words(confirm: &Confirm) -> String {
    match confirm {
        Confirm::Acked => "confirmed".to_owned(),
        Confirm::Nacked => "refused: a queue did not take it".to_owned(),
        Confirm::Returned { reason } => format!("unroutable: no queue is bound for it ({reason})"),
        Confirm::Unknown { reason } => format!("unknown: {reason}"),
    }
}

fn read(file: &Path, routing_key: Option<&str>) -> Result<Outgoing, ExitError> {
    let mut body = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut body).map(drop)
    } else {
        std::fs::read(file).map(|bytes| body = bytes)
    };
    read.with_context(|| format!("{} cannot be read", file.display())).map_err(ExitError::Failed)?;
    let name = file.file_name().map_or("stdin".into(), |name| name.to_string_lossy());
    Ok(message(body, &name, routing_key))
}

/// Builds the message of a body. Where that has no id of its own it gets the file's name, so that the same file
/// published again is the same message.
#[must_use]
pub fn message(body: Vec<u8>, file_name: &str, routing_key: Option<&str>) -> Outgoing {
    let event: Value = serde_json::from_slice(&body).unwrap_or_default();
    let own = |name: &str| event.get(name).and_then(Value::as_str);
    let id = own("id").filter(|id| (1..=MAX_ID_BYTES).contains(&id.len()) && !id.contains('\0'));
    let kind = own("type").and_then(MessageType::from_name).unwrap_or(MessageType::PaymentSucceeded).name();
    Outgoing {
        routing_key: routing_key.unwrap_or(kind).to_owned(),
        message_id: id.unwrap_or(file_name).to_owned(),
        kind,
        content_type: CONTENT_TYPE,
        body,
    }
}
