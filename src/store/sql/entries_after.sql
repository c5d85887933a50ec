-- $1 position, $2 how many. Entries in order; terms are the row's own on a grant's first entry, else the grant's.
select l.position, l.entry_id, l.format, l.customer_id, l.credit_type, l.sequence, l.type as kind, l.delta,
       l.end_balance, l.grant_id, l.grant_remaining, l.grant_status, l.requested, l.shortfall, l.actor, l.reason,
       l.cause_source, l.cause_id, l.cause_type, l.effective_at, l.recorded_at, l.counts_at, l.amount, l.basis,
       l.category, l.priority, l.cost_amount, l.cost_currency, l.starts_at, l.expires_at, l.price_id, l.rule,
       l.rules_hash, l.replaces,
       coalesce(l.amount, g.amount) as "terms_amount?", coalesce(l.basis, g.basis) as "terms_basis?",
       coalesce(l.category, g.category) as "terms_category?", coalesce(l.priority, g.priority) as "terms_priority?",
       coalesce(l.cost_amount, g.cost_amount) as "terms_cost_amount?",
       coalesce(l.cost_currency, g.cost_currency) as "terms_cost_currency?",
       coalesce(l.starts_at, g.effective_at) as "terms_starts_at?",
       case when l.amount is null then g.expires_at else l.expires_at end as "terms_expires_at?",
       coalesce(l.replaces, g.replaces) as "terms_replaces?"
from ledger l
left join grants g on l.amount is null and g.grant_id = l.grant_id
where l.position > $1
order by l.position
limit $2
