#!/bin/sh
# SPDX-License-Identifier: MIT
# The program in the README, compiled against an installed tree and run: with the shared library, with the static one,
# and as C++. It must draw what the command line draws.
BUILD=${BUILD:-build} CC=${CC:-gcc}
work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0
top=$(pwd)

check() { # check NAME CONDITION-STATUS
    if [ "$2" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $1"; fi
}

make --no-print-directory BUILD="$BUILD" CC="$CC" CFLAGS="$CFLAGS" DESTDIR="$work/tree" PREFIX=/usr install \
    >"$work/log" 2>&1
check "make install" $? || cat "$work/log"
tree=$work/tree/usr
for file in bin/tintype lib/libtintype.a lib/libtintype.so lib/libtintype.so.2 include/tintype.h; do
    [ -e "$tree/$file" ]; check "$file" $?
    ! grep -aq '\.debug_info' "$tree/$file"; check "$file carries no debug sections" $?
done
export PKG_CONFIG_PATH="$tree/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$work/tree"
awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >"$work/example.c"
[ -s "$work/example.c" ]; check "an example in the README" $?
case $RUN in "") emulator= ;; *) emulator=$(echo "$RUN" | sed "s|-L build|-L $top/build|") ;; esac

cd "$work" || exit 3
# build NAME COMPILER... : builds and runs ./NAME.
build() {
    name=$1
    shift
    rm -f example.png
    "$@" >log 2>&1
    result=$?
    [ $result = 0 ] || cat log
    check "$name compiles without warnings" $result
    $emulator "./$name" >out 2>&1 || cat out
    [ "$(grep -c '^step' out)" = 10 ] && [ -s example.png ]; check "$name runs" $?
    [ -e first.png ] || cp example.png first.png
    cmp example.png first.png; check "$name draws the same" $?
}
strict="-Wall -Wextra -Werror $CFLAGS"
# $CC and the flags are lists of words.
in_top() { (cd "$top" && "$@"); }
build shared in_top $CC -std=c11 $strict -o "$work/shared" "$work/example.c" \
    $(pkg-config --cflags --libs tintype) -Wl,-rpath,"$tree/lib"
mv "$tree/lib/libtintype.so" "$work/aside"
build static in_top $CC -std=c11 $strict -o "$work/static" "$work/example.c" \
    $(pkg-config --static --cflags --libs tintype)
mv "$work/aside" "$tree/lib/libtintype.so"
case $CC in gcc) cxx=g++ ;; clang) cxx=clang++ ;; *) cxx=no ;; esac
if [ -z "$RUN" ] && command -v $cxx >/dev/null; then
    build cxx $cxx -std=c++11 $strict -x c++ example.c -x none -o cxx $(pkg-config --cflags --libs tintype) \
        -Wl,-rpath,"$tree/lib"
else
    echo "SKIP: no C++ compiler for this build ($cxx): apt-get install g++ or clang; none when cross-compiled"
    skipped=$((skipped + 1))
fi

# Apart from the settings inside, the file that the command line writes ends with the same bytes.
in_top $RUN "$BUILD/tintype" generate -p "a lighthouse at sunset" -s 7 --steps 10 -o "$work/cli.png" --quiet
size=$(($(wc -c <first.png) - 33)) # signature and IHDR
tail -c $size first.png >a && tail -c $size cli.png >b && cmp a b; check "the command line draws the same" $?

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
