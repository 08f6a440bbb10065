#!/bin/sh
# SPDX-License-Identifier: MIT
# What the README promises to who adds an instruction set or a kernel for some sets only, on a copy of the machinery
# (Makefile, lists, dispatch, detection) with kernels of its own: each costs the lines and files that it says.
CC=${CC:-gcc}
work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
top=$(pwd)
check() { # check NAME CONDITION-STATUS
    if [ "$2" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $1"; fi
}

mkdir -p "$work/simd/toy" "$work/include" "$work/tests" "$work/src/base"
cp Makefile "$work"
cp include/tintype.h "$work/include"
cp src/base/*.h src/base/why.c "$work/src/base"
cp tests/checks.mk tests/count.c "$work/tests"
cp simd/dispatch.c simd/kernels.h simd/cpu.c simd/prototypes.h simd/isas.* "$work/simd"
ln -s "$top"/build* "$work" # a compiler's sysroot may lie there
case $RUN in "") emulator= ;; *) emulator=$(echo "$RUN" | sed "s|-L build|-L $top/build|") ;; esac

# The sets of this architecture that every kernel has; the most able one is what a new one builds on.
machine=$($CC -dumpmachine | cut -d- -f1)
sets=$(sh simd/isas.sh | awk -F: -v machine="$machine" '$2 == machine && $3 == "EVERY" { print $1 }')
best=$(echo "$sets" | tail -n 1)
[ -n "$best" ] || { echo "SKIP: no instruction set for $machine"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }

# Two new sets: one that any processor with the best one has, one that none has.
cat >"$work/simd/isas.def" <<END
$(sed '$s/$/ \\/' simd/isas.def)
    ISA(with, wide, $machine, NAMED, $best, "-DWIDE=1", "wide", [XCR0] = 0) \\
    ISA(with, never, $machine, NAMED, wide, "-DNEVER=1", "", [HWCAP2] = ~0ull)
END
# The list's own words around other kernels.
{
    sed '/^KERNEL(/,$d' simd/kernels.def
    echo "KERNEL(plain, EXACT, (int *x))"
    echo "KERNEL(more, EXACT, (int *x))"
    echo "VARIANT(more, never)"
    echo "VARIANT(more, wide)"
    echo "PARTIAL(some, BOUNDED, (int *x))"
    echo "VARIANT(some, $best)"
    echo "PARTIAL(alone, EXACT, (int *x))"
    sed -n '/^#undef KERNEL/,$p' simd/kernels.def
} >"$work/simd/kernels.def"
variant() { # variant ISA KERNEL...: the file of its variants
    isa=$1
    shift
    echo '#include "prototypes.h"' >"$work/simd/toy/toy_$isa.c"
    for kernel in "$@"; do echo "void tt_${kernel}_$isa(int *x) { *x = 0; }"; done >>"$work/simd/toy/toy_$isa.c"
}
variant scalar plain more some alone
for isa in $sets; do variant $isa plain more $([ $isa = $best ] && echo some); done
variant wide more
variant never more
for isa in $(sh simd/isas.sh | awk -F: -v machine="$machine" '$2 != machine { print $1 }'); do
    echo '#error of another architecture' >"$work/simd/toy/toy_$isa.c"
done

cat >"$work/main.c" <<END
#include "kernels.h"
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) {
    struct tt_kernels k;
    char names[99];
    unsigned detected = tt_cpu_detect();
    for (int i = 0; i < TT_ISA_COUNT; i++) {
        int asked = 0;
        for (int a = 1; a < argc; a++) asked += !strcmp(argv[a], tt_isas[i].name);
        if (!asked) continue;
        tt_kernels_init(&k, tt_isas[i].mask);
        printf("%s:", tt_isas[i].name);
        for (int j = 0; j < TT_KERNEL_COUNT; j++) printf(" %s %s", tt_kernel_names[j], k.variant[j]);
        printf("\n");
    }
    printf("%s\n", tt_cpu_names(names, sizeof names));
    printf("%d %d\n", !(detected & TT_CPU_$best) == !(detected & TT_CPU_wide), !(detected & TT_CPU_never));
    return 0;
}
END
{
    echo "scalar: plain scalar more scalar some scalar alone scalar"
    for isa in $sets; do
        echo "$isa: plain $isa more $isa some $([ $isa = $best ] && echo $best || echo scalar) alone scalar"
    done
    echo "wide: plain $best more wide some $best alone scalar"
    echo "never: plain $best more never some $best alone scalar"
    echo "scalar$(sh simd/isas.sh | cut -d: -f1 | sed 's/^/, /' | tr -d '\n'), wide or never"
    echo "1 1"
} >"$work/wanted"

cd "$work" || exit 3
objects="src/base/why simd/dispatch simd/cpu simd/toy/toy_scalar \
    $(for isa in $sets wide never; do echo simd/toy/toy_$isa; done)"
# build FLAGS: builds with the Makefile's rules and compares what the table says.
build() {
    rm -rf out
    make --no-print-directory V=1 BUILD=out CC="$CC" CFLAGS="$CFLAGS -Werror $1" $(printf 'out/%s.o ' $objects main) \
        </dev/null >log 2>&1 && $CC $CFLAGS -fopenmp $(printf 'out/%s.o ' $objects main) -o main >>log 2>&1
    result=$?
    [ $result = 0 ] || cat log
    check "builds $1" $result
    $emulator ./main scalar $sets wide never >got 2>&1
    diff wanted got; check "the table $1" $?
}
build
flags_of() { grep -- "-o out/simd/toy/toy_$1.o" log; }
for flag in $(sh simd/isas.sh | awk -F: -v best="$best" '$1 == best { print $5 }') -DWIDE=1; do
    flags_of wide | grep -qe " $flag "; check "wide is compiled with $flag" $?
done
flags_of wide | grep -q -e -DNEVER; [ $? = 1 ]; check "wide is compiled without the flags of never" $?
flags_of never | grep -q -e '-DWIDE=1 -DNEVER=1'; check "never is compiled with the flags of wide" $?
flags_of scalar | grep -qE -e ' -m| -D(WIDE|NEVER)'; [ $? = 1 ]; check "scalar is compiled without flags" $?
make --no-print-directory -n -p BUILD=out CC="$CC" help </dev/null 2>/dev/null | grep '^SIMD :=' >made
grep -o 'toy_[a-z0-9]*' made | sort >taken
printf 'toy_%s\n' scalar $sets wide never | sort | cmp - taken
check "make takes the files of this architecture's sets" $?
build -O0 # names of other architectures stay out without the optimiser, too

# refused NAME SED FILE: a list that is changed so does not compile.
refused() {
    cp "$3" aside
    sed "$2" aside >"$3"
    cmp -s aside "$3"; [ $? = 1 ]; check "$1: changed" $?
    make --no-print-directory BUILD=out CC="$CC" CFLAGS="$CFLAGS" out/simd/dispatch.o out/simd/cpu.o \
        </dev/null >log 2>&1; [ $? = 2 ]; check "$1: does not compile" $?
    cp aside "$3"
}
refused "a VARIANT line for what the rule makes" "s/^VARIANT(more, wide)/VARIANT(more, $best)/" simd/kernels.def
refused "a VARIANT line twice" "s/^VARIANT(more, wide)/VARIANT(more, never)/" simd/kernels.def
refused "a VARIANT line of no set" "s/^VARIANT(more, wide)/VARIANT(more, wider)/" simd/kernels.def
refused "a set that builds on none" "s/NAMED, $best/NAMED, nothing/" simd/isas.def

echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
