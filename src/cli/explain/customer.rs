//! A customer: balances, grants that no purchase gave, signups that gave none, and which purchases to tell of.

use serde_json::{Value, json};

use super::message::{self, Signups};
use crate::cli::ExitError;
use crate::cli::case::decoded;
use crate::cli::output::{Format, Listing};
use crate::cli::show::{self, time};
use crate::domain::ids::{CustomerId, PurchaseId};
use crate::domain::message::Content;
use crate::store::read::{AccountView, Snapshot, Trace};

/// Of so many waiting messages it is asked whose they are: beyond that `waiting list` is the place to look.
const WAITING: u32 = 1000;

/// One customer.
pub(super) struct Customer {
    id: CustomerId,
    /// The account with the grants that no purchase gave.
    view: AccountView,
    /// Whether there are purchases that are not shown.
    more: bool,
    /// The latest signups that gave nothing, and what the rules said to them.
    signups: (Trace, Signups),
}

impl Customer {
    /// The customer, and the latest purchases: those that wait, then those that were decided, whatever they gave.
    pub(super) async fn load(
        snapshot: &mut Snapshot<'_>,
        id: &CustomerId,
        limit: u32,
    ) -> Result<Option<(Self, Vec<PurchaseId>)>, ExitError> {
        let apart = snapshot.grants_apart(id, limit).await?;
        let Some(view) = snapshot.account_of(id, &apart).await? else { return Ok(None) };
        let mut purchases = waiting_of(snapshot, id).await?;
        let (decided, more) = snapshot.purchases_of_customer(id, limit).await?;
        purchases.extend(decided.into_iter().filter(|id| !purchases.contains(id)).collect::<Vec<_>>());
        let signups = signups_of(snapshot, id, limit).await?;
        Ok(Some((Self { id: id.clone(), view, more, signups }, purchases)))
    }

    /// The customer, then each signup that gave nothing.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words = show::fields(&[
            ("customer", Some(self.id.to_string())),
            ("as of", Some(time(self.view.now))),
            ("more", self.more.then(|| "older purchases are not shown: --limit".to_owned())),
        ]);
        words += &show::section("balances", &self.balances().render(Format::default()));
        if !self.view.account.grants.is_empty() {
            let grants = show::grants(std::slice::from_ref(&self.view));
            words += &show::section("grants of signups", &grants.render(Format::default()));
        }
        let (trace, signups) = &self.signups;
        [vec![words], message::words(trace, signups)].concat()
    }

    fn balances(&self) -> Listing {
        let mut listing = Listing::new(&["credit_type", "balance"]);
        for (kind, pool) in &self.view.account.pools {
            listing.add([Some(kind.to_string()), Some(pool.balance.to_string())]);
        }
        listing
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "customer_id": self.id.as_str(),
            "as_of": time(self.view.now),
            "balances": self.balances().json(),
            "grants_of_signups": show::grants_json(std::slice::from_ref(&self.view)),
            "signups_without_grant": message::json(&self.signups.0, &self.signups.1),
            "more_purchases": self.more,
        })
    }
}

async fn signups_of(
    snapshot: &mut Snapshot<'_>,
    customer: &CustomerId,
    limit: u32,
) -> Result<(Trace, Signups), ExitError> {
    let kept = snapshot.signups_without_grant(customer, limit).await?;
    let mut signups = Signups::default();
    for message in &kept {
        if let Content::Signup(signup) = decoded(message)?.content {
            signups.add(snapshot, message, &signup).await?;
        }
    }
    Ok((Trace { kept, refused: Vec::new(), published_to: snapshot.published_to().await? }, signups))
}

async fn waiting_of(snapshot: &mut Snapshot<'_>, customer: &CustomerId) -> Result<Vec<PurchaseId>, ExitError> {
    let waiting = snapshot.waiting(WAITING).await?;
    let ids: Vec<_> = waiting.iter().map(|one| one.inbox_id.0).collect();
    let messages = snapshot.kept_alone(&ids).await?;
    let mut purchases = Vec::new();
    for one in waiting {
        let Some(message) = messages.iter().find(|message| message.inbox_id == one.inbox_id) else { continue };
        let theirs = match decoded(message)?.content {
            Content::Purchase(statement) => statement.customer() == Some(customer),
            Content::Signup(_) | Content::Usage(_) | Content::Adjustment(_) => false,
        };
        if theirs && !purchases.contains(&one.purchase) {
            purchases.push(one.purchase);
        }
    }
    Ok(purchases)
}
