-- Under the lock of the head: entries, the head itself, what became of the messages, and a call to the relay that is
-- heard at the commit, in the name of $12 if there is one. Without entries ($1) the head stays as it is.
with entries as (
    insert into ledger select * from unnest($5::ledger[])
),
head as (
    update ledger_head set position = $2, hash = $3, recorded_at = $4 where $1
),
told as (
    -- positions come as text of arrays: unnest flattens arrays of arrays.
    insert into outcomes (inbox_id, outcome, code, reason, positions, rules_hash)
    select i, o, c, r, p::bigint[], $6 from unnest($7::uuid[], $8::text[], $9::text[], $10::text[], $11::text[])
        as new (i, o, c, r, p)
)
select pg_notify('credits_ledger', $12::text)::text as "called!" where $1 and $12::text is not null
