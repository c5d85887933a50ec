//! What people ask: balances, grants, the ledger, dead letters, what became of a message. Reads only.
