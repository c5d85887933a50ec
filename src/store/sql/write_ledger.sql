-- Under the lock of the head: entries, the head itself, what became of the messages, and a call to the relay that is
-- heard at the commit. Without entries ($1) the head stays as it is.
with entries as (
    insert into ledger (position, entry_id, format, customer_id, credit_type, sequence, type, delta, end_balance,
        grant_id, grant_remaining, grant_status, requested, shortfall, actor, reason, cause_source, cause_id,
        cause_type, effective_at, recorded_at, counts_at, amount, basis, category, priority, cost_amount,
        cost_currency, starts_at, expires_at, price_id, rule, rules_hash, replaces, hash)
    select * from unnest($5::bigint[], $6::uuid[], $7::smallint[], $8::text[], $9::text[], $10::bigint[], $11::text[],
        $12::numeric[], $13::numeric[], $14::uuid[], $15::numeric[], $16::text[], $17::numeric[], $18::numeric[],
        $19::text[], $20::text[], $21::text[], $22::text[], $23::text[], $24::timestamptz[], $25::timestamptz[],
        $26::timestamptz[], $27::numeric[], $28::numeric[], $29::text[], $30::smallint[], $31::numeric[], $32::text[],
        $33::timestamptz[], $34::timestamptz[], $35::text[], $36::text[], $37::bytea[], $38::uuid[], $39::bytea[])
),
head as (
    update ledger_head set position = $2, hash = $3, recorded_at = $4 where $1
),
told as (
    -- positions come as text of arrays: unnest flattens arrays of arrays.
    insert into outcomes (inbox_id, outcome, code, reason, positions, rules_hash)
    select i, o, c, r, p::bigint[], $40 from unnest($41::uuid[], $42::text[], $43::text[], $44::text[], $45::text[])
        as new (i, o, c, r, p)
)
select pg_notify('credits_ledger', '')::text as "called!" where $1
