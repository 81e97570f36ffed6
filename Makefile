# Every target works on a fresh clone: it first makes .venv (Python 3.11 to 3.13, no compiler, no root).
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup test check demo sim mutants chaos chaos-long fuzz fuzz-models guide floods check-long conformance
.PHONY: exactness bench models lock clean

BIN := .venv/bin
READY := .venv/.ready
LOCKS := lock/build.txt lock/requirements.txt
SEEDS ?= 200
COUNT ?= 10000
FROM ?= 1
JOBS ?= 2
SECONDS ?= 600

# A worker that dies, or hangs and is ended, ends the run: another one in its place would not be given the rest.
PYTEST := $(BIN)/pytest --numprocesses $(JOBS) --max-worker-restart 0
# What floods a node must be fast enough to be cut off, and has the machine to itself (docs/decisions/0048).
ALONE := tests/fuzz/test_floods.py tests/fuzz/test_handlers.py

# The pins are complete and hashed, so pip resolves nothing and asks no other question than for the files.
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps
LOCKED := --require-hashes --only-binary :all:
# The two pure-Python packages that were never published as wheels.
SOURCE_ONLY := --no-build-isolation --no-binary varint,python-baseconv

UV_LOCK := uv pip compile --quiet --python-version 3.11 --universal --fork-strategy fewest --generate-hashes \
  --no-header --no-annotate --allow-unsafe

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with everything pinned in lock/

$(READY): $(LOCKS) pyproject.toml $(addprefix lock/,find-python repair.py fastecdsa_stand_in.py)
	@python=$$(bash lock/find-python) && echo "Setting up .venv with $$python: about a minute." && "$$python" -m venv .venv
	$(PIP_INSTALL) $(LOCKED) --requirement lock/build.txt
	$(PIP_INSTALL) $(LOCKED) $(SOURCE_ONLY) --requirement lock/requirements.txt
	$(BIN)/python lock/repair.py
	$(PIP_INSTALL) --no-build-isolation --editable .
	@touch $@

test: setup ## run the tests in JOBS=j processes
	$(BIN)/pytest $(ALONE)
	$(PYTEST) $(addprefix --ignore ,$(ALONE))

check: setup ## exactly what CI runs: format, lint, types, imports, dead code, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	@$(MAKE) --no-print-directory test

demo: setup ## four validators, one exact model, one answer that a light client believes
	$(BIN)/python -m examples.demo.run

sim: setup ## simulate consensus: SEEDS=n runs from seed FROM=s in JOBS=j processes
	$(BIN)/python -m tests.simulation.run --seeds $(SEEDS) --from $(FROM) --jobs $(JOBS)

mutants: setup ## plant bugs in the consensus engine and see which oracle notices each: twenty minutes
	$(BIN)/python -m tests.simulation.mutants

chaos: setup ## break real networks in four ways, as CI does: a minute and a half
	$(BIN)/python -m tests.chaos.run --short

chaos-long: setup ## break real networks in every way that is known: a quarter of an hour
	$(BIN)/python -m tests.chaos.run

fuzz: setup ## send every decoder hostile bytes for SECONDS=n; what does harm is kept in tests/fuzz/cases
	$(BIN)/python -m tests.fuzz.run --seconds $(SECONDS)

fuzz-models: setup ## COUNT=n hostile models: refused, or proved and the same bits on every engine
	$(BIN)/python -m tests.fuzz.models.run --count $(COUNT)

guide: setup ## run every command of the guides, in three minutes
	$(BIN)/python -m tests.docs.run_guide

floods: setup ## flood each protocol of a real validator for a minute
	$(BIN)/python -m tests.fuzz.test_floods 60

check-long: setup ## what takes hours: the long simulation, every scenario, mutants, fuzzing, floods
	$(MAKE) sim SEEDS=50000
	$(MAKE) mutants chaos-long fuzz fuzz-models floods

conformance: setup ## run every engine's tests, also through an MLServer and a KServe: 4 minutes, 0.9 GB of packages in build/
	$(BIN)/pytest tests/conformance/test_engines.py
	for server in mlserver==1.7.1 kserve==0.21.0; do \
	  home=build/servers/$$server; test -e $$home/ready || { $(BIN)/python -m venv $$home && \
	    $$home/bin/pip install -q $$server onnxruntime numpy && touch $$home/ready; } && \
	  $(BIN)/python -m tests.conformance.servers $$home || exit 1; \
	done

exactness: setup ## count the distinct outputs of MODELS (all), float and exact, over versions and processors
	$(BIN)/python -m tests.exactness.run $(MODELS)

bench: setup ## run every benchmark; each prints one line of JSON
	$(BIN)/python -m benchmarks.run

models: ## train and export the test models again, and the large ones: an hour, 8 GB of packages
	bash tests/models/make/run

lock: ## renew lock/ from pyproject.toml (needs uv, and the public index alone)
	$(UV_LOCK) lock/build.in --output-file lock/build.txt
	$(UV_LOCK) --extra dev pyproject.toml --output-file lock/requirements.txt

clean: ## remove .venv and every cache
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info build dist
