# Two commands do everything: `make explore` and `make test`. Both create the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2

.PHONY: explore test check bench mutants nightly agreement agreement-quick docs pictures system-deps clean

explore: $(VENV)/ready
	$(BIN)/kubeproof explore --jobs $(JOBS)

test: $(VENV)/ready
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not nightly and not bench"

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/ready
	$(BIN)/pytest -m bench -s -q tests/bench

mutants: $(VENV)/ready
	$(BIN)/kubeproof mutants

nightly: $(VENV)/ready
	$(BIN)/pytest -m nightly

# What agrees with recordings of a real Kubernetes, by area; fails below the floor. About 25 minutes.
agreement: $(VENV)/ready
	$(BIN)/python tests/conformance/agreement.py --jobs $(JOBS)

agreement-quick: $(VENV)/ready
	$(BIN)/python tests/conformance/agreement.py --quick --jobs $(JOBS)

docs: $(VENV)/ready
	$(BIN)/python docs/generate.py

pictures: $(VENV)/ready
	$(BIN)/python docs/pictures.py

# The environment: pinned versions, then the project itself.
$(VENV)/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

# Parts of the system that some tests use; each such test skips, naming the part, where it is absent.
system-deps:
	.ci/system-deps

clean:
	rm -rf $(VENV) out build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
