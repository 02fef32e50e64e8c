# SPDX-License-Identifier: GPL-2.0
# What people type. Kbuild is the part that the kernel's build reads.

# Our own kernel is built where KDIR is not given.
KDIR ?=
RUN := tools/vm/run

.PHONY: all modules demo check check-long check-quick shell gdb bench test-host lint fmt clean help

all: modules

modules: ## build rust_fuse.ko against KDIR (default: our own kernel, built first)
	@tools/env/module.sh $(KDIR)

demo: ## watch the module mount a host folder with DAX in a guest
	@$(RUN) --demo --kernel release --module $(or $(MODULE),rust)

shell: ## a prompt in a guest, the share mounted at /mnt
	@$(RUN) --shell --kernel release --module $(or $(MODULE),rust)

gdb: ## as shell, with QEMU waiting for gdb
	@$(RUN) --shell --gdb --kernel debug --module $(or $(MODULE),rust)

check: ## host, lint, and guests on PCI, MMIO, with stock virtiofsd, /dev/fuse, the C modules, for leaks, with hostile servers and real programs, and by differences
	@tools/testing/check

check-long: check ## check, and what takes longer
	@tools/testing/check long programs-long differential-long

check-quick: ## the kselftests in one guest on PCI; MODULE=c for the C modules
	@$(RUN) --kernel debug --module $(or $(MODULE),rust)

bench: ## measure against the C modules, into Documentation/bench.md (about 30 min); QUICK=1: a few rows (3 min)
	@tools/bench/run $(if $(QUICK),--quick)

test-host: ## tests that need no guest
	@tools/testing/check host

lint: ## formatting, clippy, and the status table
	@tools/testing/check lint

fmt: ## format the sources
	@tools/testing/check fmt

clean: ## forget what was built here; toolchain, kernels and downloads stay in the cache folder
	@tools/env/clean.sh

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22
