# From a fresh clone, each of these does all the set-up itself. PYTHON=… chooses the interpreter to build on.
.DEFAULT_GOAL := help
SHELL := bash
BIN := .venv/bin
export PYTHON

.PHONY: help setup demo demo-cluster airflow notebooks test test-slow bench load stress soak lint format clean

help: ## Show this.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make .venv with everything, and see to a Java for Spark.
	@infra/setup.sh

demo: setup ## A year of real events, counted twice and compared with the truth (ARGS=--keep leaves it running).
	@$(BIN)/tallymark demo $(ARGS)

demo-cluster: setup ## The same over Kafka, HBase and S3, which it starts on this machine without containers.
	@$(BIN)/tallymark demo --cluster $(ARGS)

airflow: setup ## Install Airflow into .venv-airflow, for the DAGs in dags/ (then: tallymark airflow up).
	@infra/airflow.sh

notebooks: export EXTRAS := dev,notebooks
notebooks: setup ## Open the notebooks in JupyterLab, on a system that runs (make demo ARGS=--keep leaves one).
	@$(BIN)/jupyter lab --ip=127.0.0.1 --notebook-dir=notebooks $(ARGS)

test: setup ## All tests but the slow ones (ARGS="tests/unit -k sketch" runs some of them).
	@$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-slow: setup ## Whole systems that are broken again and again, demos, schedules and notebooks.
	@$(BIN)/python -m pytest -m slow $(ARGS)

bench: setup ## All benchmarks; figures go to bench-results/.
	@set -euo pipefail; for file in tests/bench/bench_*.py; do \
	  name=$$(basename "$$file" .py); echo "==> $$name"; $(BIN)/python -m "tests.bench.$$name"; done

load: setup ## A whole system under a steady load of events and questions (ARGS=--help tells how much).
	@$(BIN)/python -m tests.load load $(ARGS)

stress: setup ## More and more events, until the gateway refuses some, and then three times as many.
	@$(BIN)/python -m tests.load stress $(ARGS)

soak: setup ## A modest load for 15 minutes: does memory grow, do files, do answers get older?
	@$(BIN)/python -m tests.load soak $(ARGS)

lint: setup ## ruff, mypy and the import contracts.
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

format: setup ## Let ruff put the code in shape, and take the results out of the notebooks.
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format . && $(BIN)/python notebooks/strip.py

clean: ## Remove all that was made here, the virtual environment too.
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench-results dist spark-warehouse
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
