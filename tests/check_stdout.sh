#!/bin/sh
# SPDX-License-Identifier: MIT
# Standard output is an output like any other: what `-o -` writes there are the file's bytes, and a device that is full,
# a reader that has gone or a descriptor that is closed ends every verb with exit 3 and a message.
. tests/cli.sh
RUN=$(echo "$RUN" | sed "s|-L build|-L $PWD/build|")
case $BUILD in /*) ;; *) tintype="$RUN $PWD/$BUILD/tintype" ;; esac
model=$PWD/$model recording=$PWD/reference/golden/sd15/square
skipped=0
if [ ! -e /dev/full ]; then
    echo "SKIP: full devices: /dev/full is missing: mknod -m 666 /dev/full c 1 7"
    skipped=1
else
    draw -o /dev/full 2>/dev/null; [ $? = 3 ]; check "-o /dev/full" $?
fi
mkdir "$work/cwd" && cd "$work/cwd" || exit 3 # where a file called "-" would be made

$tintype scenes -o "$work/data" --count 4 --pixels 32 --quiet &&
    $tintype encode "$work/data/000000.png" -m $model -o "$work/latents" --quiet &&
    draw -o "$work/picture.png" &&
    for step in 1 2 3; do
        echo "{\"step\":$step,\"loss\":0.5,\"learning_rate\":1,\"norm\":1,\"images_per_second\":9,\"seconds\":$step}"
    done >"$work/log.jsonl" || exit 3

# lost WHAT COMMAND...: exit 3 and a message when what it prints cannot be written.
lost() {
    what=$1
    shift
    if [ -e /dev/full ]; then
        "$@" >/dev/full 2>"$work/err"
        [ $? = 3 ] && grep -q '^tintype.*: .' "$work/err"; told "$what: a full device" $?
    fi
    "$@" >&- 2>"$work/err"
    [ $? = 3 ] && grep -q '^tintype.*: .' "$work/err"; told "$what: closed" $?
    # The reader is gone before the first byte: it tells when.
    mkfifo "$work/gone"
    { exec 3>"$work/gone"; sleep 0.05; "$@" >&3 2>"$work/err"; echo $? >"$work/code"; } &
    : <"$work/gone"
    wait
    rm "$work/gone"
    [ "$(cat "$work/code")" = 3 ] && grep -q '^tintype.*: .' "$work/err"; told "$what: a pipe that nobody reads" $?
}
told() {
    [ "$2" = 0 ] || { echo "said: $(tail -n 1 "$work/err" 2>/dev/null | cut -c1-160)"; }
    check "$1" "$2"
}

# ---- the bytes of a file, on standard output ----

# twice WHAT NAME COMMAND-UP-TO-THE-OUTPUT...: the same bytes; nothing is made that is called "-".
twice() {
    what=$1 name=$2
    shift 2
    "$@" "$work/$name" 2>"$work/err" && "$@" - >"$work/piped" 2>"$work/err" &&
        [ -s "$work/piped" ] && cmp "$work/$name" "$work/piped" && [ ! -e ./- ]
    told "$what -: the file's bytes" $?
    "$@" - 2>"$work/err" | cat >"$work/piped"
    cmp -s "$work/$name" "$work/piped"; told "$what - into a pipe" $?
    lost "$what -" "$@" -
    rm -rf ./-*
}
twice "generate -o" x.png draw -o
twice "generate --save-latents" z draw -o "$work/y.png" --save-latents
twice "generate --strip -o" strip.png draw --strip 3 -o
twice "encode -o" z $tintype encode "$work/data/000000.png" -m $model --quiet -o
twice "decode -o" d.png $tintype decode "$work/latents" -m $model --quiet -o
twice "noise -o" n.png $tintype noise "$work/data/000000.png" -t 500 -m $model --quiet -o
twice "plot -o" p.svg $tintype plot "$work/log.jsonl" --quiet -o
twice "schedulers --plot" s.svg $tintype schedulers -m $model --quiet --plot
verify_html() { # it says its sums beside a file
    ([ "$1" = - ] || exec >/dev/null; exec $tintype verify -m $model "$recording" --part text --quiet --html "$1")
}
twice "verify --html" v.html verify_html
lost "profile --html -" $tintype profile --part text -m $model --repeat 1 --html -

sheet="$tintype grid -m $model -p x --steps 1 -W 16 -H 16 --x seed=1,2 --y guidance-scale=1,2 --quiet -o -"
$sheet >"$work/piped" 2>"$work/err" && # (under each picture stands its time)
    [ "$(head -c 8 "$work/piped" | od -An -tx1 | tr -d ' \n')" = 89504e470d0a1a0a ] &&
    [ "$(tail -c 12 "$work/piped" | od -An -tx1 | tr -d ' \n')" = 0000000049454e44ae426082 ]
told "grid -o -: a picture" $?
lost "grid -o -" $sheet
rm -rf ./-*

# The file's bytes stay what they are when notes are wanted, too: those go to standard error.
$tintype generate -m $model -p "a lighthouse at sunset" --steps 3 -W 48 -H 32 -o - >"$work/piped" 2>"$work/err"
cmp -s "$work/x.png" "$work/piped"; told "notes stay off the picture" $?
# More than a pipe holds, to somebody who takes ten bytes.
{ $tintype generate -m $model -p x --steps 1 -W 256 -H 256 --quiet -o - 2>"$work/err"; echo $? >"$work/code"; } |
    head -c 10 >"$work/piped"
[ "$(cat "$work/code")" = 3 ] && [ "$(wc -c <"$work/piped")" = 10 ]; told "generate -o - | head -c 10" $?
draw -o /dev/stdout 2>"$work/err" | cat >"$work/piped"
cmp -s "$work/x.png" "$work/piped"; told "-o /dev/stdout" $?

# ---- two outputs, one standard output ----
refuse_both() { # refuse_both COMMAND...: told at once, nothing drawn, nothing written
    timeout 20 "$@" >"$work/piped" 2>"$work/err"
    [ $? = 2 ] && grep -q '^tintype' "$work/err" && [ ! -s "$work/piped" ] && [ -z "$(ls -A)" ]
    told "${*#*tintype }" $?
    rm -rf ./-*
}
long="-m $model -p x --steps 999 -W 64 -H 64 --threads 1 --quiet"
refuse_both $tintype generate $long -o - --json
refuse_both $tintype generate $long -o - --save-latents -
refuse_both $tintype generate $long -o - --count 2
refuse_both $tintype verify -m $model "$recording" --json --html -
refuse_both $tintype profile -m $model --part unet --repeat 100000 --json --html -
refuse_both $tintype grid $long --x seed=1,2 --y guidance-scale=1,2 -o - --json

# ---- verbs that print ----
lost "--version" $tintype --version
lost "--help" $tintype --help
lost "generate --help" $tintype generate --help
lost info $tintype info $model
lost "info --json" $tintype info $model --json
lost kernels $tintype kernels
lost "kernels --json" $tintype kernels --json
lost schedulers $tintype schedulers
lost "schedulers --json" $tintype schedulers --json
lost tokenize $tintype tokenize "a tree" -m $model
lost "tokenize --json" $tintype tokenize "a tree" -m $model --json
lost profile $tintype profile --part text -m $model --repeat 1
lost "profile --json" $tintype profile --part text -m $model --repeat 1 --json
lost verify $tintype verify -m $model "$recording" --part text
lost "verify --json" $tintype verify -m $model "$recording" --part text --json
lost "generate --json" draw --json -o "$work/j.png"
scenes() { rm -rf "$work/s" && $tintype scenes -o "$work/s" --count 1 --pixels 16 --quiet --json; }
lost "scenes --json" scenes
# What prints nothing does not mind.
draw -o "$work/k.png" >&- 2>"$work/err" && cmp -s "$work/x.png" "$work/k.png"; told "nothing to print, closed" $?
draw -o "$work/k.png" <&- >&- 2>&- && cmp -s "$work/x.png" "$work/k.png"; told "all three closed" $?

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
