# One word for each task. Everything runs from .venv, which `setup` makes and nothing else touches.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready

.PHONY: setup lint test test-url docs demo bench soak nights soak-core soak-points pins fuzz coverage sbom audit

setup: $(STAMP)

$(STAMP): requirements/uv.txt requirements/dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip install --python $(BIN)/python --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps -e .
	touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Whole processes want the machine for themselves; everything else shares its cores, a file at a time, long ones first.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
test: setup lint
	$(BIN)/pytest $(PARALLEL) -m "not alone"
	$(BIN)/pytest -m alone tests/e2e
	$(BIN)/python tests/other_postgres.py $(PARALLEL)

# The same tests on a PostgreSQL of your own: make test-url DATABASE_URL=postgresql://...
test-url: setup
	@test -n "$(DATABASE_URL)" || { echo "set DATABASE_URL" >&2; exit 2; }
	DATABASE_URL="$(DATABASE_URL)" $(BIN)/pytest $(PARALLEL)

# The documents as a site in dist/site; a broken link, anchor or a page nobody can reach ends it.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

demo: setup
	$(BIN)/sellable demo $(if $(FOR),--for $(FOR))

# Figures of this machine, at most ten minutes; BENCH=name measures one of them, TABLE=file keeps them as a page.
bench: setup
	$(BIN)/python -m bench $(BENCH) $(if $(TABLE),--table $(TABLE))

# Simulated days, seed after seed; what was achieved is added to docs/proofs.md.
SEEDS ?= 100
FIRST ?= 1
MINUTES ?= 15
PROFILE ?= chaos
soak: setup
	$(BIN)/sellable simulate --seeds $(SEEDS) --first-seed $(FIRST) --minutes $(MINUTES) --profile $(PROFILE) \
		--record docs/proofs.md

# Real processes struck at night: how often of each, for at most NIGHT_MINUTES each; adds lines to the page of proofs.
# KILLS=1000 STOPS=500 CUTS=200 SLEEPS=100 POWER=200 FULL=50 is a whole night's work.
nights: setup
	$(BIN)/python -m tests.nights --kills $(or $(KILLS),0) --stops $(or $(STOPS),0) --cuts $(or $(CUTS),0) \
		--sleeps $(or $(SLEEPS),0) --power $(or $(POWER),0) --full $(or $(FULL),0) \
		--minutes $(or $(NIGHT_MINUTES),60) --record docs/proofs.md

# The long forms: every pair of transactions stopped everywhere (hours), 200 times as many examples of each property.
soak-core: setup
	RACES=all PROPERTIES=200 $(BIN)/pytest tests/races tests/properties tests/contracts/test_our_description.py \
		--timeout 0

# Each call site alone with each fault, each death alone and then once more: hours. Every mutant's day without it.
soak-points: setup
	FAULT_MATRIX=1 FAULT_MATRIX_TIMES=1,3 CRASH_POINTS=1 CLEAN_DAYS=1 $(BIN)/pytest tests/simulation/test_mutants.py \
		tests/simulation/test_fault_matrix.py tests/simulation/test_crash_points.py --timeout 0

# Coverage-guided fuzzing of every decoder, a minute each; FUZZ="cin7_stock ct_order" picks, SECONDS=600 lasts longer.
fuzz: .venv/.proof
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60) $(FUZZ)

# Branches of the four rooms that decide, covered by everything but the tests of whole processes.
coverage: .venv/.proof
	$(BIN)/coverage run --branch --source sellable -m pytest tests/unit tests/properties tests/suites
	for room in stock sync orders runtime; do \
		echo "$$room"; $(BIN)/coverage report --include "src/sellable/$$room/*" --format total; done

.venv/.proof: $(STAMP) requirements/proof.txt
	$(BIN)/uv pip install --python $(BIN)/python --quiet --require-hashes -r requirements/proof.txt
	touch $@

# What is shipped, with licences and hashes, as CycloneDX.
sbom: setup
	$(BIN)/python -m tests.supply_chain dist/sbom.json

# Known holes in what is shipped; without a network it says so and is not held against anybody.
audit: setup
	$(BIN)/python -m tests.supply_chain --audit

# Newer dependencies: writes the pinned, hashed lists that setup installs.
COMPILE := $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-emit-index-url pyproject.toml
pins: setup
	$(COMPILE) -o requirements/run.txt
	$(COMPILE) --extra otel -o requirements/otel.txt
	$(COMPILE) --extra otel --extra dev -o requirements/dev.txt
	$(COMPILE) --extra otel --extra dev --extra proof -o requirements/proof.txt
