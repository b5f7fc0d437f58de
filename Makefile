# Two commands for a newcomer: `make demo` and `make test`. Both make .venv and install what they need.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin

.PHONY: demo test lint format pages clean

demo: $(VENV)/.installed
	$(RUN)/python -m benchmarks.product.demo

test: $(VENV)/.installed-dev
	$(RUN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.installed-dev
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

format: $(VENV)/.installed-dev
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

pages: $(VENV)/.installed
	$(RUN)/python -m benchmarks.lib.pages

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(RUN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(RUN)/python -m pip install --quiet --editable ".[dev]"
	touch $@
