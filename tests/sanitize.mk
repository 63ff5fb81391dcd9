# The record side's unit tests under sanitizers and valgrind; included by the Makefile. What is left out stands in tests/check/tools.txt.
RECORD_TESTS := $(patsubst tests/unit/%_test.cc,%,$(wildcard $(addprefix tests/unit/,base/*_test.cc record/*_test.cc unwind/*_test.cc)))
SANITIZERS := address thread
address := -fsanitize=address,undefined -fno-sanitize-recover=all
thread := -fsanitize=thread -Wno-tsan
LEFT_OUT = $(shell sed -n 's/^$(1) \([a-z_/]*\)_test .*/\1/p' tests/check/tools.txt)
# As with the fuzzers: they bring a memcpy of their own. Of the report side, what reads a region for the tests.
SANITIZED := $(filter-out core/base/bytes.cc,$(wildcard core/base/*.cc core/unwind/*.cc core/record/*.cc)) \
  $(addprefix core/report/,region_view.cc snapshot_from_region.cc trace_from_region.cc loss_text.cc thread_state.cc module_map.cc profile_encoder.cc)

define sanitized
$(BUILD)/sanitize/$(1)/%.o: %.cc | $(BUILD)/deps.stamp
	@mkdir -p $$(@D)
	@echo "  $$< ($(1))"; $(CXX) $(FLAGS) -O1 -fno-omit-frame-pointer $($(1)) -c -o $$@ $$<
$(BUILD)/sanitize/$(1)/librecord.a: $(patsubst %.cc,$(BUILD)/sanitize/$(1)/%.o,$(SANITIZED))
	@rm -f $$@; ar rcs $$@ $$^
$(BUILD)/sanitize/$(1)/%_test: $(BUILD)/sanitize/$(1)/tests/unit/%_test.o $(BUILD)/sanitize/$(1)/librecord.a
	@mkdir -p $$(@D)
	@echo "  $$@"; $(CXX) $($(1)) -Wl,-z,lazy -o $$@ $$^ $(THIRD)/lib/libunwind-x86_64.a -lcriterion -lz
SANITIZE_TESTS += $(foreach t,$(filter-out $(call LEFT_OUT,$(1)),$(RECORD_TESTS)),$(BUILD)/sanitize/$(1)/$(t)_test)
endef
$(foreach s,$(SANITIZERS),$(eval $(call sanitized,$(s))))

# stepping_test is made of more than its file.
$(foreach s,$(SANITIZERS),$(BUILD)/sanitize/$(s)/unwind/stepping_test): $(call objects,tests/unit/unwind/stepper.cc) $(STEPPED_OBJECTS)

sanitize: $(SANITIZE_TESTS) ## the record side's unit tests under ASan with UBSan, and under TSan
	@for t in $(SANITIZE_TESTS); do $$t --jobs 1 || exit 1; done; echo "sanitize: $(words $(SANITIZE_TESTS)) test programs passed"
# Each test is a child of the test program: a fault there ends it with 99, which is a failed test.
MEMCHECK := valgrind -q --error-exitcode=99 --leak-check=no --trace-children=yes
DRD := $(MEMCHECK) --tool=drd
valgrind: $(patsubst %,$(BUILD)/unit/%_test,$(RECORD_TESTS)) ## the same tests under valgrind: memcheck, and drd for races
	@for t in $(filter-out $(call LEFT_OUT,memcheck),$(RECORD_TESTS)); do $(MEMCHECK) $(BUILD)/unit/$${t}_test --jobs 1 || exit 1; done
	@for t in $(filter-out $(call LEFT_OUT,drd),$(RECORD_TESTS)); do $(filter-out --leak-check=no,$(DRD)) $(BUILD)/unit/$${t}_test --jobs 1 || exit 1; done
	@echo "valgrind: $(words $(RECORD_TESTS)) test programs passed"

.PHONY: sanitize valgrind
