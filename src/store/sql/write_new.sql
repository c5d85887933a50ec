-- Everything a batch inserts before the head is locked, and the pools it moves. One trip for all.
with kept as (
    insert into inbox (inbox_id, source, message_id, type, time, structured, queue, properties, body)
    select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::boolean[], $7::text[],
                         $8::text[], $9::bytea[])
),
made_purchases as (
    -- messages, grants and waiting come as text of arrays: unnest flattens arrays of arrays.
    insert into purchases (purchase_id, messages, grants, waiting, waiting_since)
    select p, m::uuid[], g::uuid[], w::uuid[], case when w <> '{}' then clock_timestamp() end
    from unnest($10::uuid[], $11::text[], $12::text[], $13::text[]) as new (p, m, g, w)
),
made_pools as (
    insert into pools (customer_id, credit_type, balance, sequence)
    select * from unnest($14::text[], $15::text[], $16::numeric[], $17::bigint[])
),
moved_pools as (
    update pools set balance = new.balance, sequence = new.sequence
    from unnest($18::text[], $19::text[], $20::numeric[], $21::bigint[])
         as new (customer_id, credit_type, balance, sequence)
    where pools.customer_id = new.customer_id and pools.credit_type = new.credit_type
)
insert into grants (grant_id, customer_id, credit_type, scale, amount, remaining, asked, taken, revoked, basis, category,
    priority, cost_amount, cost_currency, effective_at, expires_at, price_id, rule, rules_hash, replaces, reason, actor,
    cause_source, cause_id, cause_type, purchase_id, fact_kind, fact_id, on_invoice, in_full, surplus, first_counts_at,
    due_at)
select * from unnest($22::uuid[], $23::text[], $24::text[], $25::smallint[], $26::numeric[], $27::numeric[],
    $28::numeric[], $29::numeric[], $30::numeric[], $31::numeric[], $32::text[], $33::smallint[], $34::numeric[],
    $35::text[], $36::timestamptz[], $37::timestamptz[], $38::text[], $39::text[], $40::bytea[], $41::uuid[],
    $42::text[], $43::text[], $44::text[], $45::text[], $46::text[], $47::uuid[], $48::text[], $49::text[],
    $50::boolean[], $51::boolean[], $52::boolean[], $53::timestamptz[], $54::timestamptz[])
