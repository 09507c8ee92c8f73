# Two commands: `make search` and `make test`. Both create .venv on the first call and reuse it afterwards.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: search test check clean

search: $(VENV)/.search
	$(BIN)/rbflex-evo search configs/quickstart.yaml

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2

check: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# Stamps carry the extra that is installed; a change of setup.cfg installs again.
$(VENV)/.%: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$(EXTRA_$*)]"
	@touch $@

EXTRA_search := tables
EXTRA_test := test
EXTRA_check := test,check

clean:
	rm -rf $(VENV) build *.egg-info
