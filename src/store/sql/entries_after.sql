-- $1 position, $2 how many. Entries in order, with what events show of their grant's terms: the row's own on a grant's
-- first entry, else the grant's.
select l.position, l.entry_id, l.customer_id, l.credit_type, l.sequence, l.type as kind, l.delta, l.end_balance,
       l.grant_id, l.grant_remaining, l.grant_status, l.requested, l.shortfall, l.actor, l.reason, l.cause_source,
       l.cause_id, l.cause_type, l.effective_at, l.recorded_at, l.counts_at,
       coalesce(l.amount, g.amount) as "amount?", coalesce(l.category, g.category) as "category?",
       coalesce(l.priority, g.priority) as "priority?", coalesce(l.cost_amount, g.cost_amount) as "cost_amount?",
       coalesce(l.cost_currency, g.cost_currency) as "cost_currency?",
       coalesce(l.starts_at, g.effective_at) as "starts_at?",
       case when l.amount is null then g.expires_at else l.expires_at end as "expires_at?"
from ledger l
left join grants g on l.amount is null and g.grant_id = l.grant_id
where l.position > $1
order by l.position
limit $2
