# `make study` runs the miniature study, `make test` the tests; both make their own environment in .venv first.

PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || echo 2)
BIN := .venv/bin
# make study CONFIG=config/nsd.yaml runs another configuration.
CONFIG ?=
# Jobs that run at once ask for no more memory than this together (Linux: what the machine has).
MEMORY_MB ?= $(shell awk '/^MemTotal/ {print int($$2 / 1024)}' /proc/meminfo 2>/dev/null)
# make study PROFILE=profiles/slurm runs on a cluster, whose jobs are not bound by this machine; later profiles count more.
PROFILE ?= profiles/default
BOUNDS := $(if $(MEMORY_MB),--resources mem_mb=$(MEMORY_MB)) --cores $(CORES)
SNAKEMAKE := $(BIN)/snakemake $(foreach profile,$(PROFILE),--profile $(profile)) $(if $(filter profiles/default,$(PROFILE)),$(BOUNDS)) $(if $(CONFIG),--configfile $(CONFIG))

.PHONY: study check-config plan test test-slow test-slurm lint format bench subjects slurm unlock clean

study: .venv/study
	$(SNAKEMAKE)
	@# Every job renews a file of results/provenance, and with it the folder's time.
	@test results/report.html -nt results/provenance || { \
		$(SNAKEMAKE) --quiet all --report results/.partial-report.html && mv results/.partial-report.html results/report.html; }
	@# Extracted sessions and raw betas are left only where Snakemake was killed between using them and dropping them.
	@test -z "$$(ls results/betas/sessions 2>/dev/null; find resources/natural-scenes-dataset/nsddata_betas -name '*betas_session*' 2>/dev/null)" || $(SNAKEMAKE) --quiet all --delete-temp-output
	@$(BIN)/python -m capcortex.verdict

# Is the config right, what would the study be, and is every file there that it reads? Runs nothing.
check-config: .venv/study
	@$(BIN)/python -m capcortex.config $(CONFIG)
	@plan=$$($(SNAKEMAKE) --dry-run --quiet host progress reason rules 2>&1) || { echo "$$plan"; exit 1; }
	@echo "Every file that the study reads is there, or the study makes it."

# What would the study fetch, need and take, and what is there already? Fetches and runs nothing.
plan: .venv/study
	@{ $(SNAKEMAKE) --dry-run --quiet host reason rules && $(SNAKEMAKE) --summary; } 2>&1 | $(BIN)/python -m capcortex.plan $(CONFIG)

test: .venv/dev
	@# Unit tests beside those of the workflow (tests/conftest.py), on one thread each: jobs of a study get theirs from Snakemake.
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2

test-slow: .venv/dev
	$(BIN)/python -m pytest -m slow

# Tests of the study on a cluster, on a SLURM of their own (make slurm installs it).
test-slurm: .venv/dev
	$(BIN)/python -m pytest -m "slurm and not slow"

# What tests of the study on a cluster start for themselves; where it is missing they are skipped. Of the services that the packages
# bring, those of SLURM do not start without a slurm.conf; the tests use none of them.
slurm:
	@command -v apt-get >/dev/null && test "$$(id -u)" = 0 || { echo "make slurm installs packages of Debian: it needs apt-get, and root (sudo make slurm)"; exit 1; }
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends \
		slurmctld slurmd slurmdbd slurm-client munge mariadb-server-core mariadb-client-core

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

bench: .venv/dev
	$(BIN)/python bench/run.py
	$(BIN)/python bench/searchlight.py
	$(BIN)/python bench/encoding.py
	$(BIN)/python bench/decoding.py
	$(BIN)/python bench/fetching.py

# The way back in after Snakemake was killed: ends the jobs that it left in this folder, here and in SLURM's queue, then removes
# its lock. make unlock AWAIT=yes lets those that run on the cluster come to their end.
AWAIT ?=
unlock: .venv/study
	$(BIN)/python -m capcortex.orphans$(if $(AWAIT), --await)
	$(SNAKEMAKE) --unlock

# The table of subjects that fits a number of captioned images: make subjects IMAGES=2000 > config/my_subjects.tsv
subjects: .venv/study
	@$(BIN)/python -m capcortex.nsd.miniature.fit $(or $(IMAGES),$(error make subjects IMAGES=<number of captioned images>))

clean:
	git clean -fdXq results resources logs benchmarks .snakemake

.venv/study: requirements/study.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/study.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

.venv/dev: .venv/study requirements/dev.lock requirements/dev-alone.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/dev-alone.lock
	touch $@
