#!/bin/sh
# SPDX-License-Identifier: MIT
# What the objects hold: ymm registers only in *_avx2.o and *_avx512.o, zmm and mask registers only in
# *_avx512.o, FMA in neither scalar nor plain objects; external symbols of the library start with tt_,
# and the shared library exports what tintype.h declares.
build=${BUILD:-build}
passed=0 failed=0 skipped=0
pass() { passed=$((passed + 1)); }
fail() { failed=$((failed + 1)); echo "FAILED: $1"; }

# The machine field of the ELF header.
case $(od -An -tx1 -j18 -N1 "$(find "$build/simd" -name '*.o' | head -n 1)") in
*b7*) objdump=aarch64-linux-gnu-objdump x86=no ;;
*) objdump=objdump x86=yes ;;
esac
if ! command -v $objdump >/dev/null; then
    package=binutils
    [ $x86 = yes ] || package=binutils-aarch64-linux-gnu
    echo "SKIP: no $objdump: apt-get install $package"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi

for object in $(find "$build/simd" "$build/src" -name '*.o' | sort); do
    [ $x86 = yes ] || break
    case $object in
    *_avx512.o) pattern='' ;;
    *_avx2.o) pattern='%zmm|%k[0-7]|%[xy]mm(1[6-9]|2[0-9]|3[01])' ;;
    *) pattern='%[yz]mm|%k[0-7]|vfn?m(add|sub)' ;;
    esac
    if [ -n "$pattern" ] && found=$($objdump -d --no-show-raw-insn "$object" | grep -m 1 -E "$pattern"); then
        fail "$object: $found"
    else
        pass
    fi
done

others=$(nm -g --defined-only "$build/libtintype.a" | awk 'NF == 3 && $3 !~ /^tt_/ { print $3 }' |
    grep -v -E '^(__(asan|odr_asan|ubsan|tsan|llvm|start|stop)|\.gomp_critical)') # of the compiler
if [ -z "$others" ]; then pass; else fail "external symbols without tt_:" $others; fi

# The shared library exports the functions of tintype.h, all of them and nothing else.
sed 's|//.*||' include/tintype.h | grep -oE '\btt_[a-z0-9_]+\(' | tr -d '(' | sort -u >"$build/declared"
nm -D --defined-only "$build/libtintype.so" | awk 'NF == 3 { print $3 }' |
    grep -v -E '^(__(asan|odr_asan|ubsan|tsan|llvm|start|stop|bss_start)|\.gomp_critical|_init$|_fini$|_edata$|_end$)' |
    sort >"$build/exported"
others=$(diff "$build/declared" "$build/exported")
if [ -z "$others" ]; then pass; else fail "declared in tintype.h <> exported: $others"; fi

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
