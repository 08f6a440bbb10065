#!/bin/sh
# SPDX-License-Identifier: MIT
# The programs in the README, compiled against an installed tree and run: with the shared library, with the static one,
# and as C++. The first must draw what the command line draws, the second give the same model each time.
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
for name in example colours; do
    awk -v n=$name 'BEGIN { wanted = n == "example" ? 1 : 2 }
        /^```c$/ { on = ++count == wanted; next } /^```$/ { on = 0 } on' README.md >"$work/$name.c"
    [ -s "$work/$name.c" ]; check "$name.c in the README" $?
done
case $RUN in "") emulator= ;; *) emulator=$(echo "$RUN" | sed "s|-L build|-L $top/build|") ;; esac

cd "$work" || exit 3
# compile PROGRAM COMPILER...: without a warning.
compile() {
    program=$1
    shift
    "$@" >log 2>&1
    result=$?
    [ $result = 0 ] || cat log
    check "$program compiles without warnings" $result
}
# drawn PROGRAM: it draws a picture, the same as those before it.
drawn() {
    rm -f example.png
    $emulator "./$1" >out 2>&1 || cat out
    [ "$(grep -c '^step' out)" = 10 ] && [ -s example.png ]; check "$1 runs" $?
    [ -e first.png ] || cp example.png first.png
    cmp example.png first.png; check "$1 draws the same" $?
}
# trained PROGRAM: it trains a model, the same as those before it, and has nothing left to do when it runs again.
unet=unet/diffusion_pytorch_model.safetensors
trained() {
    rm -rf colours
    $emulator "./$1" >out 2>&1 || cat out
    [ "$(grep -c '^step' out)" = 6 ] && [ -s colours/$unet ]; check "$1 runs" $?
    [ -e first.safetensors ] || cp colours/$unet first.safetensors
    $emulator "./$1" >out 2>&1 && [ ! -s out ]; check "$1 goes on where it was" $?
    cmp colours/$unet first.safetensors; check "$1 trains the same" $?
}
strict="-Wall -Wextra -Werror $CFLAGS"
# $CC and the flags are lists of words.
in_top() { (cd "$top" && "$@"); }
for program in "example drawn" "colours trained"; do
    name=${program% *} run=${program#* }
    compile "$name, shared" in_top $CC -std=c11 $strict -o "$work/$name-shared" "$work/$name.c" \
        $(pkg-config --cflags --libs tintype) -Wl,-rpath,"$tree/lib"
    $run $name-shared
    mv "$tree/lib/libtintype.so" "$work/aside"
    compile "$name, static" in_top $CC -std=c11 $strict -o "$work/$name-static" "$work/$name.c" \
        $(pkg-config --static --cflags --libs tintype)
    $run $name-static
    mv "$work/aside" "$tree/lib/libtintype.so"
    case $CC in gcc) cxx=g++ ;; clang) cxx=clang++ ;; *) cxx=no ;; esac
    if [ -z "$RUN" ] && command -v $cxx >/dev/null; then
        compile "$name, C++" $cxx -std=c++11 $strict -x c++ $name.c -x none -o $name-cxx \
            $(pkg-config --cflags --libs tintype) -Wl,-rpath,"$tree/lib"
        $run $name-cxx
    else
        echo "SKIP: no C++ compiler for this build ($cxx): apt-get install g++ or clang; none when cross-compiled"
        skipped=$((skipped + 1))
    fi
done

# Apart from the settings inside, the file that the command line writes ends with the same bytes.
in_top $RUN "$BUILD/tintype" generate -p "a lighthouse at sunset" -s 7 --steps 10 -o "$work/cli.png" --quiet
size=$(($(wc -c <first.png) - 33)) # signature and IHDR
tail -c $size first.png >a && tail -c $size cli.png >b && cmp a b; check "the command line draws the same" $?

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
