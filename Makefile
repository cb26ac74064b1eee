# Wardian. `make lab` opens the tour; `make test` runs every test; the rest is for developers.

SHELL := /bin/sh
VENV := $(CURDIR)/.venv
export PATH := $(VENV)/bin:$(PATH)

LAB_FLAGS ?=
# In their order, not the largest first: the guest of tests/vm, which runs beside, is waited for last.
# In CI a test that fails is tried once more; the run's last lines name it (tests/conftest.py).
SECOND_TRY := $(if $(filter true,$(CI)),--reruns=1)
PYTEST_FLAGS ?= --numprocesses=2 --dist=loadgroup --no-loadscope-reorder $(SECOND_TRY)
TOUR := en/00-tour.ipynb

# jupyter refuses to serve as root unless told so.
ifeq ($(shell id -u),0)
ROOT_FLAG := --allow-root
endif

FRONT_END := kernel/wardian/widgets/static/layers.js
LABEXTENSION := $(VENV)/share/jupyter/labextensions/wardian
FRONT_END_SOURCES := $(shell find extension/src extension/style extension/schema \
    extension/*.json extension/*.mjs -type f 2>/dev/null)

.PHONY: help lab test check bench pictures book dist clean install-lab install-dev \
    check-lint check-format check-types check-front-end check-shape check-prose

help:
	@echo 'make lab     open the tour in JupyterLab'
	@echo 'make test    run every test that this machine can run'
	@echo 'make check   lint, format, types, front-end tests, import arrow, spelling, links'
	@echo 'make bench   Wardian beside its peers'
	@echo 'make pictures  make the pictures of README and course anew; of each lesson in build/pictures'
	@echo 'make book    the course as a static site, in build/book'
	@echo 'make dist    wheel and sdist'
	@echo 'make clean   remove what was made here'

lab: install-lab
	exec jupyter lab $(ROOT_FLAG) --LabApp.default_url=/lab/tree/$(TOUR) $(LAB_FLAGS) notebooks

install-lab:
	@./bootstrap lab

install-dev:
	@./bootstrap dev

extension/node_modules: extension/package-lock.json | install-dev
	npm --prefix extension ci --no-fund --no-audit
	@touch $@

# The first install builds the front end; from then on, what changed in extension/ does.
$(FRONT_END): $(FRONT_END_SOURCES) | install-dev extension/node_modules
	npm --prefix extension run build
	rm -rf $(LABEXTENSION)
	cp -r extension/labextension $(LABEXTENSION)
	@touch $@

test: install-dev $(FRONT_END)
	@./bootstrap apt
	@python -m compileall -q kernel
	pytest $(PYTEST_FLAGS)

check: check-lint check-format check-types check-front-end check-shape check-prose

check-lint: install-dev
	ruff check .

check-format: install-dev
	ruff format --check .

check-types: install-dev
	mypy

check-front-end: extension/node_modules
	npm --prefix extension run check
	npm --prefix extension test

check-shape: install-dev
	pytest -q tests/unit/test_imports_point_one_way.py tests/unit/test_shape_of_the_code.py

# Spelling by codespell's list of misspellings; links by ours.
check-prose: install-dev
	codespell *.md bootstrap Makefile binder notebooks kernel extension/src extension/schema
	pytest -q tests/unit/test_links.py

bench: install-dev $(FRONT_END)
	@./bootstrap apt
	python -m tests.benchmarks $(BENCH_FLAGS)

# By hand, when what they show has changed: no two runs draw the same figures.
pictures: install-dev $(FRONT_END)
	@./bootstrap apt
	WARDIAN_PICTURES=$(CURDIR)/notebooks/en/images pytest -q -p no:xdist tests/ui/pictures.py

book: install-lab
	rm -rf build/book
	python -m wardian.course.book build/book

dist: install-dev
	rm -rf dist
	python -m build --outdir dist .

clean:
	rm -rf .venv build dist extension/node_modules extension/lib extension/labextension
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -f kernel/wardian/widgets/static/*.js kernel/wardian/widgets/static/*.css
	find kernel tests notebooks -name __pycache__ -prune -exec rm -rf {} +
