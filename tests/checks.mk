# SPDX-License-Identifier: MIT
# What checks besides `make test`: style, other processors, sanitizers, fuzzers, failures. Included by the Makefile.

$(addprefix $(BUILD)/tests/,test_single test_quantised test_doctor_single example_files): $(BUILD)/tests/single_file.o
$(addprefix $(BUILD)/tests/,test_quantised example_files): $(BUILD)/tests/gguf_file.o
build-tests: $(BUILD)/tests/example_files
$(BUILD)/tests/example_files: $(BUILD)/tests/example_files.o $(BUILD)/tests/util.o $(BUILD)/libcli.a $(BUILD)/libtintype.a
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(CHECK_LIBS) $(LDLIBS)
$(BUILD)/tests/test_doctor $(BUILD)/tests/test_doctor_single: $(BUILD)/tests/examined.o
$(BUILD)/tests/test_alloc: $(BUILD)/tests/alloc_watch.o

# How work grows (tests/count.h) is counted in what reads, compiled for it, and in calls that the linker leads astray.
COUNTED := $(patsubst %.c,$(BUILD)/counted/%.o,$(wildcard $(addsuffix /*.c,src/base src/io src/text src/train)) tests/squares.c)
WRAPPED := $(shell sed -n 's/^WRAP.[^,]*, \([a-z0-9_]*\),.*/\1/p' tests/count.c)
GROWTH := $(addprefix $(BUILD)/tests/,test_limits test_limits_files)
$(BUILD)/counted/%.o: %.c $(BUILD)/flags | $(BUILD)/headers
	@mkdir -p $(@D)
	$(SAY) CC '$< (counted)'
	$(Q)$(CC) $(ALL_CFLAGS) -O1 -w $(WRAPPED:%=-fno-builtin-%) -fsanitize-coverage=trace-pc -c -o $@ $<
$(GROWTH): $(COUNTED) $(BUILD)/tests/count.o
$(GROWTH): CHECK_LIBS += $(WRAPPED:%=-Wl,--wrap=%)
-include $(COUNTED:.o=.d)

## faults: calls of the system that fail, and kills, in every command that writes (minutes; CASES="NAME..."), by strace
faults: PACKAGES += strace
faults: packages
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@BUILD=$(BUILD) sh tests/faults.sh $(CASES)

## lint: layers, lengths, licence lines, comments, warnings of gcc and clang
lint: PACKAGES += clang g++
lint: packages
	@sh tests/lint.sh

## check-qemu: tests on aarch64, some with large pages, the kernel checker on x86 without AVX-512 and without AVX2
check-qemu: PACKAGES += qemu-user gcc-aarch64-linux-gnu
check-qemu: packages
	@sh tests/arm64_root.sh build-aarch64/root $(ARM64_PACKAGES)
	@$(MAKE) --no-print-directory -j$$(nproc) build-tests
	@$(MAKE) --no-print-directory -j$$(nproc) BUILD=build-aarch64 $(ARM64) build-tests
	@$(MAKE) --no-print-directory BUILD=build-aarch64 $(ARM64) LEAVE_OUT="$(SLOW_EMULATED)" \
	    RUN_FIRST='"RUN=qemu-aarch64 -L build-aarch64/root" ARGS=--quick' run-tests \
	    RUN_LAST='$(foreach page,16384 65536,"RUN=qemu-aarch64 -p $(page) -L build-aarch64/root" $(PAGED)) \
	        "RUN=qemu-x86_64 -cpu Nehalem" build/tests/kernel_checker \
	        "RUN=qemu-x86_64 -cpu Haswell" "ARGS=--quick --slack" build/tests/kernel_checker'
# With pages of 16 and 64 KiB: what maps files, guards buffers and gives pages back.
PAGED = $(addprefix build-aarch64/tests/,kernel_checker test_safetensors test_model test_contract test_sessions)
# What is slow there, and what asks the file system rather than the processor.
SLOW_EMULATED = $(addprefix %/,test_alloc test_gradients test_limits test_limits_files test_memory test_profile \
    test_quantised test_samplers test_single test_train_api test_training \
    $(addprefix check_,$(addsuffix .sh,api buckets faults first_hour loads overwrite pictures record recording runtime \
    stdout suspects train train_change train_held train_pictures training_folder)))
ARM64 = CC="aarch64-linux-gnu-gcc --sysroot=build-aarch64/root"
ARM64_PACKAGES = $(filter lib% zlib% nettle% check,$(PACKAGES)) libgomp1

## asan ubsan tsan: all tests with clang and a sanitizer, then again with scalar kernels, in build-asan and so on
## sanitize: the fast ones under the first two at once, in build-sanitize
asan: SANITIZE = -fsanitize=address
ubsan: SANITIZE = -fsanitize=undefined -fno-sanitize-recover=undefined
sanitize: SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=undefined
asan sanitize: export LSAN_OPTIONS = suppressions=tests/leaks
tsan: SANITIZE = -fsanitize=thread
tsan: export OMP_TOOL_LIBRARIES = $(firstword $(wildcard /usr/lib/llvm-*/lib/libarcher.so))
tsan: export TSAN_OPTIONS = ignore_noninstrumented_modules=1
asan ubsan tsan: AGAIN = CPU=scalar $$(filter-out %/kernel_checker %/kernel_must_fail,$$(CHECKS)) $$(SCRIPTS)
sanitize: LEAVE_OUT = $(SLOW_SANITIZED)
SLOW_SANITIZED = $(filter-out %/test_limits %/test_limits_files %/test_quantised %/test_single %/check_loads.sh,$(SLOW_EMULATED))
asan ubsan tsan sanitize: PACKAGES += $(SANITIZER_PACKAGES)
asan ubsan tsan sanitize: packages
	@$(MAKE) --no-print-directory -j$$(nproc) BUILD=build-$@ CC=clang OPT=-O1 LEAVE_OUT="$(LEAVE_OUT)" \
	    CFLAGS="-g -DTT_SANITIZED -fno-omit-frame-pointer $(SANITIZE)" RUN_FIRST=ARGS=--quick \
	    RUN_LAST='$(AGAIN)' run-tests
SANITIZER_PACKAGES = clang llvm libomp-dev libclang-rt-dev

## coverage: the lines of src and simd that tests reach, file by file, in build-coverage/coverage.txt (by gcov)
coverage: PACKAGES += gcovr
coverage: packages
	@rm -rf build-coverage/coverage.txt
	@$(MAKE) --no-print-directory -j$$(nproc) BUILD=build-coverage OPT=-O1 LEAVE_OUT="$(SLOW_COVERED)" \
	    CFLAGS="-g --coverage -fprofile-update=atomic" RUN_FIRST=ARGS=--quick run-tests
	@gcovr -r . --filter src/ --filter simd/ --sort-percentage \
	    --txt build-coverage/coverage.txt build-coverage
	@tail -n 3 build-coverage/coverage.txt
SLOW_COVERED = %/test_limits %/test_limits_files

## fuzz: every harness of tests/fuzz for a minute each (FUZZ_SECONDS=60), with clang's libFuzzer
fuzz: PACKAGES += $(SANITIZER_PACKAGES)
fuzz: packages
	@$(MAKE) --no-print-directory -j$$(nproc) BUILD=build-fuzz CC=clang OPT=-O1 FUZZ_MAIN= \
	    FUZZ_LINK=-fsanitize=fuzzer CFLAGS="-g -DTT_SANITIZED -fno-omit-frame-pointer \
	    -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined" build-fuzz
	@BUILD=build-fuzz sh tests/fuzz/run.sh $(FUZZ_SECONDS)
build-fuzz: $(FUZZ)
FUZZ_SECONDS = 60

.PHONY: reports
## reports: the HTML of verify and profile in Debian's headless Chromium (SHOTS=FOLDER keeps pictures of them)
reports: packages
	@$(MAKE) --no-print-directory packages PACKAGES=chromium-headless-shell || true
	@$(MAKE) --no-print-directory -j$$(nproc) all $(BUILD)/tests/report_pages $(BUILD)/tests/browser
	@BUILD=$(BUILD) SHOTS="$(SHOTS)" sh tests/reports.sh
$(BUILD)/tests/test_reports $(BUILD)/tests/report_pages: $(BUILD)/tests/report_samples.o
$(BUILD)/tests/report_pages: $(BUILD)/tests/report_pages.o $(BUILD)/tests/util.o $(BUILD)/libcli.a $(BUILD)/libtintype.a
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(CHECK_LIBS) $(LDLIBS)
$(BUILD)/tests/browser: $(BUILD)/tests/browser.o
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $^ -ljansson
