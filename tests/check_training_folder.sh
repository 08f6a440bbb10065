#!/bin/sh
# SPDX-License-Identifier: MIT
# What training must not lose: files of others in its folder, steps that were done, the state it goes on from.
. tests/cli.sh

train() { # train FOLDER [OPTION]...
    folder=$1
    shift
    $tintype train --data "$work/data" -m $model -o "$folder" -W 32 -H 32 --batch 2 --seed 3 --steps 4 --log-every 1 \
        --learning-rate 1e-3 "$@" 2>"$work/err"
}
says() { grep -qF -- "$1" "$work/err" || { echo "expected '$1' in:"; cat "$work/err"; false; }; }
refused() { # refused MESSAGE FOLDER [OPTION]...: exit 2, and the folder as it was
    message=$1 before=$(cd "$2" 2>/dev/null && find . -type f -exec cksum {} + | sort)
    shift
    train "$@"
    [ $? = 2 ] && says "$message" && [ "$before" = "$(cd "$1" 2>/dev/null && find . -type f -exec cksum {} + | sort)" ]
    check "refused: $message" $?
}
same() { # same NAME A B
    cmp "$2/checkpoint.safetensors" "$3/checkpoint.safetensors" &&
        cmp "$2/unet/diffusion_pytorch_model.safetensors" "$3/unet/diffusion_pytorch_model.safetensors" &&
        [ "$(sed 's/,"images_per.*//' "$2/train.jsonl")" = "$(sed 's/,"images_per.*//' "$3/train.jsonl")" ]
    check "$1" $?
}
fresh() { rm -rf "$work/o" && cp -r "$work/two" "$work/o"; }

$tintype scenes -o "$work/data" --count 8 --pixels 64 --quiet || exit 3
train "$work/whole" && train "$work/two" --steps 2; check "four steps, and two" $?
fresh && train "$work/o" --resume && same "two and two are four" "$work/whole" "$work/o"

# ---- a folder of somebody else's ----
mkdir -p "$work/mine/samples"
seq 1000 | sed 's/.*/{"text":"my data &"}/' >"$work/mine/train.jsonl"
echo download >"$work/mine/movie.mp4.part"
echo drawn >"$work/mine/samples/step-000002-1.png"
cp -r $model/unet $model/model_index.json "$work/mine/"
cp "$work/whole/checkpoint.safetensors" "$work/mine/latents.safetensors"
sums() { find "$1" -type f -exec md5sum {} + | cut -d' ' -f1 | sort -u; }
sums "$work/mine" >"$work/before"
refused "files that training did not make" "$work/mine"
refused "files that training did not make" "$work/mine" --resume
train "$work/mine" --force --sample-every 2 --sample-steps 1; check "--force" $?
! grep -q "movie.mp4.part: was there" "$work/err"; check "--force moves what is in the way" $?
says "train.jsonl: was there before; it is now $work/mine/train.jsonl.before-training"; check "--force says so" $?
sums "$work/mine" >"$work/after"
[ -z "$(comm -23 "$work/before" "$work/after")" ] && [ -e "$work/mine/movie.mp4.part" ]
check "--force loses nothing" $?
same "--force trains the same" "$work/whole" "$work/mine"
cp -r $model "$work/model"
refused "the folder that is trained from" "$work/model" -m "$work/model" --force
mkdir "$work/linked" && ln -s "$work/model/unet" "$work/linked/unet"
sums "$work/model" >"$work/before"
train "$work/linked" -m "$work/model" --force; code=$?
sums "$work/model" >"$work/after"
[ $code = 0 ] && [ -z "$(comm -23 "$work/before" "$work/after")" ]; check "a link into the model" $?
rm -rf "$work/linked" "$work/model"
cp -r $model "$work/model"
train "$work/linked" --steps 1 && rm -r "$work/linked/unet" && ln -s "$work/model/unet" "$work/linked/unet"
sums "$work/model" >"$work/before"
train "$work/linked" -m "$work/model" --resume --steps 2
[ $? = 2 ] && says "is read (as $work/model/unet/" && sums "$work/model" | cmp -s - "$work/before"
check "a link into the model, later" $?
refused "found something else, expected a folder" "$work/data/000000.png"
$tintype train --data "$work/data" -m $model 2>"$work/err"; [ $? = 2 ] && says "output is missing"; check "no -o" $?

mkdir "$work/again" && ln "$work/whole/latents.safetensors" "$work/again" && train "$work/again"
! grep -q "encoded again" "$work/err" && same "latents of another run" "$work/whole" "$work/again"

# ---- what it goes on from ----
fresh && mkdir "$work/disk" && mv "$work/o/checkpoint.safetensors" "$work/disk" &&
    ln -s "$work/disk/checkpoint.safetensors" "$work/o/checkpoint.safetensors"
train "$work/o" --resume; check "a checkpoint elsewhere" $?
[ -L "$work/o/checkpoint.safetensors" ] && cmp "$work/whole/checkpoint.safetensors" "$work/disk/checkpoint.safetensors"
check "a link to the checkpoint stays one" $?
rm -r "$work/disk"
refused "checkpoint.safetensors: cannot open" "$work/o" --resume
rm "$work/o/checkpoint.safetensors"
refused "checkpoint.safetensors: is missing, but this folder had one" "$work/o" --resume
refused "checkpoint.safetensors: is missing, but this folder had one" "$work/o"
length=$(wc -c <"$work/two/checkpoint.safetensors")
for at in $((length / 3)) $((length / 2)) $((length - 1)); do
    fresh && head -c $at "$work/two/checkpoint.safetensors" >"$work/o/checkpoint.safetensors" &&
        printf '\377' >>"$work/o/checkpoint.safetensors" &&
        tail -c +$((at + 2)) "$work/two/checkpoint.safetensors" >>"$work/o/checkpoint.safetensors"
    refused "checkpoint.safetensors: is damaged" "$work/o" --resume
done
for step in -1 +2 1e3 18446744073709551615; do # spaces of the header make room
    fresh && LC_ALL=C sed "1s/\"step\":\"2\"/\"step\":\"$step\"/; 1s/$(printf "%$((${#step} - 1))s")\$//" \
        "$work/two/checkpoint.safetensors" >"$work/o/checkpoint.safetensors"
    train "$work/o" --resume; [ $? = 2 ]; check "step $step" $?
done
fresh && LC_ALL=C sed '1s/"digest":"/"dig_st":"/; 1s/"frozen":"/"fro_en":"/' "$work/two/checkpoint.safetensors" \
    >"$work/o/checkpoint.safetensors"
train "$work/o" --resume && says "of tintype 0.1, without digests"; check "a checkpoint of tintype 0.1" $?
fresh && rm "$work/o/training.json" && train "$work/o" --resume; check "a folder of tintype 0.1" $?
same "a folder of tintype 0.1 goes on" "$work/whole" "$work/o"
fresh && echo 'my notes' >>"$work/o/train.jsonl"
refused "train.jsonl: line 3: found no line of a log" "$work/o" --resume
fresh && latents=$(wc -c <"$work/o/latents.safetensors") &&
    head -c $((latents - 2048)) "$work/two/latents.safetensors" >"$work/o/latents.safetensors" &&
    head -c 2048 /dev/zero >>"$work/o/latents.safetensors"
train "$work/o" --resume && says "latents.safetensors: is damaged"; check "damaged latents" $?
same "damaged latents are made anew" "$work/whole" "$work/o"

# ---- what does not learn is part of the run ----
other() { # other FILE: the model with that file of another one
    rm -rf "$work/model" && cp -r $model "$work/model" && cp "$2" "$work/model/$1"
}
halved() { # the last weight another number
    { head -c -1 "$model/$1"; printf '\074'; } >"$work/changed" && other "$1" "$work/changed"
}
fresh && halved vae/diffusion_pytorch_model.safetensors
refused "made beside another vae, which does not learn" "$work/o" -m "$work/model" --resume
sed 's/"beta_end": 0.012/"beta_end": 0.013/' $model/scheduler/scheduler_config.json >"$work/scheduler.json"
other scheduler/scheduler_config.json "$work/scheduler.json"
refused "made beside another scheduler/scheduler_config.json" "$work/o" -m "$work/model" --resume
train "$work/part" --part unet --steps 1 && halved text_encoder/model.safetensors
refused "made beside another text_encoder" "$work/part" --part unet -m "$work/model" --resume

# ---- what is needed is asked for before the first step ----
refused "nowhere.txt: cannot open" "$work/new" --sample-every 2 --sample-prompts "$work/nowhere.txt"
: >"$work/none.txt" && printf 'a tree\na caf\351\n' >"$work/latin.txt"
refused "found no prompt" "$work/new" --sample-every 2 --sample-prompts "$work/none.txt"
refused "latin.txt: line 2" "$work/new" --sample-every 2 --sample-prompts "$work/latin.txt"
[ ! -e "$work/new" ]; check "nothing is made" $?
fresh && echo mine >"$work/o/samples"
train "$work/o" --resume --sample-every 4; [ $? = 2 ] && says "samples: found a file, expected a folder"
check "samples that is a file" $?

# ---- steps are kept ----
vae() { train "$@" --part vae --steps 40; }
vae "$work/calm"; check "an autoencoder" $?
vae "$work/gone" --steps 100000 --save-every 0 &
process=$!
until [ "$(grep -cs step "$work/gone/train.jsonl")" -ge 3 ] 2>/dev/null || ! kill -0 $process; do sleep 0.1; done
mv "$work/data/000003.png" "$work/kept.png"
wait $process
[ $? = 2 ] && says "000003.png: cannot open" && says "which is saved: --resume goes on"
check "a picture that vanishes" $?
mv "$work/kept.png" "$work/data/000003.png"
vae "$work/gone" --resume --steps "$(($(wc -l <"$work/gone/train.jsonl") + 1))"; check "goes on when it is back" $?
train "$work/drawn" --sample-every 2 --sample-steps 1 && rm "$work/drawn"/samples/step-000004-*
train "$work/drawn" --sample-every 2 --sample-steps 1 --resume && ls "$work"/drawn/samples/step-000004-*.png >/dev/null
check "samples that are missing are drawn" $?
finish
