-- $1 position, $2 how many. Whole rows with their hash, for the proof of the chain.
select l.position, l.entry_id, l.format, l.customer_id, l.credit_type, l.sequence, l.type as kind, l.delta,
       l.end_balance, l.grant_id, l.grant_remaining, l.grant_status, l.requested, l.shortfall, l.actor, l.reason,
       l.cause_source, l.cause_id, l.cause_type, l.effective_at, l.recorded_at, l.counts_at, l.amount, l.basis,
       l.category, l.priority, l.cost_amount, l.cost_currency, l.starts_at, l.expires_at, l.price_id, l.rule,
       l.rules_hash, l.replaces, l.hash
from ledger l
where l.position > $1
order by l.position
limit $2
