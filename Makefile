# The commands that matter are `make demo`, `make check` and `make test`; each makes its own virtual environment.
PYTHON ?= python3
HOST ?= asgi
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check

.PHONY: demo check test test-all e2e tools dashboard picture states bench performance bench-routes bench-forecast leakbench fieldbench accuracy apps lint docs clean

demo: $(VENV)/demo.stamp $(VENV)/native.stamp
	$(BIN)/memprof demo --host $(HOST) $(if $(KEEP),--keep)

# Tests share the cores. Those with a server mostly wait, so more of them run side by side.
SHARED := --dist loadgroup --no-loadscope-reorder

# Before each commit: lint and all tests that need neither a server nor a browser.
check: lint $(VENV)/native.stamp
	$(BIN)/pytest $(SHARED) -n 2 -m "not server" $(COVERED)

# Everything, with the share of lines and branches that the tests without a server run: to measure it takes them half as
# long again. ARGS="tests/docs -q": some of the tests.
test: COVERED := --cov --cov-report=term:skip-covered
test: $(if $(CI),tools) $(if $(ARGS),lint $(VENV)/native.stamp,check)
	$(BIN)/pytest $(or $(ARGS),$(SHARED) -n 3 -m server --ignore tests/monitoring/e2e)
	$(if $(ARGS),,$(MAKE) e2e)

# A real leak through real gunicorn, Prometheus and Alertmanager to a webhook; a part of `make test` too. By itself: its
# clock runs 300 times as fast, and what is to be muted in time must not wait for other tests.
e2e: $(VENV)/dev.stamp
	$(BIN)/pytest tests/monitoring/e2e

# Prometheus and Alertmanager, and the web servers beyond those of the development extras. CI installs them; a
# developer without them skips what needs them.
tools: $(VENV)/dev.stamp
	.ci/install
	.ci/install-servers $(BIN)/python

# The dashboard, after a change of tools/dashboard.py.
dashboard: $(VENV)/dev.stamp
	$(BIN)/python tools/dashboard.py > monitoring/grafana/dashboards/memprof.json

# The README's picture of the page, from the demo's real data; needs Chromium.
picture: $(VENV)/dev.stamp
	$(BIN)/python tools/picture.py

# The page's states from real servers, as pictures and text, into build/states; needs Chromium. Six minutes.
states: $(VENV)/dev.stamp
	$(BIN)/python tools/states.py

# The tests on every interpreter that the machine has, each in an environment of its own.
test-all:
	$(PYTHON) tests/interpreters.py

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# Which route leaks: truth against estimate on real servers, and on two applications that others wrote; 35 minutes.
bench-routes: $(VENV)/bench.stamp
	$(BIN)/python -m benchmarks.routes
	$(BIN)/python -m benchmarks.routes.real

# Verdicts on labelled applications, each in an environment of its own, and other tools' beside them: an hour.
# ARGS="--only hl-bytes -v": one of them, some seconds. A corpus beside the project is found by itself.
leakbench: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks.leakbench $(or $(ARGS),--full)

# Verdicts on simulated worker processes, some hundred worker-days of them, and the plain rule beside; some minutes.
# cp benchmarks/results/field.json benchmarks/field/measured.json takes a run over for `make accuracy`.
# ARGS="--healthy 20 --leaks 14 --product": the whole product through its public methods, a minute for each worker.
fieldbench: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks.field $(ARGS)

# The page, from benchmarks/leakbench/measured.json; FROM=benchmarks/results/leakbench.json takes a run over.
accuracy: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks.leakbench.page $(FROM)

# When memory is used up: the forecast beside straight lines, on made and recorded series; needs no server. QUICK=1.
bench-forecast: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks.forecast $(if $(QUICK),--quick)
	$(BIN)/python -m benchmarks.forecast.novelty

# Six applications from PyPI under `memprof run`, each in an environment of its own: half an hour, and 3 GB of disk.
# ARGS="--only datasette": one of them. ARGS="--hour": all side by side for an hour, and what the profiler says of them.
apps: $(VENV)/dev.stamp
	$(BIN)/python -m tests.run.applications $(ARGS)

docs: $(VENV)/dev.stamp
	$(BIN)/sphinx-build --fail-on-warning --quiet docs docs/_build

# Prints tables and writes benchmarks/results/; nothing passes or fails by a time. QUICK=1: minutes, more noise.
bench: $(VENV)/bench.stamp $(VENV)/native.stamp
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(ONLY)

# The page and the README's table, from benchmarks/measured.json; FROM=benchmarks/results/full.json takes a run over,
# ALSO="FILE ..." the object counts of runs on other interpreters.
performance: $(VENV)/bench.stamp
	$(BIN)/python -m benchmarks.page $(FROM) $(ALSO)

clean:
	rm -rf .venv* .coverage build native/build dist docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade "pip>=25.1"

$(VENV)/demo.stamp: pyproject.toml | $(BIN)/python
	$(PIP) install --editable ".[demo]"
	touch $@

$(VENV)/dev.stamp: pyproject.toml | $(BIN)/python
	$(PIP) install --editable . --group dev
	$(PIP) install --upgrade --target $(VENV)/apart --group apart
	touch $@

# The object count in C. Without a compiler, or where setuptools cannot be fetched, all goes on in Python.
$(VENV)/native.stamp: native/setup.py native/pyproject.toml $(wildcard native/src/memprof_native/*) | $(BIN)/python
	@if command -v $(firstword $(or $(CC),cc)) > /dev/null; then \
		$(PIP) install --force-reinstall --no-deps ./native || echo "no compiled object count: it could not be built"; \
	else echo "no compiled object count: no C compiler"; fi
	@touch $@

$(VENV)/bench.stamp: pyproject.toml | $(BIN)/python
	$(PIP) install --editable . --group bench
	touch $@
