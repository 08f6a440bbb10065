#!/bin/sh
# SPDX-License-Identifier: MIT
# train --buckets from outside: every part in several sizes, the same bits whatever interrupts it, what is told and
# what is refused.
. tests/cli.sh
kills=${KILLS-8}
[ "$1" = --quick ] && kills=2

train() { # train FOLDER [OPTION]...
    folder=$1
    shift
    $tintype train --data "$work/data" -o "$folder" -m $model -W 32 -H 32 --batch 2 --steps 9 --learning-rate 1e-3 \
        --seed 3 --buckets --bucket-step 8 --log-every 1 "$@" >/dev/null 2>"$work/err"
}
says() { grep -qF -- "$1" "$work/err" || { echo "expected '$1' in:"; cat "$work/err"; false; }; }
same() { # same NAME A B [MODULE...]: what two runs left is the same, byte for byte
    name=$1 a=$2 b=$3
    shift 3
    cmp "$a/checkpoint.safetensors" "$b/checkpoint.safetensors"
    result=$?
    for module; do cmp "$a/$module.safetensors" "$b/$module.safetensors" || result=1; done
    check "$name" $result
}
losses() { sed 's/,"images_per_second.*//' "$1/train.jsonl"; }

# Five of 3:2, three of 1:1, two of 2:3, and one that is longer than any bucket.
mkdir "$work/data"
for size in 48x32 48x32 48x32 48x32 48x32 32x32 32x32 32x32 32x48 32x48 96x16; do
    n=$((n + 1))
    draw -s $n --steps 1 -W ${size%x*} -H ${size#*x} -o "$work/data/$n.png" >/dev/null || exit 3
    echo "a picture of $size" >"$work/data/$n.txt"
done

# ---- what is told ----
train "$work/whole" && says "steps of 8, with so many pictures each: 24 x 40: 2, 32 x 32: 3, 40 x 24: 5, 64 x 16: 1" &&
    says "an epoch is 7 batches, in which every picture is seen once" &&
    says "3 of the 7 batches hold fewer than 2 pictures: what is left of a bucket; 1 buckets hold less than a batch"
check "what each bucket holds" $?
! grep -q "is seen of\|coarse" "$work/err"; check "half of the long one is seen, and more" $?
train "$work/coarse" --bucket-step 16 --steps 1 && says "steps of 16 pixels are coarse for 32 x 32" &&
    says "32 x 32: 10, 64 x 16: 1"
check "a coarse step" $?
preview() { $tintype train --data "$work/data" -m $model --buckets --preview-data "$work/p.png" "$@" 2>"$work/err"; }
preview -W 64 -H 64 >/dev/null && says "in steps of 32" && [ -s "$work/p.png" ]
check "the step of small sizes" $?
preview -W 128 -H 128 >/dev/null && says "in steps of 64"
check "the step of others" $?
$tintype train --data "$work/data" -m $model --preview-data "$work/q.png" -W 128 -H 128 --quiet &&
    ! cmp -s "$work/p.png" "$work/q.png"
check "a preview shows buckets" $?
draw -s 1 --steps 1 -W 200 -H 16 -o "$work/data/long.png" >/dev/null && echo "long" >"$work/data/long.txt"
train "$work/long" --steps 1 && says "less than half is seen of 1 pictures" && says "of long.png it is 32 %"
check "a picture longer than any bucket" $?
train "$work/stretch" --steps 1 --fit stretch && ! grep -q "is seen of" "$work/err"; check "but not when stretched" $?
rm "$work/data/long.png" "$work/data/long.txt"

# ---- the same bits ----
train "$work/parts" --steps 4 --threads 1 && train "$work/parts" --resume --threads 2; check "four and five steps" $?
same "resumed" "$work/whole" "$work/parts" unet/diffusion_pytorch_model text_encoder/model latents
[ "$(losses "$work/whole")" = "$(losses "$work/parts")" ] && [ "$(losses "$work/whole" | wc -l)" = 9 ]
check "the log's losses" $?
! grep -q "encoded again" "$work/err"; check "latents are encoded once" $?
train "$work/scalar" --cpu scalar --threads 3 --checkpoint-activations
same "scalar, three threads, recomputed activations" "$work/whole" "$work/scalar" latents
for part in unet text vae vae-decoder; do
    train "$work/$part" --part $part --flip --accumulate 3 --sample-every 6 --threads 2 &&
        train "$work/$part-2" --part $part --flip --accumulate 3 --sample-every 6 --steps 5 --threads 1 &&
        train "$work/$part-2" --part $part --flip --accumulate 3 --sample-every 6 --resume --threads 1
    check "--part $part" $?
    same "--part $part, resumed, one thread" "$work/$part" "$work/$part-2"
    [ -s "$work/$part/samples/step-000006-1.png" ]; check "samples of --part $part" $?
done
ddpm="-m reference/tiny/ddpm --part unet -W 16 -H 16 --bucket-step 4"
train "$work/pixels" $ddpm && says "steps of 4" && train "$work/pixels-2" $ddpm --steps 3 --threads 1 &&
    train "$work/pixels-2" $ddpm --resume
check "in pixel space" $?
same "in pixel space, resumed" "$work/pixels" "$work/pixels-2" unet/diffusion_pytorch_model
train "$work/grey" -m reference/tiny/grey --part unet -W 16 -H 16 --bucket-step 4; check "in grey" $?
$tintype train --data "$work/data" --config $model -o "$work/new" --part vae -W 32 -H 32 --batch 4 --steps 2 --buckets \
    --bucket-step 8 --quiet && ! cmp -s "$work/new/vae/config.json" $model/vae/config.json
check "a new autoencoder's scale" $?

train "$work/calm" --save-every 1 --steps 30 || exit 3
round=0 stopped=0
while [ $round -lt 100 ] && [ $stopped -lt "$kills" ]; do
    round=$((round + 1))
    $tintype train --data "$work/data" -o "$work/killed" -m $model -W 32 -H 32 --batch 2 --steps 30 --seed 3 \
        --learning-rate 1e-3 --buckets --bucket-step 8 --log-every 1 --save-every 1 --resume --quiet 2>/dev/null &
    process=$!
    sleep "$(awk -v n=$round 'BEGIN { srand(n); printf "%.3f", 0.05 + 0.2 * rand() }')"
    kill -9 $process 2>/dev/null && stopped=$((stopped + 1))
    wait $process 2>/dev/null
    [ -e "$work/killed/model_index.json" ] && { stopped=$((stopped + 1)); rm -r "$work/killed"; }
done
[ $stopped -ge "$kills" ] && train "$work/killed" --save-every 1 --steps 30 --resume; check "$kills kills" $?
same "after $stopped kills" "$work/calm" "$work/killed" unet/diffusion_pytorch_model latents
[ "$(losses "$work/calm")" = "$(losses "$work/killed")" ]; check "the log after $stopped kills" $?

# ---- batches ----
train "$work/large" --batch 16 && says "an epoch is 4 batches" && says "4 buckets hold less than a batch"
check "a batch larger than any bucket" $?
train "$work/large-2" --batch 16 --steps 1 && train "$work/large-2" --batch 16 --resume
same "the same resumed" "$work/large" "$work/large-2"
train "$work/one" --batch 1 && says "an epoch is 11 batches" && ! grep -q "hold fewer" "$work/err"
check "batches of one" $?
# A bucket alone trains as that size does without buckets, but for the order.
mkdir "$work/square"
cp "$work/data/6.png" "$work/data/6.txt" "$work/square"
train "$work/square-1" --data "$work/square" --batch 1 --steps 3 &&
    $tintype train --data "$work/square" -o "$work/square-2" -m $model -W 32 -H 32 --batch 1 --steps 3 --seed 3 \
        --learning-rate 1e-3 --quiet
for file in unet/diffusion_pytorch_model text_encoder/model; do
    cmp "$work/square-1/$file.safetensors" "$work/square-2/$file.safetensors"; check "one picture: $file" $?
done

# The loss of a step is the mean of its pictures': of two batches, of two pictures and of one.
for n in 7 8; do cp "$work/data/$n.png" "$work/data/$n.txt" "$work/square"; done
train "$work/apart" --data "$work/square" --steps 2 --learning-rate 0 &&
    train "$work/together" --data "$work/square" --steps 1 --learning-rate 0 --accumulate 2 &&
    says "an epoch is 2 batches"
check "two batches, apart and together" $?
loss() { sed 's/.*"loss":\([^,]*\).*/\1/' "$work/$1/train.jsonl"; }
[ "$(loss apart | wc -l)" = 2 ] && { loss apart; loss together; } | awk '{ l[NR] = $1 } END {
    a = (2 * l[1] + l[2]) / 3 - l[3]; b = (l[1] + 2 * l[2]) / 3 - l[3]
    exit !((a * a < 1e-12 || b * b < 1e-12) && (l[1] - l[2]) ^ 2 > 1e-6) }'
check "the mean of all pictures" $?

# ---- what is refused ----
refused "bucket_step: found 12, expected a multiple of 8" --bucket-step 12
refused "bucket_step: found 64, which makes no other size of about 32 x 32" --bucket-step 64
refused "bucket_step: found '-8', expected an integer from 0" --bucket-step -8
refused "bucket_step: found 2, expected a multiple of 4" $ddpm --bucket-step 2
printf '{"bucket_step": 16}' >"$work/settings.json"
$tintype train --data "$work/data" -o "$work/none" -m $model --settings "$work/settings.json" 2>"$work/err"
[ $? = 2 ] && says "bucket_step: found 16, expected none without buckets" && [ ! -e "$work/none" ]
check "a step without buckets" $?
printf '{"buckets": 1}' >"$work/settings.json"
$tintype train --data "$work/data" -o "$work/none" -m $model --settings "$work/settings.json" 2>"$work/err"
[ $? = 2 ] && says "buckets: found 1, expected true or false"; check "buckets: 1" $?
other() { # other MESSAGE FOLDER OPTION...: what a run does not go on with
    message=$1
    folder=$2
    shift 2
    cp "$folder/checkpoint.safetensors" "$work/kept"
    $tintype train --data "$work/data" -o "$folder" -m $model -W 32 -H 32 --batch 2 --steps 12 --learning-rate 1e-3 \
        --seed 3 --log-every 1 --resume "$@" 2>"$work/err"
    [ $? = 2 ] && says "$message" && cmp "$work/kept" "$folder/checkpoint.safetensors"
    check "$message" $?
}
$tintype train --data "$work/data" -o "$work/plain" -m $model -W 32 -H 32 --batch 2 --steps 2 --learning-rate 1e-3 \
    --seed 3 --quiet || exit 3
other "another setting: buckets: found false, expected true" "$work/plain" --buckets --bucket-step 8
other "another setting: buckets: found true, expected false" "$work/whole"
other "another setting: bucket_step: found 8, expected 0" "$work/whole" --buckets

# ---- with what else training does ----
held="--validate 0.3 --validate-every 3"
for part in unet+text vae; do
    train "$work/held-$part" --part $part $held && says "are held out, not trained on" &&
        train "$work/held-$part-2" --part $part $held --steps 4 --threads 1 &&
        train "$work/held-$part-2" --part $part $held --resume
    check "--validate, --part $part" $?
    same "--validate resumed, --part $part" "$work/held-$part" "$work/held-$part-2"
    grep -h validation "$work/held-$part/train.jsonl" >"$work/a"
    grep -h validation "$work/held-$part-2/train.jsonl" >"$work/b"
    [ -s "$work/a" ] && cmp "$work/a" "$work/b"; check "the same losses of held-out pictures" $?
done
preview --validate 0.3 -W 32 -H 32 --bucket-step 8 >/dev/null; check "a preview of held-out pictures" $?
changed() { # changed FOLDER OPTION...: from step 4 on other batches, the same whatever interrupts them
    for copy in a b; do
        rm -rf "$work/$copy"
        cp -r "$1" "$work/$copy"
    done
    shift
    go() { $tintype train --data "$work/data" -m $model -W 32 -H 32 --learning-rate 1e-3 --seed 3 --log-every 1 \
        --quiet -o "$work/$copy" "$@"; }
    copy=a
    go "$@" --resume --change --steps 12 || return 1
    copy=b
    go "$@" --resume --change --steps 7 && go "$@" --resume --steps 12 --threads 1 || return 1
    same "changed ($*)" "$work/a" "$work/b"
}
train "$work/four" --steps 4 || exit 3
changed "$work/four" --batch 2; check "--change: no buckets any more" $?
changed "$work/four" --batch 3 --buckets --bucket-step 8; check "--change: another batch" $?
changed "$work/four" --batch 2 --buckets --bucket-step 16; check "--change: another step" $?
changed "$work/plain" --batch 2 --buckets --bucket-step 8; check "--change: buckets from now on" $?
cp "$work/data/1.png" "$work/data/12.png" && echo "one more" >"$work/data/12.txt"
changed "$work/four" --batch 2 --buckets --bucket-step 8; check "--change: another picture" $?
rm "$work/data/12.png" "$work/data/12.txt"
for n in 2 3 4 5 6; do cp "$work/data/1.png" "$work/data/$n.png"; done # of another shape each, or of the same
changed "$work/four" --batch 2 --buckets --bucket-step 8; check "--change: other files of the same names" $?
finish
