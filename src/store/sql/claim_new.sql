-- As claim.sql, for messages whose keys and names nobody knows: one that is there already fails the statement.
with claimed as (
    insert into message_keys (source, message_id, inbox_id, fingerprint, fingerprint_version)
    select source, message_id, inbox_id, fingerprint, $5
    from unnest($1::text[], $2::text[], $3::uuid[], $4::bytea[]) as new (source, message_id, inbox_id, fingerprint)
    returning 1
),
keys as materialized (
    select count(*) from claimed
),
mentioned as (
    insert into names (kind, value, purchase_id)
    select kind, value, purchase_id from keys, unnest($6::text[], $7::text[], $8::uuid[]) as new (kind, value, purchase_id)
    returning 1
),
named as materialized (
    select count(*) from mentioned
),
clock as materialized (
    select clock_timestamp() as now from named
),
opened as (
    insert into accounts (customer_id, settled_to)
    select customer_id, clock.now from clock, unnest($9::text[]) as new (customer_id)
    where (select 1 from accounts a where a.customer_id = new.customer_id) is null
    returning 1
)
select (select count(*) from opened) = cardinality($9::text[]) as "accounts!", clock.now as "now!" from clock
