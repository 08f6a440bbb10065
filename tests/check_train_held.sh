#!/bin/sh
# SPDX-License-Identifier: MIT
# Pictures that training holds out (--validate): the same loss however it is come by, and not a bit of what is trained.
. tests/cli.sh

train() { # train FOLDER [OPTION]...
    folder=$1
    shift
    $tintype train --data "$work/data" -m $model -o "$folder" -W 32 -H 32 --batch 2 --seed 3 --steps 6 --log-every 1 \
        --learning-rate 1e-3 "$@" 2>"$work/err" >/dev/null
}
held() { train "$@" --validate 0.3 --validate-every 2; }
says() { grep -qF -- "$1" "$work/err" || { echo "expected '$1' in:"; cat "$work/err"; false; }; }
losses() { sed 's/,"images_per.*//' "$1/train.jsonl"; }
value() { sed -n "s/{\"step\":$2,\"validation_loss\":\(.*\)}/\1/p" "$1/train.jsonl"; } # value FOLDER STEP
same() { # same NAME A B
    cmp "$2/checkpoint.safetensors" "$3/checkpoint.safetensors" && [ "$(losses "$2")" = "$(losses "$3")" ]
    check "$1" $?
}

$tintype scenes -o "$work/data" --count 12 --pixels 64 --captions 2 --quiet || exit 3

# ---- what is told ----
held "$work/whole"; check "--validate" $?
steps=$(sed -n 's/{"step":\([0-9]*\),"validation_loss":[0-9.]*}/\1/p' "$work/whole/train.jsonl" | tr '\n' ' ')
[ "$steps" = "0 2 4 6 " ] && [ "$(wc -l <"$work/whole/train.jsonl")" = 10 ]; check "when: found $steps" $?
number=$(sed -n 's/.*12 pictures, 0 left out; \([0-9]*\) of them are held out, not trained on/\1/p' "$work/err")
[ "${number:-0}" -ge 1 ] && says "loss of the $number held-out pictures after step 6: "; check "how many: $number" $?
train "$work/seldom" --validate 0.3 --save-every 3 --sample-every 4 --sample-steps 1 &&
    [ "$(losses "$work/seldom" | sed -n 's/{"step":\([0-9]*\),"val.*/\1/p' | tr '\n' ' ')" = "0 3 4 6 " ]
check "without --validate-every: at checkpoints and samples" $?
[ "$(value "$work/seldom" 4)" = "$(value "$work/whole" 4)" ]; check "the same then" $?

# ---- the same loss ----
held "$work/scalar" --threads 3 --cpu scalar --checkpoint-activations
same "scalar, three threads" "$work/whole" "$work/scalar"
held "$work/parts" --steps 3 && held "$work/parts" --resume --threads 1
same "resumed" "$work/whole" "$work/parts"
held "$work/ended" --steps 3 && held "$work/ended" --resume --steps 3 && [ -n "$(value "$work/ended" 3)" ] &&
    [ "$(losses "$work/ended" | wc -l)" = 6 ]
check "resumed where it ended" $?
$tintype train --data "$work/data" -m $model -o "$work/killed" -W 32 -H 32 --batch 2 --seed 3 --steps 100000 \
    --log-every 1 --learning-rate 1e-3 --validate 0.3 --validate-every 2 --save-every 1 --quiet &
process=$!
until [ "$(grep -cs step "$work/killed/train.jsonl")" -ge 5 ] 2>/dev/null || ! kill -0 $process; do sleep 0.05; done
kill -9 $process
wait $process 2>/dev/null
last=$(sed -n 's/{"step":\([0-9]*\).*/\1/p' "$work/killed/train.jsonl" | tail -1)
held "$work/killed" --resume --steps $((last + 3)) && held "$work/calm" --steps $((last + 3))
same "killed after step $last" "$work/calm" "$work/killed"
for at in 4 10; do # a log that is cut in the middle of the last line, and without its last line
    cp -r "$work/parts" "$work/torn$at" && head -c -$at "$work/parts/train.jsonl" >"$work/torn$at/train.jsonl"
    held "$work/torn$at" --resume
    same "a line of the log is torn by $at" "$work/whole" "$work/torn$at"
done
train "$work/next" -m "$work/whole" --validate 0.3 --steps 1 --batch 5 &&
    [ "$(value "$work/next" 0)" = "$(value "$work/whole" 6)" ]
check "the loss is that of the weights that are written, in any batch" $?
train "$work/raw" --validate 0.3 --ema-decay 0 && [ "$(value "$work/raw" 0)" = "$(value "$work/whole" 0)" ] &&
    [ "$(value "$work/raw" 6)" != "$(value "$work/whole" 6)" ]
check "without an average, of the weights themselves" $?
train "$work/drop" --validate 0.3 --caption-dropout 0.9 --word-dropout 0.9 --flip --steps 1 &&
    [ "$(value "$work/drop" 0)" = "$(value "$work/whole" 0)" ]
check "nothing of a held-out picture is dropped or mirrored" $?
train "$work/seed" --validate 0.3 --seed 4 --steps 1 && [ "$(value "$work/seed" 0)" != "$(value "$work/whole" 0)" ]
check "another seed" $?

# ---- nothing of what is trained ----
cp -r "$work/data" "$work/all"
for part in unet+text unet text vae vae-decoder; do
    rm -rf "$work/a" "$work/b" "$work/data" && cp -r "$work/all" "$work/data"
    held "$work/a" --part $part --flip && [ -n "$(value "$work/a" 0)" ] && [ -n "$(value "$work/a" 6)" ] &&
        [ "$(value "$work/a" 0)" != "$(value "$work/a" 6)" ]
    check "--part $part" $?
    train "$work/b" --part $part --flip --steps 1 && train "$work/b" --part $part --flip --steps 1 --resume --change \
        --validate 0.3
    for name in $(sed -n 's/.*picture of \([^ ]*\): found "held out".*/\1/p' "$work/err"); do
        rm "$work/data/$name" && sed -i "/$name/d" "$work/data/metadata.jsonl"
    done
    [ "$(find "$work/data" -name '*.png' | wc -l)" = $((12 - number)) ]; check "$number are held out" $?
    train "$work/c" --part $part --flip && [ "$(losses "$work/c")" = "$(losses "$work/a" | grep -v validation)" ]
    check "--part $part: the losses of training without the held-out pictures" $?
    for module in unet text_encoder vae; do
        cmp "$work/a/$module/"*model.safetensors "$work/c/$module/"*model.safetensors
        check "--part $part: the weights of $module" $?
    done
    rm -rf "$work/c"
done
rm -rf "$work/data" && cp -r "$work/all" "$work/data"
train "$work/pixels" -m reference/tiny/ddpm --part unet --validate 0.3 --flip && [ -n "$(value "$work/pixels" 6)" ]
check "in pixel space" $?

# ---- what it looks like ----
preview() { $tintype train --data "$work/data" -m $model -W 32 -H 32 --seed 3 --quiet --preview-data "$@"; }
preview "$work/1.png" && preview "$work/2.png" --validate 0.3 && preview "$work/3.png" --validate 0.3 &&
    ! cmp -s "$work/1.png" "$work/2.png" && cmp "$work/2.png" "$work/3.png"
check "the preview marks them" $?
plot() { $tintype plot "$1/train.jsonl" -o "$work/x.svg" --json >"$work/json"; }
plot "$work/whole" && grep -q "held-out pictures (validation_loss)</text>" "$work/x.svg" &&
    [ "$(grep -c '<circle' "$work/x.svg")" = 4 ] && [ "$(grep -c '<polyline' "$work/x.svg")" = 4 ] &&
    grep -q '"validation_loss":' "$work/json"
check "plot" $?
train "$work/plain" && plot "$work/plain" && ! grep -q "held" "$work/x.svg" &&
    [ "$(grep -c '<polyline' "$work/x.svg")" = 3 ]
check "plot of a log without any" $?
head -1 "$work/whole/train.jsonl" >"$work/first.jsonl"
$tintype plot "$work/first.jsonl" -o "$work/first.svg" 2>"$work/err"
[ $? = 2 ] && says "found no line with a loss yet" && [ ! -e "$work/first.svg" ]; check "plot of a run that begins" $?

# ---- what is refused ----
for share in 1 1.5 -0.1 1000; do refused "validate: found $share, expected 0 to below 1" --validate=$share; done
refused 'validate: found' --validate some
refused "found validate_every 2 and validate 0" --validate-every 2
mkdir "$work/one" && cp "$work/data/000000.png" "$work/one" && echo "a tree" >"$work/one/000000.txt"
refused "validate: found a single picture, expected at least two" --data "$work/one" --validate 0.5
train "$work/plain" --resume --steps 7 --validate 0.3
[ $? = 2 ] && says "validate: found 0, expected 0.3 as it is now; --change goes on with it"; check "later" $?
train "$work/whole" --resume --steps 7
[ $? = 2 ] && says "validate: found 0.3, expected 0 as it is now"; check "no more" $?
for share in 1e-12 0.9999; do # one at least, and never all
    train "$work/share$share" --validate $share --steps 1 &&
        says "12 pictures, 0 left out; $([ $share = 0.9999 ] && echo 11 || echo 1) of them are held out"
    check "a share of $share" $?
done
# A loss that is not finite is told before anything of it is kept.
train "$work/wild" --learning-rate 1000 --clip-norm 0 --validate 0.3 --validate-every 1
[ $? = 2 ] && says "after step 1: the loss of held-out pictures is not finite; first node: " &&
    [ ! -e "$work/wild/checkpoint.safetensors" ]
check "a loss that is not finite" $?
finish
