#!/bin/sh
# SPDX-License-Identifier: MIT
# Recordings that others than tintype wrote: the writer in C is compiled and run, those of the recorder in Python are
# shipped (reference/recordings). `tintype verify` must read each and agree.
CC=${CC:-gcc}
. tests/cli.sh

$CC -std=c11 -Wall -Wextra -Wconversion -Wno-sign-conversion -Werror $CFLAGS -o "$work/writer" \
    reference/writers/recording.c -lm >"$work/log" 2>&1
result=$?
[ $result = 0 ] || cat "$work/log"
check "the writer compiles without warnings" $result
mkdir "$work/c"
$RUN "$work/writer" "$work/c"; check "the writer in C" $?
$RUN "$work/writer" "$work/none" 2>/dev/null; [ $? = 2 ]; check "the writer in C without a folder to write to" $?

agrees() { # agrees NAME TEXT RECORDING OPTION...: exit status 0, and the text in what is printed
    name=$1 text=$2
    shift 2
    $tintype verify "$@" >"$work/log" 2>&1
    status=$?
    [ $status = 0 ] && grep -qF -- "$text" "$work/log"
    result=$?
    [ $result = 0 ] || { echo "exit $status, expected 0 and '$text':"; tail -n 5 "$work/log"; }
    check "$name" $result
}
agrees "verify: the writer in C" "time_proj" -m $model "$work/c"
agrees "verify: the writer in Python" "time_proj" -m $model reference/recordings/by-hand
# Those of the recorder are whole pipelines, or say that they are not; half precision, statistics, a backward pass.
tiny=reference/tiny
agrees "sd15" "verdict: agrees" -m $tiny/variants/base reference/recordings/sd15
! grep -qE 'not whole|not recorded|not in the model' "$work/log"; check "sd15: whole" $?
agrees "sd15, isolated" "verdict: agrees" -m $tiny/variants/base reference/recordings/sd15 --isolated
for name in ddpm lcm; do
    agrees $name "is not whole" -m $tiny/$name reference/recordings/$name
    agrees "$name, isolated" "verdict: agrees" -m $tiny/$name reference/recordings/$name --isolated
done
agrees "half precision" "half precision" -m $tiny/variants/base reference/recordings/half
agrees "statistics" "verdict: agrees" -m $tiny/variants/base reference/recordings/statistics
agrees "a backward pass" "gradient of mid_block" -m $tiny/ddpm reference/recordings/gradients
finish
