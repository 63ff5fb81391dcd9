# What the tests and the benchmarks are made of; included by the Makefile, which has the targets.
UNIT := $(patsubst tests/unit/%_test.cc,$(BUILD)/unit/%_test,$(wildcard tests/unit/*/*_test.cc))
PROGRAMS := $(addprefix $(BUILD)/programs/,$(basename $(notdir $(wildcard tests/programs/*.c tests/programs/*.cc tests/programs/*.rs))))
ORACLE := $(call objects,tests/oracle/*.cc)
TOOLS := $(BUILD)/table_rules $(BUILD)/unwind_agreement.so $(BUILD)/unwind_fuzz $(BUILD)/recover_fuzz
BENCHES := $(addprefix $(BUILD)/bench_,unwind tick heap snapshot waits latency) $(BUILD)/pass_through.so

# What they test is optimized. They themselves need not be, and are linked without debug information: it takes less than half the time.
# Two look for their own line tables.
$(filter-out %/elf_symbols_test %/profile_builder_test,$(UNIT)): private FLAGS += -O0 -g0 -Wl,-S
$(BUILD)/unit/%_test: tests/unit/%_test.cc $(RECORD) $(REPORT) $(SERVE) $(PROTO).o $(filter-out %/prof_main.o,$(PROF))
	@mkdir -p $(@D)
	@echo "  $@"; $(CXX) $(FLAGS) -o $@ $(filter %.cc %.o,$^) $(ARCHIVES) -lcriterion -lprotobuf -lz
$(ORACLE): EXTRA = $(FLAGS)
$(ORACLE): | $(BUILD)/deps.stamp
$(BUILD)/table_rules: $(ORACLE) $(RECORD)
	@echo "  $@"; $(CXX) -o $@ $^ $(ARCHIVES) -ldw -lelf
# stepped_functions.cc with the flags of each variant; the loader binds their calls when they are made.
STEPPED := plain:-O0 optimized:-O2 with_frame_pointer:-O2,-fno-omit-frame-pointer small:-Os \
  fastest:-O3,-fstack-protector-all,-fstack-clash-protection
STEPPED_OBJECTS := $(foreach v,$(STEPPED),$(BUILD)/obj/tests/stepped_$(firstword $(subst :, ,$(v))).o)
$(STEPPED_OBJECTS): $(BUILD)/obj/tests/stepped_%.o: tests/unit/unwind/stepped_functions.cc tests/unit/unwind/stepped_functions.h tests/rules.mk | $(BUILD)/deps.stamp
	@mkdir -p $(@D)
	@$(CXX) $(FLAGS) -DSTEPPED=$* $(subst $(comma), ,$(patsubst $*:%,%,$(filter $*:%,$(STEPPED)))) -c -o $@ $<
$(BUILD)/unit/unwind/stepping_test: tests/unit/unwind/stepper.cc $(STEPPED_OBJECTS)
$(BUILD)/unit/unwind/stepping_test: private FLAGS += -Wl,-z,lazy
$(BUILD)/programs/%: tests/programs/%.* $(wildcard tests/programs/*.h) tools/build_program | $(BUILD)/deps.stamp
	@mkdir -p $(@D)
	@tools/build_program $< $@
# Its cases, by kind of call.
$(BUILD)/programs/wait_conformance: $(wildcard tests/programs/wait_conformance/*.h)
# loader_work.c, linked in every way; what a linker or a compiler cannot do is left out, and the cases that need it (tests/matrix/loader.py).
LOADED := lld:-fuse-ld=lld mold:-fuse-ld=mold now:-Wl$(comma)-z$(comma)now$(comma)-z$(comma)relro lazy:-Wl$(comma)-z$(comma)lazy$(comma)-z$(comma)norelro \
  sysv:-Wl$(comma)--hash-style=sysv separate:-Wl$(comma)-z$(comma)separate-code noseparate:-Wl$(comma)-z$(comma)noseparate-code noid:-Wl$(comma)--build-id=none \
  relr:-Wl$(comma)-z$(comma)pack-relative-relocs nopie:-no-pie;-fno-pie execstack:-Wl$(comma)-z$(comma)execstack stripped:-s noplt:-fno-plt \
  static:-static staticpie:-static-pie asan:-fsanitize=address ubsan:-fsanitize=undefined tsan:-fsanitize=thread \
  linked:-Wl$(comma)--no-as-needed;-L$(BUILD);-l:libprof.so;-Wl$(comma)-rpath$(comma)$(abspath $(BUILD)) \
  runpath:-Wl$(comma)--enable-new-dtags$(comma)-rpath$(comma)$(abspath $(BUILD))/nonexistent:$(abspath $(BUILD))
LOADED_PROGRAMS := $(foreach v,$(LOADED),$(BUILD)/programs/loader_work.$(firstword $(subst :, ,$(v)))) $(BUILD)/programs/loader_work.musl
$(LOADED_PROGRAMS): $(BUILD)/programs/loader_work.%: tests/programs/loader_work.c tests/rules.mk | $(BUILD)/deps.stamp $(BUILD)/libprof.so
	@mkdir -p $(@D)
	@$(if $(filter musl,$*),musl-gcc,gcc) -O2 -g -Wall -Wextra -o $@ $< -lpthread \
	  $(patsubst $*:%,%,$(subst ;, ,$(filter $*:%,$(LOADED)))) 2>$@.log && rm $@.log || { rm -f $@; echo "  $@: left out: $@.log"; }
# A second libprof.so, of another file: the loader takes one file once only.
SECOND := $(BUILD)/programs/second_libprof.so
$(SECOND): $(BUILD)/libprof.so
	@install -D $< $@
# To preload: our stacks beside libunwind's, of programs that run.
AGREEMENT := $(BUILD)/unwind_agreement.so
$(AGREEMENT): tests/agreement/unwind_agreement.cc $(call objects,core/base/*.cc core/unwind/*.cc)
	@echo "  $@"; $(CXX) $(LIBRARY_FLAGS) -shared -static-libstdc++ -static-libgcc -Wl,-Bsymbolic -Wl,-z,now -Wl,--exclude-libs,ALL \
	  -o $@ $(filter %.cc %.o,$^) $(firstword $(ARCHIVES))

# Everything of core/unwind and core/base is compiled with the sanitizers, and without bytes.cc: they bring a memcpy of their own.
FUZZ := $(patsubst %.cc,$(BUILD)/fuzz/%.o,$(wildcard tests/fuzz/*.cc core/unwind/*.cc) $(filter-out core/base/bytes.cc,$(wildcard core/base/*.cc)))
FUZZ_SECONDS ?= 3600
$(BUILD)/fuzz/%.o: %.cc | $(BUILD)/deps.stamp
	@mkdir -p $(@D)
	@echo "  $< (fuzz)"; $(CXX) $(FLAGS) -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all -c -o $@ $<
$(BUILD)/unwind_fuzz: $(FUZZ)
	@echo "  $@"; $(CXX) -fsanitize=address,undefined -o $@ $(FUZZ) $(THIRD)/lib/libunwind-x86_64.a

# The same of what recovers profiles; the target itself writes no files.
FUZZ_RECOVER := $(patsubst %.cc,$(BUILD)/fuzz/%.o,tests/fuzz/recover/recover_fuzz.cc $(filter-out core/report/file_sink.cc,$(wildcard core/report/*.cc)) \
  $(wildcard core/record/*.cc) $(filter-out core/base/bytes.cc,$(wildcard core/base/*.cc)))
$(BUILD)/recover_fuzz: $(FUZZ_RECOVER)
	@echo "  $@"; $(CXX) -fsanitize=address,undefined -o $@ $(FUZZ_RECOVER) $(ARCHIVES)

# core/unwind for aarch64, as far as it goes without libunwind, in programs that qemu-aarch64 runs (e2e/test_unwind_aarch64.py).
AARCH64 := $(BUILD)/aarch64
AARCH64_CXX := aarch64-linux-gnu-g++
AARCH64_PROGRAMS := $(AARCH64)/unwind $(AARCH64)/unwind_no_frame_pointer
AARCH64_UNWIND := $(filter-out %libunwind.cc %libunwind_access.cc %slow_walk.cc %object_pool.cc,$(wildcard core/unwind/*.cc))
AARCH64_OBJECTS := $(patsubst %.cc,$(AARCH64)/obj/%.o,$(AARCH64_UNWIND)) $(AARCH64)/obj/tests/aarch64/interrupted_at.o
$(AARCH64)/obj/%.o: %.cc | $(BUILD)/deps.stamp
	@mkdir -p $(@D)
	@echo "  $< (aarch64)"; $(AARCH64_CXX) $(RECORD_FLAGS) -c -o $@ $<
$(AARCH64)/obj/%.o: %.S | $(BUILD)/deps.stamp
	@mkdir -p $(@D)
	@$(AARCH64_CXX) -c -o $@ $<
$(AARCH64)/unwind: EXTRA = -fno-omit-frame-pointer
$(AARCH64)/unwind_no_frame_pointer: EXTRA = -fomit-frame-pointer
$(AARCH64_PROGRAMS): tests/aarch64/unwind.cc $(AARCH64_OBJECTS)
	@echo "  $@"; $(AARCH64_CXX) $(FLAGS) $(EXTRA) -rdynamic -static-libstdc++ -o $@ $(filter %.cc %.o,$^)

$(BUILD)/bench_unwind: tests/bench/bench_unwind.cc $(RECORD) $(REPORT)
	@echo "  $@"; $(CXX) $(FLAGS) -o $@ $< $(RECORD) $(REPORT) $(ARCHIVES)
$(BUILD)/bench_%: tests/bench/bench_%.cc | $(BUILD)/deps.stamp
	@echo "  $@"; $(CXX) -std=c++20 -O2 -g -Wall -Wextra -fno-optimize-sibling-calls -o $@ $< -lpthread
$(BUILD)/pass_through.so: tests/bench/pass_through.c | $(BUILD)/deps.stamp
	@echo "  $@"; $(CC) -O2 -shared -fPIC -Wl,-Bsymbolic -o $@ $<
