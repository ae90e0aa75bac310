# SPDX-License-Identifier: GPL-2.0-only
# vfioext: `make help` tells what can be made.

KERNEL ?= $(shell . scripts/common.sh && echo $$host_kernel)
BUILD ?= $(CURDIR)/build
prefix ?= /usr/local
export KERNEL BUILD prefix DESTDIR

cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/vfioext
release = $(shell . scripts/common.sh && kernel_release $(KERNEL))
export KERNEL_HEADERS := $(cache)/source-6.12/include/uapi
export KSELFTEST := $(cache)/source-6.12/tools/testing/selftests

.PHONY: help
help:
	@echo 'make all             build modules, libraries, tool and tests'
	@echo 'make demo            take devices back from their holders, in a VM'
	@echo 'make check           everything that is tested, and lint [KERNELS=] [SUITES=]'
	@echo 'make check-matrix    the same on all kernels, POWER and Arm too, and stress'
	@echo 'make stress          everything at once, at random [SECONDS=120] [SEED=] [KERNEL=]'
	@echo 'make fuzz            what reads input, with all it does not expect [SECONDS=600] [SEED=]'
	@echo 'make coverage        which lines the tests run, on KERNEL=debug'
	@echo 'make lint            what can be found without running anything'
	@echo 'make bench           measure, in a VM, and write Documentation/benchmarks.md'
	@echo "make vm CMD='…'      run a command in a VM [KERNEL=] [QEMU=host] [QEMU_ARGS=] [TIMEOUT=]"
	@echo 'make generate        what is generated from the netlink specification'
	@echo 'make install         [DESTDIR=] [prefix=]'
	@echo 'make clean'

.PHONY: all modules user setup
all: modules user

setup:
	@scripts/setup
	@scripts/fetch-kernel $(KERNEL)
	@scripts/fetch-source

modules: setup
	@scripts/build-modules $(KERNEL) modules $(if $(COVERAGE),GCOV_PROFILE=y) 2>&1 | { grep -v 'Skipping BTF' || :; }; \
		exit $${PIPESTATUS[0]}
	@scripts/stage-modules $(KERNEL)

user: setup
	@scripts/build-user $(KERNEL)

.PHONY: vm
vm: all
	@selftests/vm/run "$$CMD"

.PHONY: demo
demo: all
	@TIMEOUT=$${TIMEOUT:-180} selftests/vm/run selftests/demo/demo

.PHONY: check check-matrix coverage lint bench generate
KERNELS ?= $(KERNEL)
check:
	@for kernel in $(KERNELS); do $(MAKE) --no-print-directory all KERNEL=$$kernel || exit; done
	@selftests/run $(KERNELS)

.PHONY: stress fuzz
stress: SECONDS ?= 120
stress: all
	@TIMEOUT=$$(($(SECONDS) + 300)) selftests/vm/run \
		"build/selftests/stress/stress $(SECONDS) $(SEED)"

fuzz: SECONDS ?= 600
fuzz: all
	@selftests/fuzz/run $(SECONDS)
	@TIMEOUT=$$(($(SECONDS) + 300)) selftests/vm/run \
		"build/selftests/fuzz/netlink $(SECONDS) $(SEED)"

check-matrix:
	@STRESS=1 $(MAKE) --no-print-directory check KERNELS="6.1 6.12 newest debug kcsan ppc64le ppc64le-64k arm64"

coverage:
	@selftests/coverage

lint: all
	@scripts/lint

bench: all
	@selftests/bench/run

generate: setup
	@scripts/generate-netlink

.PHONY: install
install: all
	@mkdir -p $(DESTDIR)/lib/modules/$(release)/updates
	@cp $(BUILD)/$(KERNEL)/src/kmod/vfioext.ko $(DESTDIR)/lib/modules/$(release)/updates/
	@for dir in libvfioext libvfioext/user tools; do $(MAKE) --no-print-directory -C $$dir install || exit; done

.PHONY: clean
clean:
	@rm -rf $(BUILD)

SHELL := /bin/bash
