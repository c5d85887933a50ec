-- A month in sums, of the whole ledger in one pass. $1 the month's first instant, $2 the instant before which entries
-- count, $3 a credit type or null for all, $4 currencies, $5 how many of their smallest units make one.
--
-- An entry is told by its `delta`. Of grants that start only at $2 or later nothing is spendable yet: their entries have
-- delta 0, and what they hold is the sum of what those moved. Money is the difference of two shares of the grant's cost,
-- before and after, each toward zero to a whole smallest unit: `div` is exact, and whatever is summed up telescopes.
with currencies as (
    select * from unnest($4::text[], $5::bigint[]) as c (code, units)
),
entries as (
    select l.grant_id, l.type as kind, l.counts_at, l.delta, l.grant_remaining as remaining, l.requested, l.shortfall,
           l.actor, l.cause_source, l.cause_id
    from ledger l
    where l.counts_at < $2 and l.grant_id is not null and ($3::text is null or l.credit_type = $3)
    union all
    -- What is due and not written yet: it will be written with these instants.
    select g.grant_id, d.kind, greatest(d.at, g.first_counts_at), d.delta, d.remaining, null, null, '', '', ''
    from grants g
    cross join lateral (
        values ('grant', g.effective_at, g.remaining, g.remaining), ('expire', g.expires_at, -g.remaining, 0)
    ) as d (kind, at, delta, remaining)
    where g.due_at < $2 and d.at >= g.due_at and greatest(d.at, g.first_counts_at) < $2
          and ($3::text is null or g.credit_type = $3)
),
moves as (
    select g.credit_type, g.cost_currency, g.cost_amount * c.units as cost, g.amount, e.kind, e.remaining,
           case when g.effective_at < $2 then e.delta
                when e.kind = 'schedule' then e.remaining
                when e.kind = 'revoke' then e.shortfall - e.requested
                when e.kind = 'reinstate' then e.requested - e.shortfall
           end as moved,
           case when e.actor = 'worker:refund' and e.counts_at >= $1 then e.shortfall end as shortfall,
           case when g.effective_at >= $2 then 'scheduled'
                when e.counts_at < $1 then 'opening'
                when e.kind = 'grant' and g.replaces is not null then 'regranted_in'
                when e.kind = 'grant' then 'granted_' || g.category
                -- One of the two entries of a regrant: the other is its successor's first, and has the same cause.
                when e.kind = 'revoke' and g.replaced_by is not null and (
                    select s.cause_source = e.cause_source and s.cause_id = e.cause_id
                    from grants s where s.grant_id = g.replaced_by
                ) then 'regranted_out'
                when e.kind = 'revoke' then 'revoked'
                when e.kind = 'consume' then 'consumed'
                when e.kind = 'expire' then 'expired'
                when e.kind = 'reinstate' then 'reinstated'
                else e.kind
           end as line
    from entries e
    join grants g on g.grant_id = e.grant_id
    left join currencies c on c.code = g.cost_currency
    where e.delta <> 0 or e.shortfall > 0 or g.effective_at >= $2
)
-- Credits in units of the ninth place, money in smallest units: whole numbers, of any length.
select credit_type as "credit_type!", cost_currency as currency, line as "line!", kind as "kind!",
       trunc(sum(moved) * 1000000000)::text as "credits!",
       sum(div(cost * remaining, amount) - div(cost * (remaining - moved), amount))::text as money,
       trunc(coalesce(sum(shortfall), 0) * 1000000000)::text as "shortfall!",
       coalesce(sum(div(cost * shortfall, amount)), 0)::text as "shortfall_money!"
from moves
group by credit_type, cost_currency, line, kind
