# Sets up its own virtual environment with pinned packages, then runs the demo, the tests or the checks in it.
#   make test PYTHON=python3.12     on another Python; each Python has its own environment
#   make test ARGS="tests/train"    ARGS is handed on to pytest, or to the demo

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo test check docs dist venv clean

NEWEST_FIRST := python3 python3.13 python3.12 python3.11
PROBE := import sys; sys.exit(print("%d.%d" % sys.version_info[:2]) if sys.version_info >= (3, 11) else 1)

# A Python that was asked for is the only candidate, and has an environment named after its version.
ifdef PYTHON
CANDIDATES := $(PYTHON)
else
CANDIDATES := $(NEWEST_FIRST)
endif
FOUND := $(shell for python in $(CANDIDATES); do \
	version=$$($$python -c '$(PROBE)' 2>/dev/null) && echo $$python $$version && break; done)
INTERPRETER := $(word 1,$(FOUND))
VERSION := $(word 2,$(FOUND))
VENV := .venv$(if $(PYTHON),-$(VERSION))
READY := $(VENV)/ready-$(VERSION)

help: ## print this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16
	@sed -n 's/^#   \(make .*\)/  \1/p' $(MAKEFILE_LIST)

demo: $(READY) ## the main job on embedded synthetic data: pretrain, fine-tune, compare, one HTML page
	@$(VENV)/bin/python experiments/demo.py $(ARGS)

test: $(READY) ## the tests
	@$(VENV)/bin/python -m pytest -q -n 2 --dist worksteal $(ARGS)

check: $(READY) ## style, types and the order of the rooms
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python
	@$(VENV)/bin/lint-imports --no-logo

docs: $(READY) ## the site of docs/, in docs/_build
	@$(VENV)/bin/python -m sphinx -q -W -b html docs docs/_build
	@echo "docs/_build/index.html is written."

dist: $(READY) ## wheel and source distribution, in dist/
	@$(VENV)/bin/python -m hatchling build -d dist

venv: $(READY) ## only set up the environment

clean: ## remove environments, caches and build products; runs/ and stores/ stay
	rm -rf .venv .venv-* .cache build dist docs/_build *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
ifeq ($(FOUND),)
	@echo "jaxssl needs Python 3.11 or newer, and none of these is one: $(CANDIDATES). Name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2
	@exit 2
endif
	@$(INTERPRETER) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(INTERPRETER) cannot make virtual environments: install its venv package (Debian, Ubuntu: apt-get install python$(VERSION)-venv) and run make again." >&2; \
		exit 2; }
	@echo "Setting up $(VENV) with Python $(VERSION); this takes some minutes, once."
	@[ "$$($(VENV)/bin/python -c '$(PROBE)' 2>/dev/null)" = "$(VERSION)" ] || $(INTERPRETER) -m venv --clear $(VENV)
	@echo '*' > $(VENV)/.gitignore
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
