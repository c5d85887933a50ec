//! Grants for signups: every rule that fits grants, once per customer, and with `once_per = "identity"` once per
//! identity too.
//!
//! Every signup of a customer claims its identity for the rules that fit, whether it grants or not. Which of several
//! customers connected by shared identities gets a once-only grant is for order to decide.

use super::account::{Account, Grant};
use super::books::{Books, Record, note_grants, record};
use super::ids::{Actor, CustomerId, GrantId, Identity, InboxId, Reason, RuleName, RulesHash};
use super::ledger::{Cause, Terms};
use super::message::{MessageKey, MessageType, Signup, Timestamp};
use super::needs::Needs;
use super::outcome::Outcome;
use super::rules::{Category, OncePer, Rules, SignupRule};

/// What a signup needs: its account, the grants that rules could give it, the identities that it could claim.
pub(super) fn needs(signup: &Signup, rules: &Rules) -> Needs {
    let mut needs = Needs::default();
    needs.customers.insert(signup.customer_id.clone());
    for rule in rules.for_signup(signup) {
        needs.grants.insert(grant_id(signup, rule));
        if let (OncePer::Identity, Some(identity)) = (rule.once_per, &signup.identity) {
            needs.identities.insert((rule.name.clone(), identity.clone()));
        }
    }
    needs
}

fn without_identity(rule: &RuleName) -> String {
    format!("rule {rule} is once per identity, and the signup has none")
}

fn claimed_by(rule: &RuleName, holder: &CustomerId) -> String {
    format!("rule {rule} is once per identity, and customer {holder} claimed it")
}

/// What one rule says to a signup, for `explain`. Decides nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The rule.
    pub rule: RuleName,
    /// Whether all its conditions are met.
    pub fits: bool,
    /// The grant that it gives once to this customer, if it fits.
    pub grant: Option<GrantId>,
    /// In words: the condition that is not met, who claimed the identity, or what it gives.
    pub words: String,
}

/// Looks at every rule on signups, in file order; `holder` says who claimed an identity for a rule.
pub fn looks(signup: &Signup, rules: &Rules, holder: impl Fn(&RuleName, &Identity) -> Option<CustomerId>) -> Vec<Look> {
    let look = |rule: &SignupRule| {
        let name = &rule.name;
        if let Some(misfit) = rule.matches.misfit(signup) {
            return Look { rule: name.clone(), fits: false, grant: None, words: misfit.to_string() };
        }
        let claim = signup.identity.as_ref().map(|identity| holder(name, identity));
        let words = match (rule.once_per, claim) {
            (OncePer::Identity, None) => without_identity(name),
            (OncePer::Identity, Some(Some(holder))) if holder != signup.customer_id => claimed_by(name, &holder),
            _ => match rule.grant.amount.fixed(rule.grant.scale) {
                Some(credits) => format!("{credits} {}, once per {}", rule.grant.credit_type, rule.once_per.name()),
                None => "gives nothing".to_owned(),
            },
        };
        Look { rule: name.clone(), fits: true, grant: Some(grant_id(signup, rule)), words }
    };
    rules.signup.iter().map(look).collect()
}

fn grant_id(signup: &Signup, rule: &SignupRule) -> GrantId {
    GrantId::derive(&["signup", signup.customer_id.as_str(), rule.name.as_str()])
}

/// What one rule makes of one signup.
enum Share {
    Granted(String),
    Known(String),
    Refused(String),
    Nothing(String),
}

impl Books<'_> {
    pub(super) fn take_signup(
        &mut self,
        inbox_id: InboxId,
        key: &MessageKey,
        time: Timestamp,
        signup: &Signup,
    ) -> Record {
        let rules = self.rules;
        let first = self.changes.entries.len();
        let cause = Cause { source: key.source.clone(), id: key.id.clone(), kind: MessageType::Signup.name().into() };
        let shares: Vec<Share> = rules.for_signup(signup).map(|rule| self.share(rule, signup, &cause, time)).collect();
        let entries: Vec<usize> = (first..self.changes.entries.len()).collect();
        let outcome = outcome(&shares);
        let words: Vec<String> = shares.into_iter().map(Share::into_words).collect();
        let reason = if words.is_empty() { "no rule takes this signup".to_owned() } else { words.join("; ") };
        record(inbox_id, outcome, reason, entries)
    }

    fn share(&mut self, rule: &SignupRule, signup: &Signup, cause: &Cause, time: Timestamp) -> Share {
        let name = &rule.name;
        let grant_id = grant_id(signup, rule);
        let held = self.accounts.get(&signup.customer_id).is_some_and(|account| account.grants.contains_key(&grant_id));
        if rule.once_per == OncePer::Identity {
            let Some(identity) = &signup.identity else {
                return Share::Refused(without_identity(name));
            };
            let claim = (name.clone(), identity.clone());
            let holder = self.claims.entry(claim.clone()).or_insert_with(|| {
                self.changes.claims.insert(claim);
                signup.customer_id.clone()
            });
            if *holder != signup.customer_id && !held {
                return Share::Refused(claimed_by(name, holder));
            }
        }
        if held {
            return Share::Known(format!("rule {name} has granted to this customer before"));
        }
        match terms(rule, self.rules.hash, signup, cause, time) {
            Some(terms) => self.grant_signup(rule, terms),
            None => Share::Nothing(format!("rule {name} gives nothing, its amount is zero")),
        }
    }

    fn grant_signup(&mut self, rule: &SignupRule, terms: Terms) -> Share {
        let words = format!("{} {} by rule {}", terms.amount, terms.credit_type, rule.name);
        let customer_id = terms.customer_id.clone();
        let account = self.accounts.entry(customer_id.clone()).or_insert_with(|| Account::new(customer_id.clone()));
        let now = account.now(self.clock);
        let first = self.changes.entries.len();
        account.settle(now, &mut self.changes.entries);
        account.grant(Grant::new(terms, rule.grant.scale, None, now), now, &mut self.changes.entries);
        note_grants(&mut self.changes, &customer_id, first);
        self.changes.accounts.insert(customer_id);
        Share::Granted(words)
    }
}

impl Share {
    fn into_words(self) -> String {
        match self {
            Self::Granted(words) | Self::Known(words) | Self::Refused(words) | Self::Nothing(words) => words,
        }
    }
}

fn outcome(shares: &[Share]) -> Outcome {
    if shares.iter().any(|share| matches!(share, Share::Granted(_) | Share::Nothing(_))) {
        Outcome::Applied
    } else if shares.iter().any(|share| matches!(share, Share::Known(_))) {
        Outcome::Duplicate
    } else {
        Outcome::Ignored
    }
}

fn terms(rule: &SignupRule, rules_hash: RulesHash, signup: &Signup, cause: &Cause, time: Timestamp) -> Option<Terms> {
    let template = &rule.grant;
    let amount = template.amount.fixed(template.scale).filter(|amount| !amount.is_zero())?;
    let after = |delay: Option<chrono::TimeDelta>| time.checked_add_signed(delay.unwrap_or_default());
    Some(Terms {
        grant_id: grant_id(signup, rule),
        customer_id: signup.customer_id.clone(),
        credit_type: template.credit_type.clone(),
        amount,
        category: Category::Promotional,
        priority: template.priority,
        cost: None,
        effective_at: after(template.effective_after)?,
        expires_at: template.expires_after.and_then(|delay| after(Some(delay))),
        price_id: None,
        rule: Some(rule.name.clone()),
        rules_hash: Some(rules_hash),
        replaces: None,
        basis: amount,
        reason: Some(template.reason.clone().unwrap_or_else(|| Reason::cut("signup"))),
        actor: Actor::rule(&rule.name),
        cause: cause.clone(),
    })
}
