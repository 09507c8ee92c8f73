# Two commands: `make search` and `make test`. Both create .venv on the first call and reuse it afterwards.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ROOMS := engine fitness spaces strategies

.PHONY: search test check docs tree clean

search: $(VENV)/.search
	$(BIN)/rbflex-evo search configs/quickstart.yaml

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2

check: $(VENV)/.check tree
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd build/tree && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml
	cd build/tree && PYTHONPATH=. $(CURDIR)/$(BIN)/lint-imports --config $(CURDIR)/pyproject.toml

docs: $(VENV)/.docs tree
	PYTHONPATH=build/tree $(BIN)/mkdocs build --strict --site-dir build/site

# Links that look as the installed package does, for tools that do not follow the mapping of setup.py.
tree:
	mkdir -p build/tree/rbflex_evo
	for name in $(ROOMS) configs; do ln -sfn ../../../$$name build/tree/rbflex_evo/$$name; done
	for name in __init__.py __main__.py py.typed; do ln -sfn ../../../rbflex_evo/$$name build/tree/rbflex_evo/$$name; done

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# Stamps carry the extra that is installed; a change of the metadata installs again.
$(VENV)/.%: setup.py setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$(EXTRA_$*)]"
	@touch $@

EXTRA_search := tables
EXTRA_test := test
EXTRA_check := test,check
EXTRA_docs := test,docs

clean:
	rm -rf $(VENV) build *.egg-info
