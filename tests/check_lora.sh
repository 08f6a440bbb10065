#!/bin/sh
# SPDX-License-Identifier: MIT
# LoRAs on the command line: --lora, tags in prompts with --lora-folder, what pictures carry of them, --replay.
. "$(dirname "$0")/cli.sh"
loras=reference/loras/sd15

draw -o "$work/none.png"
draw -o "$work/one.png" --lora $loras/plain.safetensors && ! cmp -s "$work/one.png" "$work/none.png"
check "--lora" $?
draw -o "$work/zero.png" --lora $loras/plain.safetensors:0 --save-latents "$work/zero.safetensors" &&
    draw -o "$work/n.png" --save-latents "$work/none.safetensors" &&
    cmp "$work/zero.safetensors" "$work/none.safetensors"
check "--lora FILE:0 changes nothing" $?
draw -o "$work/both.png" --lora $loras/kohya.safetensors:-0.5 --lora $loras/locon.safetensors:1e-1
check "--lora twice" $?
text=$(grep -a 'Lora hashes' "$work/both.png" | tr -d '\0')
case $text in
*'Lora hashes: "kohya: '????????????', locon: '????????????'", '*" $loras/kohya.safetensors, LoRA 2: 0.1 "*) ;;
*) echo "$text"; false ;;
esac
check "a picture's settings" $?
draw -p "a <lora:plain>boat<lora:locon:0.5>" --lora-folder $loras -o "$work/tags.png" \
    --save-latents "$work/tags.safetensors"
draw -p "a boat" --lora $loras/plain.safetensors --lora $loras/locon.safetensors:0.5 -o "$work/files.png" \
    --save-latents "$work/files.safetensors"
cmp "$work/tags.safetensors" "$work/files.safetensors" &&
    grep -qaF 'a <lora:plain>boat<lora:locon:0.5>' "$work/tags.png"
check "tags: as with --lora, and kept in the settings" $?

again() { # again PICTURE OPTION...: made again
    made=$1
    shift
    $tintype generate -m $model --quiet --replay "$made" -o "$work/again.png" "$@"
}
again "$work/both.png" && cmp "$work/both.png" "$work/again.png"; check "--replay" $?
again "$work/tags.png" && cmp "$work/tags.png" "$work/again.png"; check "--replay with tags" $?
cp -r $loras "$work/moved"
again "$work/tags.png" --lora-folder "$work/moved" && cmp "$work/tags.png" "$work/again.png"
check "--replay: the files are elsewhere" $?
draw -p "a <lora:plain>boat" --lora-folder "$work/moved" -o "$work/moved.png"
rm -r "$work/moved"
again "$work/moved.png" --lora-folder $loras && cmp "$work/moved.png" "$work/again.png"
check "--replay: the folder has gone" $?
refuse 2 "$work/moved/plain.safetensors: cannot open" generate -m $model --replay "$work/moved.png"
mkdir "$work/other" && cp $loras/kohya.safetensors "$work/other/plain.safetensors"
refuse 2 "$work/other/plain.safetensors: found digest" generate -m $model --replay "$work/moved.png" \
    --lora-folder "$work/other"
again "$work/both.png" --lora $loras/plain.safetensors 2>"$work/err"
grep -q 'model hash: found' "$work/err"; check "--replay with other LoRAs is another model" $?

# Every verb that has a model.
$tintype info $model --lora $loras/old.safetensors:0.5 >"$work/log" &&
    grep -q '^loras .*/old.safetensors","weight":0.5,"modules":88,"ignored":0,"ranks":\[4,4\]' "$work/log"
check "info" $?
$tintype grid -m $model -p "x <lora:old>" --lora-folder $loras --x steps=1,2 -W 32 -H 32 -o "$work/g.png" --quiet
check "grid" $?
$tintype record -m $model -p x --steps 1 -W 32 -H 32 --lora $loras/old.safetensors -o "$work/R" --quiet &&
    $tintype verify -m $model --lora $loras/old.safetensors "$work/R" >"$work/log" &&
    grep -q 'all as recorded' "$work/log"
check "record, verify" $?
$tintype verify -m $model "$work/R" --weights-only >"$work/log"
[ $? = 1 ] && grep -q '88 DIFFER' "$work/log"; check "verify without it" $?
$tintype profile -m $model --part unet -W 32 -H 32 --repeat 1 --lora $loras/old.safetensors >/dev/null 2>&1
check "profile" $?

refuse 2 "prompt: found LoRA 'plane', expected one that is in $loras: kohya, locon, metadata, old, plain" \
    generate -m $model -p "a <lora:plane:1>" --lora-folder $loras
refuse 2 "found <lora:plain> without --lora-folder" generate -m $model -p "a <lora:plain:1>"
refuse 2 "--negative-prompt: found <lora:plain>" generate -m $model -p a -n "<lora:plain:1>" --lora-folder $loras
refuse 2 "--x, --y: prompt: found <lora:old>" grid -m $model --lora-folder $loras --x 'prompt=a,<lora:old>b'
refuse 2 "nowhere: cannot open" generate -m $model -p a --lora nowhere:0.5
refuse 2 "--lora: found 'file:x', expected FILE or FILE:WEIGHT" generate -m $model -p a --lora file:x
refuse 2 "found no name of a file" generate -m $model -p a --lora :1
refuse 2 "--lora: given more than 16 times" generate -m $model -p a $(
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17; do echo --lora $loras/old.safetensors; done)
refuse 2 "found no tensor of a LoRA" generate -m $model -p a --lora $model/unet/diffusion_pytorch_model.safetensors
refuse 2 "found a LoRA for text embeddings of 24 values, expected 40" generate -m reference/tiny/sd21 -p a \
    --lora $loras/plain.safetensors
head -c 5000 $loras/plain.safetensors >"$work/cut.safetensors"
refuse 2 "$work/cut.safetensors: " generate -m $model -p a --lora "$work/cut.safetensors"
finish
