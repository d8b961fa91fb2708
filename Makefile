# One word for each task. Everything runs from .venv, which `setup` makes and nothing else touches.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready

.PHONY: setup lint test test-url soak demo bench pins

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

test: setup lint
	$(BIN)/pytest
	$(BIN)/python tests/other_postgres.py

# The same tests on a PostgreSQL of your own: make test-url DATABASE_URL=postgresql://...
test-url: setup
	@test -n "$(DATABASE_URL)" || { echo "set DATABASE_URL" >&2; exit 2; }
	DATABASE_URL="$(DATABASE_URL)" $(BIN)/pytest

# The long forms: every pair of transactions stopped everywhere (hours), 200 times as many examples of each property.
soak: setup
	RACES=all PROPERTIES=200 $(BIN)/pytest tests/races tests/properties --timeout 0

demo: setup
	$(BIN)/sellable demo $(if $(FOR),--for $(FOR))

# Figures of this machine, at most ten minutes; BENCH=name measures one of them, TABLE=file keeps them as a page.
bench: setup
	$(BIN)/python -m bench $(BENCH) $(if $(TABLE),--table $(TABLE))

# Newer dependencies: writes the pinned, hashed lists that setup installs.
pins: setup
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-emit-index-url \
		pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-emit-index-url \
		--extra dev pyproject.toml -o requirements/dev.txt
