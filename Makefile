# make install     the environment in .venv (a second call reuses it)
# make test        the same set-up, ruff, pytest
# make notebooks   the same set-up, then all notebooks in order; results under runs/
#
# make site        the pages of this project, with chapters and reference, in build/site
#
# make fuzz MINUTES=30     bad input of every kind, counted (CONTRIBUTING.md, "Tests"); inputs that failed: runs/fuzz
# make fuzz ARGS="bvh 17"   one of these inputs again
#
# make demo                the page of docs/DEMO.md on http://localhost:8000; demo-build only builds it, into docs/demo/dist
# make demo DEMO_MODEL=runs/x/model PORT=8001
#
# make notebooks DATA=bandai SOURCE=FOLDER_OR_ARCHIVE PROFILE=full ARGS="--only 02 --set 02.steps=500"
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make install     torch without CUDA, 2 GB less

PYTHON ?= python3
VENV ?= .venv
DATA ?= synthetic
SOURCE ?=
PROFILE ?= quick
ARGS ?=
MINUTES ?= 30
PORT ?= 8000
DEMO_MODEL ?= everyday-small
DEMO_ONNX = runs/onnx/$(subst /,-,$(DEMO_MODEL))
# Whole files, in the order of tests/conftest.py: what the tests of a file share is made once. (Groups of pytest-xdist
# 3.8 do nothing under pytest 9.2: its issue 1386.)
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder

PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
SITE_STAMP := $(VENV)/.installed-site

# Bytecode is written: the tests start a hundred processes, and each would compile the package anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install test fuzz notebooks demo demo-build demo-test site constraints clean

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

install: $(STAMP)

# torch comes first: it is by far the largest part, and a wrong platform shows itself before the rest.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is $$($(PYTHON) -V 2>&1), but Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --constraint constraints.txt torch
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(PY) -m pip check
	@touch $@
	@echo "installed in $(VENV); activate it with: . $(VENV)/bin/activate"

test: install
	$(PY) -m ruff check .
	$(PY) -m ruff format --check --quiet mmm tests
	$(PY) -m pytest -q $(PYTEST_ARGS)

fuzz: install
	$(PY) tests/fuzz/run.py $(or $(ARGS),--minutes $(MINUTES))

notebooks: install
	$(VENV)/bin/mmm course --profile $(PROFILE) --data $(DATA) $(foreach s,$(SOURCE),--source $(s)) $(ARGS)

docs/demo/node_modules/.installed: docs/demo/package-lock.json
	@command -v npm > /dev/null || { echo "make: the page is built with Node.js 20 or newer and its npm, which are not here"; exit 1; }
	cd docs/demo && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
	@touch $@

DEMO_FOLDERS := $(foreach folder,$(DEMO_MODEL) data/pretrained/$(DEMO_MODEL),$(folder) $(folder)/model)
$(DEMO_ONNX)/config.json: mmm/export.py mmm/export_check.py $(wildcard $(foreach name,*.safetensors */*.safetensors config.json,$(addsuffix /$(name),$(DEMO_FOLDERS)))) | install
	$(VENV)/bin/mmm export --model $(DEMO_MODEL) --out $(DEMO_ONNX)

demo-build: install docs/demo/node_modules/.installed $(DEMO_ONNX)/config.json
	cd docs/demo && node build.mjs $(abspath $(DEMO_ONNX))

demo: demo-build
	@echo "the page is on http://localhost:$(PORT); Ctrl-C stops it"
	$(PY) -m http.server $(PORT) --bind 127.0.0.1 --directory docs/demo/dist

# The page in onnxruntime-web and in Chromium (CHROMIUM=/usr/bin/chromium): same tokens as Python for 20 texts.
demo-test: demo-build
	$(PY) tests/demo_tokens.py $(DEMO_MODEL) $(DEMO_ONNX) runs/demo-tokens.json
	cd docs/demo && node test/tokens.mjs $(abspath runs/demo-tokens.json) $(abspath $(DEMO_ONNX)) $(abspath runs/demo-bvh)
	$(PY) tests/demo_tokens.py --bvh runs/demo-tokens.json runs/demo-bvh
	cd docs/demo && node test/browser.mjs $(abspath runs/demo-tokens.json)

$(SITE_STAMP): $(STAMP)
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[site]'
	@touch $@

# Executes no notebook and needs no network; a warning, a broken link among them, is an error. Always whole: what is left
# of a build that failed would be a warning too.
site: $(SITE_STAMP)
	$(PY) -m sphinx --builder html --quiet --fail-on-warning --fresh-env --conf-dir docs/site --doctree-dir build/doctrees \
	  --write-all . build/site
	@echo "written: build/site/index.html"

# After a change of dependencies: a fresh environment without the old pins, then this writes the new ones.
#   make constraints VENV=.venv-new
constraints:
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --editable '.[dev,site]'
	$(PY) .ci/freeze.py > constraints.txt.part
	mv constraints.txt.part constraints.txt

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis
