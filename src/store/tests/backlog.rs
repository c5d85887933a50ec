//! Grants as of a day in the past, written as the worker writes them: what has come due since, nobody has settled.
//!
//! Used by the tests of this room, and by source in the integration tests and in the benchmark.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::domain::account::Grant;
use crate::domain::amounts::{Credits, Scale, parse_plain};
use crate::domain::books::Books;
use crate::domain::ids::{Actor, CreditType, CustomerId, GrantId, MessageId, Source};
use crate::domain::ledger::{Cause, Terms};
use crate::domain::message::Timestamp;
use crate::domain::rules::{Category, Priority, Rules};
use crate::store::in_order::Pools;
use crate::store::{Session, StoreError};

/// A grant of 10 promotional credits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owed {
    pub(crate) customer: String,
    /// Its id.
    pub(crate) number: u128,
    pub(crate) from: Timestamp,
    pub(crate) to: Option<Timestamp>,
}

impl Owed {
    pub(crate) fn grant(&self, as_of: Timestamp) -> Grant {
        let scale = Scale::new(0).expect("a scale");
        let amount = Credits::new(parse_plain("10").expect("a number"), scale).expect("credits");
        let terms = Terms {
            grant_id: GrantId(Uuid::from_u128(self.number)),
            customer_id: self.customer_id(),
            credit_type: CreditType::parse("credits").expect("a name"),
            amount,
            category: Category::Promotional,
            priority: Priority::DEFAULT,
            cost: None,
            effective_at: self.from,
            expires_at: self.to,
            price_id: None,
            rule: None,
            rules_hash: None,
            replaces: None,
            basis: amount,
            reason: None,
            actor: Actor::parse("ada").expect("a name"),
            cause: Cause {
                source: Source::parse("/backlog").expect("a source"),
                id: MessageId::parse(&format!("backlog_{}", self.number)).expect("an id"),
                kind: "credit-adjustment".into(),
            },
        };
        Grant::new(terms, scale, None, as_of)
    }

    fn customer_id(&self) -> CustomerId {
        CustomerId::parse(&self.customer).expect("an id")
    }
}

/// Makes `owed` in one batch; their customers are new, and settled to `as_of`.
pub(crate) async fn owe(
    session: &mut Session,
    rules: &Rules,
    as_of: Timestamp,
    owed: &[Owed],
) -> Result<(), StoreError> {
    let customers: BTreeSet<CustomerId> = owed.iter().map(Owed::customer_id).collect();
    let mut batch = session.begin().await?;
    let (_, accounts) = batch.lock_accounts(&customers, &[], &Pools::new()).await?;
    let mut books = Books::new(rules, as_of);
    books.accounts = accounts;
    for one in owed {
        let grant = one.grant(as_of);
        let account = books.accounts.get_mut(&grant.terms.customer_id).expect("it is locked");
        account.settled_to = Some(as_of);
        books.changes.accounts.insert(account.customer_id.clone());
        books.changes.grants.insert(grant.terms.grant_id, account.customer_id.clone());
        account.grant(grant, as_of, &mut books.changes.entries);
    }
    batch.write(&books, &[], None).await?;
    batch.commit().await
}
