//! What arrives: a decoded billing message and the facts that it states.
//!
//! Values here are already valid (see `wire` for every limit). A field that is absent in the message is `None` or
//! empty here: absent and `null` are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::adjustment::Adjustment;
use super::amounts::{Currency, Money};
use super::ids::{
    AdjustmentId, Alias, CustomerId, Identity, InvoiceId, MessageId, PaymentId, PriceId, Reason, RefundId, Source,
    UsageId,
};
use super::usage::Usage;

/// An instant in UTC, to the microsecond: finer parts are cut where an instant enters.
pub type Timestamp = DateTime<Utc>;

/// Keys and values that the sender attached; rules may match on them.
pub type Metadata = BTreeMap<String, String>;

/// What names a message: unique in the inbox.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey {
    /// The system that sent it.
    pub source: Source,
    /// Its id there.
    pub id: MessageId,
}

/// What a fingerprint is made of: bump it when the normal form changes, and stored ones are computed anew.
pub const FINGERPRINT_VERSION: i16 = 1;

/// SHA-256 over a message's type and known fields in normal form, under [`FINGERPRINT_VERSION`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A decoded message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What names it.
    pub key: MessageKey,
    /// When the event happened, as its sender says.
    pub time: Timestamp,
    /// Tells another content under the same key from a repetition.
    pub fingerprint: Fingerprint,
    /// What it says.
    pub content: Content,
}

/// The message types of version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageType {
    /// A charge went through.
    PaymentSucceeded,
    /// An invoice was issued.
    InvoiceIssued,
    /// Somebody signed up.
    Signup,
    /// Money went back, or is about to, or failed to.
    Refund,
    /// Names of one purchase.
    PurchaseLinked,
    /// Credits were used.
    UsageRecorded,
    /// Somebody grants, revokes or regrants by hand.
    CreditAdjustment,
}

impl MessageType {
    /// Every type, in the order of their queues.
    pub const ALL: [Self; 7] = [
        Self::PaymentSucceeded,
        Self::InvoiceIssued,
        Self::Signup,
        Self::Refund,
        Self::PurchaseLinked,
        Self::UsageRecorded,
        Self::CreditAdjustment,
    ];

    /// The envelope's `type`, also the routing key.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PaymentSucceeded => "payment-succeeded",
            Self::InvoiceIssued => "invoice-issued",
            Self::Signup => "signup",
            Self::Refund => "refund",
            Self::PurchaseLinked => "purchase-linked",
            Self::UsageRecorded => "usage-recorded",
            Self::CreditAdjustment => "credit-adjustment",
        }
    }

    /// The type of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A fact of a purchase, or a link between its names.
    Purchase(Arc<Statement>),
    /// A fact of a customer.
    Signup(Signup),
    /// Credits were used.
    Usage(Usage),
    /// A change by hand.
    Adjustment(Adjustment),
}

impl Content {
    /// The type that carries this content.
    #[must_use]
    pub fn message_type(&self) -> MessageType {
        match self {
            Self::Purchase(statement) => statement.message_type(),
            Self::Signup(_) => MessageType::Signup,
            Self::Usage(_) => MessageType::UsageRecorded,
            Self::Adjustment(_) => MessageType::CreditAdjustment,
        }
    }

    /// The customer, where the message names one.
    #[must_use]
    pub fn customer(&self) -> Option<&CustomerId> {
        match self {
            Self::Purchase(statement) => statement.customer(),
            Self::Signup(signup) => Some(&signup.customer_id),
            Self::Usage(usage) => Some(&usage.customer_id),
            Self::Adjustment(adjustment) => Some(&adjustment.customer_id),
        }
    }

    /// Every name that the message mentions: what has to be locked for it. None of a signup.
    #[must_use]
    pub fn names(&self) -> BTreeSet<Name> {
        match self {
            Self::Purchase(statement) => statement.names(),
            Self::Signup(_) => BTreeSet::new(),
            Self::Usage(usage) => BTreeSet::from([Name::Usage(usage.usage_id.clone())]),
            Self::Adjustment(adjustment) => BTreeSet::from([Name::Adjustment(adjustment.adjustment_id.clone())]),
        }
    }
}

/// What one message states about a purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// `payment-succeeded`
    Payment(Payment),
    /// `invoice-issued`
    Invoice(Invoice),
    /// `refund`
    Refund(Refund),
    /// `purchase-linked`
    Link(Link),
}

/// A name of a purchase, or of a fact that stands alone. Ids are unique per kind across all senders.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// An invoice's id.
    Invoice(InvoiceId),
    /// A payment's id.
    Payment(PaymentId),
    /// A checkout, a charge: the values of `aliases`.
    Other(Alias),
    /// A refund's id: no link between purchases, but locked like a name, since two messages may state one refund.
    Refund(RefundId),
    /// A use's id: of no purchase.
    Usage(UsageId),
    /// An adjustment's id: of no purchase.
    Adjustment(AdjustmentId),
}

impl Name {
    /// The kind's word: `invoice`, `payment`, `other`, `refund`, `usage` or `adjustment`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Invoice(_) => "invoice",
            Self::Payment(_) => "payment",
            Self::Other(_) => "other",
            Self::Refund(_) => "refund",
            Self::Usage(_) => "usage",
            Self::Adjustment(_) => "adjustment",
        }
    }

    /// Whether it names a use or an adjustment: a fact that one message states alone, of no purchase.
    #[must_use]
    pub fn stands_alone(&self) -> bool {
        matches!(self, Self::Usage(_) | Self::Adjustment(_))
    }

    /// The value as its sender wrote it.
    #[must_use]
    pub fn value(&self) -> &str {
        match self {
            Self::Invoice(id) => id.as_str(),
            Self::Payment(id) => id.as_str(),
            Self::Other(id) => id.as_str(),
            Self::Refund(id) => id.as_str(),
            Self::Usage(id) => id.as_str(),
            Self::Adjustment(id) => id.as_str(),
        }
    }
}

/// Money came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Names the payment.
    pub payment_id: PaymentId,
    /// Who paid.
    pub customer_id: CustomerId,
    /// What was paid, above zero.
    pub amount: Money,
    /// The invoice it pays.
    pub invoice_id: Option<InvoiceId>,
    /// Other names of the purchase.
    pub aliases: BTreeSet<Alias>,
    /// What was sold.
    pub lines: Option<Lines>,
    /// `card`, `transfer` …: kept for people, the first one stays.
    pub payment_method: Option<String>,
    /// The message's own metadata: no part of the fact.
    pub metadata: Metadata,
}

/// Money is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// Names the invoice.
    pub invoice_id: InvoiceId,
    /// Who owes.
    pub customer_id: CustomerId,
    /// What is owed, zero allowed.
    pub total: Money,
    /// What was sold; empty `lines` are absent.
    pub lines: Option<Lines>,
    /// The number for people: the first one stays.
    pub number: Option<String>,
    /// Payments known to pay it.
    pub payment_ids: BTreeSet<PaymentId>,
    /// Other names of the purchase.
    pub aliases: BTreeSet<Alias>,
    /// The message's own metadata: no part of the fact.
    pub metadata: Metadata,
}

/// Money goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Names the refund.
    pub refund_id: RefundId,
    /// This refund only, above zero.
    pub amount: Money,
    /// How far it got.
    pub status: RefundStatus,
    /// The payment it gives back.
    pub payment_id: Option<PaymentId>,
    /// The invoice it gives back.
    pub invoice_id: Option<InvoiceId>,
    /// Other names of the purchase.
    pub aliases: BTreeSet<Alias>,
    /// Whose money it is.
    pub customer_id: Option<CustomerId>,
    /// Money per price, together at most `amount`; empty `lines` are absent.
    pub lines: Option<BTreeMap<PriceId, Money>>,
    /// Words for people: the first ones stay.
    pub reason: Option<Reason>,
}

/// How far a refund got; of all statuses seen the highest counts. `failed` and `canceled` rank the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefundStatus {
    /// On its way.
    Pending,
    /// Money went back. The only status that counts.
    Succeeded,
    /// It came to nothing.
    Failed,
    /// It was called off.
    Canceled,
}

impl RefundStatus {
    /// `pending` < `succeeded` < `failed` = `canceled`.
    #[must_use]
    pub fn rank(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Succeeded => 1,
            Self::Failed | Self::Canceled => 2,
        }
    }

    /// The word in the message.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

/// Names that belong to one purchase, and nothing else: at least two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Payments of the purchase.
    pub payment_ids: BTreeSet<PaymentId>,
    /// The invoice of the purchase.
    pub invoice_id: Option<InvoiceId>,
    /// Other names of the purchase.
    pub aliases: BTreeSet<Alias>,
}

/// What was sold, summed per price. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines(pub Arc<BTreeMap<PriceId, Line>>);

/// All lines of one price of a purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Units sold: 1 to 1e9 per line of the message, 1,000 lines at most.
    pub quantity: u64,
    /// What the units cost together, after discounts and before tax; zero allowed.
    pub amount: Money,
    /// The lines' own metadata, equal for all lines of one price.
    pub metadata: Metadata,
}

/// Somebody signed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signup {
    /// Who signed up.
    pub customer_id: CustomerId,
    /// The person behind it, opaque and already hashed.
    pub identity: Option<Identity>,
    /// Rules may match on it.
    pub campaign: Option<String>,
    /// Rules may match on it.
    pub plan: Option<String>,
    /// Rules may match on it.
    pub metadata: Metadata,
}

impl Statement {
    /// The type that carries this statement.
    #[must_use]
    pub fn message_type(&self) -> MessageType {
        match self {
            Self::Payment(_) => MessageType::PaymentSucceeded,
            Self::Invoice(_) => MessageType::InvoiceIssued,
            Self::Refund(_) => MessageType::Refund,
            Self::Link(_) => MessageType::PurchaseLinked,
        }
    }

    /// Every name that the message mentions, a refund's own included: what has to be locked for it.
    #[must_use]
    pub fn names(&self) -> BTreeSet<Name> {
        let mut names = BTreeSet::new();
        let (payments, invoice, aliases) = match self {
            Self::Payment(payment) => {
                names.insert(Name::Payment(payment.payment_id.clone()));
                (None, payment.invoice_id.as_ref(), &payment.aliases)
            }
            Self::Invoice(invoice) => (Some(&invoice.payment_ids), Some(&invoice.invoice_id), &invoice.aliases),
            Self::Refund(refund) => {
                names.insert(Name::Refund(refund.refund_id.clone()));
                names.extend(refund.payment_id.iter().cloned().map(Name::Payment));
                (None, refund.invoice_id.as_ref(), &refund.aliases)
            }
            Self::Link(link) => (Some(&link.payment_ids), link.invoice_id.as_ref(), &link.aliases),
        };
        names.extend(payments.into_iter().flatten().cloned().map(Name::Payment));
        names.extend(invoice.cloned().map(Name::Invoice));
        names.extend(aliases.iter().cloned().map(Name::Other));
        names
    }

    /// The customer, where the message names one.
    #[must_use]
    pub fn customer(&self) -> Option<&CustomerId> {
        match self {
            Self::Payment(payment) => Some(&payment.customer_id),
            Self::Invoice(invoice) => Some(&invoice.customer_id),
            Self::Refund(refund) => refund.customer_id.as_ref(),
            Self::Link(_) => None,
        }
    }

    /// The currency, where the message names one.
    #[must_use]
    pub fn currency(&self) -> Option<Currency> {
        match self {
            Self::Payment(payment) => Some(payment.amount.currency()),
            Self::Invoice(invoice) => Some(invoice.total.currency()),
            Self::Refund(refund) => Some(refund.amount.currency()),
            Self::Link(_) => None,
        }
    }

    /// What was sold, where the message says so. A refund's lines are money back and no part of this.
    #[must_use]
    pub fn lines(&self) -> Option<&Lines> {
        match self {
            Self::Payment(payment) => payment.lines.as_ref(),
            Self::Invoice(invoice) => invoice.lines.as_ref(),
            Self::Refund(_) | Self::Link(_) => None,
        }
    }
}
