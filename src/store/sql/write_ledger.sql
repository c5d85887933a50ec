-- Under the lock of the head: entries, the head itself, the messages with what became of them ($7), what else became of
-- earlier ones ($8 to $12), signups that gave nothing ($14 and $15), and a call to the relay that is heard at the commit,
-- in the name of $13 if there is one.
-- Without entries ($1) the head stays as it is.
with entries as (
    insert into ledger select * from unnest($5::ledger[])
),
head as (
    update ledger_head set position = $2, hash = $3, recorded_at = $4 where $1
),
kept as (
    insert into inbox (inbox_id, source, message_id, type, time, structured, queue, properties, body, first_outcome,
        first_reason, first_positions, first_rules_hash)
    select inbox_id, source, message_id, type, time, structured, queue, properties, body, first_outcome,
           first_reason, first_positions, $6
    from unnest($7::inbox[])
    returning 1
),
told as (
    -- Behind the first outcomes, which the count waits for: some are of the same message. Positions come as text of
    -- arrays: unnest flattens arrays of arrays.
    insert into later_outcomes (inbox_id, outcome, code, reason, positions, rules_hash)
    select i, o, c, r, p::bigint[], $6
    from (select count(*) from kept) as first,
         unnest($8::uuid[], $9::text[], $10::text[], $11::text[], $12::text[]) as new (i, o, c, r, p)
),
signups as (
    insert into signups_without_grant (customer_id, inbox_id) select * from unnest($14::text[], $15::uuid[])
)
select pg_notify('credits_ledger', $13::text)::text as "called!" where $1 and $13::text is not null
