PYTHON ?= python3
READY := .venv/ready
RUN := .venv/bin/python

.PHONY: compare test test-thorough lint bench clean
compare: $(READY)  ## the whole experiment; ARGS="--seeds 10" and the like go to scripts/compare.py
	@$(RUN) scripts/compare.py $(ARGS)

test: $(READY)  ## in minutes: all tests but the long ones, in two processes
	@$(RUN) -m pytest -n 2 --no-loadscope-reorder -m "not thorough" $(ARGS)

test-thorough: $(READY)  ## the long ones: every planted fault, lost nodes and heads, three replicas, a lab of hosts
	@$(RUN) -m pytest -n 2 --no-loadscope-reorder -m thorough $(ARGS)

lint: $(READY)  ## style, format, types
	@$(RUN) -m ruff check . && $(RUN) -m ruff format --check . && $(RUN) -m mypy

bench: $(READY)  ## the runners beside the article's scripts, in turn; the report of 10,000 records
	@$(RUN) -m tests.bench $(ARGS)

clean:  ## all that was made here except results/
	@rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	@echo "Installing into .venv, once (a minute or two) ..." && $(PYTHON) -m venv .venv
	@$(RUN) -m pip install -q -c constraints.txt -e ".[keras,torch,test,lint]" && touch $@
