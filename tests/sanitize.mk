# The record side's unit tests under sanitizers and valgrind; included by the Makefile. What is left out stands in tests/check/tools.txt.
RECORD_TESTS := $(patsubst tests/unit/%_test.cc,%,$(wildcard $(addprefix tests/unit/,base/*_test.cc record/*_test.cc unwind/*_test.cc)))
# gcc sees what is not so in libstdc++'s <regex> under ASan.
address := -Wno-maybe-uninitialized -O1 -g1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
# A fence is nothing to TSan: what rests on one it would report, so a warning says nothing more.
thread := -O1 -g1 -fno-omit-frame-pointer -fsanitize=thread -Wno-tsan
memcheck := -O1 -g1 -DFEWER_ROUNDS=50
# drd is told what atomics order (tests/sanitize/drd_atomics.cc).
drd := -O1 -g1 -fno-inline-atomics -DFEWER_ROUNDS=50
# For memcheck the objects are those of libprof.so. Of the report side, what reads a region.
TOOLS_REPORT := $(addprefix core/report/,region_view.cc snapshot_from_region.cc trace_from_region.cc loss_text.cc thread_state.cc module_map.cc profile_encoder.cc)
SANITIZED := $(wildcard core/base/*.cc core/unwind/*.cc core/record/*.cc) $(TOOLS_REPORT)

OBJECTS_address = $(patsubst %.cc,$(BUILD)/sanitize/address/%.o,$(SANITIZED))
OBJECTS_thread = $(patsubst %.cc,$(BUILD)/sanitize/thread/%.o,$(SANITIZED))
OBJECTS_memcheck = $(RECORD) $(call objects,$(TOOLS_REPORT))
OBJECTS_drd = $(patsubst %.cc,$(BUILD)/sanitize/drd/%.o,$(SANITIZED) tests/sanitize/drd_atomics.cc)
$(BUILD)/sanitize/drd/tests/sanitize/drd_atomics.o: drd += -finline-atomics

# $(1): the tool. stepping_test is made of more than its file.
define tools_built
$(BUILD)/sanitize/$(1)/%.o: %.cc | $(BUILD)/deps.stamp
	@mkdir -p $$(@D)
	@echo "  $$< ($(1))"; $(CXX) $(FLAGS) $$($(1)) -Itests/sanitize -DUNDER_A_TOOL -c -o $$@ $$<
$(BUILD)/sanitize/$(1)/%_test: $(BUILD)/sanitize/$(1)/tests/unit/%_test.o $(BUILD)/sanitize/$(1)/tests/sanitize/criterion/run_tests.o $(BUILD)/sanitize/$(1)/record.a
	@mkdir -p $$(@D)
	@$(CXX) $(filter -fsanitize%,$($(1))) -Wl,-z,lazy -o $$@ $$(filter %.o,$$^) $$(filter %.a,$$^) $(THIRD)/lib/libunwind-x86_64.a -lz
$(BUILD)/sanitize/$(1)/unwind/stepping_test: $(BUILD)/sanitize/$(1)/tests/unit/unwind/stepper.o $(STEPPED_OBJECTS)
$(BUILD)/sanitize/$(1)/record.a: $(OBJECTS_$(1))
	@mkdir -p $$(@D); rm -f $$@; ar rcs $$@ $$^
# What the programs are made of is kept.
.PRECIOUS: $(BUILD)/sanitize/$(1)/%.o
endef
$(foreach t,address thread memcheck drd,$(eval $(call tools_built,$(t))))

# No leaks are looked for: the record side allocates nothing that it could lose, and tests start the unwinder again and again.
address_runs := ASAN_OPTIONS=detect_leaks=0
# A test is a child: a fault there ends it with 99.
VALGRIND := valgrind -q --error-exitcode=99
memcheck_runs := $(VALGRIND) --leak-check=no
drd_runs := $(VALGRIND) --tool=drd

# run-TOOL-PROGRAM is a program's run.
LEFT_OUT = $(shell sed -n 's/^$(1) \([a-z_/]*\)_test .*/\1/p' tests/check/tools.txt)
RUNS = $(addprefix run-$(1)-,$(filter-out $(call LEFT_OUT,$(1)),$(RECORD_TESTS)))
define tool_runs
$(call RUNS,$(1)): run-$(1)-%: $(BUILD)/sanitize/$(1)/%_test
	@said=$$$$($($(1)_runs) $$< $$$$(sed -n 's|^$(1) $$*_test/\([a-z0-9_]*\) .*|\1|p' tests/check/tools.txt) 2>&1) \
	  && echo "  $(1): $$*: $$$$said" || { echo "$(1): $$*:"; echo "$$$$said"; exit 1; }
.PHONY: $(call RUNS,$(1))
endef
$(foreach t,address thread memcheck drd,$(eval $(call tool_runs,$(t))))

sanitize: $(call RUNS,address) $(call RUNS,thread) ## the record side's unit tests under ASan with UBSan, and under TSan
	@echo "sanitize: $(words $^) runs passed"
valgrind: $(call RUNS,memcheck) $(call RUNS,drd) ## the same tests under valgrind: memcheck, and drd for races
	@echo "valgrind: $(words $^) runs passed"
-include $(shell find $(BUILD)/sanitize -name '*.d' 2>/dev/null)

.PHONY: sanitize valgrind
