# `make run` serves the app, `make test` runs every check, `make docs` writes the documentation; each
# sets up what it needs, once.
PYTHON ?= python3
PORT ?= 8501
BIN := .venv/bin

.PHONY: run test pytest quick newest docs slow lint browser benchmark lock sbom audit clean

run: .venv/app.done
	VITVIZ_ALLOW_DOWNLOADS=$${VITVIZ_ALLOW_DOWNLOADS:-1} $(BIN)/vitviz app --port $(PORT)

# Workers with one thread each, one more than there are processors: those with a browser often wait.
# Which tests stay together tests/conftest.py says; the browsers come first and take longest.
WORKERS := -n 3 --dist loadscope --no-loadscope-reorder
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest $(WORKERS)

# What is installed comes over the network at once; mypy is done long before the tests are.
test:
	$(MAKE) --jobs .venv/dev.done browser
	$(MAKE) --jobs lint pytest

pytest: .venv/dev.done browser
	$(PYTEST)

# In about a minute what everything rests on: photos, recordings, pictures and texts.
quick: .venv/dev.done
	$(PYTEST) tests/photos tests/recording tests/pictures tests/ui/test_texts.py \
		--ignore tests/recording/test_places.py --ignore tests/recording/test_layout.py

# The tests with the newest of what Vitviz is built on, in an environment of its own.
NEWEST := timm torch torchvision streamlit transformers huggingface-hub
newest: browser
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements-dev.txt
	.venv-newest/bin/pip install --quiet --disable-pip-version-check --no-deps -r requirements-alone.txt
	.venv-newest/bin/pip install --quiet --disable-pip-version-check --upgrade $(NEWEST)
	.venv-newest/bin/pip freeze | grep -iE "^($(subst $() ,|,$(NEWEST)))=="
	OMP_NUM_THREADS=1 .venv-newest/bin/pytest $(WORKERS) --tb=line

# What takes minutes: a real fine-tuning.
slow: .venv/dev.done
	$(BIN)/pytest -m slow

lint: .venv/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# The browser tests drive Debian's Chromium without windows; those of the scripts alone run in Node, those
# of live classes use a Redis server, and those of several servers HAProxy.
browser:
	@PATH=$$PATH:/usr/sbin which chromium-headless-shell node redis-server haproxy >/dev/null || .ci/install-programs

# The documentation in site/; a warning is an error.
docs: .venv/docs.done
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

benchmark: .venv/dev.done browser
	$(BIN)/python -m benchmarks.recording
	$(BIN)/python -m benchmarks.methods
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.app
	$(BIN)/python -m benchmarks.hub
	$(BIN)/python -m benchmarks.journey
	$(BIN)/python -m benchmarks.classroom
	$(BIN)/python -m benchmarks.replicas

# What the image installs, with hashes; anew after a change of constraints.txt.
lock: .venv/dev.done
	.ci/lock

# The same as a bill of materials (CycloneDX), and what is known against it; both in an environment of
# their own. That a package cannot be looked up is an error, too.
PINS = { cat requirements-image.txt; grep -E '^torch(vision)?==' constraints.txt; }
sbom: .venv-tools
	$(PINS) | .venv-tools/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-file sbom.json -

audit: .venv-tools
	$(PINS) | sed -nE 's/^([a-z].*==[^ ;]+).*/\1/p' | sort -u >.venv-tools/pins.txt
	.venv-tools/bin/pip-audit --strict --no-deps --disable-pip -r .venv-tools/pins.txt

.venv-tools:
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/pip install --quiet --disable-pip-version-check pip-audit==2.10.1 cyclonedx-bom==7.5.0

.venv/bin/python:
	@$(PYTHON) -m venv .venv || { echo "No virtual environment: apt-get install python3-venv"; exit 1; }

.venv/app.done: pyproject.toml constraints.txt requirements.txt | .venv/bin/python
	.ci/install -r requirements.txt
	@touch $@

.venv/dev.done: pyproject.toml constraints.txt requirements-dev.txt requirements-alone.txt | .venv/bin/python
	.ci/install -r requirements-dev.txt
	.ci/install --no-deps -r requirements-alone.txt
	@touch $@ .venv/app.done

# Read from the code's text: nothing of the app is needed.
.venv/docs.done: docs/requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r docs/requirements.txt
	@touch $@

clean:
	rm -rf .venv .venv-tools site sbom.json
