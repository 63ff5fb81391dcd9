# libprof. `make help` lists the targets.
PREFIX ?= /usr/local
DESTDIR ?=
BUILD := build
CXXFLAGS ?= -O2 -g
# As many jobs as there are processors, unless JOBS says otherwise; what make runs below this takes part in them.
JOBS ?= $(shell nproc)
MAKEFLAGS += --no-print-directory $(if $(filter 0,$(MAKELEVEL)),-j$(JOBS))
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

KILLS ?= 1000

comma := ,
THIRD := $(BUILD)/third_party
FLAGS := -std=c++20 $(CXXFLAGS) -Wall -Wextra -Werror -I. -I$(BUILD)/proto -isystem $(THIRD)/include -MMD -MP
# In libprof.so: hidden unless exported, thread-local data without a call, nothing that throws on the record side.
LIBRARY_FLAGS := $(FLAGS) -fPIC -fvisibility=hidden -ftls-model=initial-exec
# Boost.Asio without threads: the server has one. No name of its templates is to be unique in the whole process. Assertions throw.
SERVE_FLAGS := $(LIBRARY_FLAGS) -fno-gnu-unique -DBOOST_ASIO_DISABLE_THREADS -DBOOST_ENABLE_ASSERT_HANDLER
RECORD_FLAGS := $(LIBRARY_FLAGS) -fno-exceptions -fno-rtti -Wframe-larger-than=2048

objects = $(patsubst %.cc,$(BUILD)/obj/%.o,$(wildcard $(1)))
RECORD := $(call objects,core/base/*.cc core/unwind/*.cc core/record/*.cc)
REPORT := $(call objects,core/report/*.cc)
SERVE := $(call objects,core/serve/*.cc)
PRELOAD := $(call objects,preload/*.cc)
PROF := $(call objects,tools/prof/*.cc)
PROTO := $(BUILD)/proto/profile.pb
ARCHIVES := $(THIRD)/lib/libunwind-x86_64.a $(THIRD)/lib/libjemalloc_pic.a -l:libz.a -l:libiberty.a
# -z now: a lazily bound call in a handler would take the loader's lock. nodelete: handlers, threads and hooks of ours remain after dlclose. The entry makes it the reporter's program too.
LINK := -shared -static-libstdc++ -static-libgcc -Wl,-soname,libprof.so -Wl,--version-script=preload/exports.map \
  -Wl,-Bsymbolic -Wl,-z,now -Wl,-z,relro -Wl,-z,nodelete -Wl,--no-undefined -Wl,--exclude-libs,ALL \
  -Wl,-e,prof_program_entry $(addprefix -Wl$(comma)--wrap=,$(shell cat preload/wrapped.txt))

all: $(BUILD)/libprof.so $(BUILD)/prof $(BUILD)/profrun ## the library, prof and profrun
deps: $(BUILD)/deps.stamp ## what building and testing need
$(BUILD)/deps.stamp: tools/deps
	@mkdir -p $(BUILD) && tools/deps $(BUILD) && touch $@
$(RECORD) $(REPORT) $(SERVE) $(PRELOAD) $(PROF) $(PROTO).cc: | $(BUILD)/deps.stamp

$(BUILD)/libprof.so: $(RECORD) $(REPORT) $(SERVE) $(PRELOAD) preload/exports.map preload/wrapped.txt Makefile
	@echo "  $@"; $(CXX) $(LINK) -o $@.new $(RECORD) $(REPORT) $(SERVE) $(PRELOAD) $(ARCHIVES) && mv $@.new $@
# Of the record side no more than what reads its values; and memcpy is the C library's.
RECOVER := $(REPORT) $(filter-out %/bytes.o,$(RECORD))
$(BUILD)/prof: $(PROF) $(RECOVER) $(PROTO).o
	@echo "  $@"; $(CXX) -o $@ $^ $(ARCHIVES) -lprotobuf -lz
$(BUILD)/profrun: tools/profrun
	@install -D -m 755 $< $@
$(RECORD) $(addprefix $(BUILD)/obj/preload/,cpu_sampling.o sigprof_handler.o counted_ticks.o thread_clock.o due_ticks.o ring_waits.o ring_instructions.o trace_sampling.o api_labels.o spooled_code.o build_id.o): EXTRA = $(RECORD_FLAGS)
# The program's cancellation unwinds through these: they say nothing to it, not even that they do not throw.
$(addprefix $(BUILD)/obj/preload/interpose_,masks.o mutex.o rwlock.o cond.o sem.o join.o spawn.o) $(BUILD)/obj/preload/system_by_spawn.o: EXTRA = $(RECORD_FLAGS)
$(SERVE): EXTRA = $(SERVE_FLAGS)
$(REPORT) $(PRELOAD): EXTRA ?= $(LIBRARY_FLAGS)
$(PROF): EXTRA = $(FLAGS)
$(PROF): $(PROTO).cc
$(BUILD)/obj/%.o: %.cc
	@mkdir -p $(@D)
	@echo "  $<"; $(CXX) $(EXTRA) -c -o $@ $<
$(PROTO).cc: proto/profile.proto
	@mkdir -p $(@D)
	@protoc --cpp_out=$(@D) --proto_path=proto $<
$(PROTO).o: $(PROTO).cc
	@$(CXX) $(FLAGS) -c -o $@ $<

CHECKS := $(patsubst tools/check_%,%,$(wildcard tools/check_*))
include tests/rules.mk tests/long_runs.mk tests/sanitize.mk

test: all $(UNIT) programs ## everything that is tested: what check looks at, but for clang-tidy's minutes, unit and e2e, one after the other
	@tools/check $(BUILD) $(filter-out tidy,$(CHECKS)) && $(MAKE) unit && $(MAKE) e2e
unit: $(UNIT) ## unit tests (Criterion)
	@for t in $(UNIT); do $$t || exit 1; done; echo "unit: $(words $(UNIT)) test programs passed"
e2e: all programs ## end-to-end tests (pytest)
	/usr/bin/python3 -m pytest -q -p no:cacheprovider tests/e2e
matrix: all programs ## programs that check themselves, each with and without libprof.so: one line each
	tests/matrix/run
programs: $(PROGRAMS) $(LOADED_PROGRAMS) $(SECOND) $(TOOLS) aarch64 ## what the end-to-end tests run
aarch64: $(AARCH64_PROGRAMS) ## the unwinder for aarch64, in programs that try it
fuzz: $(BUILD)/unwind_fuzz ## feeds core/unwind random tables and stacks for FUZZ_SECONDS (3600)
	$(BUILD)/unwind_fuzz $(FUZZ_SECONDS)
kill_at_random: all $(BUILD)/programs/counts_work ## kills a program KILLS (1000) times, and compares what is recovered with its own count
	KILLS=$(KILLS) /usr/bin/python3 -m pytest -q -s -p no:cacheprovider tests/e2e/test_recover.py -k kill_at_random
fuzz_recover: all $(BUILD)/recover_fuzz $(BUILD)/programs/counts_work ## feeds prof recover wrong region files for FUZZ_SECONDS
	$(BUILD)/recover_fuzz $(FUZZ_SECONDS) $(BUILD)
check: all ## layers, symbols, sizes, style
	@tools/check $(BUILD)
bench: all $(PROGRAMS) $(TOOLS) $(BENCHES) ## costs, beside other profilers
	@for b in cpu heap wait unwind http http_hostile; do /usr/bin/python3 tests/bench/$${b}_bench.py $(BUILD) || exit 1; done
trees: all programs ## what children cost, and forks of a process with TREES_MEGABYTES (8192)
	/usr/bin/python3 tests/bench/trees_bench.py $(BUILD) $(TREES_MEGABYTES)
demo: all ## profiles a real program and shows where its time went
	@tools/demo $(BUILD)
format: ## formats the sources
	clang-format -i $(shell git ls-files '*.c' '*.cc' '*.h')
install: all ## to $(DESTDIR)$(PREFIX)
	install -D -m 755 $(BUILD)/libprof.so $(DESTDIR)$(PREFIX)/lib/libprof.so
	install -D -m 755 $(BUILD)/prof $(DESTDIR)$(PREFIX)/bin/prof
	install -D -m 755 $(BUILD)/profrun $(DESTDIR)$(PREFIX)/bin/profrun
	install -D -m 644 preload/prof.h $(DESTDIR)$(PREFIX)/include/prof.h
uninstall: ## removes what install put there
	rm -f $(DESTDIR)$(PREFIX)/lib/libprof.so $(DESTDIR)$(PREFIX)/include/prof.h $(DESTDIR)$(PREFIX)/bin/prof $(DESTDIR)$(PREFIX)/bin/profrun
clean: ## removes the build, but for what deps made
	rm -rf $(filter-out $(THIRD) $(BUILD)/deps.stamp,$(wildcard $(BUILD)/*))
help: ## this list
	@sed -n 's/^\([a-z0-9_]*\):.*## \(.*\)/  \1\t\2/p' Makefile tests/*.mk | expand -t 16

.PHONY: all deps test unit e2e matrix programs aarch64 check fuzz bench demo format install uninstall clean help kill_at_random fuzz_recover trees
-include $(shell find $(BUILD)/obj $(BUILD)/unit $(BUILD)/fuzz $(BUILD)/aarch64 -name '*.d' 2>/dev/null)
