//! `credits explain`: how something came about, and why nothing came about.
//!
//! What a word names is looked up first (a message, a name of a purchase, a grant, a customer); each of these leads to
//! purchases, and a purchase tells the whole story. Facts, arithmetic and reasons come from the core.

mod customer;
mod message;
mod purchase;

use std::collections::BTreeSet;

use clap::ValueEnum;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ask::ask;
use super::case::{Case, decoded};
use super::conflict;
use super::output::{self, Format};
use super::show;
use super::{ExitError, Global};
use crate::domain::ids::{CustomerId, GrantId, MessageId, PurchaseId, Source};
use crate::domain::message::{Content, Name};
use crate::store::Session;
use crate::store::read::{KeptMessage, Snapshot, Trace};

use self::customer::Customer;
use self::message::Signups;

/// Of so many refusals it is asked whether they name something.
const REFUSALS: u32 = 100;

/// Explain how something came about, and why nothing did
///
/// Of a message: its outcomes, each with its reason, and the ledger entries that came of it. Of a purchase, found by a
/// message, by any of its names (payment, invoice, alias, refund), by a grant or by its customer: its messages in order
/// with their outcomes, its facts, the rule and the arithmetic of every line, what refunds ask back step by step, keys,
/// ledger entries, and whether each was published. Of what gave nothing: the rules that were looked at and the
/// condition that was not met, who claimed an identity, what is waited for, or why it was refused. Of a customer: the
/// latest purchases, those that gave nothing too, and signups that gave nothing.
///
/// If the word means several things, all of them are shown, unless --as says which is meant. Exits with 1 if nothing is
/// known under it, with 69 if the database cannot be reached.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A message's id, a name of a purchase (payment, invoice, alias, refund), a grant's id, or a customer
    #[arg(value_name = "ID", value_parser = MessageId::parse)]
    pub word: MessageId,
    /// What the word is meant to be
    #[arg(long = "as", value_name = "WHAT")]
    pub meant: Option<Meant>,
    /// The message's sender, where several use the same id; implies --as message
    #[arg(long, value_name = "SOURCE", value_parser = Source::parse)]
    pub source: Option<Source>,
    /// Of a customer at most so many purchases, and so many signups that gave nothing, the latest
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}

/// What a word may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Meant {
    /// A message's id
    Message,
    /// A payment, an invoice, an alias or a refund
    Purchase,
    /// A grant's id
    Grant,
    /// A customer
    Customer,
}

/// Explains what the arguments name.
///
/// # Errors
/// [`ExitError`], as its numbers say.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    output::show(&ask(global, async |session| answer(session, args).await)?)
}

/// The explanation, as text.
///
/// # Errors
/// [`ExitError::Failed`] if nothing is known under the word.
pub async fn answer(session: &mut Session, args: &Args) -> Result<String, ExitError> {
    let found = Found::look(&mut session.snapshot().await?, args).await?;
    if found.is.is_empty() {
        return Err(ExitError::Failed(unknown(args)));
    }
    Ok(if args.format.json { output::pretty(&found.json()) } else { found.words(&args.word) })
}

fn unknown(args: &Args) -> anyhow::Error {
    let word = &args.word;
    let sender = args.source.as_ref().map(|source| format!(" from {source}")).unwrap_or_default();
    match args.meaning() {
        Some(Meant::Message) => anyhow::anyhow!("no message {word}{sender} has arrived"),
        Some(Meant::Purchase) => anyhow::anyhow!("no message names a payment, invoice, alias or refund {word}"),
        Some(Meant::Grant) => anyhow::anyhow!("there is no grant {word}"),
        Some(Meant::Customer) => anyhow::anyhow!("no message names a customer {word}"),
        None => {
            anyhow::anyhow!("{word} is no message that has arrived, no name of a purchase, no grant and no customer")
        }
    }
}

impl Args {
    fn meaning(&self) -> Option<Meant> {
        self.meant.or(self.source.is_some().then_some(Meant::Message))
    }

    fn may_be(&self, meant: Meant) -> bool {
        self.meaning().is_none_or(|meaning| meaning == meant)
    }
}

/// Everything that a word led to.
struct Found {
    /// What it is, as a word and in words: `payment`, `the payment of a purchase`.
    is: Vec<(&'static str, String)>,
    trace: Trace,
    signups: Signups,
    customer: Option<Customer>,
    cases: Vec<Case>,
}

impl Found {
    async fn look(snapshot: &mut Snapshot<'_>, args: &Args) -> Result<Self, ExitError> {
        let published_to = snapshot.published_to().await?;
        let trace = Trace { kept: Vec::new(), refused: Vec::new(), published_to };
        let mut found = Self { is: Vec::new(), trace, signups: Signups::default(), customer: None, cases: Vec::new() };
        let mut purchases = BTreeSet::new();
        if args.may_be(Meant::Message) {
            found.look_for_messages(snapshot, args, &mut purchases).await?;
        }
        if args.may_be(Meant::Purchase) {
            found.look_for_names(snapshot, &args.word, &mut purchases).await?;
        }
        if args.may_be(Meant::Grant) {
            found.look_for_a_grant(snapshot, &args.word, &mut purchases).await?;
        }
        let mut in_order: Vec<PurchaseId> = purchases.into_iter().collect();
        if args.may_be(Meant::Customer)
            && let Ok(id) = CustomerId::parse(args.word.as_str())
            && let Some((customer, theirs)) = Customer::load(snapshot, &id, args.limit).await?
        {
            found.is.push(("customer", "a customer".into()));
            found.customer = Some(customer);
            in_order.extend(theirs.into_iter().filter(|id| !in_order.contains(id)).collect::<Vec<_>>());
        }
        for id in in_order {
            found.cases.extend(Case::load(snapshot, id).await?);
        }
        Ok(found)
    }

    async fn look_for_messages(
        &mut self,
        snapshot: &mut Snapshot<'_>,
        args: &Args,
        purchases: &mut BTreeSet<PurchaseId>,
    ) -> Result<(), ExitError> {
        let trace = snapshot.explain(&args.word, args.source.as_ref()).await?;
        if !trace.is_empty() {
            self.is.push(("message", "a message".into()));
        }
        for message in &trace.kept {
            match decoded(message)?.content {
                Content::Purchase(statement) => {
                    for id in snapshot.purchases_of(&statement.names()).await? {
                        let rows = snapshot.purchase(id).await?;
                        let holds = |kept: &KeptMessage| kept.inbox_id == message.inbox_id;
                        if rows.is_some_and(|rows| rows.messages.iter().any(holds)) {
                            purchases.insert(id);
                        }
                    }
                }
                Content::Signup(signup) => self.signups.add(snapshot, message, &signup).await?,
                // Outcome and entries tell all of it.
                Content::Usage(_) | Content::Adjustment(_) => {}
            }
        }
        self.trace = trace;
        Ok(())
    }

    async fn look_for_names(
        &mut self,
        snapshot: &mut Snapshot<'_>,
        word: &MessageId,
        purchases: &mut BTreeSet<PurchaseId>,
    ) -> Result<(), ExitError> {
        for (name, purchase) in snapshot.named(word.as_str()).await? {
            let kind = if matches!(name, Name::Other(_)) { "alias" } else { name.kind() };
            if name.stands_alone() {
                self.look_for_what_stated(snapshot, kind, &name, purchase).await?;
            } else if let Some(id) = purchase {
                self.is.push((kind, format!("the {kind} of a purchase")));
                purchases.insert(id);
            } else {
                self.is.push((kind, format!("the {kind} of no purchase: only refused messages name it")));
                self.look_for_refusals(snapshot, &name).await?;
            }
        }
        Ok(())
    }

    /// The message that stated a use or an adjustment: its row is where a purchase's name has the purchase.
    async fn look_for_what_stated(
        &mut self,
        snapshot: &mut Snapshot<'_>,
        kind: &'static str,
        name: &Name,
        row: Option<PurchaseId>,
    ) -> Result<(), ExitError> {
        let Some(PurchaseId(row)) = row else {
            self.is.push((kind, format!("the {kind} of no message: only refused ones name it")));
            return self.look_for_refusals(snapshot, name).await;
        };
        self.is.push((kind, format!("the {kind} of a message")));
        let messages = snapshot.kept_alone(&[row]).await?;
        self.add_kept(messages);
        Ok(())
    }

    fn add_kept(&mut self, messages: impl IntoIterator<Item = KeptMessage>) {
        for message in messages {
            if !self.trace.kept.iter().any(|known| known.inbox_id == message.inbox_id) {
                self.trace.kept.push(message);
            }
        }
    }

    async fn look_for_refusals(&mut self, snapshot: &mut Snapshot<'_>, name: &Name) -> Result<(), ExitError> {
        for (letter, said) in snapshot.conflicts_with(name.value(), REFUSALS).await? {
            let names = conflict::read(&letter, &said).map(|content| content.names());
            let known = self.trace.refused.iter().any(|known| known.number == letter.number);
            if !known && names.is_some_and(|names| names.contains(name)) {
                self.trace.refused.push(letter);
            }
        }
        Ok(())
    }

    async fn look_for_a_grant(
        &mut self,
        snapshot: &mut Snapshot<'_>,
        word: &MessageId,
        purchases: &mut BTreeSet<PurchaseId>,
    ) -> Result<(), ExitError> {
        let Ok(grant) = Uuid::parse_str(word.as_str()) else { return Ok(()) };
        let grants = snapshot.grants_of(&[grant]).await?;
        let Some(grant) = grants.get(&GrantId(grant)) else { return Ok(()) };
        self.is.push(("grant", "a grant".into()));
        if let Some(id) = snapshot.purchase_of_grant(grant.terms.grant_id).await? {
            purchases.insert(id);
            return Ok(());
        }
        // A grant of no purchase: its message tells.
        let cause = &grant.terms.cause;
        let trace = snapshot.explain(&cause.id, Some(&cause.source)).await?;
        for message in &trace.kept {
            if let Content::Signup(signup) = decoded(message)?.content {
                self.signups.add(snapshot, message, &signup).await?;
            }
        }
        self.add_kept(trace.kept);
        Ok(())
    }

    fn words(&self, word: &MessageId) -> String {
        let is: Vec<&str> = self.is.iter().map(|(_, words)| words.as_str()).collect();
        let mut parts = match (self.is.as_slice(), is.join(", and ")) {
            ([("message", _)], _) => Vec::new(),
            ([_], is) => vec![format!("{word} is {is}\n")],
            (_, several) => vec![format!("{word} is {several}; --as says which is meant\n")],
        };
        parts.extend(message::words(&self.trace, &self.signups));
        parts.extend(self.customer.iter().flat_map(Customer::words));
        parts.extend(self.cases.iter().map(|case| purchase::words(case, &self.trace)));
        parts.join("\n")
    }

    fn json(&self) -> Value {
        show::compact(json!({
            "is": self.is.iter().map(|(what, _)| *what).collect::<Vec<_>>(),
            "kept": message::json(&self.trace, &self.signups),
            "refused": show::refused(&self.trace.refused).json(),
            "customer": self.customer.as_ref().map(Customer::json),
            "purchases": self.cases.iter().map(|case| purchase::json(case, &self.trace)).collect::<Vec<_>>(),
        }))
    }
}
