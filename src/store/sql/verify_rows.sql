-- The whole ledger in order, for the proof of the chain, each row with what else can be said of it alone.
--
-- Numbers and instants are clamped to what the program can hold (NaN and infinity included): a row that was changed to
-- something beyond breaks the chain like any other, instead of failing to load. `inexact` is for numbers that are not
-- written as the worker writes them, without trailing zeros and within nine places: their value may hash the same.
-- `unlike_grant` and, on a grant's first entry, `unlike_terms` name what the grant's own row says otherwise.
select l.position as "position!", l.entry_id as "entry_id!", l.format as "format!", l.customer_id as "customer_id!",
       l.credit_type as "credit_type!", l.sequence as "sequence!", l.type as "kind!",
       greatest(least(trunc(l.delta, 9), 1e19), -1e19) as "delta!",
       greatest(least(trunc(l.end_balance, 9), 1e19), -1e19) as "end_balance!", l.grant_id,
       case when l.grant_remaining is not null then greatest(least(trunc(l.grant_remaining, 9), 1e19), -1e19)
       end as grant_remaining,
       l.grant_status,
       case when l.requested is not null then greatest(least(trunc(l.requested, 9), 1e19), -1e19) end as requested,
       case when l.shortfall is not null then greatest(least(trunc(l.shortfall, 9), 1e19), -1e19) end as shortfall,
       l.actor as "actor!", l.reason, l.cause_source as "cause_source!", l.cause_id as "cause_id!",
       l.cause_type as "cause_type!",
       greatest(least(l.effective_at, '20000-01-01'), '0001-01-01') as "effective_at!",
       greatest(least(l.recorded_at, '20000-01-01'), '0001-01-01') as "recorded_at!",
       greatest(least(l.counts_at, '20000-01-01'), '0001-01-01') as "counts_at!",
       case when l.amount is not null then greatest(least(trunc(l.amount, 9), 1e19), -1e19) end as amount,
       case when l.basis is not null then greatest(least(trunc(l.basis, 9), 1e19), -1e19)
       end as basis, l.category, l.priority,
       case when l.cost_amount is not null then greatest(least(trunc(l.cost_amount, 9), 1e19), -1e19)
       end as cost_amount,
       l.cost_currency,
       case when l.starts_at is not null then greatest(least(l.starts_at, '20000-01-01'), '0001-01-01')
       end as starts_at,
       case when l.expires_at is not null then greatest(least(l.expires_at, '20000-01-01'), '0001-01-01')
       end as expires_at,
       l.price_id, l.rule, l.rules_hash, l.replaces, l.hash as "hash!",
       exists (
           select from unnest(array[l.delta, l.end_balance, l.grant_remaining, l.requested, l.shortfall, l.amount,
                                    l.basis, l.cost_amount]) as number
           where scale(number) > 9 or scale(number) <> min_scale(number)
       ) as "inexact!",
       case when l.grant_id is null then '{}'
            when g.grant_id is null then '{grant_id}'
            else array_remove(array[
                case when l.customer_id <> g.customer_id then 'customer_id' end,
                case when l.credit_type <> g.credit_type then 'credit_type' end
            ], null)
       end as "unlike_grant!",
       case when l.amount is null or g.grant_id is null then '{}'
            else array_remove(array[
                case when l.amount is distinct from g.amount then 'amount' end,
                case when l.basis is distinct from g.basis then 'basis' end,
                case when l.category is distinct from g.category then 'category' end,
                case when l.priority is distinct from g.priority then 'priority' end,
                case when l.cost_amount is distinct from g.cost_amount then 'cost_amount' end,
                case when l.cost_currency is distinct from g.cost_currency then 'cost_currency' end,
                case when l.starts_at is distinct from g.effective_at then 'effective_at' end,
                case when l.expires_at is distinct from g.expires_at then 'expires_at' end,
                case when l.price_id is distinct from g.price_id then 'price_id' end,
                case when l.rule is distinct from g.rule then 'rule' end,
                case when l.rules_hash is distinct from g.rules_hash then 'rules_hash' end,
                case when l.replaces is distinct from g.replaces then 'replaces' end,
                case when l.reason is distinct from g.reason then 'reason' end,
                case when l.actor is distinct from g.actor then 'actor' end,
                case when l.cause_source is distinct from g.cause_source then 'cause_source' end,
                case when l.cause_id is distinct from g.cause_id then 'cause_id' end,
                case when l.cause_type is distinct from g.cause_type then 'cause_type' end
            ], null)
       end as "unlike_terms!"
from ledger l left join grants g on g.grant_id = l.grant_id
order by l.position
