-- The schema of credits.
--
-- Ids of other systems are compared byte by byte, so their columns have the "C" collation: their order here is the
-- lock order in the code. Numbers are plain numeric under a CHECK, since numeric(p,s) rounds silently and lets NaN
-- through. There are no foreign keys: rows that belong together are written in one transaction by one statement,
-- a key would be checked once more per row on the hot path, and `credits ledger verify` checks the whole. Literals in
-- checks need no cast (0.0 for a numeric, '{a,b}'::text[]): a cast is folded anew by every statement. Tables whose rows
-- change leave room in each page for the next version (fillfactor): from a full page it would go elsewhere, and need an
-- entry in every index.

-- Counts every outcome, in the order in which they came.
create sequence outcome_ids;

-- Every message that was kept or ignored, as it came, with its first outcome. Facts are read from these bodies; there is
-- no second copy.
create table inbox (
    inbox_id    uuid        not null constraint inbox_pkey primary key, -- UUIDv7: grows with arrival
    source      text        collate "C" not null,
    message_id  text        collate "C" not null,
    type        text        collate "C" not null,
    time        timestamptz not null,
    structured  boolean     not null, -- whether the body is the whole event, or only its data
    queue       text        collate "C" not null,
    properties  text        not null, -- JSON, as published
    body        bytea       not null,
    received_at timestamptz not null default clock_timestamp(),
    -- Its first outcome: see the view `outcomes`.
    first_outcome_id bigint   not null default nextval('outcome_ids'),
    first_outcome    text     collate "C" not null
                     constraint inbox_first_outcome
                     check (first_outcome = any ('{applied,duplicate,ignored,waiting}'::text[])),
    first_reason     text     not null,
    first_positions  bigint[] not null, -- the ledger entries that came of it
    first_rules_hash bytea    not null  -- the rules file in force
);

-- Where a message is claimed. Apart from the inbox, since a refused message's key goes and the inbox never does.
create table message_keys (
    source              text     collate "C" not null,
    message_id          text     collate "C" not null,
    inbox_id            uuid     not null,
    fingerprint         bytea    not null,
    fingerprint_version smallint not null,
    -- source last: it is nearly constant, and an index that starts with a constant compares it in vain.
    constraint message_keys_pkey primary key (message_id, source)
);

-- What became of a message after its first outcome: `waiting` is followed by one of the others, and a repetition is a
-- `duplicate` of the first. Insert-only. Few messages have any, so the first one needs no row of its own.
create table later_outcomes (
    outcome_id bigint      not null default nextval('outcome_ids'),
    inbox_id   uuid        not null,
    outcome    text        collate "C" not null
               constraint later_outcomes_outcome
               check (outcome = any ('{applied,duplicate,ignored,waiting,dead-lettered}'::text[])),
    code       text        collate "C",
    reason     text        not null,
    positions  bigint[]    not null,
    rules_hash bytea       not null,
    decided_at timestamptz not null default clock_timestamp(),
    -- inbox_id first: `explain` asks for one message's history, in order.
    constraint later_outcomes_pkey primary key (inbox_id, outcome_id)
);

-- What became of each message, over time.
create view outcomes as
select first_outcome_id as outcome_id, inbox_id, first_outcome as outcome, null::text as code, first_reason as reason,
       first_positions as positions, first_rules_hash as rules_hash, received_at as decided_at
from inbox
union all
select outcome_id, inbox_id, outcome, code, reason, positions, rules_hash, decided_at
from later_outcomes;

-- The text of every rules file that was ever in force.
create table rules_files (
    rules_hash bytea       not null constraint rules_files_pkey primary key,
    text       text        not null,
    first_used timestamptz not null default clock_timestamp()
);

-- Names of purchases and of refunds; every message locks all names that it mentions, known or not. Also those of uses
-- and adjustments: these belong to no purchase, and `purchase_id` is the inbox row of the message that stated them.
create table names (
    kind        text collate "C" not null
                constraint names_kind check (kind = any ('{payment,invoice,other,refund,usage,adjustment}'::text[])),
    value       text collate "C" not null,
    purchase_id uuid, -- absent: mentioned, but by no message that is kept
    constraint names_pkey primary key (value, kind)
);

-- A purchase: the messages that make it, the grants that it led to, and who still waits. A purchase that one payment or
-- invoice makes alone, as most do, has that message's id and no row until anything else touches it: see plain_purchases.
create table purchases (
    purchase_id   uuid   not null constraint purchases_pkey primary key,
    messages      uuid[] not null,
    grants        uuid[] not null,
    waiting       uuid[] not null,
    waiting_since timestamptz
);
-- For `waiting list` and its gauges: the oldest first; nearly always empty.
create index purchases_waiting on purchases (waiting_since) where waiting_since is not null;

-- Lines that were decided without giving a grant (yet): no rule, nothing, or not due. A grant's row holds its own. The
-- customer is the purchase's; `grant_id` and the columns behind `customer_id` are the terms of a grant that is not due.
create table decisions (
    purchase_id   uuid not null,
    price_id      text collate "C" not null,
    fact_kind     text collate "C" not null
                  constraint decisions_fact_kind check (fact_kind = any ('{invoice,payment}'::text[])),
    fact_id       text collate "C" not null,
    rules_hash    bytea not null,
    verdict       text collate "C" not null
                  constraint decisions_verdict check (verdict = any ('{no-rule,zero,too-much,gift}'::text[])),
    rule          text collate "C",
    grant_id      uuid,
    customer_id   text collate "C" not null,
    credit_type   text collate "C",
    scale         smallint,
    amount        numeric,
    category      text collate "C",
    priority      smallint,
    cost_amount   numeric,
    cost_currency text collate "C",
    effective_at  timestamptz,
    expires_at    timestamptz,
    reason        text,
    actor         text collate "C",
    cause_source  text collate "C",
    cause_id      text collate "C",
    cause_type    text collate "C",
    on_invoice    boolean,
    in_full       boolean,
    constraint decisions_pkey primary key (purchase_id, price_id, fact_kind, fact_id)
);
-- For `explain`: a customer's purchases that gave nothing.
create index decisions_by_customer on decisions (customer_id, purchase_id);

-- For `explain`: a customer's signups of which no ledger entry came. The others are the cause of a grant.
create table signups_without_grant (
    customer_id text collate "C" not null,
    inbox_id    uuid not null,
    constraint signups_without_grant_pkey primary key (customer_id, inbox_id)
);

-- One customer's credits: the consistency boundary. `settled_to`: every activation and expiry up to it is written.
create table accounts (
    customer_id text collate "C" not null constraint accounts_pkey primary key,
    settled_to  timestamptz not null
) with (fillfactor = 85);

-- The credits of one credit type in one account, as of `settled_to`.
create table pools (
    customer_id text    collate "C" not null,
    credit_type text    collate "C" not null,
    balance     numeric not null constraint pools_balance check (balance >= 0.0 and balance < 1e19),
    sequence    bigint  not null constraint pools_sequence check (sequence >= 0),
    constraint pools_pkey primary key (customer_id, credit_type)
) with (fillfactor = 85);

-- One block of credits given for one reason. Terms never change; what is left and what refunds asked for does.
create table grants (
    grant_id        uuid        not null constraint grants_pkey primary key,
    customer_id     text        collate "C" not null,
    credit_type     text        collate "C" not null,
    scale           smallint    not null constraint grants_scale check (scale between 0 and 9),
    amount          numeric     not null constraint grants_amount check (amount > 0.0 and amount < 1e15),
    remaining       numeric     not null constraint grants_remaining check (remaining >= 0.0 and remaining <= amount),
    asked           numeric     not null constraint grants_asked check (asked >= 0.0 and asked < 1e15),
    taken           numeric     not null constraint grants_taken check (taken >= 0.0 and taken < 1e15),
    revoked         numeric     not null constraint grants_revoked check (revoked > -1e15 and revoked <= amount),
    basis           numeric     not null constraint grants_basis check (basis > 0.0 and basis < 1e15),
    category        text        collate "C" not null
                    constraint grants_category check (category = any ('{paid,promotional}'::text[])),
    priority        smallint    not null constraint grants_priority check (priority between 0 and 100),
    cost_amount     numeric     constraint grants_cost check (cost_amount >= 0.0 and cost_amount < 1e15),
    cost_currency   text        collate "C",
    effective_at    timestamptz not null,
    expires_at      timestamptz constraint grants_dates check (expires_at > effective_at),
    price_id        text        collate "C",
    rule            text        collate "C",
    rules_hash      bytea,
    replaces        uuid,
    reason          text,
    actor           text        collate "C" not null,
    cause_source    text        collate "C" not null,
    cause_id        text        collate "C" not null,
    cause_type      text        collate "C" not null,
    purchase_id     uuid,
    fact_kind       text        collate "C",
    fact_id         text        collate "C",
    on_invoice      boolean,
    in_full         boolean,
    surplus         boolean     not null,
    first_counts_at timestamptz not null,
    due_at          timestamptz, -- the next activation or expiry that settling has to write
    spendable       boolean     not null, -- something remains, and it is active as of the account's `settled_to`
    replaced_by     uuid        -- a regrant closed it for good: the grant that has its place
) with (fillfactor = 85);
-- The law: one grant that is not surplus per purchase, price and credit type.
create unique index grants_one_per_line on grants (purchase_id, price_id, credit_type)
    where purchase_id is not null and not surplus and replaced_by is null;
-- For lists and balances, one customer's grants; for settling an account, what is due there, however many it has, and
-- for the sweeper the next part of that in the law's order (at one instant expiries first), however many fall due at
-- one instant.
create index grants_by_customer on grants (customer_id, due_at, (due_at = effective_at), grant_id);
-- The order of use: a use reads no more grants than it needs, however many there are. `spendable` and not `remaining`,
-- so that a grant that is used in part keeps its place without a new index entry.
create index grants_in_order on grants (customer_id, credit_type, priority, expires_at, category desc, effective_at, grant_id)
    where spendable;
-- For the sweeper: what is due anywhere, the oldest first.
create index grants_due on grants (due_at) where due_at is not null;

-- What the rows of purchases without one would be. Ask only for ids that names or grants point to, and that have no row:
-- a message that joined another purchase looks the same here.
create view plain_purchases as
select inbox_id as purchase_id, array[inbox_id] as messages,
       array(select grant_id from grants
             where grants.purchase_id = inbox_id and not surplus and replaced_by is null order by grant_id) as grants
from inbox
where type = any ('{payment-succeeded,invoice-issued}'::text[]);

-- Who claimed an identity for a once-only rule.
create table identity_claims (
    rule        text collate "C" not null,
    identity    text collate "C" not null,
    customer_id text collate "C" not null,
    constraint identity_claims_pkey primary key (identity, rule)
);

-- The ledger: append-only, gap-free, hash-chained. Everything about an entry that an auditor asks for stands in it.
create table ledger (
    position        bigint      not null constraint ledger_pkey primary key,
    entry_id        uuid        not null,
    format          smallint    not null, -- the hash's canonical form
    customer_id     text        collate "C" not null,
    credit_type     text        collate "C" not null,
    sequence        bigint      not null,
    type            text        collate "C" not null
                    constraint ledger_type
                    check (type = any ('{schedule,grant,consume,revoke,expire,reinstate}'::text[])),
    delta           numeric     not null,
    end_balance     numeric     not null
                    constraint ledger_end_balance check (end_balance >= 0.0 and end_balance < 1e19),
    grant_id        uuid,
    grant_remaining numeric,
    grant_status    text        collate "C",
    requested       numeric,
    shortfall       numeric,
    actor           text        collate "C" not null,
    reason          text,
    cause_source    text        collate "C" not null,
    cause_id        text        collate "C" not null,
    cause_type      text        collate "C" not null,
    effective_at    timestamptz not null,
    recorded_at     timestamptz not null,
    counts_at       timestamptz not null,
    -- The grant's terms, on its first entry only.
    amount          numeric,
    basis           numeric,
    category        text        collate "C",
    priority        smallint,
    cost_amount     numeric,
    cost_currency   text        collate "C",
    starts_at       timestamptz,
    expires_at      timestamptz,
    price_id        text        collate "C",
    rule            text        collate "C",
    rules_hash      bytea,
    replaces        uuid,
    hash            bytea       not null,
    -- A pool's entries in order, for lists and reports, and the proof that no sequence is given twice.
    constraint ledger_sequence unique (customer_id, credit_type, sequence)
);

-- The last entry. Locked last, held to the commit: so position order is commit order and there are no gaps.
create table ledger_head (
    only_row    boolean     not null default true constraint ledger_head_pkey primary key
                constraint ledger_head_one check (only_row),
    position    bigint      not null,
    hash        bytea       not null,
    recorded_at timestamptz not null
);
insert into ledger_head (position, hash, recorded_at) values (0, '\x', 'epoch');

-- How far events were published and confirmed. Moved only on the session that holds the relay's advisory lock.
create table relay_cursor (
    only_row boolean     not null default true constraint relay_cursor_pkey primary key
             constraint relay_cursor_one check (only_row),
    position bigint      not null,
    moved_at timestamptz not null default clock_timestamp()
);
insert into relay_cursor (position) values (0);

-- What was refused, with its original bytes. Code and reason are those of the last time.
create table dead_letters (
    dead_letter_id bigint      generated always as identity constraint dead_letters_pkey primary key,
    queue          text        collate "C" not null,
    source         text        collate "C",
    message_id     text        collate "C", -- cut at 255 bytes; the body has the whole
    type           text        collate "C",
    content_hash   bytea       not null, -- of the body and the properties as published
    code           text        collate "C" not null,
    reason         text        not null,
    properties     text        not null, -- JSON, as published
    body           bytea       not null,
    seen           bigint      not null default 1,
    first_seen_at  timestamptz not null default clock_timestamp(),
    last_seen_at   timestamptz not null default clock_timestamp(),
    -- Open until a person replays it with effect or discards it. Refused again, it opens again; one that was discarded
    -- only under another code than that under which it was discarded.
    state          text        collate "C" not null default 'open'
                   constraint dead_letters_state check (state = any ('{open,replayed,discarded}'::text[])),
    inbox_id       uuid,       -- its row, if it was kept before: a refund that became a conflict
    -- A contradiction: what is stated twice, both values, and the messages that state them.
    conflict_field text,
    conflict_kept  text,
    conflict_given text,
    kept_source    text        collate "C",
    kept_id        text        collate "C",
    given_source   text        collate "C",
    given_id       text        collate "C",
    -- The same one again raises `seen`.
    constraint dead_letters_same unique nulls not distinct (queue, message_id, content_hash)
);
-- For `explain`: what was refused under an id, and what was refused for contradicting a message.
create index dead_letters_by_message on dead_letters (message_id);
create index dead_letters_by_kept on dead_letters (kept_id) where kept_id is not null;

-- What people did about dead letters. Insert-only.
create table dead_letter_history (
    act_id         bigint      generated always as identity,
    dead_letter_id bigint      not null,
    act            text        collate "C" not null
                   constraint dead_letter_history_act check (act = any ('{replay,discard}'::text[])),
    actor          text        collate "C" not null,
    outcome        text        collate "C" -- of a replay
                   constraint dead_letter_history_outcome
                   check (outcome = any ('{applied,duplicate,ignored,waiting,dead-lettered}'::text[])),
    code           text        collate "C", -- of a replay that was refused again
    reason         text        not null, -- of a replay: why that outcome; of a discard: the person's
    inbox_id       uuid, -- of a replay: the row of the message that is kept
    positions      bigint[]    not null, -- the ledger entries that came of it
    acted_at       timestamptz not null default clock_timestamp(),
    -- dead_letter_id first: `dead-letters show` asks for one letter's history, in order.
    constraint dead_letter_history_pkey primary key (dead_letter_id, act_id)
);

-- Deliveries that were seen for the third time: one row per process start that tries one alone.
create table attempts (
    queue         text        collate "C" not null,
    content_hash  bytea       not null, -- of the message id and the body
    process_start uuid        not null,
    attempted_at  timestamptz not null default clock_timestamp(),
    constraint attempts_pkey primary key (queue, content_hash, process_start)
);

-- Append-only, whoever asks: the worker's role has no right to it, and an owner is stopped here.
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: % is refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end
$$;
create trigger ledger_append_only before update or delete on ledger for each row execute function refuse_change();
create trigger ledger_no_truncate before truncate on ledger for each statement execute function refuse_change();
create trigger inbox_append_only before update or delete on inbox for each row execute function refuse_change();
create trigger inbox_no_truncate before truncate on inbox for each statement execute function refuse_change();
create trigger later_outcomes_append_only before update or delete on later_outcomes for each row execute function refuse_change();
create trigger later_outcomes_no_truncate before truncate on later_outcomes for each statement execute function refuse_change();
create trigger dead_letter_history_append_only before update or delete on dead_letter_history
    for each row execute function refuse_change();
create trigger dead_letter_history_no_truncate before truncate on dead_letter_history
    for each statement execute function refuse_change();
