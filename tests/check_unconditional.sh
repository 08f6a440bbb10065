#!/bin/sh
# SPDX-License-Identifier: MIT
# Models without a text, in pixel space, as scripts see them: drawn, looked at, trained; what they refuse.
BUILD=${BUILD:-build}
tintype="$RUN $BUILD/tintype"
model=reference/tiny/ddpm
work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT
mkdir "$work/out"
passed=0 failed=0

check() { # check NAME CONDITION-STATUS
    if [ "$2" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $1"; fi
}

expect() { # expect MESSAGE ARGUMENT...: exit 2, the message, nothing written
    message=$1
    shift
    $tintype "$@" >/dev/null 2>"$work/err"
    [ $? = 2 ] && grep -qF -- "$message" "$work/err" && [ -z "$(ls -A "$work/out")" ]
    result=$?
    [ $result = 0 ] || { echo "expected exit 2, '$message':"; cat "$work/err"; ls -A "$work/out"; }
    check "$message" $result
}

# ---- drawing ----
draw() { # draw FILE [OPTION]...
    file=$1
    shift
    $tintype generate -m $model --steps 4 -s 3 --quiet -o "$work/$file" "$@"
}
draw a.png --save-latents "$work/a.safetensors"; check "a picture without a prompt" $?
[ "$(stat -c %s "$work/a.safetensors")" -gt $((3 * 8 * 8 * 4)) ] &&
    $tintype decode "$work/a.safetensors" -m $model -o "$work/b.png" --quiet
check "the saved latents are the picture" $?
draw c.png --cpu scalar --threads 3 && cmp "$work/a.png" "$work/c.png"; check "scalar, three threads" $?
$tintype generate --replay "$work/a.png" -m $model -o "$work/d.png" --quiet && cmp "$work/a.png" "$work/d.png"
check "replay" $?
draw e.png --count 2 -s 2 && cmp -s "$work/e-2.png" "$work/a.png"; check "the second of two takes the next seed" $?
draw f.png -p ""; cmp "$work/a.png" "$work/f.png"; check "an empty prompt is none" $?
draw g.png -W 16 -H 12; check "another size" $?
draw h.png --strip 3 && $tintype grid --x seed=1,2 --y steps=1,2 -m $model -o "$work/i.png" --quiet &&
    $tintype noise "$work/a.png" -t 500 -m $model -o "$work/j.png" --quiet
check "strip, grid and noise" $?
$tintype info $model | grep -q '^unconditional  *true$' &&
    $tintype profile --part unet -m $model --repeat 1 --json >"$work/profile.json"
check "info and profile" $?
# DDIMPipeline makes a DDIM scheduler of whatever the folder holds.
cp -r $model "$work/m" && chmod -R u+w "$work/m" && sed -i s/DDPMPipeline/DDIMPipeline/ "$work/m/model_index.json"
$tintype generate -m "$work/m" --steps 4 -s 3 --quiet -o "$work/k.png" && draw l.png --scheduler ddim &&
    cmp "$work/k.png" "$work/l.png" && ! cmp -s "$work/k.png" "$work/a.png"
check "DDIMPipeline" $?

# ---- what is refused ----
x=$work/out/x.png
expect "prompt: found 'a tree', expected none: $model is unconditional" generate -m $model -p "a tree" -o "$x"
expect "prompt: found 'blurry', expected none" generate -m $model -n blurry -o "$x"
expect "--prompt is missing" generate -m reference/tiny/sd15 -o "$x"
expect "expected multiples of 4, which the U-Net halves" generate -m $model -W 10 -H 8 -o "$x"
expect "found guidance-scale, expected steps, scheduler or seed" grid -m $model --x guidance-scale=1,2 -o "$x"
expect "found prompt, expected steps, scheduler or seed" grid -m $model --x seed=1 --y prompt=a,b -o "$x"
expect "vae-decode: found no such part, expected unet" profile --part vae-decode -m $model
expect "found no tokenizer: it draws without a text" tokenize x -m $model
sed -i s/DDIMPipeline/StableDiffusionPipeline/ "$work/m/model_index.json"
cp -r reference/tiny/sd15/text_encoder reference/tiny/sd15/tokenizer reference/tiny/sd15/vae "$work/m"
expect 'unet: found "UNet2DModel", expected "UNet2DConditionModel"' generate -m "$work/m" -p x -o "$x"
sed -i s/UNet2DModel/UNet2DConditionModel/ "$work/m/model_index.json"
expect 'unet/config.json: down_block_types: found "AttnDownBlock2D"' generate -m "$work/m" -p x -o "$x"
sed -i 's/StableDiffusionPipeline/DDPMPipeline/; s/UNet2DConditionModel/UNet2DModel/' "$work/m/model_index.json"
sed -i 's/"in_channels": 3/"in_channels": 1/' "$work/m/unet/config.json"
expect "in_channels, out_channels: found 1, 3, expected 3, 3" generate -m "$work/m" -o "$x"

# ---- grey ----
grey() { $tintype "$@" -m reference/tiny/grey --quiet; }
grey generate --steps 4 -s 3 -o "$work/grey.png" --save-latents "$work/grey.safetensors" &&
    grey decode "$work/grey.safetensors" -o "$work/grey2.png" &&
    grey encode "$work/grey.png" -o "$work/z.safetensors" && grey decode "$work/z.safetensors" -o "$work/grey3.png" &&
    grey encode "$work/grey3.png" -o "$work/z2.safetensors" && cmp "$work/z.safetensors" "$work/z2.safetensors"
check "grey pictures, there and back" $?
[ "$(stat -c %s "$work/grey.safetensors")" -lt $((3 * 8 * 8 * 4)) ]; check "one channel of latents" $?
grey noise "$work/grey.png" -t 500 -o "$work/noise.png" && grey generate --strip 3 --steps 2 -o "$work/strip.png"
check "grey noise and strip" $?
cp -r reference/tiny/grey "$work/root" &&
    (cd "$work/root" && chmod -R u+w . && mv unet/* scheduler/* . && rmdir unet scheduler)
$tintype generate -m "$work/root" --steps 4 -s 3 -o "$work/root.png" --quiet && cmp "$work/grey.png" "$work/root.png"
check "all files in the folder itself" $?

# ---- training ----
$tintype scenes -o "$work/data" --count 6 --pixels 64 --quiet && rm -f "$work/data/metadata.jsonl" "$work"/data/*.txt
train() { # train FOLDER [OPTION]...
    folder=$1
    shift
    $tintype train --part unet --data "$work/data" -o "$work/$folder" -m $model -W 16 -H 16 --batch 2 --steps 6 \
        --learning-rate 1e-3 --seed 3 --flip --quiet "$@"
}
same() { # same NAME A B
    cmp "$work/$2/checkpoint.safetensors" "$work/$3/checkpoint.safetensors" &&
        cmp "$work/$2/unet/diffusion_pytorch_model.safetensors" "$work/$3/unet/diffusion_pytorch_model.safetensors"
    check "$1" $?
}
train whole --sample-every 3 --sample-steps 2 && [ -s "$work/whole/samples/step-000006-4.png" ]
check "six steps, without captions" $?
[ "$(cd "$work/whole" && echo *)" = "checkpoint.safetensors model_index.json samples scheduler \
train.jsonl training.json unet" ]
check "a folder of a U-Net and a scheduler" $?
train parts --steps 2 && train parts --resume --threads 1; check "two and four steps" $?
same "resumed" whole parts
train scalar --cpu scalar --threads 3 --checkpoint-activations; check "scalar, three threads" $?
same "scalar, three threads, recomputed activations" whole scalar
$tintype generate -m "$work/whole" --steps 2 -o "$work/x.png" --quiet; check "the exported folder draws" $?
train grey --steps 2 -m "$work/root" && [ ! -e "$work/grey/vae" ] && [ -e "$work/grey/unet/config.json" ] &&
    $tintype generate -m "$work/grey" --steps 2 -o "$work/x.png" --quiet
check "grey, from files in the folder itself" $?
$tintype train --part unet --config "$work/whole" --data "$work/data" -o "$work/scratch" --batch 1 --steps 1 --quiet
check "from scratch" $?
expect "part: found unet+text, expected unet: $model is unconditional" train -m $model --data "$work/data" -o "$x"
expect "sample_prompts: found README.md, expected none" train -m $model --data "$work/data" -o "$x" \
    --part unet --sample-prompts README.md

echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
