#!/bin/sh
# SPDX-License-Identifier: MIT
# Training as scripts see it: the same bits whatever interrupts it, nothing lost, folders that open again.
BUILD=${BUILD:-build}
tintype="$RUN $BUILD/tintype"
model=reference/tiny/sd15
kills=${KILLS-50}
[ "$1" = --quick ] && kills=5 # sanitizers and emulators are slow
work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

check() { # check NAME CONDITION-STATUS
    if [ "$2" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $1"; fi
}

train() { # train FOLDER [OPTION]...
    folder=$1
    shift
    $tintype train --data "$work/data" -o "$folder" -m $model -W 32 -H 32 --batch 2 --steps 6 \
        --learning-rate 1e-3 --seed 3 --quiet "$@"
}

same() { # same NAME A B: what two runs left is the same, byte for byte
    cmp "$2/checkpoint.safetensors" "$3/checkpoint.safetensors" &&
        cmp "$2/unet/diffusion_pytorch_model.safetensors" "$3/unet/diffusion_pytorch_model.safetensors"
    check "$1" $?
}

refuse() { # refuse EXIT MESSAGE FOLDER [OPTION]...: the exit code, the message, the folder as it was
    code=$1 message=$2 folder=$3
    shift 3
    before=$(ls -A "$folder" 2>/dev/null)
    train "$folder" "$@" 2>"$work/err"
    status=$?
    [ $status = "$code" ] && grep -qF -- "$message" "$work/err" && [ "$before" = "$(ls -A "$folder" 2>/dev/null)" ]
    result=$?
    [ $result = 0 ] || { echo "exit $status, expected $code '$message':"; cat "$work/err"; }
    check "$message" $result
}

$tintype scenes -o "$work/data" --count 12 --pixels 64 --captions 2 --quiet || exit 3

# ---- the same bits ----
train "$work/whole" --caption-dropout 0.3 --flip; check "six steps" $?
[ "$(wc -l <"$work/whole/train.jsonl")" = 1 ]; check "train.jsonl" $?
train "$work/parts" --caption-dropout 0.3 --flip --steps 2 &&
    train "$work/parts" --caption-dropout 0.3 --flip --resume --threads 1; check "two and four steps" $?
same "resumed" "$work/whole" "$work/parts"
train "$work/scalar" --caption-dropout 0.3 --flip --cpu scalar --threads 3 --checkpoint-activations
check "scalar, three threads" $?
same "scalar, three threads, recomputed activations" "$work/whole" "$work/scalar"
$tintype generate -m "$work/whole" -p "a tree" --steps 2 -W 32 -H 32 -o "$work/x.png" --quiet
check "the exported folder draws" $?
train "$work/half" --caption-dropout 0.3 --flip --float16 &&
    [ $(($(stat -c %s "$work/half/unet/diffusion_pytorch_model.safetensors") * 19 / 10)) -lt \
        "$(stat -c %s "$work/whole/unet/diffusion_pytorch_model.safetensors")" ] &&
    cmp "$work/half/checkpoint.safetensors" "$work/whole/checkpoint.safetensors" &&
    $tintype generate -m "$work/half" -p "a tree" --steps 2 -W 32 -H 32 -o "$work/y.png" --quiet
check "the folder in float16 draws" $?
train "$work/again" -m "$work/whole" --steps 1; check "the exported folder trains" $?
for part in unet text vae; do
    own="--min-snr 5 --sample-steps 1"
    [ $part = vae ] && own=
    train "$work/$part" --part $part --steps 2 --accumulate 2 --sample-every 2 --schedule cosine \
        --warmup-steps 1 --log-every 1 $own && [ -s "$work/$part/samples/step-000002-1.png" ] &&
        [ "$(wc -l <"$work/$part/train.jsonl")" = 2 ]
    check "--part $part" $?
done
train "$work/new" --part vae --config $model -m "" --steps 1 2>/dev/null; [ $? = 2 ]; check "model and config" $?
$tintype train --config $model --part vae --data "$work/data" -o "$work/new" -W 32 -H 32 --batch 2 --steps 1 --quiet &&
    ! cmp -s "$work/new/vae/config.json" $model/vae/config.json &&
    $tintype encode "$work/data/000000.png" -m "$work/new" -o "$work/z.safetensors" --quiet
check "an autoencoder from scratch" $?
printf '{"data": "%s", "output": "%s", "model": "%s", "width": 32, "height": 32, "batch": 2, "steps": 6,
    "learning_rate": 1e-3, "seed": 3, "caption_dropout": 0.3, "flip": true}' \
    "$work/data" "$work/file" $model >"$work/settings.json"
$tintype train --settings "$work/settings.json" --quiet; check "--settings" $?
same "settings in a file" "$work/whole" "$work/file"

# ---- nothing is lost ----
train "$work/calm" --steps 30 --save-every 1; check "thirty steps" $?
round=0 stopped=0
while [ $round -lt 400 ] && [ $stopped -lt "$kills" ]; do
    round=$((round + 1))
    $tintype train --data "$work/data" -o "$work/killed" -m $model -W 32 -H 32 --batch 2 --steps 30 \
        --learning-rate 1e-3 --seed 3 --quiet --save-every 1 --resume 2>/dev/null &
    process=$!
    sleep "$(awk -v n=$round 'BEGIN { srand(n); printf "%.3f", 0.02 + 0.2 * rand() }')"
    if kill -9 $process 2>/dev/null; then stopped=$((stopped + 1)); fi
    wait $process 2>/dev/null
    [ -e "$work/killed/model_index.json" ] && { stopped=$((stopped + 1)); rm -r "$work/killed"; }
done
[ $stopped -ge "$kills" ]; check "$kills kills" $?
train "$work/killed" --steps 30 --save-every 1 --resume; check "after $stopped kills" $?
same "after $stopped kills" "$work/calm" "$work/killed"
losses() { sed 's/,"images_per_second.*//' "$1/train.jsonl"; }
[ "$(losses "$work/calm" | wc -l)" -gt 1 ] && [ "$(losses "$work/calm")" = "$(losses "$work/killed")" ]
check "the log's losses are those of an uninterrupted run" $?
[ "$(find "$work/killed" -name '*.part' | wc -l)" = 0 ]; check "no temporary files stay" $?

for signal in INT TERM; do
    rm -rf "$work/stopped"
    env --default-signal=INT,TERM $tintype train --data "$work/data" -o "$work/stopped" -m $model -W 32 -H 32 \
        --batch 2 --steps 100000 --learning-rate 1e-3 --seed 3 --quiet --log-every 1 --save-every 0 2>"$work/err" &
    process=$!
    until [ "$(grep -cs step "$work/stopped/train.jsonl")" -ge 3 ] 2>/dev/null || ! kill -0 $process; do sleep 0.1; done
    kill -s $signal $process
    wait $process
    code=$?
    step=$(sed -n 's/.*stopped after step \([0-9]*\); --resume goes on$/\1/p' "$work/err")
    [ $code = $([ $signal = INT ] && echo 130 || echo 143) ] && [ "${step:-0}" -ge 3 ] &&
        train "$work/stopped" --steps $((step + 2)) --log-every 1 --save-every 0 --resume &&
        [ "$(wc -l <"$work/stopped/train.jsonl")" = $((step + 2)) ]
    check "SIG$signal: the steps done are kept" $?
done

cp "$work/parts/checkpoint.safetensors" "$work/kept"
(
    ulimit -f 1024 # a disk that is full after 512 KiB, which ThreadSanitizer needs
    trap '' XFSZ
    train "$work/parts" --caption-dropout 0.3 --flip --resume --steps 8
) 2>"$work/err"
[ $? = 3 ] && cmp "$work/kept" "$work/parts/checkpoint.safetensors"; check "full disk keeps the checkpoint" $?

# ---- what is refused ----
refuse 2 "expected none: go on from it with --resume" "$work/whole"
refuse 2 "another setting: batch: found 2, expected 3 as it is now" "$work/whole" --caption-dropout 0.3 --flip \
    --resume --batch 3
refuse 2 "a checkpoint of another configuration" "$work/whole" --caption-dropout 0.3 --flip --resume \
    -m reference/tiny/sd21
for wrong in step logged losses; do # the first letter of its value
    sed "s/\"$wrong\":\"./\"$wrong\":\"z/" "$work/kept" >"$work/parts/checkpoint.safetensors"
    refuse 2 "__metadata__.$wrong: found" "$work/parts" --caption-dropout 0.3 --flip --resume
done
head -c 5000 "$work/kept" >"$work/parts/checkpoint.safetensors"
refuse 2 "checkpoint.safetensors" "$work/parts" --resume
refuse 2 "nowhere" "$work/out" --data "$work/nowhere"
refuse 2 'fit: found '"'round'"', expected "crop" or "stretch"' "$work/out" --fit round
refuse 2 "unknown option '--stepps'" "$work/out" --stepps 3
refuse 2 "size: found 33" "$work/out" -W 33
# The batch runs again to find where it began: first what the walk back wrote over must be put in anew.
wild() { # wild NAME TEXT RATE [OPTION]...: what is said, the same with one thread and with three
    name=$1 text=$2 rate=$3
    shift 3
    for threads in 1 3; do
        train "$work/wild" --learning-rate "$rate" --clip-norm 0 --steps 40 --threads $threads "$@" \
            2>"$work/err$threads"
        [ $? = 2 ] && grep -q "$text; pictures: 0000.*lower learning rate" "$work/err$threads" &&
            [ ! -e "$work/wild/model_index.json" ] || { check "$name, $threads threads" 1; cat "$work/err$threads"; }
    done
    cmp "$work/err1" "$work/err3"
    check "$name" $?
    rm -rf "$work/wild"
}
wild "a loss that is not finite" 'step 2: the loss is not finite; first node: up_blocks[.a-z0-9_]*' 1000
wild "recomputed activations" 'step 2: the loss is not finite; first node: up_blocks[.a-z0-9_]*' 1000 \
    --checkpoint-activations --accumulate 2
wild "a gradient that is not finite" \
    'step 2: the gradient is not finite; first node: [a-z_]* backward' 10 --part unet
wild "of the autoencoder" 'step 2: the loss is not finite; first node: decoder[.a-z0-9_]*' 1000 --part vae
wild "of the text encoder" 'step 9: the loss is not finite; first node: encoder.layers[.a-z0-9_]*' 1000 --part text
mkdir "$work/empty"
refuse 2 "found no picture" "$work/out" --data "$work/empty"
printf '{"lerning_rate": 1}' >"$work/settings.json"
refuse 2 "lerning_rate: not a setting of training" "$work/out" --settings "$work/settings.json"

echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
