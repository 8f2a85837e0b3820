# The tasks of this repository; `make` alone lists them. Each target first installs what the machine lacks for it.

.DEFAULT_GOAL := help
.PHONY: help build demo test python dashboard fuzz interop interop-bench lint fmt tools bench release image

TARGET := $(or $(CARGO_TARGET_DIR),target)
SCRIPTS := .ci/run scripts/advisories scripts/lua scripts/release scripts/setup scripts/words tests/fuzz/run tests/openclaw-gateway.sh
# The Lua that people write; those of the client are generated, except get.lua.
LUA = crates/jobs/src/queue/redis/lua crates/jobs/src/queue/model
STYLUA = stylua --config-path crates/jobs/src/queue/redis/lua/stylua.toml
# Python with the client's dependencies, in the client's folder.
PYTHON = cd clients/python && PYTHONDONTWRITEBYTECODE=1 $(abspath $(TARGET))/python/bin/python
DASHBOARD = $(abspath tests/dashboard)
# The folder where rustup puts cargo, for shells that do not have it in PATH yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

help: ## List the targets (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the optimised worker: target/release/worker
	@scripts/setup build
	cargo build --release -p mission-worker

# The demo has its own Redis and folder, whatever the environment sets.
demo: ## Show all four kinds of job on simulated gateways; EXIT=1 exits at the end
	@scripts/setup demo
	cargo build --workspace --bins
	env -u MISSION_CONFIG -u MISSION_REDIS_URL MISSION_DATA_DIR=.demo $(if $(EXIT),MISSION_HTTP_ADDR=127.0.0.1:0) \
	  $(TARGET)/debug/worker demo $(if $(EXIT),--exit)

# The end-to-end tests run the binaries in the same folder, so everything is built first.
test: ## Run all tests except those with real gateways
	@scripts/setup test
	cargo build --workspace --all-targets
	@echo "README.md: its job document must be a valid one"
	@sed -n '/^```json/,/^```/{/^```/!p}' README.md | $(TARGET)/debug/worker explain - > /dev/null
	cargo test --workspace --doc --quiet
	@if cargo nextest --version > /dev/null 2>&1; then set -x; cargo nextest run --workspace --no-fail-fast; \
	  else set -x; cargo test --workspace --no-fail-fast --lib --bins --tests; fi
	@$(MAKE) --no-print-directory python
	@$(MAKE) --no-print-directory dashboard

# MISSION_PICTURES=docs/screenshots renews the pictures of the dashboard.
dashboard: ## Run the tests of the dashboard in a real Chromium
	@scripts/setup dashboard
	cargo build --workspace --bins
	PYTHONDONTWRITEBYTECODE=1 $(abspath $(TARGET))/python/bin/python -m pytest -q -p no:cacheprovider tests/dashboard

python: ## Run the tests of the Python client, and the API against its description, with a real worker
	@scripts/setup python
	cargo build --package mission-worker
	export MISSION_WORKER=$(abspath $(TARGET)/debug/worker) && $(PYTHON) -m pytest -q

# MISSION_INTEROP selects versions, separated by commas; `ci` selects those of .ci/run. All others are removed after their
# tests.
INTEROP = --workspace --test main -- --ignored --nocapture --exact

fuzz: ## Fuzz external input; TIME=60 is the seconds of each target
	@scripts/setup fuzz
	TIME=$(or $(TIME),60) RUNS=$(or $(RUNS),-1) SEED=$(or $(SEED),0) tests/fuzz/run

interop: ## Run the tests with real OpenClaw gateways, fetched from npm (5 GB at most, two hours)
	@scripts/setup interop
	cargo build --workspace --all-targets
	cargo test $(INTEROP) interop::interop

interop-bench: ## Measure many agents at once on real gateways
	@scripts/setup interop
	cargo build --release --workspace --all-targets
	cargo test --release $(INTEROP) interop::measure_many_agents_at_once

lint: ## Check format, code, documentation, wording, scripts, alerts; Lua, dependencies, spelling after `make tools`
	@scripts/setup lint
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	scripts/words
	shellcheck $(SCRIPTS)
	promtool check rules config/alerts.yml
	promtool test rules config/alerts.test.yml
	$(PYTHON) -m ruff check --no-cache .
	$(PYTHON) -m ruff format --no-cache --check .
	$(PYTHON) -m mypy --cache-dir $(abspath $(TARGET))/python/mypy
	$(PYTHON) -m ruff check --no-cache $(DASHBOARD)
	$(PYTHON) -m ruff format --no-cache --check $(DASHBOARD)
	@$(call optional,stylua,$(STYLUA) --check $(LUA))
	@$(call optional,selene,scripts/lua)
	@$(call optional,cargo-machete,cargo machete)
	@$(call optional,typos,typos)
	@$(call optional,cargo-deny,cargo deny --workspace check bans licenses sources)
	@$(call optional,cargo-deny,scripts/advisories)

optional = if command -v $(1) > /dev/null; then set -x; $(2); else echo "$(1): not installed, skipped; see make tools"; fi

fmt: ## Format the code
	@scripts/setup lint
	cargo fmt --all
	$(PYTHON) -m ruff format --no-cache . $(DASHBOARD)
	@$(call optional,stylua,$(STYLUA) $(LUA))

tools: ## Install cargo-deny, cargo-machete, typos, stylua and selene for `make lint` (some minutes, once)
	@scripts/setup tools

bench: ## Measure the queue on this machine, in less than three minutes; COUNT=1 counts instructions instead
	@scripts/setup demo
	cargo build --release -p mission-worker
	$(TARGET)/release/worker bench $(if $(COUNT),count)

release: ## Build the release program, its bill of materials and checksums
	@scripts/setup release
	scripts/release

image: ## Build the container image mission-worker
	docker build --tag mission-worker .
