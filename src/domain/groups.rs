//! Which messages are one purchase, and which cannot be.
//!
//! Facts that share a name are one purchase. The message whose facts or links would contradict is the conflict;
//! but a refund never makes a payment, an invoice or a link the conflict: a refund that the new message would make
//! contradict becomes the conflict itself, with all its messages, and the links that only it drew are gone.
//!
//! Pure. The common case, one purchase and no contradiction, never comes here: see `books`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::facts::{Contradiction, Facts, Kept};
use super::ids::RefundId;
use super::message::Name;

/// Purchases after a message was admitted, and the refunds that it made contradict.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Regrouped {
    /// The messages of each purchase, in order of arrival.
    pub purchases: Vec<Vec<Kept>>,
    /// Messages of refunds that contradict, each with what it contradicts.
    pub released: Vec<(Kept, Contradiction)>,
}

/// Groups `kept` and the new message, which is no refund's, anew.
///
/// # Errors
/// [`Contradiction`] if the new message is itself the conflict.
pub fn regroup(kept: &[Kept], new: &Kept) -> Result<Regrouped, Contradiction> {
    let mut solid: Vec<Kept> = kept.iter().filter(|kept| kept.refund_id().is_none()).cloned().collect();
    let mut refunds: BTreeMap<RefundId, Vec<Kept>> = BTreeMap::new();
    for message in kept {
        if let Some(id) = message.refund_id() {
            refunds.entry(id.clone()).or_default().push(message.clone());
        }
    }
    solid.push(new.clone());
    for group in components(&solid) {
        Facts::unite(&group)?;
    }
    let mut result = Regrouped::default();
    let mut in_order: Vec<Vec<Kept>> = refunds.into_values().collect();
    in_order.sort_by_key(|messages| messages.first().map(|first| first.inbox_id));
    for messages in in_order {
        let with: Vec<Kept> = solid.iter().chain(&messages).cloned().collect();
        match components(&with).iter().try_for_each(|group| Facts::unite(group).map(drop)) {
            Ok(()) => solid = with,
            Err(why) => {
                let why = why.against(&messages);
                result.released.extend(messages.into_iter().map(|message| (message, why.clone())));
            }
        }
    }
    result.purchases = components(&solid);
    Ok(result)
}

/// The groups of messages that share names, each in order of arrival, the groups in the order of their first message.
#[must_use]
pub fn components(kept: &[Kept]) -> Vec<Vec<Kept>> {
    let mut of_name: HashMap<Name, usize> = HashMap::new();
    let mut groups: BTreeMap<usize, (BTreeSet<Name>, Vec<Kept>)> = BTreeMap::new();
    for (at, message) in kept.iter().enumerate() {
        let names = message.statement.names();
        let joined: BTreeSet<usize> = names.iter().filter_map(|name| of_name.get(name).copied()).collect();
        let (mut all_names, mut messages) = (names, vec![message.clone()]);
        for group in &joined {
            if let Some((names, earlier)) = groups.remove(group) {
                all_names.extend(names);
                messages.extend(earlier);
            }
        }
        of_name.extend(all_names.iter().map(|name| (name.clone(), at)));
        messages.sort_by_key(|kept| kept.inbox_id);
        groups.insert(at, (all_names, messages));
    }
    let mut groups: Vec<Vec<Kept>> = groups.into_values().map(|(_, messages)| messages).collect();
    groups.sort_by_key(|messages| messages.first().map(|first| first.inbox_id));
    groups
}
