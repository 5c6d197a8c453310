# Two commands for a start: `make demo` and `make test`. Each does its own set-up in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# require: a compile error is an error; auto: fall back to the interpreted build and say so; pure: don't compile
UINET_BUILD ?= auto
export UINET_BUILD
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
SOURCES := $(shell find src -name '*.py' -o -name '*.pxd' -o -name '*.pyx') setup.py pyproject.toml

.PHONY: help demo test lint unit pure interop build deps bench bench-deps docs dist clean

help:
	@echo "make demo     see it work: clients on many VLANs through a transparent proxy, in memory, no root"
	@echo "make test     build, lint, and run all tests (those that need root or other programs say so)"
	@echo "make unit     the tests that need neither root nor other programs"
	@echo "make interop  the tests against the host's kernel, in their own network namespaces (root)"
	@echo "make bench    the benchmarks (root for those on a TAP)"
	@echo "make docs     the documents as a site, in build/site"
	@echo "make deps     Debian packages that interop tests want (root)"
	@echo "make bench-deps  those of the programs that benchmarks compare with (root)"
	@echo "make dist     wheel and source archive, in dist/"

$(VENV)/python-ok:
	@command -v $(PYTHON) >/dev/null || { echo "uinet needs Python 3.11 or newer: install it, or say where it is: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "uinet needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) --version): make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "[1/3] virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/tools-ok: $(VENV)/python-ok
	@echo "[2/3] build tools, click and rich"
	@$(PIP) install 'setuptools>=77' wheel 'cython>=3.3' 'click>=8.1' 'rich>=13'
	@touch $@

$(VENV)/dev-ok: $(VENV)/tools-ok pyproject.toml
	@echo "[2/3] test tools"
	@$(PIP) install $$($(BIN)/python -c 'import tomllib; print(*(f"\x27{d}\x27" for d in tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["dev"]))' | tr -d "'" | sed 's/; sys_platform[^ ]* != win32//')
	@touch $@

$(VENV)/build-$(UINET_BUILD): $(VENV)/tools-ok $(SOURCES)
	@echo "[3/3] building uinet ($(UINET_BUILD)); the first time takes two or three minutes"
	@rm -f $(VENV)/build-*
	@$(PIP) install --no-build-isolation --no-deps --force-reinstall .
	@touch $@
	@$(BIN)/uinet --version
	@[ $(UINET_BUILD) != auto ] || $(BIN)/python -c 'import sys, uinet; sys.exit(not uinet.compiled())' || \
	  echo "uinet: not compiled: this needs a C compiler and Python's headers (Debian: gcc and python3-dev)." \
	       "Everything works, some hundred times slower; install them and 'make clean' to try again"

build: $(VENV)/build-$(UINET_BUILD)

demo: build
	@$(BIN)/uinet demo

test: build $(VENV)/dev-ok
	@$(MAKE) --no-print-directory lint
	@echo "--- all tests, on the build that is installed"
	@$(BIN)/python -m pytest tests --ignore tests/interop -n auto
	@echo "--- against the host's kernel and other programs"
	@$(BIN)/python -m pytest tests/interop
	@$(MAKE) --no-print-directory pure PURE='-m "not slow" --ignore tests/unit/cli --ignore tests/unit/loops'
	@echo "uinet: all tests passed"

lint: $(VENV)/dev-ok
	@echo "--- ruff, mypy --strict, cython-lint, import-linter"
	@$(BIN)/ruff check src tests examples bench setup.py
	@MYPYPATH=src $(BIN)/mypy --strict -p uinet
	@PATH="$(BIN):$$PATH" $(BIN)/cython-lint src
	@PYTHONPATH=src $(BIN)/lint-imports

unit: build $(VENV)/dev-ok
	@$(BIN)/python -m pytest tests --ignore tests/interop -n auto

# the interpreted build: the sources themselves, which lie before what is installed. (`make test` leaves the command line
# and what takes long to the other build: PURE says so.)
PURE ?=
pure: $(VENV)/dev-ok
	@echo "--- unit tests on the interpreted build"
	@PYTHONPATH=src UINET_EXPECT=pure $(BIN)/python -m pytest tests/unit tests/scripts -n auto $(PURE)

interop: build $(VENV)/dev-ok
	@$(BIN)/python -m pytest tests/interop

bench: build $(VENV)/dev-ok
	@$(BIN)/python -m bench

docs: $(VENV)/tools-ok
	@$(PIP) install mkdocs-material
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q --strict -d build/site
	@echo "build/site/index.html"

deps:
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq tshark nginx-light iperf3 curl iproute2 clang iputils-ping ethtool nftables \
	  tcpdump apache2-utils nmap openssh-client openssh-server radvd dnsmasq-base \
	  passt vde-switch qemu-system-x86 busybox-static linux-image-cloud-amd64

bench-deps: deps
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq libpcap-dev libnids-dev libtins-dev tcpflow golang-go \
	  golang-github-google-gopacket-dev golang-golang-x-net-dev golang-golang-x-sys-dev haproxy wrk liblwip-dev

dist: $(VENV)/dev-ok
	@rm -rf dist
	@UINET_BUILD=require $(BIN)/python -m build -q
	@ls dist

clean:
	rm -rf build dist .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info src/*.egg-info
