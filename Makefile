# `make run` and `make test` are all that a fresh machine needs: each makes .venv, installs, and works.
# Arguments pass through: make run ARGS="--symbols AAPL MSFT", make test ARGS="-k windows -x".

.DEFAULT_GOAL := help
.PHONY: help run test test-jax lint lock notebooks clean app-installed dev-installed

ARGS ?=
PYTHON_IN_VENV := .venv/bin/python

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: app-installed ## prices, back test, training, forecast, report (ARGS="--symbols AAPL MSFT")
	@$(PYTHON_IN_VENV) -m app run $(ARGS)

test: dev-installed ## all tests (ARGS="-k windows -x")
	@$(PYTHON_IN_VENV) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-jax: dev-installed ## all tests with JAX installed beside TensorFlow: those that compare the two run, too
	@sh requirements/install.sh requirements/jax.txt
	@$(PYTHON_IN_VENV) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: dev-installed ## style, layout and types
	@$(PYTHON_IN_VENV) -m ruff check .
	@$(PYTHON_IN_VENV) -m ruff format --check .
	@$(PYTHON_IN_VENV) -m mypy app

lock: dev-installed ## bring requirements.lock to the newest versions requirements.txt allows
	@$(PYTHON_IN_VENV) -m uv pip compile requirements.txt --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --upgrade --quiet --output-file requirements.lock

notebooks: dev-installed ## execute every notebook and keep what it shows
	@$(PYTHON_IN_VENV) -m jupytext --sync notebooks/*.py
	@$(PYTHON_IN_VENV) -m jupytext --to ipynb --update --execute notebooks/*.py

clean: ## remove the environment and caches; prices, models and reports stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

app-installed:
	@sh requirements/install.sh requirements.txt

dev-installed:
	@sh requirements/install.sh requirements/dev.txt
