-- $1 customers, $2 clock, $3 grant ids; $4 to $6 customers, credit types and amounts of pools, $7 how many grants a pool.
-- Due grants of the customers, the named ones, and of each pool, in the order of use, as many as hold that amount.
-- Index scans all of them; a grant that is several of these comes once.
select grant_id, customer_id, credit_type, scale, amount, remaining, asked, taken, revoked, basis, category, priority,
       cost_amount, cost_currency, effective_at, expires_at, price_id, rule, rules_hash, replaces, reason, actor,
       cause_source, cause_id, cause_type, fact_kind, fact_id, on_invoice, in_full, surplus, first_counts_at, replaced_by
from grants
where grant_id in (
    -- One customer at a time: the index of all that is due anywhere is never an answer.
    select due.grant_id
    from unnest($1::text[]) as owner (customer_id)
    cross join lateral (
        select grant_id from grants where customer_id = owner.customer_id and due_at <= $2
    ) as due
    union
    select unnest($3::uuid[])
    union
    select next.grant_id
    from unnest($4::text[], $5::text[], $6::numeric[]) as pool (customer_id, credit_type, needed)
    cross join lateral (
        select first.grant_id, sum(first.remaining) over (rows unbounded preceding) - first.remaining as before
        from (
            select grant_id, remaining
            from grants
            where customer_id = pool.customer_id and credit_type = pool.credit_type and spendable
              and (expires_at is null or expires_at > $2)
            order by customer_id, credit_type, priority, expires_at, category desc, effective_at, grant_id
            limit $7
        ) as first
    ) as next
    where next.before < pool.needed
)
