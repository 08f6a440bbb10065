#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs each argument (a program, or a script ending in .sh), shows what it prints, and adds up the
# closing lines "N passed, N failed, N skipped". One without such a line counts as one failure.
# An argument RUN=WORDS puts words (an emulator) before the programs after it, ARGS=WORDS puts words after
# them; a program that needs no emulator of its own sees RUN in the environment. CPU=NAME sets TINTYPE_CPU.
# Threads that wait by spinning make a busy machine slower by an order of magnitude. So do those of clang's runtime that
# offer their processor to whoever else is waiting: they seldom get it back.
export RUN OMP_WAIT_POLICY=passive KMP_USE_YIELD=0
# That runtime looks for Archer even where there is no ThreadSanitizer. What it loads for nothing has thread-local
# blocks; one 16 bytes into a page looks to LeakSanitizer 14 like one with a header, and it dies of what stands there.
[ -n "$OMP_TOOL_LIBRARIES" ] || export OMP_TOOL=disabled
passed=0 failed=0 skipped=0
log=$(mktemp) || exit 3
trap 'rm -f "$log"' EXIT
for program in "$@"; do
    case $program in
    RUN=*) RUN=${program#RUN=} && continue ;;
    ARGS=*) ARGS=${program#ARGS=} && continue ;;
    CPU=*) export TINTYPE_CPU="${program#CPU=}" && continue ;;
    esac
    name=$(basename "$program")
    echo "== $RUN $name $ARGS $TINTYPE_CPU"
    start=$(date +%s)
    case $program in
    *.sh) sh "$program" $ARGS ;;
    *) $RUN "$program" $ARGS ;;
    esac >"$log" 2>&1
    status=$?
    last=$(tail -n 1 "$log" | grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$')
    if [ -n "$last" ]; then
        sed '$d' "$log" | grep -v "TCG doesn't support requested feature"
        set_aside=$IFS IFS=' ,'
        read -r p _ f _ s _ <<END
$last
END
        IFS=$set_aside
    else
        cat "$log"
        echo "$name: died without its closing line, exit $status"
        p=0 f=1 s=0
    fi
    [ "$status" -eq 0 ] || [ "$f" -gt 0 ] || { echo "$name: exit $status"; f=1; }
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    echo "   $p passed, $f failed, $s skipped in $(($(date +%s) - start)) s ($name)"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
