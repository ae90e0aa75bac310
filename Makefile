# SPDX-License-Identifier: GPL-2.0-only
# vfioext: `make help` tells what can be made.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Other makes have our variables from the environment, where nothing expands them again.
MAKEOVERRIDES =

# A command is for the shell of a VM, which alone expands what is in it: it comes first, as make 4.4
# gives what is exported to the shell functions below, too.
ifdef CMD
override CMD := $(value CMD)
endif

BUILD ?= $(CURDIR)/build
DESTDIR ?=
ifndef KDIR
KDIR := /lib/modules/$(shell uname -r)/build
endif

# What make, the shell or the kernel's build would take for something else
hash := \#
comma := ,
special := ' " & ( ) ; | $$ $(hash) $(comma) = [ ] { } * % ? < > \ ` : !
path_is_bad = $(filter-out 1,$(words $(1)))$(foreach c,$(special),$(findstring $c,$(1)))
ifneq ($(strip $(call path_is_bad,$(CURDIR))),)
$(error The path of the checkout has a blank or another special character in it, which make cannot deal with: $(CURDIR))
endif
ifneq ($(strip $(call path_is_bad,$(BUILD))),)
$(error BUILD is empty, or has a blank or another special character in it, which make cannot deal with: '$(BUILD)')
endif

# Each is resolved here, as it may be relative, and other makes run in other directories.
override BUILD := $(abspath $(BUILD))
ifneq ($(DESTDIR),)
override DESTDIR := $(shell realpath -m -- '$(subst ','\'',$(DESTDIR))')
endif
override KDIR := $(abspath $(KDIR))
ours := $(addprefix $(CURDIR)/,.git .ci Documentation LICENSES debian include kmod libvfioext scripts \
	selftests tools)
ifneq ($(filter $(BUILD)/% $(ours) $(ours:=/%),$(CURDIR)/ $(BUILD)),)
$(error BUILD is a directory of sources: $(BUILD))
endif

# The kernel of the host's release, and where the cache is
ask := $(shell bash -c '. scripts/common.sh && echo "$$host_kernel $$cache"')
ifndef KERNEL
KERNEL := $(firstword $(ask))
endif

export KERNEL BUILD DESTDIR KDIR CMD V WERROR

cache := $(wordlist 2,2,$(ask))
export KSELFTEST := $(cache)/source-6.12/tools/testing/selftests
export NEWER_HEADERS := $(cache)/source-6.12/include/uapi

include ./scripts/common.mk

.PHONY: help
help:
	@echo 'V=1 shows commands, WERROR=1 fails on warnings, BUILD= is where to build, KDIR= what kernel to install for'
	@echo 'make setup           install what building and testing take: the only step that needs root'
	@echo 'make all             build modules, libraries, tool and tests'
	@echo 'make modules         the modules, for KERNEL='
	@echo 'make user            libraries and tool'
	@echo 'make tests           the tests'
	@echo 'make demo            take devices back from their holders, in a VM'
	@echo 'make check           everything that is tested, and lint [KERNELS=] [SUITES=]'
	@echo 'make check-matrix    the same on all kernels, POWER and Arm too, stress, and new hosts'
	@echo 'make check-hosts     what README.md promises of a new Debian 12 or 13'
	@echo 'make stress          everything at once, at random [SECONDS=120] [SEED=] [KERNEL=]'
	@echo 'make fuzz            what reads input, with all it does not expect [SECONDS=600] [SEED=]'
	@echo 'make coverage        which lines the tests run, on KERNEL=debug'
	@echo 'make lint            what can be found without running anything'
	@echo 'make bench           measure, in a VM, and write Documentation/benchmarks.md'
	@echo "make vm CMD='…'      run a command in a VM [KERNEL=] [KERNEL_RELEASE=] [QEMU=host] [QEMU_ARGS=] [TIMEOUT=]"
	@echo 'make generate        what is generated from the netlink specification'
	@echo 'make install         for the running kernel [KDIR=] [DESTDIR=] [prefix=] [libdir=] …'
	@echo 'make install-module, make install-user: a part of it; make uninstall'
	@echo 'make clean'

.PHONY: modules user tests setup setup-demo kernel sources
all: setup modules user tests

setup:
	@scripts/setup check

setup-demo:
	@scripts/setup demo

kernel: setup-demo
	@scripts/fetch-kernel $(KERNEL)

sources: setup
	@scripts/fetch-source

modules: kernel
	+@scripts/build-modules $(KERNEL) modules $(if $(COVERAGE),GCOV_PROFILE=y)
	@scripts/stage-modules $(KERNEL)

user: setup-demo
	+@scripts/build-user $(KERNEL) user

tests: setup user sources
	+@scripts/build-user $(KERNEL) tests

.PHONY: vm has-command
vm: has-command modules user
	@selftests/vm/run "$$CMD"

has-command:
	@[ -n "$$CMD" ] || { echo "vm: CMD= is the command to run, as in make vm CMD='vfioext list --all'" >&2; exit 2; }

.PHONY: demo demo-programs
demo: modules demo-programs
	@TIMEOUT=$${TIMEOUT:-180} selftests/vm/run selftests/demo/demo

demo-programs: user
	+@scripts/build-user $(KERNEL) demo

.PHONY: check check-matrix check-hosts coverage lint bench generate
KERNELS ?= $(KERNEL)
export KERNELS
check:
	@for kernel in $(KERNELS); do $(MAKE) all KERNEL=$$kernel || exit; done
	@MAKEFLAGS= selftests/run $(KERNELS)

.PHONY: stress fuzz
stress: SECONDS ?= 120
stress: all
	@TIMEOUT=$$(($(SECONDS) + 300)) selftests/vm/run \
		'"$$VFIOEXT_BUILD/selftests/stress/stress" $(SECONDS) $(SEED)'

fuzz: SECONDS ?= 600
fuzz: all
	@selftests/fuzz/run $(SECONDS)
	@TIMEOUT=$$(($(SECONDS) + 300)) selftests/vm/run \
		'"$$VFIOEXT_BUILD/selftests/fuzz/netlink" $(SECONDS) $(SEED)'

check-matrix:
	@selftests/hosts/run
	@STRESS=1 $(MAKE) check KERNELS="6.1 6.12 newest debug kcsan ppc64le ppc64le-64k arm64"

check-hosts:
	@selftests/hosts/run

coverage:
	@MAKEFLAGS= selftests/coverage

lint: export WERROR = 1
lint: all
	@MAKEFLAGS= scripts/lint

bench: all
	@MAKEFLAGS= selftests/bench/run

generate: setup sources
	@scripts/generate-netlink

# For the machine itself, and so without all that fetches anything
.PHONY: build-deps install-module install-user uninstall-module uninstall-user
release = $(or $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' $(KDIR)/include/generated/utsrelease.h \
	2>/dev/null),$(shell uname -r))
moddir ?= /lib/modules/$(release)/updates
DEPMOD ?= depmod
# These are not in everyone's path. Another root that has no kernel has no use for depmod's lists:
# a package's would take the place of the kernel's own.
has_kernel = $(wildcard $(DESTDIR)/lib/modules/$(release)/modules.order)
run_depmod = $(if $(or $(has_kernel),$(if $(DESTDIR),,yes)),$(call quiet,DEPMOD ,$(release))umask 022; \
	PATH="$$PATH:/usr/sbin:/sbin"; $(DEPMOD) $(if $(DESTDIR),-b "$(DESTDIR)") $(release))
run_ldconfig = $(if $(DESTDIR),,@scripts/find-libraries "$(libdir)")

install: install-module install-user
uninstall: uninstall-module uninstall-user

build-deps:
	@scripts/check-build-deps $(if $(filter-out install-user,$(filter install%,$(MAKECMDGOALS))),module) \
		$(if $(filter-out install-module,$(filter install%,$(MAKECMDGOALS))),user)

install-module: build-deps
	+@scripts/build-modules $(KDIR) modules
	$(call put,$(INSTALL_DATA),$(BUILD)/module/kmod/vfioext.ko,$(moddir))
	$(run_depmod)

install-user: build-deps
	+@scripts/build-user - user install
	$(run_ldconfig)

uninstall-module:
	$(call remove,$(moddir)/vfioext.ko)
	$(call remove_directory,$(moddir))
	$(if $(or $(has_kernel),$(if $(DESTDIR),,$(wildcard /lib/modules/$(release)))),$(run_depmod))
	$(call remove_directory,/lib/modules/$(release))

uninstall-user:
	+@scripts/build-user - uninstall
	$(run_ldconfig)

# A directory that had something in it before is not ours to remove. The rest is what the
# kernel's make leaves when it is run on the checkout itself.
clean:
	@if [ $(BUILD) = $(CURDIR)/build ] || [ -e $(BUILD)/.made-here ]; then rm -rf $(BUILD); \
	elif [ -e $(BUILD) ]; then echo 'clean: $(BUILD) was not made by make, and stays'; fi
	@rm -f modules.order Module.symvers .*.cmd .module-common.o
	@find kmod selftests/modules \( -name '*.o' -o -name '*.ko' -o -name '*.mod' -o -name '*.mod.c' \
		-o -name '.*.cmd' -o -name '.*.d' -o -name modules.order \) -delete
