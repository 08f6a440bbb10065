#!/bin/sh
# SPDX-License-Identifier: MIT
# isas.sh: isas.def for make and scripts, a line for each instruction set:
#   name:architecture:rule:what it builds on:flags:marks
# Names and flags stand between spaces, those of the base first. Bases precede what builds on them.
sed '/^\/\//d; s/\\$//' "$(dirname "$0")/isas.def" | tr '\n' ' ' | sed 's/ISA(with, /\n/g' | awk -F '"' '
    NR > 1 { # name, architecture, rule, base, "flags", "marks"
        split($1, word, /, */)
        name = word[1]
        base = word[4]
        bases[name] = base == "scalar" ? "" : bases[base] (bases[base] == "" ? "" : " ") base
        flags[name] = base == "scalar" ? $2 : flags[base] " " $2
        print name ":" word[2] ":" word[3] ":" bases[name] ":" flags[name] ":" $4
    }'
