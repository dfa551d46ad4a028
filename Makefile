# Only Python 3.11+, git and make are assumed; everything else comes from requirements.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup up deploy test lint check docs bench wheel lock clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "candleworks needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": run make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -E '^uv==' requirements.lock | cut -d' ' -f1)"
	VIRTUAL_ENV=$(VENV) UV_LINK_MODE=copy $(BIN)/uv pip sync --quiet --compile-bytecode requirements.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --editable .
	touch $(STAMP)

up: setup
	@exec $(BIN)/candleworks up $(ARGS)

# To the Prefect server that PREFECT_API_URL names; `make up` deploys to its own.
deploy: setup
	$(BIN)/python -m flows.support.deploy $(ARGS)

test: setup
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

lint check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Writes the pages of docs/reference/ that follow from the code.
docs: setup
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/schema_page.py

bench: setup
	$(BIN)/python -m bench $(ARGS)

# Rewrites the pins; run it after changing the dependencies in pyproject.toml. ARGS=--upgrade takes the newest versions.
lock: setup
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --group dev $(ARGS) \
		--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
		--output-file requirements.lock pyproject.toml

# A wheel and a source distribution in dist/; `pip install dist/*.whl` needs neither this directory nor the lock.
wheel: setup
	$(BIN)/python -m hatchling build

clean:
	rm -rf $(VENV) .candleworks dist
