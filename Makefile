# `make dev` runs the product, `make test` tests it. Both create the virtual environment first.
PYTHON ?= python3
UV := $(shell command -v uv || echo .uv/bin/uv)
BIN := .venv/bin

.PHONY: dev test test-long mutation check format bench lock clean

dev: .venv/ready
	$(BIN)/gateway dev

# Three processes, each with its own servers: tests wait a lot, so more than one per core pays off.
test: .venv/ready
	$(BIN)/pytest -m "not long" -n 3 --dist worksteal

test-long: .venv/ready
	$(BIN)/pytest -m long

# Mutates the decision logic, one small change at a time; fails if no test notices one. Takes some ten minutes.
mutation: .venv/ready
	rm -rf mutants
	$(BIN)/python -m tests.mutation

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/ready
	$(BIN)/python -m bench

# --target works without a virtual environment and without write access to the system's Python.
.uv/bin/uv:
	$(PYTHON) -m pip install --quiet --root-user-action=ignore --target .uv uv

.venv/ready: requirements-dev.txt pyproject.toml | $(filter .uv/bin/uv,$(UV))
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	@# Compiling once here more than halves start-up time, even if Python may not write bytecode later.
	$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements-dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

lock: | $(filter .uv/bin/uv,$(UV))
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" --output-file requirements.txt pyproject.toml
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" --extra embedded --extra dev --output-file requirements-dev.txt pyproject.toml
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" --output-file requirements-image.txt --group image

clean:
	rm -rf .venv .uv .gateway mutants
