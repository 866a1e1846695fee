# make run and make test do all their own set-up: see tools/setup.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test lint types page pytest bench wheel lock clean setup-run setup-test setup-bench

VENV := .venv/bin
unexport PYTHONDONTWRITEBYTECODE  # where it is set, each of the services that the tests start would compile everything
ARGS ?=

help:  ## this list
	@echo "make TARGET, with ARGS=... handed on by run, pytest and bench:"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{printf "%-8s %s\n", $$1, $$2}'

run: setup-run  ## start the service at http://127.0.0.1:8080
	@exec $(VENV)/clarion serve $(ARGS) </dev/null

test: lint types page pytest  ## everything that has to pass: lint, types, page and tests

lint: setup-test  ## ruff
	$(VENV)/python -m ruff check .

types: setup-test  ## mypy, strict
	$(VENV)/python -m mypy

page: setup-test web/node_modules/.installed  ## the page's JavaScript, checked by tsc
	cd web && npm run --silent check

web/node_modules/.installed: web/package.json web/package-lock.json
	cd web && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

pytest: setup-test  ## the tests alone
	$(VENV)/python -m pytest --durations=15 $(ARGS)

bench: setup-bench  ## speech over bad networks, and how long joining a call takes, as tables
	$(VENV)/python -m bench.join
	$(VENV)/python -m bench.audio $(ARGS)

wheel: setup-run  ## the package, in dist/
	rm -rf dist
	$(VENV)/python -m pip wheel -q --no-deps --no-build-isolation -w dist .

# uv.lock itself would name the registry, so it stays in build/; the exported locks do not.
EXPORT := ../../$(VENV)/python -m uv export -q --frozen --no-header --no-emit-project --format requirements-txt
lock: setup-test  ## pin the newest allowed versions of everything again
	$(VENV)/python -m pip install -q uv
	rm -rf build/lock && mkdir -p build/lock && cp pyproject.toml build/lock
	cd build/lock && ../../$(VENV)/python -m uv lock -q
	cd build/lock && $(EXPORT) --no-default-groups -o ../../requirements.lock
	cd build/lock && $(EXPORT) --only-group build -o ../../requirements-build.lock
	cd build/lock && $(EXPORT) --only-group dev -o ../../requirements-dev.lock
	cd build/lock && $(EXPORT) --only-group bench -o ../../requirements-bench.lock

clean:  ## remove what these targets made
	rm -rf .venv dist build web/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis

setup-run:
	@tools/setup run

setup-test:
	@tools/setup test

setup-bench: setup-test
	@tools/setup bench
