#!/bin/sh
# SPDX-License-Identifier: MIT
# tintype record: what it writes agrees with what it was made of, on every instruction set and thread count; runs that
# were stopped go on to the same files; and what is refused. Broken recordings are in check_recording.sh.
. tests/cli.sh

record() { $tintype record "$@" >"$work/log" 2>"$work/err"; }
verb=record
agrees() { # agrees NAME MODEL RECORDING: every call, no difference at all
    $tintype verify -m "$2" "$3" --json >"$work/json" 2>"$work/err"
    result=$?
    [ $result = 0 ] && grep -q '"times": 0\.0' "$work/json" && ! grep '"times": ' "$work/json" | grep -qv ': 0\.0'
    result=$?
    [ $result = 0 ] || { grep -m 3 '"times": [^0]' "$work/json"; cat "$work/err"; }
    check "$1" $result
}
same() { # same NAME FOLDER FOLDER: byte for byte
    diff -rq "$2" "$3"
    check "$1" $?
}

# ---- what it writes ----
for kind in sd15 sd21 lcm wide ddpm grey; do
    prompt=lighthouse
    case $kind in ddpm | grey) prompt= ;; esac
    expect "record $kind" 0 "$work/$kind" "tensors; about " -- ${prompt:+-p "$prompt"} \
        -m reference/tiny/$kind --steps 2 \
        -W 32 -H 32 -o "$work/$kind"
    agrees "verify $kind" reference/tiny/$kind "$work/$kind"
done
for file in recording.json weights.json 00000.text_encoder.json 00001.unet.json 00001.unet.safetensors \
    00002.scheduler.json 00007.vae_decoder.json 00008.pipeline.safetensors; do
    [ -s "$work/sd15/$file" ]; check "there is $file" $?
done
[ ! -e "$work/sd15/recording.part.json" ]; check "nothing is left of the run" $?
has() { grep -qF -- "$1" "$work/sd15/$2"; check "$2 has $1" $?; }
has '"version": 2' recording.json
has '"whole": true' recording.json
has '"scheduler": "PNDMScheduler"' recording.json
has '{"name":"sample","type":"input","leaf":true,"shape":[1,4,4,4],"dtype":"F32","stored":"sample"' 00002.scheduler.json
has '"name":"down_blocks.0.resnets.1.conv1","type":"Conv2d","leaf":true' 00001.unet.json
has '"inputs":["down_blocks.0.resnets.1.nonlinearity"],"maxabs":' 00001.unet.json
has '"stored":"down_blocks.0.resnets.0.nonlinearity#2"' 00003.unet.json
has '"name": "conv_in.weight", "shape": [12, 4, 3, 3], "dtype": "F32", "sha256": "' weights.json
# The same picture, noise and latents as anybody else's run gives.
$tintype generate -m $model -p lighthouse --steps 2 -W 32 -H 32 --quiet --save-latents "$work/z.safetensors" \
    -o "$work/x.png"
tail -c 256 "$work/z.safetensors" >"$work/z"
head -c $((8 + $(od -An -tu8 -N8 "$work/sd15/00008.pipeline.safetensors") + 512)) \
    "$work/sd15/00008.pipeline.safetensors" |
    tail -c 256 | cmp -s - "$work/z"
check "the pipeline's latents are those of generate" $?

# ---- the same files everywhere ----
whole() { record -m $model -p lighthouse --steps 4 -W 32 -H 32 --quiet "$@"; }
whole -o "$work/whole"
for how in "--threads 1" "--threads 3" "--cpu scalar"; do
    rm -rf "$work/r"
    whole $how -o "$work/r"
    same "the same files with $how" "$work/whole" "$work/r"
done
rm -rf "$work/r"
whole --json -o "$work/r" && grep -q '"calls":13,' "$work/log" && grep -q '"kept":0' "$work/log"; check "--json" $?

# ---- stopped, and gone on with ----
# stop SIGNAL FILE ARGUMENT...: records until the file is there
stop() {
    signal=$1 until=$2
    shift 2
    rm -rf "$work/r"
    env --default-signal=INT $tintype record "$@" -o "$work/r" >/dev/null 2>"$work/err" &
    for i in $(seq 1 2000); do
        [ -e "$work/r/$until" ] && break
        sleep 0.01
    done
    kill -"$signal" $! 2>/dev/null
    wait $! 2>/dev/null
    status=$?
}

goes_on() { # goes_on NAME [OPTION]...: to the files of the unbroken run
    name=$1
    shift
    [ ! -e "$work/r/recording.json" ] && [ -s "$work/r/recording.part.json" ]; check "$name: it is not done" $?
    $tintype verify "$work/r" >/dev/null 2>"$work/err"; [ $? = 2 ]; check "$name: and is no recording" $?
    expect "$name: goes on" 0 "calls are there already" -- -p "a castle" --steps 8 -W 96 -H 64 -o "$work/r" "$@"
    same "$name: the same files" "$work/long" "$work/r"
}
expect "the built-in model" 0 "$work/long" -- -p "a castle" --steps 8 -W 96 -H 64 -o "$work/long"
agrees "verify the built-in model" reference/models/scenes "$work/long"
stop INT 00004.scheduler.json -p "a castle" --steps 8 -W 96 -H 64
[ $status = 130 ]; check "SIGINT: exit $status" $?
[ -z "$(find "$work/r" -name '.tintype-*')" ]; check "SIGINT: nothing half-written" $?
goes_on SIGINT --threads 1
stop KILL 00009.unet.json -p "a castle" --steps 8 -W 96 -H 64 --threads 3
goes_on "kill -9" --cpu scalar
stop TERM 00000.text_encoder.json -p "a castle" --steps 8 -W 96 -H 64
cp -r "$work/r" "$work/stopped"
goes_on SIGTERM

# ---- less of it ----
expect "--modules" 0 "" -- -m $model -p lighthouse --steps 2 -W 32 -H 32 -o "$work/some" \
    --modules 'resnets\.0$|^conv_in'
grep -q '"whole": false' "$work/some/recording.json" && ! grep -q '"name":"conv_out"' "$work/some/00001.unet.json" &&
    grep -q '"name":"up_blocks.0.resnets.0.in","type":"in"' "$work/some/00001.unet.json" &&
    grep -q '"name":"mid_block.resnets.0","type":"Module"' "$work/some/00001.unet.json"
check "--modules: those, and what they are given" $?
agrees "verify --modules" $model "$work/some"
expect "--every" 0 "" -- -m $model -p lighthouse --steps 4 -W 32 -H 32 -o "$work/every" --every 2
grep -q '"every": 2' "$work/every/recording.json" && [ "$(grep -c '"part": "unet"' "$work/every/recording.json")" = 3 \
    ] &&
    grep -q '"call": 4' "$work/every/recording.json" && grep -q '"step": 2' "$work/every/recording.json"
check "--every: every second" $?
agrees "verify --every" $model "$work/every"
cmp -s "$work/every/00003.unet.safetensors" "$work/whole/00005.unet.safetensors"; check "--every: the same values" $?
expect "--statistics" 0 "" -- -m $model -p lighthouse --steps 2 -W 64 -H 64 -o "$work/statistics" --statistics
grep -q '"values": "statistics"' "$work/statistics/recording.json" &&
    grep -qE '"name":"conv_in",.*"statistics":\{"mean":[-0-9.e]+,"std":[0-9.e]+,"min":-[0-9.e]+,' \
        "$work/statistics/00001.unet.json"
check "--statistics: of a module" $?
[ "$(du -sk "$work/statistics" | cut -f1)" -lt 4500 ]; check "--statistics: is small" $?
$tintype verify -m $model "$work/statistics" >"$work/log" 2>&1; check "verify --statistics" $?

# ---- refused, and nothing written over ----
expect "a complete recording" 2 "recording.json: found a recording that is complete, which is not written over" -- \
    -m $model -p lighthouse -o "$work/whole"
expect "other settings" 2 "stopped/recording.part.json: settings.steps: found 8, expected 13: a recording goes on" -- \
    -p "a castle" --steps 13 -W 96 -H 64 -o "$work/stopped"
expect "another prompt" 2 'settings.prompt: found "a castle", expected "a house"' -- -p "a house" --steps 8 -W 96 \
    -H 64 \
    -o "$work/stopped"
expect "other modules" 2 'recording.part.json: whole: found true, expected false' -- -p "a castle" --steps 8 -W 96 \
    -H 64 -o "$work/stopped" --modules conv
expect "another model" 2 "recording.part.json: model" -- -m $model -p "a castle" --steps 8 -W 96 -H 64 \
    -o "$work/stopped"
expect "other convolutions" 2 'conv: found "auto", expected "direct"' -- -p "a castle" --steps 8 -W 96 -H 64 \
    -o "$work/stopped" --conv direct
printf x >>"$work/stopped/00000.text_encoder.safetensors"
expect "a changed file" 2 "00000.text_encoder.safetensors: found a file of another size, expected " -- -p "a castle" \
    --steps 8 -W 96 -H 64 -o "$work/stopped"
echo '{' >"$work/stopped/recording.part.json"
expect "broken settings" 2 "recording.part.json: invalid JSON" -- -p "a castle" --steps 8 -W 96 -H 64 -o "$work/stopped"
mkdir "$work/full" && echo mine >"$work/full/file"
expect "somebody's folder" 2 "full: found files in it, expected no folder or an empty one" -- -m $model -p x -o \
    "$work/full"
[ "$(ls "$work/full")" = file ]; check "somebody's folder is as it was" $?
expect "a file" 2 "file: found a file, expected no folder" -- -m $model -p x -o "$work/full/file"
expect "no such folder above" 2 "nowhere" -- -m $model -p x -o "$work/nowhere/r"
expect "a disk that is too small" 3 "MB free on the disk, expected " -- -m $model -p x -W 8192 -H 8192 --steps 1000 \
    -o "$work/huge"
[ ! -e "$work/huge" ]; check "a disk that is too small: nothing is there" $?
expect "no folder named" 2 "--output is missing" -- -m $model -p x
expect "no expression" 2 "modules: found '(', expected a regular expression" -- \
    -m $model -p x -o "$work/x" --modules '('
expect "no prompt" 2 "--prompt is missing" -- -m $model -o "$work/x"
expect "--help" 0 "usage: tintype record" "A RECORDING is" "record.py --pipeline" -- --help

# A disk that is full while it writes: files may grow to so many blocks.
rm -rf "$work/r"
(ulimit -f 1500 && whole -o "$work/r"); [ $? = 3 ] && grep -q "cannot write" "$work/err"; check "a full disk" $?
[ -z "$(find "$work/r" -name '.tintype-*')" ] && [ -s "$work/r/00000.text_encoder.json" ] &&
    [ ! -e "$work/r/00001.unet.safetensors" ] && [ ! -e "$work/r/recording.json" ]
check "a full disk: whole calls, nothing half-written" $?
whole -o "$work/r"; same "with room it goes on to the same files" "$work/whole" "$work/r"
finish
