# Every target does its own set-up: scripts/services starts private Postgres and RabbitMQ and stops them again.
# DATABASE_URL and AMQP_URL, when set, are used instead.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# A build needs no database: queries are checked against .sqlx.
export SQLX_OFFLINE ?= true

services := scripts/services

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# --- run ---

.PHONY: demo
demo: ## publish the sample messages, show what becomes of them
	@cargo build
	@$(services) with .services/demo -- cargo run --quiet -- demo

.PHONY: up
up: ## start Postgres and RabbitMQ for a working day; their URLs go to .services/env
	@$(services) up .services

.PHONY: down
down: ## stop what `make up` started
	@$(services) down .services

# --- check ---

# Cargo prints one result line a binary; the last line here is their sum. setpriv: if make is told to end, its
# shell dies at once; the command behind the pipe has to hear of it to stop its services.
.PHONY: test
test: ## all tests, on real services
	@cargo test --no-run
	@mkdir -p target; status=0; \
	setpriv --pdeathsig TERM $(services) with .services/test -- cargo test --no-fail-fast | tee target/test-output.txt || status=$$?; \
	awk '/^test result: / { for (i = 2; i <= NF; i++) { \
	       if ($$i ~ /^passed/) passed += $$(i-1); \
	       if ($$i ~ /^failed/) failed += $$(i-1); \
	       if ($$i ~ /^ignored/) skipped += $$(i-1) } } \
	     END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }' target/test-output.txt; \
	exit $$status

# Each test that renews its file fails, so that nothing is renewed unseen.
.PHONY: golden
golden: ## renew the golden files of explain and report in tests/fixtures, and show the differences
	@cargo test --no-run --test it
	@$(services) with .services/test -- env CREDITS_RENEW_GOLDEN=1 cargo test --test it -- explanations report || true
	@git --no-pager diff --stat -- tests/fixtures/explain tests/fixtures/report

# The Postgres of the bench has room for what a run writes, as a server for it would, and RabbitMQ for what some ten runs
# write to its log: rolled over every 512 MB, that would cost every third run a seventh of its rate, whoever runs. Nor does
# Postgres analyze tables of a few seconds' age by itself: that came to about every second run, by chance, and took up to
# a fifteenth. All workers are measured on these.
define bench_postgres
shared_buffers = 1GB
autovacuum = off
endef

.PHONY: bench
bench: export CREDITS_PG_CONF ?= $(bench_postgres)
bench: export CREDITS_RABBITMQ_CONF ?= raft.wal_max_size_bytes = 2147483648
bench: ## throughput and latency, with ratios to a per-message worker and to moving bytes only
	@cargo bench --no-run --bench throughput
	@$(services) with .services/bench -- cargo bench --bench throughput

.PHONY: fmt
fmt: ## format the sources
	cargo fmt

.PHONY: lint
lint: ## formatting and clippy, warnings denied
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

.PHONY: doc
doc: ## the documentation of the code, warnings denied
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

.PHONY: audit
audit: ## advisories, licences and banned crates of the dependencies
	@cargo deny --version >/dev/null 2>&1 || { \
	  echo 'cargo-deny is missing: cargo install --locked cargo-deny' >&2; exit 69; }
	cargo deny check

# --- checked queries ---

# The data of all checked queries, from a database made for it, into target/sqlx. The files in migrations/ are
# run by psql and not by `credits migrate`: to build that one the data would have to be there already.
# The sources are touched so that cargo compiles them again; sqlx asks the database while they compile.
define collect-queries
@rm -rf target/sqlx && mkdir -p target/sqlx
@env -u DATABASE_URL AMQP_URL=amqp://not.needed $(services) with .services/sqlx -- bash -euo pipefail -c ' \
  run() { psql -X -q -v ON_ERROR_STOP=1 "$$DATABASE_URL" "$$@"; }; \
  export PGOPTIONS="-c client_min_messages=warning"; \
  run -c "create role credits_worker nologin"; \
  for file in migrations/*.sql; do case $$file in *.down.sql) ;; *) run -f "$$file" ;; esac; done; \
  unset PGOPTIONS; \
  touch src/lib.rs src/main.rs; \
  for file in tests/*.rs tests/*/main.rs benches/*.rs; do if [[ -e $$file ]]; then touch "$$file"; fi; done; \
  SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$$PWD/target/sqlx" cargo check --all-targets'
endef

.PHONY: sqlx-prepare
sqlx-prepare: ## write .sqlx anew, after a change of queries or migrations
	$(collect-queries)
	@mkdir -p .sqlx && rm -f .sqlx/query-*.json
	@find target/sqlx -name 'query-*.json' -exec cp {} .sqlx/ ';'
	@echo "$$(find .sqlx -name 'query-*.json' | wc -l) queries in .sqlx"

.PHONY: sqlx-check
sqlx-check: ## fail if .sqlx is not what queries and migrations give
	$(collect-queries)
	@mkdir -p .sqlx; diff -rq .sqlx target/sqlx || { echo 'out of date: run make sqlx-prepare and commit .sqlx' >&2; exit 1; }
	@echo "$$(find .sqlx -name 'query-*.json' | wc -l) queries in .sqlx, up to date"
