# Two commands do all the set-up: `make demo` and `make test`. Python 3.11 or later, make and git are enough.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
TESTS ?= tests

.PHONY: help demo test suite suite-postgres lint types soak chaos compat bench pacing sharing bench-postgres lock audit clean

help:
	@echo "make demo    go the whole way once, against a sandbox on this machine, to a report to look at"
	@echo "make test    format, lint, types, and the whole suite"
	@echo "make suite   the suite alone, on ledgers in files"
	@echo "make suite-postgres  what concerns ledgers once more, on ledgers in PostgreSQL"
	@echo "make soak    the long proofs: 500 kills, every fault at every step, 20,000 recordings; half an hour"
	@echo "make chaos   500 faults over runs that share a ledger in PostgreSQL, twice; half an hour"
	@echo "make compat  the suite on the newest release and pre-release of aiohttp; needs the network"
	@echo "make bench   speed, memory and start-up, against other tools where they are installed; 20 minutes"
	@echo "make pacing  how near the limit the pace is, against servers that count differently; 15 minutes"
	@echo "make sharing runs that share the limit through a ledger in PostgreSQL, steady and with kills; 15 minutes"
	@echo "make bench-postgres  a ledger in PostgreSQL against one in a file: sending, loading, late claims; 15 minutes"
	@echo "make lock    write constraints.txt anew from pyproject.toml"
	@echo "make audit   look whether a package that constraints.txt pins has a known weakness; needs the network"
	@echo "make clean   remove what the other targets made"

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[media,pictures,report]'
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/batcher demo

test: lint types suite suite-postgres

suite: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(TESTS)

# Tests whose subject is the sandbox, a manifest, a stream or the network are the same on both databases.
ELSEWHERE := sandbox* contrib* wheel demo remote discover verify_ids check formats odd_manifests bad_input places \
	environments streams stalled_stderr terminal logs misplaced_secrets output_targets http_library network \
	misbehaving_peers unusable_answers unanswered_questions report_in_a_browser

# Of the crash tests: kills, histories and faults of requests. The others are about files, or wait by a false clock.
CRASHES := kill kill_loop histories request_faults

suite-postgres: $(VENV)/installed-dev
	$(BIN)/python -m pytest --ledger=postgres --kill-rounds 5 -n $(JOBS) --dist loadgroup tests/unit/ledger tests/integration \
		$(CRASHES:%=tests/crash/test_%.py) \
		$(foreach subject,$(ELSEWHERE),--ignore-glob='*/integration/test_$(subject).py')

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/installed-dev
	$(BIN)/mypy

soak: $(VENV)/installed-dev
	$(BIN)/python -m pytest tests/crash -rP --timeout 3600 --kill-rounds 500 --every-step --soak-rows 20000 --histories 100
	$(BIN)/python -m pytest tests/unit/flowcontrol/test_share_histories.py --timeout 3600 --share-steps 100000

chaos: $(VENV)/installed-dev
	$(BIN)/python -m pytest -p no:xdist tests/crash/test_chaos.py -rP --timeout 7200 --chaos-faults 500

# Each in a virtual environment of its own. 4.0.0a1 is a pre-release of 2019, older than every 3.x of today.
compat:
	rm -rf $(VENV)-compat && mkdir $(VENV)-compat
	grep -v '^aiohttp==' constraints.txt > $(VENV)-compat/constraints.txt
	for pre in "" --pre; do \
		in=$(VENV)-compat/release$$pre && $(PYTHON) -m venv $$in && \
		$$in/bin/python -m pip install --quiet --disable-pip-version-check \
			-c $(VENV)-compat/constraints.txt -e '.[dev]' && \
		$$in/bin/python -m pip install --quiet --disable-pip-version-check \
			--upgrade --no-deps $$pre 'aiohttp<4.0.0a0' && \
		$$in/bin/python -m pip list --disable-pip-version-check 2>/dev/null | grep '^aiohttp ' && \
		$$in/bin/python -m pytest -n $(JOBS) --dist loadgroup || exit 1; \
	done

bench: $(VENV)/installed-dev
	$(BIN)/python -m bench

pacing: $(VENV)/installed-dev
	$(BIN)/python bench/pacing.py
	$(BIN)/python bench/pacing.py --busy
	$(BIN)/python bench/pacing.py --rates
	$(BIN)/python bench/pacing.py --neighbour

sharing: $(VENV)/installed-dev
	PYTHONPATH=tests $(BIN)/python -m bench.sharing

bench-postgres: $(VENV)/installed-dev
	PYTHONPATH=tests $(BIN)/python -m bench.postgres

lock: $(VENV)/installed-dev
	$(BIN)/python -m piptools compile --quiet --strip-extras --all-extras --allow-unsafe --no-header \
		--no-annotate --no-emit-index-url --no-emit-find-links --upgrade -o constraints.new pyproject.toml
	grep -E '^[A-Za-z0-9_.-]+==' constraints.new > constraints.txt
	rm constraints.new

audit: $(VENV)/installed-dev
	$(BIN)/pip-audit --strict --disable-pip --no-deps --progress-spinner off -r constraints.txt

clean:
	rm -rf $(VENV) $(VENV)-compat .venv-newest .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build demo
