-- $1 to $5 message keys, $6 to $8 names, $9 customers. Makes the keys; if all of them are new, the names; if these are all
-- new as well, the accounts. Each step reads whether the one before it made everything, so they lock in this order.
--
-- What is there already is left out by a look-up, and what another session makes meanwhile fails the statement: then the
-- batch runs again and finds it. `on conflict do nothing` would save that, but costs every new row a second look into
-- the index and a second record in the log. The look-ups are scalar subqueries, since `not exists` may become a join
-- that reads a whole table.
with claimed as (
    insert into message_keys (source, message_id, inbox_id, fingerprint, fingerprint_version)
    select source, message_id, inbox_id, fingerprint, $5
    from unnest($1::text[], $2::text[], $3::uuid[], $4::bytea[]) as new (source, message_id, inbox_id, fingerprint)
    where (select 1 from message_keys k where k.message_id = new.message_id and k.source = new.source) is null
    returning 1
),
keys as materialized (
    select count(*) = cardinality($1::text[]) as new from claimed
),
mentioned as (
    insert into names (kind, value, purchase_id)
    select kind, value, purchase_id
    from keys, unnest($6::text[], $7::text[], $8::uuid[]) as new (kind, value, purchase_id)
    where keys.new and (select 1 from names n where n.value = new.value and n.kind = new.kind) is null
    returning 1
),
named as materialized (
    select keys.new and (select count(*) from mentioned) = cardinality($6::text[]) as new from keys
),
clock as materialized (
    select clock_timestamp() as now from named
),
opened as (
    insert into accounts (customer_id, settled_to)
    select customer_id, clock.now from named, clock, unnest($9::text[]) as new (customer_id)
    where named.new and (select 1 from accounts a where a.customer_id = new.customer_id) is null
    returning 1
)
select keys.new as "keys!", named.new as "names!",
       (select count(*) from opened) = cardinality($9::text[]) as "accounts!", clock.now as "now!"
from keys, named, clock
