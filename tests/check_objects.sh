#!/bin/sh
# SPDX-License-Identifier: MIT
# What the objects hold: the marks of an instruction set of simd/isas.def only in objects with its suffix, or that of
# a set that builds on it; external symbols of the library start with tt_, and the shared library exports what
# tintype.h declares. What is counted as work calls nothing that is not counted; no files call each other in a circle.
build=${BUILD:-build}
passed=0 failed=0 skipped=0
pass() { passed=$((passed + 1)); }
fail() { failed=$((failed + 1)); echo "FAILED: $*"; }

# The machine field of the ELF header.
case $(od -An -tx1 -j18 -N1 "$(find "$build/simd" -name '*.o' | head -n 1)") in
*b7*) machine=aarch64 ;;
*) machine=x86_64 ;;
esac
[ $machine = "$(uname -m)" ] && objdump=objdump || objdump=$machine-linux-gnu-objdump
if ! command -v $objdump >/dev/null; then
    package=binutils
    [ $objdump = objdump ] || package=binutils-$(echo $machine | tr _ -)-linux-gnu
    echo "SKIP: no $objdump: apt-get install $package"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi

# foreign SUFFIX: the marks of all sets but that of the suffix and what it builds on.
foreign() {
    sh simd/isas.sh | awk -F: -v machine=$machine -v own="$1" '
        $2 == machine { mark[$1] = $6 }
        $1 == own { allowed = " " $1 " " $4 " " }
        END {
            for (isa in mark)
                if (mark[isa] != "" && !index(allowed, " " isa " ")) all = all "|" mark[isa]
            print substr(all, 2)
        }'
}
for object in $(find "$build/simd" "$build/src" -name '*.o' | sort); do
    suffix=${object%.o} suffix=${suffix##*_}
    [ "$suffix" = "$last_suffix" ] || pattern=$(foreign "$suffix") last_suffix=$suffix
    if [ -n "$pattern" ] && found=$($objdump -d --no-show-raw-insn "$object" | grep -m 1 -E "$pattern"); then
        fail "$object: $found"
    else
        pass
    fi
done

# Files do not call each other in a circle: tsort names the members of one.
circles() { # circles OBJECT...
    nm -A -P -g "$@" | awk '
        { sub(/:$/, "", $1) }
        $3 == "U" { calls[++n] = $1; called[n] = $2; next }
        { of[$2] = $1 }
        END {
            for (i = 1; i <= n; i++)
                if (called[i] in of && of[called[i]] != calls[i]) print calls[i], of[called[i]]
        }' | sort -u | tsort 2>&1 >/dev/null | grep -v 'contains a loop' | sed 's/^tsort: //'
}
made=$(find "$build/src" "$build/simd" -name '*.o' | while read -r object; do
    source=${object#"$build/"}
    [ ! -e "${source%.o}.c" ] || echo "$object" # those of files that are no more stay there
done)
others=$(circles $made)
if [ -z "$others" ]; then pass; else fail "files that call each other in a circle:" $others; fi
planted=$(mktemp -d) || exit 3
for file in "a b" "b c" "c a"; do
    from=${file% *} to=${file#* }
    echo "void $to(void); void $from(void); void $from(void) { $to(); }" >"$planted/$from.c"
    ${CC:-gcc} -c -o "$planted/$from.o" "$planted/$from.c"
done
if [ "$(circles "$planted"/*.o | wc -l)" = 3 ]; then pass; else fail "a circle that was planted is not found"; fi
if [ -z "$(circles "$planted/a.o" "$planted/b.o")" ]; then pass; else fail "what is no circle is taken for one"; fi
rm -r "$planted"

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

# Functions of the C library that the counted objects call: those that go through memory of any size are wrapped
# (tests/count.c), these take the same time always, or as long as the system does. Other libraries' work is timed.
same='abs ceilf? fabsf? floorf? fmaxf? fminf? ldexp powf? rintf? sqrtf? __.*_location __.*_loc __assert_fail
    __errno.* __sched_.* __stack.* __tls_get_addr _GLOBAL_.* _setjmp longjmp clock_gettime f?close(dir)? dirfd
    (fd)?opendir faccessat fch(mod|own) flock ferror f?free fopen fopencookie [fl]?stat fsync ftruncate get.*id
    getauxval getenv getrandom getrlimit lseek statvfs madvise malloc mkdir mmap munmap open(at|_memstream)? pthread_.*
    readdir readlink realpath rename(at2)? rmdir sched_getaffinity setvbuf strerror sysconf sysinfo tdelete
    tdestroy tfind tsearch unlink(at)?'
libraries='GOMP_.*|omp_.*|_*kmpc?_.*|json_.*|png_.*|jpeg_.*|WebP.*|utf8proc_.*|nettle_.*'
libraries="$libraries|Sleef_.*|__(aarch64|asan|ubsan|tsan|sanitizer)_.*"
pattern=$(sed -n 's/^WRAP([^,]*, \([a-z0-9_]*\),.*/\1/p' tests/count.c && printf '%s\n' $same)
others=$(nm -u $(find "$build/counted/src" -name '*.o') | awk '$1 ~ /^[Uw]$/ { print $2 }' | sort -u |
    grep -vxE "tt_.*|$libraries|$(printf '%s' "$pattern" | tr '\n' '|')")
if [ -z "$others" ]; then pass; else fail "not counted (tests/count.c):" $others; fi

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
