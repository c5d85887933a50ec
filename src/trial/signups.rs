//! Signups under other rules, one after the other, without keeping them: once per customer and once per identity needs
//! to know what every earlier one got and claimed, and keeps 16 or 32 bytes for each.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::domain::account::Grant;
use crate::domain::books::Books;
use crate::domain::ids::{CustomerId, GrantId, InboxId};
use crate::domain::message::{Content, Message, Timestamp};
use crate::domain::needs::needs;
use crate::domain::rules::Rules;

/// What signups got and claimed so far.
#[derive(Debug, Default)]
pub(super) struct Signups {
    given: HashSet<GrantId>,
    /// By digests: who claimed which identity for which rule.
    claims: HashMap<Uuid, Uuid>,
}

impl Signups {
    /// Takes one more and gives the grants that it leads to.
    pub(super) fn take(&mut self, inbox_id: InboxId, message: Message, rules: &Rules, clock: Timestamp) -> Vec<Grant> {
        let Content::Signup(signup) = &message.content else { return Vec::new() };
        let customer = signup.customer_id.clone();
        let mut books = Books::new(rules, clock);
        for claim in needs(&message, rules).identities {
            if let Some(holder) = self.claims.get(&digest(&["claim", claim.0.as_str(), claim.1.as_str()])) {
                let holder = if *holder == digest(&["customer", customer.as_str()]) {
                    Some(customer.clone())
                } else {
                    somebody_else(&customer)
                };
                books.claims.extend(holder.map(|holder| (claim, holder)));
            }
        }
        books.take(inbox_id, message);
        for (rule, identity) in &books.changes.claims {
            let claim = digest(&["claim", rule.as_str(), identity.as_str()]);
            self.claims.insert(claim, digest(&["customer", customer.as_str()]));
        }
        let accounts = books.accounts.into_values();
        let given = accounts.flat_map(|account| account.grants.into_values());
        given.filter(|grant| self.given.insert(grant.terms.grant_id)).collect()
    }

    /// Whether a signup so far led to this grant.
    pub(super) fn gave(&self, id: GrantId) -> bool {
        self.given.contains(&id)
    }
}

fn digest(parts: &[&str]) -> Uuid {
    GrantId::derive(parts).0
}

/// Whoever it was: the core only asks whether it was this customer.
fn somebody_else(customer: &CustomerId) -> Option<CustomerId> {
    ["a", "b"].into_iter().find(|name| *name != customer.as_str()).and_then(|name| CustomerId::parse(name).ok())
}
