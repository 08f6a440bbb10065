#!/bin/sh
# SPDX-License-Identifier: MIT
# What a newcomer meets: a text alone is drawn, help that tells every default, what was written is named, what the model
# can draw is told, progress in a log, a build that says what it does and what it lacks.
. tests/cli.sh
skipped=0
built_in="$RUN $BUILD/tintype"
if ! $built_in info >"$work/info" 2>"$work/err"; then
    echo "SKIP: this build has no model"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
said() { # said WHAT CONDITION-STATUS
    [ "$2" = 0 ] || { echo "out: $(head -c 300 "$work/out1" 2>/dev/null)"; echo "err: $(head -c 300 "$work/err")"; }
    check "$1" "$2"
}
run() { "$@" >"$work/out1" 2>"$work/err"; }

# ---- a text alone ----
run $built_in generate "a castle" --steps 1 -o "$work/a.png" && [ "$(cat "$work/out1")" = "$work/a.png" ] &&
    ! grep -q note: "$work/err" && grep -q '^seed 0, 128x128, 1 steps of ddim, .* threads' "$work/err"
said "generate TEXT: its name on standard output, the rest on standard error" $?
run $built_in generate -p "a castle" --steps 1 -o "$work/b.png" && cmp -s "$work/a.png" "$work/b.png"
said "the same with -p" $?
run $built_in generate --steps 1 "a castle" -o "$work/b.png" && cmp -s "$work/a.png" "$work/b.png"
said "options before it" $?
run $built_in grid "a castle" --x seed=1,2 --steps 1 -o "$work/g.png" && [ "$(cat "$work/out1")" = "$work/g.png" ]
said "grid TEXT" $?
refuse 2 "--prompt: given twice" generate -p x -p y
refuse 2 "--prompt: given twice" generate x -p y
refuse 2 "--prompt: given twice" generate --prompt=x --prompt=x
refuse 2 "--negative-prompt: given twice" generate x -n y -n z
refuse 2 "usage: tintype generate TEXT" generate x y
refuse 2 "--prompt is missing" generate --steps 1
run $built_in generate "a castle" --steps 3 --steps 1 -o "$work/b.png" && cmp -s "$work/a.png" "$work/b.png"
said "of other options the last one counts" $?

# ---- what was written ----
run $built_in generate "a tree" --steps 1 --count 3 -s 7 -o "$work/c.png" --save-latents "$work/c.safetensors"
printf '%s\n' "$work/c-1.png" "$work/c-2.png" "$work/c-3.png" "$work/c.safetensors" | cmp -s - "$work/out1" &&
    for k in 1 2 3; do grep -qF "$work/c-$k.png: seed $((6 + k))" "$work/err" || break; done
said "--count: each file, with its seed" $?
run $built_in generate "a tree" --steps 1 --count 2 -s 7 -o "$work/c.png" --json && [ "$(wc -l <"$work/out1")" = 1 ] &&
    grep -qF '"seeds":[7,8]' "$work/out1" && grep -qF "\"files\":[\"$work/c-1.png\",\"$work/c-2.png\"]" "$work/out1"
said "--json holds files and seeds" $?
run $built_in generate "a tree" --steps 1 --quiet -o "$work/q.png" && [ ! -s "$work/out1" ] && [ ! -s "$work/err" ]
said "--quiet says nothing" $?
run $built_in generate "a tree" --steps 1 -o - --save-latents "$work/z" && cmp -s "$work/out1" "$work/q.png" &&
    grep -qxF "$work/z" "$work/err"
said "-o -: the picture alone on standard output" $?
names() { # names FILE COMMAND...: its name is what it prints; and with --json
    file=$1
    shift
    run "$@" && [ "$(cat "$work/out1")" = "$file" ]; said "$*" $?
    rm -rf "$file"
    run "$@" --json && [ "$(wc -l <"$work/out1")" = 1 ] && grep -qF "\"$file\"" "$work/out1"; said "$* --json" $?
}
names "$work/e.safetensors" $built_in encode "$work/a.png" -o "$work/e.safetensors"
names "$work/d.png" $built_in decode "$work/e.safetensors" -o "$work/d.png"
names "$work/n.png" $built_in noise "$work/a.png" -t 500 -o "$work/n.png"
names "$work/s.svg" $built_in schedulers --plot "$work/s.svg"
names "$work/data" $built_in scenes --count 4 --pixels 32 -o "$work/data"
names "$work/run" $built_in train --data "$work/data" -m $model -o "$work/run" -W 32 -H 32 --steps 1 --batch 2
names "$work/p.svg" $built_in plot "$work/run/train.jsonl" -o "$work/p.svg"

# ---- help ----
for verb in $($built_in --help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
    run $built_in help $verb && mv "$work/out1" "$work/help" && run $built_in $verb --help &&
        cmp -s "$work/help" "$work/out1"
    said "help $verb" $?
    # Every option with a value tells what it is without one.
    ! sed 1d "$work/help" | grep -E -e '^  (-[a-zA-Z], |    )--[a-z0-9-]+ [A-Z]' |
        grep -v -e default -e 'must be given' >"$work/err"
    said "defaults of $verb" $?
done
run $built_in help generate && grep -q -e '--count N .*(default 1)$' "$work/out1" && run $built_in help train &&
    grep -q '(default 0.0001)$' "$work/out1"
check "defaults are numbers" $?
for pair in "plot threads" "plot cpu" "tokenize threads" "info threads" "kernels threads" "scenes cpu" \
    "schedulers conv"; do
    set -- $pair
    run $built_in help $1 && ! grep -q -e "--$2 " "$work/out1" && run $built_in $1 --$2 2; [ $? = 2 ] &&
        grep -qF "unknown option '--$2'" "$work/err"
    said "$1 has no use for --$2" $?
done
run $built_in help paint; [ $? = 2 ] && grep -qF "unknown verb 'paint'" "$work/err"; said "help of no verb" $?

# ---- what the model can draw ----
grep -q '^draws subjects: lighthouse, .*castle' "$work/info" && grep -q '^draws times: .*sunset' "$work/info" &&
    run $built_in info --json && grep -q '"draws"' "$work/out1"
check "info tells it" $?
noted() { # noted TEXT ARGUMENT...
    text=$1
    shift
    run $built_in generate --steps 1 -o "$work/x.png" "$@" && grep -qF "note: $text" "$work/err"; said "note: $*" $?
}
silent() {
    run $built_in generate --steps 1 -o "$work/x.png" "$@" && ! grep -q note: "$work/err"; said "no note: $*" $?
}
noted "the prompt names nothing that this model can draw" "a cat on a mat"
noted "the prompt names nothing that this model can draw" "a treehouse"
noted "this model was trained for pictures of 128x128, not for 64x96" "a castle" -W 64 -H 96
silent "Two CASTLES, at dawn"
silent "a hot air balloon" -W 128 -H 128
silent ""
run $built_in generate "a cat" --steps 1 -o "$work/x.png" --json && grep -q '"notes":\["the prompt names' "$work/out1"
said "the note in --json" $?
cp -r $model "$work/worded"
echo '{"format":"tintype-words","pixels":[48],"words":{}}' >"$work/worded/words.json"
refuse 2 'words.json: expected "pixels": [width, height]' generate -m "$work/worded" -p x
echo '{"words":"of another program"}' >"$work/worded/words.json"
draw -m "$work/worded" -o "$work/x.png"; check "another program's words.json" $?

# ---- progress in a log ----
if [ -z "$RUN" ]; then
    timeout -s INT 7 $built_in generate -p x -m $model --steps 999 -W 64 -H 64 --cpu scalar --threads 1 \
        -o "$work/x.png" >"$work/out1" 2>"$work/err"
    [ "$(grep -c '^tintype generate: drawing: [0-9]*/1000, .* s a step, .* s left$' "$work/err")" = 1 ]
    said "a line of progress after five seconds" $?
    timeout -s INT 7 $built_in generate -p x -m $model --steps 999 -W 64 -H 64 --cpu scalar --threads 1 --quiet \
        -o "$work/x.png" >"$work/out1" 2>"$work/err"
    ! grep -q drawing "$work/err"; said "none with --quiet" $?
fi

# ---- two threads beside other work ----
# Whoever waits by spinning takes the time of two: the fault that this is for took three times as much.
case $CFLAGS$RUN in
*sanitize* | *qemu*) skipped=1; echo "SKIP: sanitizers and emulators have another sense of time" ;;
*)
    user() { # user THREADS: hundredths of a second of processor time for four pictures
        sh -c '"$@" >/dev/null 2>&1; times' sh "$BUILD/tintype" generate "a tree" --count 4 --threads "$1" \
            -o "$work/t.png" | sed -n '2s/^\([0-9]*\)m\([0-9]*\)\.\([0-9][0-9]\).*/\1 \2 \3/p' |
            awk '{ print 6000 * $1 + 100 * $2 + $3 }'
    }
    spinners=
    for i in $(seq "$(nproc)"); do
        sh -c 'while :; do :; done' &
        spinners="$spinners $!"
    done
    trap 'kill $spinners 2>/dev/null; rm -rf "$work"' EXIT
    one=$(user 1) two=$(user 2)
    kill $spinners
    wait 2>/dev/null
    [ "$two" -le $((one * 3 / 2)) ]
    check "two threads beside other work: $two hundredths of a second, one takes $one" $?
    ;;
esac

# ---- a build ----
if command -v make >/dev/null && [ -z "$RUN" ]; then
    make BUILD="$work/none" CC="${CC:-gcc} --sysroot=/nowhere" >"$work/out1" 2>"$work/err"
    [ $? = 2 ] &&
        grep -q "^not found: .*jansson.h" "$work/err" && grep -q "make packages" "$work/err"
    said "a build without the packages names them" $?
    make -n -W src/cli/words.c V=1 BUILD="$BUILD" all >"$work/out1" 2>"$work/err" &&
        grep -q -e '-c -o .*words.o' "$work/out1"
    said "V=1" $?
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
