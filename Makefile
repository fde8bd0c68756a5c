# Everything a fresh clone needs: Python >= 3.11 and make. `make search` and `make test` set up what they need first.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

JOBS ?= 3
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder

.PHONY: setup search test test-all lint ui bench clean

search: $(READY)   ## the main job: a 50-trial Bayesian search for the SE ratio r on the embedded dataset
	$(BIN)/python -m search.run spaces/se_ratio.yaml

test: lint         ## all but what takes minutes; JOBS processes at once, more than two cores have: many tests wait
	$(PYTEST) -m "not long"

test-all: lint     ## and what takes minutes: a whole cluster, a study killed again and again, a wheel, a soak
	$(PYTEST)

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

ui: $(READY)       ## MLflow's pages on this project's runs
	$(BIN)/python -m search.tracking ui

bench: $(READY)    ## every speed figure beside its baseline (QUICK=1: in about ten minutes)
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick)

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python >= 3.11 is needed, this is " + sys.version)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[cluster,dev,timm]'
	touch $(READY)

clean:
	rm -rf .venv
