# `make` says what there is. Needs Python 3.11 or later and GNU make 3.81 or later, nothing else.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Errors are shown, progress and warnings are not.
INSTALL := $(PIP) install -q -q

# The first Python that is new enough; `make PYTHON=/path/to/python` chooses another.
PYTHON := $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo "$$python"; break; }; done)

# In two steps: to chat, nobody needs the tools of the developers. The constraints have the hash of each
# file that pip may take, and allow no package that would be built by others that nobody has checked.
RUNTIME := $(VENV)/.runtime
DEVELOPMENT := $(VENV)/.development

# Tests at once: twice the cores of a small machine, for half of the time they wait. Each process has
# its own Redis and ports.
JOBS := 4
# Kinds of tests to leave out, by their marker: `make tests WITHOUT=engine`.
WITHOUT :=
PYTEST := $(BIN)/python -m pytest --durations=10 --durations-min=5
# The tests start hundreds of processes. Without compiled files, each would compile all of the
# project: a third of all work. And the first ones would do it at the same time.
COMPILE := $(BIN)/python -m compileall -q -j 0 src tests/support
tests coverage test-loaded: export PYTHONDONTWRITEBYTECODE :=

.PHONY: help chat serve tui test test-loaded test-browser test-operation coverage check-format lint types imports tests format bench faults fuzz docs \
	docs-write pictures journeys messages build smoke constraints clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# -- chatting ----------------------------------------------------------------------------------

chat: $(RUNTIME) ## Chat: install, start a server if none runs here, open the app
	@$(BIN)/gochat chat $(ARGS)

serve: $(RUNTIME) ## Run a server; ARGS='--port 9000' for its flags
	@$(BIN)/gochat serve $(ARGS)

tui: $(RUNTIME) ## Open the app; ARGS='host:port' for another server
	@$(BIN)/gochat tui $(ARGS)

# -- checking ----------------------------------------------------------------------------------

test: check-format lint types imports docs tests ## Run all checks: what must pass before a commit

check-format: $(DEVELOPMENT)
	$(BIN)/ruff format --check .

lint: $(DEVELOPMENT) ## Only look for faults that need no run
	$(BIN)/ruff check .

types: $(DEVELOPMENT)
	$(BIN)/mypy

imports: $(DEVELOPMENT)
	$(BIN)/lint-imports --no-cache

docs: $(DEVELOPMENT) ## Only check the documentation: links, and the parts made from the code
	$(BIN)/python docs/check.py

# Chosen tests one after the other.
MARKED := -m 'not (nothing$(WITHOUT:%= or %))'
tests: $(DEVELOPMENT) ## Only run the tests; ARGS='tests/protocol -k frame' for some of them
ifeq ($(strip $(ARGS)),)
	@$(COMPILE)
	@$(PYTEST) -n $(JOBS) --dist worksteal $(MARKED)
else
	@$(PYTEST) $(ARGS)
endif

# Apart from the tests, for it makes them half as slow again. The report is printed also when they
# fail; the exit code is the tests'.
coverage: $(DEVELOPMENT) ## Run the tests, and report which lines and branches they run
	@$(BIN)/coverage erase
	@status=0; $(MAKE) tests PYTEST='$(BIN)/coverage run -m pytest' || status=$$?; \
	$(BIN)/coverage combine --quiet && $(BIN)/coverage report; exit $$status

test-loaded: $(DEVELOPMENT) ## Run the tests beside two busy loops: they must pass there, too
	@$(BIN)/python tests/support/busy_machine.py 2 $(MAKE) tests

# Not part of `make test`, for it needs chromium and chromedriver on PATH. Without them it fails.
test-browser: $(DEVELOPMENT) ## Try the page of examples/browser in a real Chromium
	@$(PYTEST) tests/browser $(ARGS)

# Not part of `make test`, for it needs haproxy. Without it, it fails.
test-operation: $(DEVELOPMENT) ## Try a day of an operator: two nodes behind a real haproxy
	@$(PYTEST) tests/operation $(ARGS)

# -- changing ----------------------------------------------------------------------------------

format: $(DEVELOPMENT) ## Format the code, and mend what can be mended by machine
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs-write: $(DEVELOPMENT) ## Make the parts of the documentation that are made from the code
	$(BIN)/python docs/check.py --write

messages: $(DEVELOPMENT) ## Bring the translations of the app up to date; NEW=de begins one
	$(BIN)/python tests/support/messages.py $(NEW)

pictures: $(DEVELOPMENT) ## Take the pictures of the app that the documentation shows
	$(BIN)/python docs/pictures.py

journeys: $(DEVELOPMENT) ## Play what three people do in the app, in tmux, and take its pictures; ARGS=slack
	$(BIN)/python tests/support/journeys.py $(ARGS)

RESOLVE := uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade --generate-hashes \
	--only-binary :all: --emit-build-options --no-header --no-annotate --quiet
constraints: ## Resolve the newest versions of everything into constraints*.txt (needs uv)
	$(RESOLVE) --group dev --output-file constraints-dev.txt
	$(RESOLVE) --group backend --constraint constraints-dev.txt --output-file constraints.txt

# -- measuring ---------------------------------------------------------------------------------

bench: $(DEVELOPMENT) ## Measure; QUICK=1 in a minute, PEERS=1 other servers too; ARGS=broadcast
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(if $(PEERS),--peers) $(ARGS)

faults: $(DEVELOPMENT) ## Break things on purpose, and check what must hold; DURATION=60 SEED=1 STORE=redis
	PYTHONPATH=tests/support $(BIN)/python -m gochat_faults $(ARGS)

fuzz: $(DEVELOPMENT) ## Feed random bytes to what reads others' bytes; DURATION=60 SEED=1 TARGET=session
	@PYTHONPATH=tests/support $(BIN)/python -m gochat_fuzz $(ARGS)

# -- building ----------------------------------------------------------------------------------

build: $(DEVELOPMENT) ## Build the wheel and the sdist into dist/
	rm -rf dist
	$(BIN)/python -m build --no-isolation

smoke: build ## Install what was built into new environments, and chat with it
	$(BIN)/python tests/support/smoke.py dist/*.whl
	$(BIN)/python tests/support/smoke.py dist/*.tar.gz

clean: ## Remove all that was made here
	rm -rf $(VENV) dist build htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache
	rm -rf .hypothesis .import_linter_cache snapshot_report.html
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- the environment ---------------------------------------------------------------------------

$(RUNTIME): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "gochat needs Python 3.11 or later; none was found" >&2; exit 1; }
	@echo "Installing gochat into $(VENV) …"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) can't make virtual environments;" \
		"on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(INSTALL) --require-hashes --requirement constraints.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEVELOPMENT): $(RUNTIME) constraints-dev.txt
	@echo "Installing the tools for development …"
	@$(INSTALL) --require-hashes --requirement constraints-dev.txt
	@touch $@
