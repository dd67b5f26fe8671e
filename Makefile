# What a person types. Everything is installed into .venv, and only when a requirements file has changed.
PYTHON ?= python3
VENV_PYTHON := .venv/bin/python
ARGS ?=
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help run test lint types clean

help:  ## Show this list
	@echo "make PYTHON=python3.12 ... chooses the Python; make run ARGS=\"--server.port 8600\" passes options on"
	@sed -n 's/^\([a-z]*\):.*  ## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

run: .venv/runtime.stamp  ## Install what is missing and open the app in the browser
	@$(VENV_PYTHON) -m streamlit run streamlit_app.py $(ARGS)

test: lint types  ## Lint, types, then every test (the browser tests need Chromium)
	$(VENV_PYTHON) -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

lint: .venv/development.stamp  ## Lint and formatting
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .

types: .venv/development.stamp  ## Static types
	$(VENV_PYTHON) -m mypy engine app streamlit_app.py

clean:  ## Remove .venv and every cache; runs and exports stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

# An environment without a pip (its making was interrupted) or with too old a Python is made anew. Requirements marked
# "alone" are installed without what they ask for.
PIP_INSTALL = $(VENV_PYTHON) -m pip install --disable-pip-version-check $(COMPILE)
define install
	@$(VENV_PYTHON) -c 'import pip; $(NEW_ENOUGH)' 2>/dev/null || { \
	  "$(PYTHON)" -c '$(NEW_ENOUGH)' 2>/dev/null || { \
	    echo 'Heirloom needs Python 3.11 or newer, which "$(PYTHON)" is not: name one, as in make run PYTHON=python3.12' >&2; \
	    exit 1; }; \
	  "$(PYTHON)" -m venv --clear .venv; }
	@grep -hv -e '^-r ' -e '# alone$$' $^ > .venv/together.txt
	@grep -h '# alone$$' $^ > .venv/alone.txt || true
	$(PIP_INSTALL) --no-warn-conflicts -r .venv/together.txt
	$(PIP_INSTALL) --no-deps -r .venv/alone.txt
	@touch $@
endef

# Python compiles what it imports when it first does; pip would compile everything, to 0.3 GB more.
.venv/runtime.stamp: COMPILE := --no-compile
.venv/runtime.stamp: requirements.txt
	$(install)

.venv/development.stamp: requirements-dev.txt requirements.txt
	$(install)
	@touch .venv/runtime.stamp
