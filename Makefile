# SPDX-License-Identifier: GPL-2.0-or-later
#
# The front: everything else (configure, ninja, the folders' own build
# scripts) is called from here. All results go to build/.

JOBS ?= $(shell nproc)
# Builds what a suite needs just before it: unit tests do not wait for QEMU.
# What passed before with the same files does not run again, but for AGAIN=1.
TESTS = MAKE=$(MAKE) scripts/run-tests -b $(if $(AGAIN),-a)

# What configure was told holds for the guest's and the lab's downloads too.
ifneq ($(shell grep -sx -e --offline build/configure.options),)
export PBKVM_OFFLINE = 1
endif

# GNU make's own parallelism is of no use here: ninja has its own.
.NOTPARALLEL:
.DEFAULT_GOAL := all
.PHONY: all qemu native guest guest-smp lab demo bench bench-quick \
        bench-devices bench-landing bench-record bench-scale bench-lag \
        bench-memory bench-replay bench-exits bench-amd64 bench-races \
        bench-ring soak soak-ring soak-guests help clean distclean fuzz lint \
        coverage valgrind check check-unit check-qtest check-lab check-guests check-e2e

all: qemu native guest lab build/pbkvm

# A folder's time changes when a file in it comes or goes.
CONFIG_DEPS = configure scripts/pb-apt scripts/pb-lib.sh meson.build \
    qemu/prepare qemu/source.lock qemu/overlay \
    $(wildcard qemu/patches qemu/patches/*.patch tests/qtest)

build/config: $(CONFIG_DEPS)
	@./configure --recheck

# Only what is used: QEMU's own tests and tools would take longer than this.
qemu: build/config
	@scripts/pb-log qemu ninja -C build/qemu -j$(JOBS) \
	    qemu-system-i386 qemu-system-x86_64 \
	    $(patsubst tests/qtest/%.c,tests/qtest/%,$(wildcard tests/qtest/*-test.c))

native: build/config
	@scripts/pb-log native ninja -C build/native -j$(JOBS)

guest: build/config
	@scripts/pb-log guest guest/build
	@scripts/pb-log guest-debian guest/build-debian

# The first one again, for several CPUs.
guest-smp: build/config
	@scripts/pb-log guest-smp guest/build --smp

lab: build/config
	@scripts/pb-log lab lab/build

# The front-end beside what it starts.
build/pbkvm:
	@mkdir -p build
	@ln -sfn ../scripts/pbkvm $@

demo: all
	@scripts/demo $(if $(INTERACTIVE),--interactive)

check: build/config
	@$(TESTS) all

check-unit check-qtest check-lab check-guests check-e2e: check-%: build/config
	@$(TESTS) $*

# Each prints its tables and puts its pictures into build/bench/: less than half
# an hour on a machine that has nothing else to do. The second guest's kernel,
# some minutes when it is first needed, is not counted.
BENCHES = run devices lag landing record exits scale memory replay ring/run
bench: all
	@scripts/pb-log guest-hz1000 guest/build --hz 1000
	@begun=$$(date +%s); took() { echo "($$1 took $$(($$(date +%s) - $$2)) s)"; }; \
	for part in $(BENCHES); do \
	    start=$$(date +%s); echo; bench/$$part || exit 1; \
	    took bench/$$part $$start; \
	done; echo; took "make bench" $$begun

# Less of it, in five minutes.
bench-quick: all
	@bench/run --quick --minutes 5
	@bench/landing --skid 0
	@bench/record --rounds 20

bench-devices bench-landing bench-record bench-scale bench-lag bench-memory \
bench-replay bench-exits bench-amd64 bench-races: bench-%: all
	@bench/$*

# Its peers are fetched when they are first needed; nothing else is built.
bench-ring:
	@bench/ring/run $(if $(SECONDS),--seconds $(SECONDS))

# All that a user can do to a machine, for an hour; a SEED is printed.
soak: all $(if $(CPUS),guest-smp)
	@tests/e2e/soak $(if $(MINUTES),--minutes $(MINUTES)) \
	    $(if $(SEED),--seed $(SEED)) $(if $(CPUS),--cpus $(CPUS)) \
	    $(if $(STRESS),--stress)

# A thousand million events, every byte checked.
soak-ring: native
	@bench/ring/soak $(EVENTS)

# Generated guests, until Ctrl-C or a failure; SEED=N is where it starts.
soak-guests: qemu native lab
	@tests/guests/soak $(SEED)

# Their tools are installed when they are first needed: docs/tools.md.
fuzz: build/config
	@tests/fuzz/run $(if $(SECONDS),--seconds $(SECONDS)) $(TARGETS)

lint: native qemu
	@tests/tools/lint

coverage: build/config
	@tests/tools/coverage $(SUITES)

valgrind: native
	@tests/tools/valgrind

# Downloads stay in the cache, and so does QEMU's source.
clean:
	rm -rf build

distclean: clean
	rm -rf qemu/src qemu/src.new

help:
	@echo 'make              build everything (what is missing is fetched)'
	@echo 'make demo         a kernel panic, and the Backup walking into it'
	@echo '                  (INTERACTIVE=1 leaves you in gdb)'
	@echo 'make check        build everything and run all tests (AGAIN=1: also those'
	@echo '                  that passed before with the very same files)'
	@echo 'make check-unit   only the unit tests (also: -qtest, -lab, -guests, -e2e)'
	@echo 'make bench        measure all that docs/performance.md quotes: half an hour'
	@echo 'make bench-quick  the loads and landings, in a few minutes'
	@echo '                  (also: bench-devices, -landing, -record, -scale, -lag,'
	@echo '                  -memory, -replay, -exits)'
	@echo 'make bench-ring   the ring beside its peers and the limit (SECONDS=60)'
	@echo 'make soak         a Linux that all is done to, for MINUTES=60 (SEED=N, STRESS=1, CPUS=2)'
	@echo 'make soak-ring    stream and check 10^9 events (EVENTS=N)'
	@echo 'make soak-guests  generated guests until one fails (SEED=N to begin)'
	@echo 'make fuzz         fuzz what takes untrusted input (SECONDS=60 each)'
	@echo 'make lint         clang-tidy and checkpatch over our files'
	@echo 'make coverage     lines the tests run, per file (SUITES=unit)'
	@echo 'make valgrind     the unit tests under memcheck'
	@echo 'make clean        remove build/'
	@echo 'make distclean    remove also QEMU'"'"'s unpacked source'
	@echo
	@echo 'JOBS=N limits the compilers at work. Options of the build:'
	@echo './configure --help'
