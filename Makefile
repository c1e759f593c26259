# The two that matter: `make demo` and `make test`. Both say what they do and install what they need.
PYTHON ?= python3
DEV = .venv/bin
DEMO = .cache/demo/venv

.PHONY: help demo demo-clean test test-quick soak lint bench docs screenshots dev lock clean

help:
	@echo "make demo        share the sample project on this machine, from nothing"
	@echo "make demo-clean  remove everything that the demo made"
	@echo "make test        lint, types, layers and every test, with what they need"
	@echo "make test-quick  the tests that need no container engine"
	@echo "make soak        the tests that take long and that \`make test\` leaves out; run it before a release"
	@echo "make lint        format, lint and types, of Python and TypeScript; import layers, sizes"
	@echo "make bench       how fast a share and a copy are, as ratios"
	@echo "make docs        the documentation, as HTML"
	@echo "make screenshots  the pictures that the documentation shows"
	@echo "make dev         only the development environment, in .venv"
	@echo "make lock        renew requirements/*.txt from pyproject.toml"

demo:
	@$(PYTHON) scripts/prepare.py $(DEMO) --lock demo
	@$(DEMO)/bin/python scripts/demo.py start

demo-clean:
	@$(PYTHON) scripts/demo.py clean

dev:
	@$(PYTHON) scripts/prepare.py .venv --lock dev

test:
	@$(PYTHON) scripts/test.py all

test-quick:
	@$(PYTHON) scripts/test.py quick

soak:
	@$(PYTHON) scripts/test.py soak

lint:
	@$(PYTHON) scripts/test.py lint

bench: dev
	@$(DEV)/python scripts/bench.py

screenshots: dev
	@$(DEV)/python scripts/screenshots.py

docs: dev
	@$(DEV)/python -m sphinx -W --keep-going docs docs/_build/html

COMPILE = $(DEV)/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
lock: dev
	$(COMPILE) --upgrade --extra dev pyproject.toml -o requirements/dev.txt
	$(COMPILE) --constraint requirements/dev.txt pyproject.toml -o requirements/run.txt
	$(COMPILE) --constraint requirements/dev.txt --extra demo pyproject.toml -o requirements/demo.txt

clean:
	rm -rf .venv labextension/node_modules labextension/lib labextension/tsconfig.tsbuildinfo \
	  jupyter_secxops_migrate/labextension
