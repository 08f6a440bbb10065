# tintype: latent text-to-image diffusion on a plain CPU.
# `make help` lists the targets; each is documented by the `##` line above it.

CC      = gcc
ARCH   := $(shell $(CC) -dumpmachine | cut -d- -f1)
BUILD   = build
OPT     = -O3
WARN    = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
# -ffp-contract=off: a product and a sum are fused only where the source says fma.
SPEC    = -std=c11 -D_GNU_SOURCE -ffp-contract=off -fno-math-errno -fopenmp
# One set of objects for both libraries; what tintype.h does not declare stays inside.
SHARED  = -fPIC -fvisibility=hidden
CFLAGS  = -g
ALL_CFLAGS = $(SPEC) $(SHARED) $(OPT) $(WARN) $(CFLAGS) -Iinclude -Isrc -Isimd -MMD -MP
PACKAGES = libsleef-dev libjansson-dev libpng-dev libjpeg-dev libwebp-dev libutf8proc-dev \
           libstb-dev zlib1g-dev nettle-dev fonts-dejavu-core pkg-config check
LDLIBS  = -lsleef -ljansson -lpng -ljpeg -lwebpdemux -lwebp -lutf8proc -lnettle -lz -lm

# The file suffix chooses the instruction set, and nothing else may: of simd/isas.def, a word
# name:architecture:flags for each, with commas between the flags.
ISAS := $(shell sh simd/isas.sh | cut -d: -f1,2,5 | tr ' ' ,)
part = $(word $(1),$(subst :, ,$(2)))
files_of = %_$(call part,1,$(1)).c

SIMD := $(filter-out $(foreach isa,$(ISAS),$(call files_of,$(isa))),$(wildcard simd/*.c simd/*/*.c)) \
    $(foreach isa,$(ISAS),$(if $(filter $(ARCH),$(call part,2,$(isa))), \
        $(filter $(call files_of,$(isa)),$(wildcard simd/*/*.c))))
LIB  := $(SIMD) $(filter-out src/cli/%,$(wildcard src/*.c src/*/*.c))
CLI  := $(wildcard src/cli/*.c src/cli/*/*.c)
TEST := $(wildcard tests/*.c tests/*/*.c)

objects = $(patsubst %.c,$(BUILD)/%.o,$(1))
comma := ,
isa_flags = $(foreach isa,$(ISAS),$(if $(filter $(call files_of,$(isa)),$(1)),$(subst $(comma), ,$(call part,3,$(isa)))))

# The number in the name changes when a program built against an older one could no longer run.
SONAME = libtintype.so.2
SO     = libtintype.so.$(VERSION)
VERSION := $(shell sed -n 's/^.define TT_VERSION "\(.*\)"/\1/p' include/tintype.h)

# A line for each file; V=1: whole commands. `make run` says what it compiles by folders.
Q = $(if $(V),,@)
SAY = @$(if $(V),:,printf '  %-7s %s\n')
folder = $(patsubst %/,%,$(if $(filter simd/%,$(1)),simd,$(dir $(1))))
SAY_CC = $(if $(BRIEF),@mkdir $(BUILD)/said-$(subst /,-,$(call folder,$<)) 2>/dev/null && \
    printf '  CC      %s\n' '$(call folder,$<)/' || :,$(SAY) CC $<)

## all: build build/tintype, build/libtintype.a and build/libtintype.so
all: $(BUILD)/tintype $(BUILD)/libtintype.a $(BUILD)/$(SO)

$(BUILD)/tintype: $(BUILD)/src/cli/main.o $(BUILD)/libcli.a $(BUILD)/libtintype.a
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $^ $(LDLIBS)

# The command line but for main(): tests link it, too.
$(BUILD)/libcli.a: $(filter-out %/main.o,$(call objects,$(CLI))) $(BUILD)/font.o $(BUILD)/report.o
	$(SAY) AR $@
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(BUILD)/libtintype.a: $(call objects,$(LIB)) $(BUILD)/builtin.o
	$(SAY) AR $@
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(BUILD)/$(SO): $(call objects,$(LIB)) $(BUILD)/builtin.o
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_CFLAGS) -shared -Wl,-soname,$(SONAME) -o $@ $^ $(LDLIBS)
	$(Q)ln -sf $(SO) $(BUILD)/$(SONAME)
	$(Q)ln -sf $(SO) $(BUILD)/libtintype.so

# Other flags, other objects.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(ALL_CFLAGS)' | cmp -s - $@ || echo '$(CC) $(ALL_CFLAGS)' >$@
FORCE:
# Every header that the sources name is looked for before the first of them is compiled.
$(BUILD)/headers: SOURCES = $(wildcard $(foreach d,src src/* src/*/*,$(d)/*.[ch]))
$(BUILD)/headers-tests: SOURCES = tests/util.h
$(BUILD)/headers $(BUILD)/headers-tests: Makefile
	@mkdir -p $(@D)
	@sed -n 's/^#include <\(.*\)>/#if !__has_include(<\1>)\nMISSING \1\n#endif/p' $(SOURCES) | \
	    $(CC) -E -P -x c - 2>$@.missing | sed -n 's/^MISSING //p' | sort -u >>$@.missing
	@if [ -s $@.missing ]; then echo "not found: $$(tr '\n' ' ' <$@.missing)" >&2; \
	    echo "'make packages' installs what tintype is built with" >&2; exit 2; fi
	@mv $@.missing $@
$(call objects,$(TEST)): | $(BUILD)/headers-tests
$(BUILD)/%.o: %.c $(BUILD)/flags | $(BUILD)/headers
	@mkdir -p $(@D)
	$(SAY_CC)
	$(Q)$(CC) $(ALL_CFLAGS) $(call isa_flags,$<) -c -o $@ $<

# The model that ships, as a table of src/io/builtin.h; an empty one when its folder is not there. CLIP's vocabulary.
MODEL := reference/models/scenes
MODEL_FILES := $(sort $(shell find $(MODEL) -name '*.json' -o -name '*.txt' \
                                -o -name '*.safetensors' 2>/dev/null))
$(BUILD)/builtin.S: reference/tokenizer/clip/merges.txt.gz $(MODEL_FILES) src/io/builtin.sh
	@mkdir -p $(@D)
	@sh src/io/builtin.sh $< $(MODEL) $(MODEL_FILES) >$@

# The font of labels in pictures.
FONT := /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf
$(FONT):
	@echo "not found: $@: 'make packages' installs it" >&2; exit 2
$(BUILD)/font.S: $(FONT) Makefile
	@mkdir -p $(@D)
	@printf '%s\n' '.section .rodata' '.global cli_font' 'cli_font: .incbin "$(FONT)"' \
	    '.section .note.GNU-stack,"",%progbits' >$@
REPORT := $(wildcard src/cli/report/*.css src/cli/report/*.js)# each becomes a text
$(BUILD)/report.S: $(REPORT) Makefile
	@mkdir -p $(@D)
	@{ echo .section .rodata; for file in $(REPORT); do name=cli_report_$$(basename $${file%.*}); \
	    printf '.global %s\n%s: .incbin "%s"\n.byte 0\n' $$name $$name $$file; done; \
	    echo '.section .note.GNU-stack,"",%progbits'; } >$@
$(BUILD)/%.o: $(BUILD)/%.S
	$(SAY) AS $<
	$(Q)$(CC) -c -o $@ $<
-include $(patsubst %.o,%.d,$(call objects,$(LIB) $(CLI) $(TEST)))

# tests/test_<area>.c is one Check program; make test ONLY=area takes those that contain it.
FUZZ := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/%,$(wildcard tests/fuzz/fuzz_*.c))
CHECKS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/test_*$(ONLY)*.c)) \
    $(foreach t,$(FUZZ),$(if $(findstring _$(ONLY),_$(notdir $(t))),$(t))) \
    $(foreach t,kernel_checker kernel_must_fail,$(if $(findstring _$(ONLY),_$(t)),$(BUILD)/tests/$(t)))
CHECK_LIBS = -lcheck -lsubunit -lrt -lpthread
SCRIPTS := $(if $(ONLY),,$(wildcard tests/check_*.sh))

## test: build and run every test (ONLY=area: some); the last line counts them
test: PACKAGES += strace
test: packages
	@$(MAKE) --no-print-directory -j$$(nproc) run-tests

build-tests: all $(CHECKS)

run-tests: build-tests
	@BUILD=$(BUILD) CC="$(CC)" CFLAGS="$(CFLAGS)" sh tests/run.sh $(RUN_FIRST) $(filter-out $(LEAVE_OUT),$(CHECKS) $(SCRIPTS)) $(RUN_LAST)
KERNEL_CHECKS := $(filter-out %/main.c %/must_fail.c,$(wildcard tests/kernels/*.c))
$(BUILD)/tests/kernel_checker: $(call objects,tests/kernels/main.c)
$(BUILD)/tests/kernel_must_fail: $(call objects,tests/kernels/must_fail.c)
$(BUILD)/tests/kernel_%: $(call objects,$(KERNEL_CHECKS)) $(BUILD)/libtintype.a
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $(filter %/main.o %/must_fail.o,$^) $(filter-out %/main.o %/must_fail.o,$^) $(LDLIBS)

$(BUILD)/tests/test_goldens $(BUILD)/tests/test_gradients: $(BUILD)/tests/subject.o
$(BUILD)/tests/test_%: $(BUILD)/tests/test_%.o $(BUILD)/tests/util.o $(BUILD)/libcli.a $(BUILD)/libtintype.a
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(CHECK_LIBS) $(LDLIBS)

# A fuzzer's harness: libFuzzer's main in `make fuzz`, else one that goes through its corpus.
FUZZ_MAIN = $(BUILD)/tests/fuzz/replay.o
$(BUILD)/tests/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(FUZZ_MAIN) $(BUILD)/libcli.a $(BUILD)/libtintype.a
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $^ $(FUZZ_LINK) $(LDLIBS)

## run: draw lighthouse.png with the built-in model
run: packages
	@rm -rf $(BUILD)/said-*
	@$(MAKE) --no-print-directory -j$$(nproc) BRIEF=1 all
	@$(BUILD)/tintype generate "a lighthouse at sunset" -o lighthouse.png >/dev/null
	@echo "drawn: $(CURDIR)/lighthouse.png; next: $(BUILD)/tintype generate \"a castle at night\" -o castle.png"

## train-demo: train the model that ships from nothing, in small, in DEMO=FOLDER: less than an hour on two cores
train-demo: packages
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@sh reference/models/scenes/train.sh $(or $(DEMO),$(BUILD)/train-demo)

## bench: time every kernel that passes its check, then the networks of a model (BENCH_MODEL=FOLDER)
bench: packages
	@$(MAKE) --no-print-directory -j$$(nproc) build-tests
	@$(BUILD)/tests/kernel_checker --bench
	@for part in text unet vae-encode vae-decode; do echo "== $$part"; \
	    $(BUILD)/tintype profile --part $$part $(if $(BENCH_MODEL),-m "$(BENCH_MODEL)") || exit; done

## prove: the activation functions over all floats, against double precision (minutes)
prove: packages
	@$(MAKE) --no-print-directory -j$$(nproc) $(BUILD)/tests/prove_math
	@$(BUILD)/tests/prove_math
$(BUILD)/tests/prove_math: $(BUILD)/tests/prove_math.o $(BUILD)/libtintype.a
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(LDLIBS)

include tests/checks.mk

## install: into PREFIX (default /usr/local) below DESTDIR, with a pkg-config file
install: all
	install -D -t $(AT)/bin $(BUILD)/tintype
	install -D -m 644 -t $(AT)/lib $(BUILD)/libtintype.a $(BUILD)/$(SO)
	cp -P $(BUILD)/$(SONAME) $(BUILD)/libtintype.so $(AT)/lib
	$$($(CC) -print-prog-name=strip) --strip-debug $(AT)/bin/tintype $(AT)/lib/libtintype.a $(AT)/lib/$(SO)
	install -D -m 644 -t $(AT)/include include/tintype.h
	install -D -m 644 reference/tokenizer/README.md $(AT)/share/doc/tintype/clip-vocabulary.md
	@mkdir -p $(AT)/lib/pkgconfig
	printf '%s\n' 'prefix=$(PREFIX)' 'Name: tintype' 'Version: $(VERSION)' \
	    'Description: Latent text-to-image diffusion on a plain CPU' 'Cflags: -I$${prefix}/include' \
	    'Libs: -L$${prefix}/lib -ltintype' 'Libs.private: -fopenmp $(LDLIBS)' >$(AT)/lib/pkgconfig/tintype.pc
PREFIX = /usr/local
AT = $(DESTDIR)$(PREFIX)

## packages: install the Debian packages that are missing (root or passwordless sudo)
packages:
	@missing=$$(for p in $(PACKAGES); do \
	    dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || echo $$p; done); \
	[ -z "$$missing" ] || ! command -v apt-get >/dev/null || { \
	    if [ $$(id -u) = 0 ]; then sudo=; elif sudo -n true 2>/dev/null; then sudo="sudo -n"; else \
	        echo "run this, then try again: sudo apt-get install -y" $$missing; exit 2; fi; \
	    install="$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends"; \
	    echo "  APT     installing" $$missing; said=$$(mktemp) || exit; \
	    { $$install $$missing || { $$sudo apt-get update && $$install $$missing; }; } >$$said 2>&1 || { \
	        cat $$said; rm $$said; exit 2; }; rm $$said; } >&2

## clean: remove what was built
clean:
	rm -rf $(BUILD)

## help: this list
help:
	@sed -n 's/^## /  make /p' Makefile tests/checks.mk

.PHONY: FORCE all run train-demo bench prove clean help test build-tests run-tests lint check-qemu faults asan ubsan tsan sanitize coverage fuzz \
    build-fuzz install packages
.SECONDARY:
