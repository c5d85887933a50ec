-- What the worker may do. {role} is the role's name. No UPDATE or DELETE on inbox, later outcomes, rules files, ledger
-- and the history of dead letters; of a dead letter neither bytes nor properties ever change.
grant usage on schema public to {role};
grant select on all tables in schema public to {role};
grant usage on sequence outcome_ids to {role};
grant insert on inbox, later_outcomes, rules_files, ledger, message_keys, names, purchases, decisions, accounts, pools,
    grants, identity_claims, signups_without_grant, dead_letters, dead_letter_history, attempts to {role};
grant update (purchase_id) on names to {role};
grant update on purchases, accounts, pools, ledger_head, relay_cursor to {role};
grant update (source, type, code, reason, seen, last_seen_at, state, inbox_id, conflict_field, conflict_kept,
    conflict_given, kept_source, kept_id, given_source, given_id) on dead_letters to {role};
grant update (remaining, asked, taken, revoked, surplus, purchase_id, due_at, spendable, replaced_by) on grants to {role};
grant delete on message_keys, purchases, decisions, attempts to {role};
