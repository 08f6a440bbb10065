#!/bin/sh
# SPDX-License-Identifier: MIT
# `info --check` as scripts see it: exit status, code words, --json, what the help tells.
. tests/cli.sh
verb=info
f=$work/f.safetensors
# file HEADER BYTES: a safetensors file of that header, which is shorter than 256 bytes, and so many zeros.
file() { { printf "\\$(printf %o ${#1})\\0\\0\\0\\0\\0\\0\\0%s" "$1" && head -c "$2" /dev/zero; } >"$f"; }

expect "a sound model" 0 ": a diffusers folder" "prediction_type  epsilon" "sound: 0 errors, 0 warnings" \
    "a picture of 64x64 in 20 steps takes about" -- --check $model
expect "a LoRA" 0 ": a LoRA" "trigger_words    ohwx, ohwx castle" "use              -m MODEL --lora FILE" -- \
    --check reference/doctor/lora-kohya.safetensors
expect "an embedding" 0 "use              -m MODEL --embedding FILE" -- --check \
    reference/doctor/embedding-webui.safetensors
expect "a T2I adapter" 0 "warning: no-use-here" -- --check reference/doctor/t2i-adapter
expect "nothing there" 2 "none: cannot open: No such file" -- --check "$work/none"
expect "a special file" 2 "found a special file" -- --check /dev/null
expect "with a model, too" 2 "--check: found a model, too, expected none" -- --check $model $model
expect "with --lora, too" 2 "--check: found --lora, too, expected none" -- --check $model --lora x
expect "--quick alone" 2 "--quick: found no --check" -- --quick
expect "--check twice" 2 "--check: given twice" -- --check $model --check $model
file '{"x":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}' 10
expect "a file that is cut" 1 "error: cut-short: $f" "to do     download or copy it again" "NOT SOUND: 1 error," \
    "found 1 error, expected none" -- --check "$f"
file '{"x.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}' 16
expect "a weight of zeros" 0 "warning: all-zero: $f: x.weight" -- --check "$f"
expect "values are left out" 0 "sound: 0 errors, 1 warning" -- --check "$f" --quick
printf '<html><title>404</title>' >"$f"
expect "a page" 1 'found     a page of HTML, "404"' -- --check "$f"
printf 'x\033[31m\n\nred' >"$work/t.txt"
$tintype info --check "$work/t.txt" >"$work/log" 2>&1
[ $? = 1 ] && ! grep -q "$(printf '\033')" "$work/log"
check "no commands for terminals" $?
mkdir -p "$work/models--a--b/snapshots/0123" "$work/models--a--b/blobs"
expect "a cache" 1 "cache-root" "to do     give $work/models--a--b/snapshots/0123" -- --check "$work/models--a--b"
if [ "$(id -u)" != 0 ]; then
    : >"$work/secret" && chmod 0 "$work/secret"
    expect "a file that may not be read" 2 "secret: cannot open: Permission denied" -- --check "$work/secret"
fi

# ---- --json ----
keys() { # keys NAME...: each stands in what was printed, which ends as an object does
    for key in "$@"; do grep -q "\"$key\": " "$work/log" || { echo "lacks $key"; return 1; }; done
    [ "$(head -c 1 "$work/log")" = "{" ] && [ "$(tail -n 1 "$work/log")" = "}" ]
}
expect "--json of a model" 0 '"kind": "diffusers-folder"' '"sound": true' '"errors": 0' '"findings": []' -- \
    --check $model --json
keys path kind is sound errors warnings facts parts cost findings text_encoder unet vae width steps weight_bytes \
    activation_bytes peak_bytes machine_bytes flops seconds class file tensors parameters bytes dtypes
check "keys of a model" $?
printf '\377\376' >"$f"
expect "--json of a broken file" 1 '"kind": "unreadable"' '"sound": false' '"code": "cut-short"' '"severity": "error"' \
    '"cost": null' -- --check "$f" --json
keys code severity file tensor found expected advice
check "keys of a finding" $?

# ---- every code and kind is told by the help ----
$tintype info --help >"$work/help"
result=0
for code in $(sed -nE 's/^FINDING\([A-Z_]+, "([a-z-]+)".*/\1/p; s/^KIND\([A-Z0-9_]+, "([a-z0-9-]+)".*/\1/p' \
    src/doctor/findings.def src/doctor/kinds.def); do
    grep -qE "^  $code " "$work/help" || { echo "lacks: $code"; result=1; }
done
check "the help tells codes and kinds" $result
# ... and each code is asked for by a test.
result=0
for code in $(sed -nE 's/^FINDING\([A-Z_]+, "([a-z-]+)".*/\1/p' src/doctor/findings.def); do
    grep -q "\"$code\"" tests/test_doctor.c || { echo "untested: $code"; result=1; }
done
check "every code has a test" $result

# ... and stands in the README, where no other does.
sed -nE 's/^FINDING\([A-Z0-9_]+, "([a-z-]+)".*/\1/p' src/doctor/findings.def | sort >"$work/codes"
sed -n '/^## What is this file/,/^## Pictures/p' README.md | grep '^| ' | grep -oE '`[a-z-]+`' | tr -d '`' |
    sort >"$work/told"
cmp "$work/codes" "$work/told"
check "the README tells codes" $?

finish
