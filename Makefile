# `make help` lists the targets. The work is in devcluster/ and images/.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.up-to-date
# For `elastic-jupyter up`, which --help lists.
RUN ?=
DIST ?= dist
LABEXTENSION := src/elastic_jupyter/notebook/labextensions/@elastic-jupyter/labextension
# tests/bench; for example BENCH="--rounds 5 --check start"
BENCH ?=
# Of `make sleeps`.
TIMES ?= 20
SLEEPS := TestHibernation or TestLazyStart or browser
# How many cluster tests run at once. They wait for pods more than they compute.
SIDE_BY_SIDE ?= 3

# uv reads variables of its own; a machine that only tells pip about its mirror is understood, too.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif

.PHONY: help venv test local-tests gpu-tests cluster-tests lint generate cluster kubeconfig cluster-down images run demo wheels bench bench-local labextension lock soak chaos store-contract notebooks crashes ends sleeps

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## make .venv with everything that development needs

$(STAMP): requirements/dev.txt pyproject.toml agent/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed (PYTHON=...)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Python's venv is needed: apt-get install python3-venv" >&2; exit 1; }
	@# What was never whole begins anew: a package that is half there looks as if it were installed.
	@# The stamp stays during an update, so that one that fails wipes nothing.
	{ test -e $@ && $(BIN)/python -c ''; } || $(PYTHON) -m venv --clear .venv
	test -x $(BIN)/uv || $(BIN)/pip install --quiet "$$(grep '^uv==' requirements/dev.txt)"
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e . -e agent
	@touch $@

test: venv ## unit tests, those of one machine and of a browser, then the cluster tests on a real Kubernetes
	@/usr/bin/python3 -c 'import torch' 2>/dev/null || devcluster/packages.sh python3-torch || true
	@# Few slow tests in a file do not make it the last one.
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --timeout 300
	$(MAKE) local-tests
	devcluster/with.sh $(MAKE) cluster-tests

LOCAL_TESTS := $(BIN)/pytest tests/browser tests/local --durations 20 --timeout 300

# Those of a browser need Debian's Chromium; where it cannot be installed, they say that they are
# skipped.
local-tests: # of one machine and of a browser, side by side; then those that bear no others
	@type -P chromium >/dev/null || devcluster/packages.sh chromium || true
	$(LOCAL_TESTS) -m "not alone" -n 2 --dist loadfile --no-loadscope-reorder
	$(LOCAL_TESTS) -m alone

notebooks: venv ## realistic notebooks, each saved and restored at every cell alone
	ALL_CASES=1 $(BIN)/pytest tests/unit/agent/snapshot/test_notebooks.py --timeout 600

gpu-tests: venv ## GPUs of hardware, on a machine that has some: what CUDA and the driver see
	$(BIN)/pytest tests/gpu -s --timeout 300

# A hang ends with a stack.
CLUSTER_TESTS := $(BIN)/pytest tests/cluster --durations 20 --timeout 600

cluster-tests: # on the cluster of KUBECONFIG; side by side, in pairs, then those that bear no others
	$(CLUSTER_TESTS) -m "not (measures or alone)" -n $(SIDE_BY_SIDE) --dist loadfile --no-loadscope-reorder
	$(CLUSTER_TESTS) -m measures -n $(if $(filter 1,$(SIDE_BY_SIDE)),1,2) --dist loadfile --no-loadscope-reorder
	$(CLUSTER_TESTS) -m alone

soak: venv ## thirty users for ten minutes, after which nothing may be left
	SOAK_SECONDS=600 devcluster/with.sh $(BIN)/pytest tests/cluster/test_soak.py -s

store-contract: venv ## what a store does, on a cluster with as many objects as on one machine
	CONTRACT_OBJECTS=10000 devcluster/with.sh $(BIN)/pytest tests/cluster/test_store_contract.py --timeout 3600

chaos: venv ## fifty rounds of SIGKILL on one machine; CHAOS_SEED=n has a run chosen again
	CHAOS_ROUNDS=50 CHAOS_SEED=$${CHAOS_SEED:-$$(date +%s)} $(BIN)/pytest tests/local/test_chaos.py -s

sleeps: venv ## what sleeps and wakes, TIMES times on one machine, then on a cluster
	$(BIN)/pytest tests/browser tests/local/test_scenarios.py -qx -k "$(SLEEPS)" --turns $(TIMES) --timeout 300 \
	  -n 2
	devcluster/with.sh \
	  $(BIN)/pytest tests/cluster/test_hibernation.py -qx -k "$(SLEEPS)" --turns $(TIMES) --timeout 600 \
	  -n $(SIDE_BY_SIDE)

crashes: venv ## a crash at each step of a kernel's sleep and wake, on one machine, then on a cluster
	ALL_CASES=1 $(BIN)/pytest tests/local/test_crashes.py -s
	ALL_CASES=1 devcluster/with.sh $(BIN)/pytest tests/cluster/test_crashes.py --timeout 600

ends: venv ## each end of a kernel on a cluster, at our notebook server and at a stock JupyterLab
	ALL_CASES=1 devcluster/with.sh $(BIN)/pytest tests/cluster/test_bad_news.py --timeout 600

lint: venv ## style, types, layers, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m elastic_jupyter.api.generate --check
	$(BIN)/python -m elastic_jupyter.cli.generate --check
	labextension/stamp.sh check
	@if type -P shellcheck >/dev/null; then shellcheck -x .ci/run devcluster/*.sh images/*.sh images/*/*.sh labextension/*.sh; \
	else echo "shellcheck: not installed, not run"; fi

generate: venv ## write deploy/crds and docs/reference anew from the models and the commands
	$(BIN)/python -m elastic_jupyter.api.generate
	$(BIN)/python -m elastic_jupyter.cli.generate

# Its builder needs to know what JupyterLab has itself.
labextension: venv ## build what JupyterLab loads of ours anew, with Node.js
	cd labextension && npm ci --no-audit --no-fund --ignore-scripts
	rm -rf $(LABEXTENSION)
	cd labextension && CORE="$$(../$(BIN)/python -c 'from importlib.resources import files; \
	  print(files("jupyterlab") / "staging")')" npm run build
	rm $(LABEXTENSION)/schemas/*/*/package.json.orig
	cp labextension/install.json $(LABEXTENSION)
	labextension/stamp.sh write

cluster: venv ## build, start and fill the devcluster; with KUBECONFIG: install there
	devcluster/cluster.sh

kubeconfig: ## print the path of the devcluster's kubeconfig
	@devcluster/kubeconfig.sh

cluster-down: ## remove the devcluster
	devcluster/down.sh

images: venv ## build the images, load those that changed (or push them: REGISTRY=host/path)
	images/build.sh

run: venv ## JupyterLab on http://127.0.0.1:8888 with elastic kernels; RUN="--gpus 1 ..." passes options on
	$(BIN)/elastic-jupyter up $(RUN)

demo: venv ## watch two users share one GPU on this machine; each step is checked
	$(BIN)/elastic-jupyter demo

wheels: venv ## both distributions into dist/, for pip install --find-links dist 'elastic-jupyter[local]'
	$(BIN)/uv build --quiet --wheel --out-dir $(DIST) .
	$(BIN)/uv build --quiet --wheel --out-dir $(DIST) agent

bench: venv ## the benchmarks of a cluster, as JSON
	@devcluster/with.sh $(BIN)/python -m tests.bench $(BENCH)

bench-local: venv ## the benchmarks of one machine, as JSON
	@$(BIN)/python -m tests.bench --local $(BENCH)

# The others follow what development uses, so that the tests say something about the images.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links $(LOCK_ARGS)

lock: ## pin the newest versions that pyproject.toml allows in requirements/*.txt
	test -x $(BIN)/uv || { $(PYTHON) -m venv .venv && $(BIN)/pip install --quiet uv; }
	printf -- '-e .\n-e agent\n' | $(LOCK) --upgrade --group dev --no-emit-package elastic-jupyter \
	  --no-emit-package elastic-jupyter-agent -o requirements/dev.txt -
	for extra in operator notebook; do \
	  $(LOCK) --upgrade -c requirements/dev.txt --extra $$extra -o requirements/$$extra.txt pyproject.toml; done
	$(LOCK) --upgrade -c requirements/dev.txt --extra gateway --extra s3 -o requirements/gateway.txt pyproject.toml
	$(LOCK) --upgrade -c requirements/dev.txt -o requirements/kernel-python.txt requirements/kernel-python.in
