-- $1 credit type, $2 type, $3 actor, $4 and $5 the positions. All columns, in the order of the primary key.
select position, entry_id, format, customer_id, credit_type, sequence, type as kind, delta, end_balance, grant_id,
       grant_remaining, grant_status, requested, shortfall, actor, reason, cause_source, cause_id, cause_type,
       effective_at, recorded_at, counts_at, amount, basis, category, priority, cost_amount, cost_currency, starts_at,
       expires_at, price_id, rule, rules_hash, replaces, hash
from ledger
where position > $4 and position <= $5 and ($1::text is null or credit_type = $1) and ($2::text is null or type = $2)
      and ($3::text is null or actor = $3)
order by position
