#!/bin/sh
# SPDX-License-Identifier: MIT
# Going on with other pictures, captions and settings than before (--resume --change): told, logged, to the same bits.
. tests/cli.sh

train() { # train FOLDER [OPTION]...
    folder=$1
    shift
    $tintype train --data "$work/data" -m "$work/model" -o "$folder" -W 32 -H 32 --batch 2 --seed 3 --steps 6 \
        --log-every 1 --learning-rate 1e-3 "$@" 2>"$work/err" >/dev/null
}
says() { grep -qF -- "$1" "$work/err" || { echo "expected '$1' in:"; cat "$work/err"; false; }; }
silent() { ! grep -qF -- "$1" "$work/err" || { echo "did not expect '$1' in:"; cat "$work/err"; false; }; }
losses() { sed 's/,"images_per.*//' "$1/train.jsonl"; }
logged() { grep -qxF -- "$2" "$1/train.jsonl" || { echo "expected '$2' in:"; cat "$1/train.jsonl"; false; }; }
same() { # same NAME A B: all files of two folders, but for the times in the log
    diff -r -x train.jsonl "$2" "$3" && [ "$(losses "$2")" = "$(losses "$3")" ]
    check "$1" $?
}
fresh() { rm -rf "$work/o" && cp -r "${1:-$work/three}" "$work/o"; }
refused() { # refused MESSAGE [OPTION]...: exit 2, and the folder as it was
    message=$1 before=$(cd "$work/o" && find . -type f -exec cksum {} + | sort)
    shift
    train "$work/o" "$@"
    [ $? = 2 ] && says "$message" && [ "$before" = "$(cd "$work/o" && find . -type f -exec cksum {} + | sort)" ]
    check "refused: $message ($*)" $?
}
pictures() { rm -rf "$work/data" && cp -r "$work/before" "$work/data"; }

cp -r $model "$work/model"
$tintype scenes -o "$work/scenes" --count 9 --pixels 64 --quiet || exit 3
mkdir "$work/before"
for i in 0 1 2 3 4 5 6 7; do
    cp "$work/scenes/00000$i.png" "$work/before/p$i.png" && echo "picture $i" >"$work/before/p$i.txt"
done
pictures
train "$work/six" && train "$work/three" --steps 3; check "three steps, and six" $?

# ---- what is another is refused, and the way out told ----
fresh
refused "learning_rate: found 0.001, expected 0.002 as it is now; --change goes on with it" --resume \
    --learning-rate 2e-3
refused "found change without resume, expected both" --change
rm "$work/data/p4.png" "$work/data/p4.txt"
refused 'picture of p4.png: found nothing, was "trained on"; --change goes on with them' --resume
pictures && echo 'a "better" caption' >"$work/data/p2.txt"
refused 'caption of p2.png: found "a \"better\" caption", was "picture 2"; --change' --resume
pictures && cp "$work/scenes/000008.png" "$work/data/p2.png"
refused 'file of p2.png: found "CRC-32 ' --resume
pictures
refused 'part: found "unet+text", expected "unet" as it is now; --change cannot change this' --resume --change \
    --part unet
refused 'prediction_type: found "model", expected "v_prediction" as it is now; --change cannot change this' --resume \
    --change --prediction-type v_prediction
refused "ema_decay: found 0.999, expected 0 as it is now; --change cannot change this" --resume --change --ema-decay 0
refused "other networks learn, which --change cannot change" --resume --change -m reference/tiny/sd21
sed 's/"beta_end": 0.012/"beta_end": 0.013/' $model/scheduler/scheduler_config.json \
    >"$work/model/scheduler/scheduler_config.json"
refused "made beside another scheduler/scheduler_config.json, which does not learn" --resume --change
says "which --change cannot change"; check "frozen parts" $?
cp $model/scheduler/scheduler_config.json "$work/model/scheduler/"

# ---- nothing changed ----
train "$work/o" --resume --change --save-every 2 && says "--change: nothing is another than in $work/o/checkpoint.safe"
check "nothing is another" $?
same "nothing is another: the same run" "$work/six" "$work/o"
rm -rf "$work/new" && train "$work/new" --resume --change && says "begins at step 0, and there is nothing to change"
check "no checkpoint yet" $?
same "no checkpoint yet: the same run" "$work/six" "$work/new"

# ---- settings ----
setting() { # setting NAME FOUND WAS OPTION...: told and logged as JSON, and kept
    name=$1 found=$2 was=$3
    shift 3
    fresh && train "$work/o" --resume --change "$@" && says "changed after step 3: $name: found $found, was $was" &&
        logged "$work/o" "{\"step\":3,\"change\":\"$name\",\"found\":$found,\"was\":$was}" &&
        [ "$(grep -c '"change"' "$work/o/train.jsonl")" = 1 ] && [ "$(losses "$work/o" | head -3)" = "$(losses \
        "$work/three")" ] && train "$work/o" --resume "$@" --steps 7 && silent "changed" &&
        [ "$(grep -c '"change"' "$work/o/train.jsonl")" = 1 ]
    check "$name" $?
    train "$work/o" --resume --steps 7
    [ $? = 2 ] && says "$name: found $found, expected ${was%.0} as it is now"; check "$name is the run's own now" $?
}
setting learning_rate 0.002 0.001 --learning-rate 2e-3
grep -q '"step":4,.*"learning_rate":0.002,' "$work/o/train.jsonl"; check "the rate is another" $?
setting schedule '"cosine"' '"constant"' --schedule cosine
setting warmup_steps 5 0 --warmup-steps 5
setting weight_decay 0.5 0.01 --weight-decay 0.5
setting clip_norm 0.25 1.0 --clip-norm 0.25
setting batch 3 2 --batch 3
setting accumulate 2 1 --accumulate 2
setting flip true false --flip
setting caption_dropout 0.5 0.1 --caption-dropout 0.5
setting seed 4 3 --seed 4
setting ema_decay 0.5 0.999 --ema-decay 0.5
# The order and the noise go on: at a rate of 0 the losses are those of the run that nothing changed in.
train "$work/still" --learning-rate 0 && train "$work/decay" --learning-rate 0 --steps 3 &&
    train "$work/decay" --learning-rate 0 --resume --change --weight-decay 0.5 &&
    losses "$work/still" | sed 's/,"learn.*//' >"$work/a" &&
    losses "$work/decay" | grep -v change | sed 's/,"learn.*//' >"$work/b" && cmp "$work/a" "$work/b"
check "the order goes on" $?

# ---- pictures and captions ----
cp "$work/scenes/000008.png" "$work/data/q.png" && echo "nan: infinity" >"$work/data/q.txt"
rm "$work/data/p4.png" "$work/data/p4.txt"
echo "picture two" >"$work/data/p2.txt"
cp "$work/scenes/000008.png" "$work/data/p7.png"
# change FOLDER [OPTION]...: goes on with all that
change() { train "$@" --learning-rate 2e-3 --validate 0.2 --validate-every 2 --flip --resume; }
for threads in 1 2; do
    fresh && change "$work/o" --change --threads $threads && mv "$work/o" "$work/threads$threads"
    check "another set, $threads threads" $?
done
same "the same change gives the same bits, whatever the threads" "$work/threads1" "$work/threads2"
says 'caption of p2.png: found "picture two", was "picture 2"' &&
    says 'picture of p4.png: found nothing, was "trained' &&
    says 'picture of q.png: found "trained on", was nothing' && says 'file of p7.png: found "CRC-32 '
check "what is told" $?
logged "$work/threads1" '{"step":3,"change":"caption","name":"p2.png","found":"picture two","was":"picture 2"}' &&
    logged "$work/threads1" '{"step":3,"change":"picture","name":"p4.png","found":null,"was":"trained on"}' &&
    grep -q '{"step":3,"validation_loss":' "$work/threads1/train.jsonl"
check "what is logged" $?
[ "$(losses "$work/threads1" | grep -c '{"step":[456],"loss"')" = 3 ] &&
    [ "$(losses "$work/threads1" | tail -1)" != "$(losses "$work/six" | tail -1)" ]
check "it goes on" $?
for stop in 3 4 5; do
    fresh && change "$work/o" --change --steps $stop && change "$work/o" && silent "changed after" &&
        same "a changed run that ends after $stop steps and goes on" "$work/threads1" "$work/o"
done
change "$work/o" --change && says "nothing is another than in"; check "changed, and not once more" $?
# Killed wherever it may be, before the change is saved, too: the command that changes goes on.
for delay in 0.02 0.05 0.08 0.11 0.14 0.17 0.2 0.25 0.3; do
    fresh
    $tintype train --data "$work/data" -m "$work/model" -o "$work/o" -W 32 -H 32 --batch 2 --seed 3 --steps 6 \
        --log-every 1 --learning-rate 2e-3 --validate 0.2 --validate-every 2 --flip --resume --change --save-every 1 \
        --quiet &
    process=$!
    sleep $delay
    kill -9 $process 2>/dev/null
    wait $process 2>/dev/null
    change "$work/o" --change --save-every 1
    same "a changed run that is killed after $delay s" "$work/threads1" "$work/o"
done
fresh "$work/threads1" && rm "$work/data/q.png" "$work/data/q.txt" && change "$work/o" --change --steps 8 &&
    says 'changed after step 6: picture of q.png: found nothing' && change "$work/o" --steps 9
check "changed once more" $?
$tintype plot "$work/o/train.jsonl" -o "$work/x.svg" >"$work/out" && [ "$(grep -c '#aa3377' "$work/x.svg")" = 3 ] &&
    grep -q "something was changed</text>" "$work/x.svg"
check "plot shows where" $?

# ---- other parts, sizes, many pictures, an unreadable name ----
pictures
for part in vae vae-decoder unet text; do
    train "$work/$part" --part $part --steps 2 && echo "another $part" >"$work/data/p1.txt" &&
        train "$work/$part" --part $part --steps 3 --resume --change --learning-rate 1e-4 && says "caption of p1.png"
    check "--part $part" $?
done
pictures
train "$work/pixels" -m reference/tiny/ddpm --part unet --steps 2 && rm "$work/data/p1.png" &&
    train "$work/pixels" -m reference/tiny/ddpm --part unet --steps 3 --resume --change && says "picture of p1.png"
check "in pixel space" $?
pictures
fresh && train "$work/o" --resume --change -W 64 -H 32 && says "width: found 64, was 32" && silent "picture of"
check "another size" $?
for i in $(seq 120); do
    cp "$work/scenes/000008.png" "$work/data/m$i.png" && echo "number $i" >"$work/data/m$i.txt"
done
mv "$work/data/m1.png" "$work/data/$(printf 'm\3771').png" && mv "$work/data/m1.txt" "$work/data/$(printf 'm\3771').txt"
fresh && train "$work/o" --resume --change --steps 4 && says "pictures: found 128, was 8" &&
    says "more pictures and captions: found 20, was nothing" &&
    [ "$(grep -c '"change":"picture"' "$work/o/train.jsonl")" = 100 ] && $tintype plot "$work/o/train.jsonl" \
    -o "$work/x.svg" >"$work/out"
check "a hundred pictures are named, more are counted" $?
finish
