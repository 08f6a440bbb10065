#!/bin/sh
# SPDX-License-Identifier: MIT
# README's table of what loads: each line's command does what the line says, on small files of that form under the
# names that it has there. A line without a command is a defect, and so is a table of few lines.
. "$(dirname "$0")/cli.sh"
root=$PWD
case $BUILD in /*) ;; *) BUILD=$root/$BUILD ;; esac
$RUN "$BUILD/tests/example_files" "$work" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
for folder in sd15 sd21 xl xl-refiner xl-uneven taesd lcm ddpm; do
    ln -s "$root/reference/tiny/$folder" "$work/$folder"
done
for lora in plain locon; do ln -s "$root/reference/loras/sd15/$lora.safetensors" "$work/lora-$lora.safetensors"; done
printf 'PK\003\004' >"$work/old.ckpt"

lines=0
sed -n '/^## Files that load/,/^## /p' README.md | grep '^| .*| `tintype' >"$work/table"
while IFS='|' read -r _ what command _; do
    lines=$((lines + 1))
    command=$(printf '%s' "$command" | sed -n 's/^ `\(.*\)` $/\1/p')
    expected=0
    case $what in *refused*) expected=2 ;; esac
    : >"$work/said"
    (cd "$work" && tintype() { $RUN "$BUILD/tintype" "$@"; } && eval "$command") >"$work/said" 2>&1 </dev/null
    status=$?
    [ "$status" = $expected ] || { echo "exit $status, expected $expected:"; tail -n 5 "$work/said"; }
    [ -n "$command" ] && [ "$status" = $expected ]
    check "$what" $?
done <"$work/table"
[ $lines -ge 18 ]
check "$lines lines of README's table" $?
finish
