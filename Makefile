# Needs Rust and Node; what else is missing is installed. `make` lists what can be made.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.ONESHELL:
MAKEFLAGS += --no-print-directory --no-builtin-rules

# Where rustup puts cargo, for shells that have not been told.
export PATH := $(PATH):$(HOME)/.cargo/bin

TARGET := $(or $(CARGO_TARGET_DIR),target)
DEBUG := $(TARGET)/debug/parlour
RELEASE := $(TARGET)/release/parlour

NPM_CI := npm ci --no-audit --no-fund --loglevel=error
WEB := web/dist/index.html
# Folders count too: a deleted file changes nothing else.
WEB_SOURCES := $(shell find web/src web/public 2>/dev/null) $(wildcard web/*.json web/*.ts web/*.js web/*.html)

say = @printf '\n== %s\n' '$(1)'

##@ Use
.PHONY: run
run: build ## build Parlour and start it; ARGS="--listen 0.0.0.0:8080" goes to `parlour serve`
	exec $(RELEASE) serve $(ARGS)

.PHONY: build
build: tools $(WEB) ## build the web client and the release binary
	cargo build --release --locked

##@ Develop
.PHONY: test
test: tools test-tools test-web lint check test-browser test-rust ## run every test there is

.PHONY: test-web
test-web: tools $(WEB) ## run the web client's own tests
	$(call say,Web client)
	cd web && npm test

.PHONY: test-browser
test-browser: debug test-tools tests/browser/node_modules/.installed tests/peers/node_modules/.installed ## drive a real server with a real browser
	$(call say,Browser)
	node tests/browser/run.mjs $(DEBUG)

.PHONY: test-rust
test-rust: debug test-tools tests/peers/node_modules/.installed tests/peers/.venv/.installed ## run the Rust tests, on SQLite and PostgreSQL
	$(call say,Rust)
	if cargo nextest --version >/dev/null 2>&1; then
	    cargo nextest run --locked $(if $(CI),--profile ci)
	else
	    cargo test --locked --no-fail-fast
	fi

.PHONY: check
check: debug ## load the shipped bots, run every command's examples and every bot's tests
	$(call say,Bots)
	$(DEBUG) check bots examples/remote-bot/bots

.PHONY: lint
lint: debug ## formatting, clippy and the web client's types; warnings are errors
	$(call say,Lint)
	cargo fmt --check
	cargo clippy --locked --all-targets --test soak -- -D warnings
	node web/scripts/types.mjs $(DEBUG) --check
	cd web && npm run check

.PHONY: types
types: debug ## write the web client's types anew, from what the server says of itself
	node web/scripts/types.mjs $(DEBUG)

.PHONY: fmt
fmt: ## format the Rust code
	cargo fmt

.PHONY: bench
bench: tools $(WEB) benches/load/hubot/node_modules/.installed benches/flows/node-red/node_modules/.installed ## run the benchmarks, about ten minutes; benches/README.md tells what they mean
	cargo bench --locked --bench '*'

# PARLOUR_SOAK_KILLS (200), PARLOUR_SOAK_SLOW_SECONDS (300) and more change it: tests/README.md.
.PHONY: soak
soak: debug test-tools ## kill the server and PostgreSQL again and again under traffic, and check what they kept
	@scripts/need strace
	cargo test --locked --test soak -- --nocapture --test-threads=1 --skip postgres::

.PHONY: clean
clean: ## remove everything that was built
	cargo clean
	rm -rf web/dist web/node_modules tests/browser/node_modules tests/peers/node_modules tests/peers/.venv

.PHONY: help
help: ## list what can be made
	@awk 'BEGIN { FS = ":.*## " } \
	    /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	    /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# What the recipes stand on.

.PHONY: tools
tools:
	@scripts/need cargo node cc

.PHONY: test-tools
test-tools:
	@scripts/need chromium postgres venv

# The binary as the tests use it. Building it for them and not alone keeps cargo from building dependencies twice.
.PHONY: debug
debug: tools $(WEB)
	@cargo test --no-run --locked

# The binary embeds the web client, so this comes before every cargo command.
$(WEB): web/node_modules/.installed $(WEB_SOURCES)
	$(call say,Building the web client)
	cd web
	npm run build
	touch dist/index.html

%/node_modules/.installed: %/package.json %/package-lock.json
	@echo "installing the packages of $*"
	cd $*
	$(NPM_CI)
	touch node_modules/.installed

tests/peers/.venv/.installed: tests/peers/requirements.txt
	@echo "installing the Python packages of tests/peers"
	python3 -m venv tests/peers/.venv
	tests/peers/.venv/bin/pip install --quiet --disable-pip-version-check --no-deps -r tests/peers/requirements.txt
	touch $@
