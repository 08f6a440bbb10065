#!/bin/sh
# SPDX-License-Identifier: MIT
# builtin.sh MERGES MODEL FILE...: assembly that holds CLIP's merges, and the files of the folder MODEL as the table
# of builtin.h.
merges=$1 model=$2 n=0
shift 2
echo '.section .data.rel.ro,"aw"
.balign 8
.global tt_builtin_files, tt_builtin_count
.hidden tt_builtin_files, tt_builtin_count
tt_builtin_files:'
for file; do
    echo ".quad path$n, begin$n, end$n"
    n=$((n + 1))
done
echo ".quad 0, 0, 0
tt_builtin_count: .quad $n
.section .rodata
.global tt_builtin_merges, tt_builtin_merges_end
.hidden tt_builtin_merges, tt_builtin_merges_end
tt_builtin_merges: .incbin \"$merges\"
tt_builtin_merges_end: .byte 0"
n=0
for file; do
    echo "path$n: .asciz \"${file#"$model"/}\"
.balign 64
begin$n: .incbin \"$file\"
end$n: .byte 0"
    n=$((n + 1))
done
echo '.section .note.GNU-stack,"",%progbits'
