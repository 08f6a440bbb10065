# tintype: latent text-to-image diffusion on a plain CPU.
# `make help` lists the targets; each is documented by the `##` line above it.

CC      = gcc
ARCH   := $(shell $(CC) -dumpmachine | cut -d- -f1)
BUILD   = build
OPT     = -O3
WARN    = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
# -ffp-contract=off: a product and a sum are fused only where the source says fma.
SPEC    = -std=c11 -D_GNU_SOURCE -ffp-contract=off -fno-math-errno -fopenmp
CFLAGS  = -g
ALL_CFLAGS = $(SPEC) $(OPT) $(WARN) $(CFLAGS) -Iinclude -Isrc -Isimd -MMD -MP
PACKAGES = libsleef-dev libjansson-dev libpng-dev libjpeg-dev libutf8proc-dev libpcre2-dev \
           libstb-dev pkg-config check
LDLIBS  = -lsleef -ljansson -lpng -ljpeg -lutf8proc -lpcre2-8 -lm

# The file suffix chooses the instruction set; nothing else may.
ISAS_x86_64  = avx2 avx512
ISAS_aarch64 = neon
FLAGS_avx2   = -mavx2 -mfma -mf16c
FLAGS_avx512 = $(FLAGS_avx2) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512
FLAGS_neon   =
ISAS        := $(ISAS_$(ARCH))

SIMD := $(filter-out %_avx2.c %_avx512.c %_neon.c,$(wildcard simd/*.c simd/*/*.c)) \
        $(foreach isa,$(ISAS),$(wildcard simd/*/*_$(isa).c))
LIB  := $(SIMD) $(filter-out src/cli/%,$(wildcard src/*.c src/*/*.c))
CLI  := $(wildcard src/cli/*.c)
TEST := $(wildcard tests/*.c tests/*/*.c)

objects = $(patsubst %.c,$(BUILD)/%.o,$(1))
isa_flags = $(foreach isa,avx2 avx512 neon,$(if $(filter %_$(isa).c,$(1)),$(FLAGS_$(isa))))

## all: build build/tintype and build/libtintype.a
all: $(BUILD)/tintype $(BUILD)/libtintype.a

$(BUILD)/tintype: $(call objects,$(CLI)) $(BUILD)/libtintype.a
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/libtintype.a: $(call objects,$(LIB))
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(call isa_flags,$<) -c -o $@ $<

-include $(patsubst %.o,%.d,$(call objects,$(LIB) $(CLI) $(TEST)))

## clean: remove what was built
clean:
	rm -rf $(BUILD)

## help: this list
help:
	@sed -n 's/^## /  make /p' Makefile

.PHONY: all clean help
.DEFAULT_GOAL = all
