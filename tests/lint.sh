#!/bin/sh
# SPDX-License-Identifier: MIT
# The style that a script can see: licence lines, lengths, layers, instruction sets kept out of src/, comments
# above public functions, warnings of two compilers. One line per finding; the last line counts the rules.
passed=0 failed=0 skipped=0
findings=$(mktemp) || exit 3
trap 'rm -f "$findings"' EXIT

# rule NAME: passes when the findings before it are none.
rule() {
    if [ -s "$findings" ]; then
        sed "s|^|$1: |" "$findings"
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
}

c_files=$(git ls-files -co --exclude-standard -- '*.c' '*.h' '*.inc' '*.def' | sort)
scripts=$(git ls-files -co --exclude-standard -- '*.sh' '*.py' '.ci/run' | sort)
pages=$(git ls-files -co --exclude-standard -- '*.css' '*.js' | sort)
headers=$(printf '%s\n' $c_files | grep -E '^(include|src|simd)/.*\.h$')
src=$(printf '%s\n' $c_files | grep '^src/')

for file in $c_files; do
    head -n 1 "$file" | grep -qx '// SPDX-License-Identifier: MIT' || echo "$file:1"
done >"$findings"
rule 'first line is not the SPDX line'
for file in $scripts; do
    head -n 2 "$file" | grep -qx '# SPDX-License-Identifier: MIT' || echo "$file:1"
done >"$findings"
for file in $pages; do
    head -n 1 "$file" | grep -qE '^(//|/\*) SPDX-License-Identifier: MIT( \*/)?$' || echo "$file:1"
done >>"$findings"
rule 'no SPDX line'

# Columns are characters, not bytes.
for file in $c_files $scripts $pages; do
    case $file in *.sh | *.py | *.css | .ci/run) limit=120 ;; *) limit=100 ;; esac
    LC_ALL=C awk -v f="$file" -v limit=$limit \
        '{ gsub(/[\200-\277]/, "") } length > limit { print f ":" NR ": " length }' "$file"
done >"$findings"
rule 'line too long'
# People include the one, and copy the other into their own programs: each is a single file.
awk 'FNR == (FILENAME ~ /(tintype.h|tintype_hook.py)$/ ? 2001 : 801) { print FILENAME }' $c_files $scripts >"$findings"
rule 'longer than 800 lines, tintype.h and tintype_hook.py than 2000'
awk 'FNR == 501 { print FILENAME }' $(printf '%s\n' $c_files | grep -E '^(src|simd)/.*\.c$') >"$findings"
rule 'longer than 500 lines'
awk 'FNR == 221 { print FILENAME }' Makefile >"$findings"
rule 'longer than 220 lines'
awk 'FNR == 1 { start = 0 }
     /^[A-Za-z_].*\(/ && !/;[ \t]*$/ && !/^#/ { start = FNR; name = $0 }
     /^}/ && start {
         if (FNR - start > 84) print FILENAME ":" start ": " FNR - start + 1 " lines"
         start = 0
     }' \
    $(printf '%s\n' $c_files | grep -v '\.def$') >"$findings"
rule 'function longer than 80 lines'
grep -nE '[[:space:]]$|	|^#if 0' $c_files $pages >"$findings"
rule 'trailing space, tab or #if 0'
isas=$(sh simd/isas.sh | cut -d: -f1 | tr '\n' '|')
isa_words="$isas"'avx[0-9a-z_]*|sse[0-9]|[xyz]mm[0-9]*|__m(128|256|512)[di]?|_mm[0-9]*_[a-z0-9_]+'
grep -nwiE "$isa_words|float32x4_t|[a-z]*(mmintrin|arm_neon)(\.h)?" $src >"$findings"
rule 'instruction set named in src/'

# Layers: who may include whom. io and base are below everything but base.
awk 'BEGIN {
         may["base"] = " base "
         may["simd"] = " simd base "
         may["io"] = " io base "
         may["graph"] = " graph simd base "
         may["lora"] = " lora graph simd io base "
         may["noise"] = " noise graph simd io base "
         may["model"] = " model graph simd io base "
         may["text"] = " text model graph simd io base "
         may["engine"] = " engine graph simd base "
         may["network"] = " network engine model graph simd io base "
         may["parts"] = " parts text noise lora" may["network"]
         may["single"] = " single io base "
         may["fitting"] = " fitting" may["parts"]
         may["folders"] = " folders single" may["parts"]
         may["opening"] = " opening folders" may["parts"]
         may["loading"] = " loading" may["parts"]
         may["loras"] = " loras" may["parts"]
         may["telling"] = " telling" may["parts"]
         may["session"] = " session" may["parts"]
         may["calls"] = " calls" may["session"]
         may["wording_encoder"] = " wording_encoder" may["session"]
         may["wording_texts"] = " wording_texts generate_settings" may["session"]
         may["wording"] = " wording wording_encoder wording_texts" may["session"]
         may["profile"] = " profile" may["session"]
         may["generate_picture"] = " generate_picture" may["session"]
         may["generate_settings"] = " generate_settings generate_picture" may["session"]
         may["conditioning"] = " conditioning wording generate_settings" may["session"]
         may["verify"] = " verify" may["conditioning"]
         may["encoding"] = " encoding" may["session"]
         may["masking"] = " masking encoding" may["session"]
         may["from_picture"] = " from_picture generate_picture" may["masking"]
         may["pipeline"] = " pipeline from_picture masking generate_picture" may["conditioning"]
         may["doctor"] = " doctor single" may["session"]
         may["train"] = " train" may["parts"]
         may["cli"] = " cli " # and tintype.h: the public interface is all that it uses
     }
     FNR == 1 {
         n = split(FILENAME, part, "/")
         layer = part[1] == "simd" ? "simd" : part[2]
         sub(/\..*/, "", layer)
         directory = FILENAME
         sub(/\/[^\/]*$/, "", directory)
         if (!(layer in may)) print FILENAME ": no such layer"
     }
     /^#include "/ {
         split($0, quoted, "\"")
         wanted = quoted[2]
         if (wanted == "tintype.h" || wanted ~ /\.def$/) next
         split(wanted, word, "/")
         path = directory "/" wanted
         if ((getline line < path) > 0) { close(path); target = layer }
         else if (word[1] in may && word[2] != "") target = word[1]
         else {
             path = "src/" wanted
             if ((getline line < path) > 0) { close(path); target = word[1]; sub(/\..*/, "", target) }
             else target = "simd"
         }
         if (index(may[layer], " " target " ") == 0)
             print FILENAME ":" FNR ": " layer " includes " wanted " of " target
     }' $(printf '%s\n' $c_files | grep -E '^(src|simd)/.*\.(c|h|inc)$') >"$findings"
rule 'layers'

# A status is tested as one: `if (status)`, `if (!status)`.
grep -nE 'status [!=]= TT_OK(\)| [&?])' $src >"$findings"
rule 'status compared with TT_OK'

# A name says where one is: no two files are called the same. A verb's file has its verb's name.
printf '%s\n' $c_files | grep -E '^(src|simd)/.*\.[ch]$' | sed 's|.*/||' | sort | uniq -d >"$findings"
rule 'two files of one name'

# Headers do not include each other in a circle, which guards would hide; of files that call each other in one,
# tests/check_objects.sh knows. tsort names the members of a circle.
circles() { # circles ROOT HEADER...
    root=$1
    shift
    awk -v root="$root" '
        FNR == 1 { folder = FILENAME; sub(/\/[^\/]*$/, "", folder) }
        /^#include "/ {
            split($0, quoted, "\"")
            count = split(folder " " root "src " root "simd " root "include", at, " ")
            for (i = 1; i <= count; i++) {
                path = at[i] "/" quoted[2]
                if ((getline line < path) > 0) { close(path); print FILENAME, path; break }
            }
        }' "$@" | tsort 2>&1 >/dev/null | grep -v 'contains a loop' | sed 's/^tsort: //'
}
circles "" $headers >"$findings"
rule 'headers in a circle'
planted=$(mktemp -d) || exit 3
echo '#include "b.h"' >"$planted/a.h" && echo '#include "a.h"' >"$planted/b.h"
[ "$(circles "$planted/" "$planted/a.h" "$planted/b.h" | wc -l)" = 2 ] || echo "planted" >"$findings"
rm -r "$planted"
rule 'a circle of headers that is not found'

# Files are opened for writing, renamed and removed, and folders made, in one place.
writing='f(re)?open|tmpfile|creat|mkstemps?|mkdtemp|mkdir(at)?|rename(at2?)?|(un)?link(at)?|symlink(at)?|remove|rmdir'
writing="$writing|f?truncate|f?ch(mod|own)"
printf '%s\n' $src | grep -vxE 'src/io/writer(_pieces)?\.c' |
    xargs grep -nE "(^|[^A-Za-z0-9_])($writing)\(|O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)" |
    grep -vE 'fopen\([^"]*"re?"\)|fopen\("[^"]*", "re?"\)' >"$findings"
rule 'written outside src/io/writer.c and writer_pieces.c'

# A declaration needs a comment above it, or above the group without blank lines it stands in.
awk 'FNR == 1 { commented = 0; open = 0 }
     /^[ \t]*$/ { commented = 0 }
     /^\/\// { commented = 1 }
     /^[A-Za-z_].*[ *]tt_[a-z0-9_]+\(/ && !/^(static|typedef|#)/ && !commented {
         print FILENAME ":" FNR ": " $0
     }' \
    $headers >"$findings"
rule 'public function without a comment'

for script in $scripts; do
    case $script in
    *.sh) sh -n "$script" 2>&1 ;;
    .ci/run) bash -n "$script" 2>&1 ;;
    esac
done >"$findings"
rule 'shell syntax'

flags='-std=c11 -D_GNU_SOURCE -ffp-contract=off -fopenmp -fsyntax-only -Wall -Wextra -Wshadow
    -Wstrict-prototypes -Wmissing-prototypes -Iinclude -Isrc -Isimd -Itests'
machine=$(uname -m)
for compiler in gcc clang; do
    if ! command -v $compiler >/dev/null; then
        echo "SKIP: no $compiler: apt-get install $compiler"
        skipped=$((skipped + 1))
        continue
    fi
    { sh simd/isas.sh && printf '%s\n' $c_files | grep '\.c$'; } | awk -F: -v machine="$machine" '
        NF > 1 { architecture[$1] = $2; flags[$1] = $5; next } # of isas.sh; the rest are files
        {
            isa = $1
            sub(/\.c$/, "", isa)
            sub(/.*_/, "", isa)
            if (!(isa in architecture) || architecture[isa] == machine) print flags[isa], $1
        }' | xargs -P 2 -L 1 $compiler $flags 2>&1 | grep -E 'warning:|error:' >"$findings"
    rule "$compiler"
done
# Macros paste the names of kernels, so calls are looked for behind the preprocessor.
printf '%s\n' $c_files | grep -E '^(src|simd/.*)/.*\.c$' | grep -vE "_(${isas}scalar)\.c$" |
    xargs "$(command -v gcc || command -v clang)" -E -P $flags -w | grep -oE '(->|\.)[a-z0-9_]+' |
    sort -u >"$findings.calls"
sed -nE 's/^(KERNEL|PARTIAL)\(([a-z0-9_]+),.*/\2/p' simd/kernels.def | while read -r kernel; do
    grep -qxE "(->|\.)$kernel" "$findings.calls" || echo "$kernel"
done >"$findings"
rm -f "$findings.calls"
rule 'kernel that nothing calls'
printf '#include <tintype.h>\nint main() { return 0; }\n' >"$findings.cc"
g++ -std=c++11 -Wall -Wextra -Iinclude -fsyntax-only "$findings.cc" >"$findings" 2>&1
rule 'tintype.h in C++'
rm -f "$findings.cc"

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
