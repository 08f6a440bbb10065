#!/bin/sh
# SPDX-License-Identifier: MIT
# Prompts of web UIs and of compel, textual inversion and layers left out, as scripts see them: messages, settings in
# the picture, the same bytes made again.
. tests/cli.sh
small="-m $model --steps 2 -W 32 -H 32"
words=reference/words

# ---- what works ----
for syntax in webui compel; do
    draw -p "a red fox" --save-latents "$work/plain" -o "$work/plain.png"
    draw -p "a red fox" --prompt-syntax $syntax --save-latents "$work/$syntax" -o "$work/$syntax.png"
    cmp -s "$work/plain" "$work/$syntax"; check "$syntax: without weights the same latents as plain" $?
done
long=$(for i in 1 2 3 4 5 6 7 8 9 10 11 12; do printf 'a red fox runs over the hill, '; done)
for syntax in webui compel; do
    draw -p "$long" -n "bad" --prompt-syntax $syntax -o "$work/long.png" 2>"$work/err" && ! grep -q "cut to" "$work/err"
    check "$syntax: a long prompt is not cut" $?
done
draw -p "$long" -o "$work/cut.png" --json | grep -q "cut to 77 of"; check "plain: a long prompt is cut" $?

again() { # again NAME OPTION...: a picture of these options, made again from its settings
    name=$1
    shift
    draw "$@" -o "$work/first.png" &&
        $tintype generate --quiet --replay "$work/first.png" -m $model -o "$work/second.png" &&
        cmp -s "$work/first.png" "$work/second.png"
    check "--replay: $name" $?
}
mkdir "$work/folder"
cp $words/sd15-toy.safetensors "$work/folder/toy.safetensors"
again "weights" -p "a (red:1.4) fox" -n "[bad] hand" --prompt-syntax webui
again "compel" -p '("a fox++", "a (hen)0.5").blend(1, 0.5)' --prompt-syntax compel
again "layers" -p "a fox" --clip-skip 2
again "an embedding" -p "a <fox-toy>" --embedding $words/sd15-toy.safetensors
again "a folder" -p "a (toy) on a hill" --prompt-syntax webui --embedding-folder "$work/folder"
grep -aq 'Prompt syntax: webui, TI hashes: "toy: 44193149cad9"' "$work/first.png"; check "settings in the picture" $?
again "clip skip" -p "a fox, word" --clip-skip 1 --embedding $words/sd15-word.safetensors:word --prompt-syntax webui
grep -aq 'Clip skip: 2' "$work/first.png"; check "web UIs' count of layers" $?
draw -p "a (toy) on a hill" --prompt-syntax webui --embedding-folder "$work/folder" -o "$work/first.png"
mkdir "$work/moved"
mv "$work/folder/toy.safetensors" "$work/moved"
$tintype generate --quiet --replay "$work/first.png" -m $model --embedding-folder "$work/moved" -o "$work/second.png" &&
    cmp -s "$work/first.png" "$work/second.png"
check "--replay: a file that has moved" $?
cp $words/sd15-word.safetensors "$work/moved/toy.safetensors"
refuse 2 "found another file, of digest" generate --replay "$work/first.png" -m $model --embedding-folder "$work/moved"
draw -p "a fox" --embedding $words/sd15-toy.safetensors --json -o "$work/x.png" |
    grep -q "the embedding is not used: '<fox-toy>' is in no prompt"
check "an embedding that no prompt has is noted" $?
$tintype grid $small -p a --x 'prompt="(a:1.2) fox","a hen"' --prompt-syntax webui --quiet -o "$work/grid.png"
check "grid" $?
draw -p "a (red:1.2) fox" --prompt-syntax webui --strip 2 -o "$work/strip.png"; check "--strip" $?

# ---- what does not ----
refuse 2 "--prompt-syntax: found 'comfy', expected plain, webui or compel" generate $small -p a --prompt-syntax comfy
refuse 2 "[from:to:when]" generate $small -p "a [fox:hen:0.5]" --prompt-syntax webui
refuse 2 "negative prompt: found [one|another]" generate $small -p a -n "[a|b]" --prompt-syntax webui
refuse 2 "found AND, expected none" generate $small -p "a fox AND a hen" --prompt-syntax webui
refuse 2 "found .swap(), expected none" generate $small -p "fox.swap(hen)" --prompt-syntax compel
refuse 2 "found [one|another]" grid $small -p a --x 'prompt="a","[a|b]"' --prompt-syntax webui
refuse 2 "clip_skip: found 3, expected at most 2" generate $small -p a --clip-skip 3
refuse 2 "found vectors of width 40, expected 24" generate $small -p a --embedding $words/sd21-toy.safetensors
refuse 2 "an SDXL model would take the pair" generate $small -p a --embedding $words/xl-pair.safetensors
refuse 2 "expected a pair, clip_l and clip_g" generate -m reference/tiny/xl -p a --embedding $words/sd15-toy.safetensors
refuse 2 "found a pickle by its name" generate $small -p a --embedding "$work/a.pt"
refuse 2 "No such file" generate $small -p a --embedding "$work/none.safetensors"
refuse 2 "which the tokenizer's vocabulary has" generate $small -p a --embedding $words/sd15-toy.safetensors:a
refuse 2 "which is that of" generate $small -p a --embedding $words/sd15-toy.safetensors:x1y \
    --embedding $words/sd15-word.safetensors:X1Y
refuse 2 "No such file" generate $small -p a --embedding-folder "$work/none"
refuse 2 "it draws without a text" generate -m reference/tiny/ddpm --clip-skip 1
refuse 2 "expected none: record" record $small -p a --prompt-syntax webui -o "$work/recording"

echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
