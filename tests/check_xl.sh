#!/bin/sh
# SPDX-License-Identifier: MIT
# SDXL on the command line: what its U-Net is told, its refiner, pictures made again, and the verbs that know parts.
. "$(dirname "$0")/cli.sh"
xl=reference/tiny/xl refiner=reference/tiny/xl-refiner uneven=reference/tiny/xl-uneven
alike() { # alike NAME FILE: made again with these options, it is the same file
    name=$1 file=$2
    shift 2
    $tintype generate --quiet --replay "$file" -o "$work/again.png" "$@" && cmp "$file" "$work/again.png"
    check "$name" $?
}
says() { grep -aoq -- "$1" "$2"; }

draw -m $xl -o "$work/own.png" && says "CFG scale: 5," "$work/own.png"; check "guidance 5 by default" $?
draw -m $xl -o "$work/told.png" --original-size 96x64 --crop 3,5 --target-size 64x40 --negative-original-size 32x16 \
    --negative-crop 1,2 --negative-target-size 20x24 &&
    says "Original size: 96x64, Crop: 3x5, Target size: 64x40, Negative original size: 32x16, Negative crop: 1x2" \
        "$work/told.png" && ! cmp -s "$work/told.png" "$work/own.png"
check "what the U-Net is told stands in the picture, and counts" $?
alike "--replay of that" "$work/told.png" -m $xl
draw -m $xl -o "$work/empty.png" -n "" && ! cmp -s "$work/empty.png" "$work/own.png"
check "an empty negative prompt is not none" $?
alike "--replay of an empty negative prompt" "$work/empty.png" -m $xl
alike "--replay of none" "$work/own.png" -m $xl
draw -m $xl -o "$work/refined.png" --refiner $refiner --refine-from 0.5 --aesthetic-score 7 --steps 6 &&
    says "Refiner hash: [0-9a-f]*, Refiner switch at: 0.5, Aesthetic score: 7, Neg" "$work/refined.png"
check "a refiner stands in the picture" $?
alike "--replay with the refiner" "$work/refined.png" -m $xl --refiner $refiner
refuse 2 "refiner: found none, expected the picture's own with --refiner" generate --replay "$work/refined.png" -m $xl
refuse 2 "refiner: found $refiner, expected none" generate --replay "$work/own.png" -m $xl --refiner $refiner
refuse 2 "refiner hash: found" generate --replay "$work/refined.png" -m $xl --refiner $xl
draw -m $xl -o "$work/strip.png" --refiner $refiner --refine-from 0.5 --steps 6 --strip 4 --preview 2
check "a strip and previews of two models" $?
draw -m $xl -o "$work/r.png" --refiner $refiner --count 2 --steps 6 --json >"$work/json" && [ -s "$work/r-2.png" ]
check "several pictures of two models" $?
draw -m $uneven -o "$work/few.png" --steps 4 && says "CFG scale: 5," "$work/few.png"
$tintype generate -m $uneven -p x -o "$work/few.png" 2>"$work/err" &&
    grep -q "taken for a model of few steps, as its scheduler is of such: 4 steps, guidance scale 5" "$work/err" &&
    says "Steps: 4," "$work/few.png"
check "a model of few steps" $?
cp -r $xl "$work/turbo" && chmod -R u+w "$work/turbo"
sed -i 's/"leading"/"trailing"/' "$work/turbo/scheduler/scheduler_config.json"
$tintype generate -m "$work/turbo" -p x -o "$work/turbo.png" 2>"$work/err" &&
    says "Steps: 4, .*CFG scale: 0," "$work/turbo.png" &&
    grep -q "timestep_spacing trailing: 4 steps, guidance scale 0" "$work/err"
check "Turbo and Lightning, told by their scheduler" $?
cp -r $xl "$work/image" && chmod -R u+w "$work/image"
sed -i s/StableDiffusionXLPipeline/StableDiffusionXLImg2ImgPipeline/ "$work/image/model_index.json"
draw -m "$work/image" -o "$work/image.png" && cmp "$work/image.png" "$work/own.png"
check "the base in the folder of a pipeline that begins with a picture" $?

[ "$($tintype tokenize "a boat" -m $xl --part text-2)" = "$($tintype tokenize "a boat" -m $refiner)" ]
check "tokenize --part" $?
refuse 2 "--part: found unet, expected a text encoder of $xl" tokenize x -m $xl --part unet
for part in text text-2 unet vae-decode; do
    $tintype profile -m $xl --part $part --repeat 1 >/dev/null; check "profile --part $part" $?
done
$tintype info $xl | grep -q '^text_encoder_2 .*parameters'; check "info" $?
for recording in xl/square xl-uneven/tall xl-refiner/wide; do
    $tintype verify -m reference/tiny/${recording%/*} reference/golden/$recording --quiet >/dev/null
    check "verify $recording" $?
done
$tintype record "a boat" -m $xl --steps 2 -W 32 -H 32 --original-size 96x64 --crop 3,5 -o "$work/rec" --quiet &&
    $tintype verify -m $xl "$work/rec" >"$work/log" && grep -q "^text-2: .* compared, all within" "$work/log"
check "record and verify" $?
$tintype profile generate "a boat" -m $xl --steps 2 -W 32 -H 32 -o "$work/p.png" >/dev/null; check "profile generate" $?
$tintype grid -p x --x steps=1,2 -m $xl -W 32 -H 32 -o "$work/g.png" --quiet; check "grid" $?

refuse 2 "found SDXL's refiner alone" generate -p x -m $refiner
refuse 2 "expected two models of SDXL: $model is none" generate -p x -m $xl --refiner $model
refuse 2 "--refiner: nowhere: cannot open" generate -p x -m $xl --refiner nowhere
refuse 2 "refine_from: found 0, expected more than 0" generate -p x -m $xl --refiner $refiner --refine-from 0
refuse 2 "--refine-from: found '2', expected 0 to 1" generate -p x -m $xl --refiner $refiner --refine-from 2
refuse 2 "--original-size: found '64', expected WIDTHxHEIGHT" generate -p x -m $xl --original-size 64
refuse 2 "--crop: found '3,-1', expected X,Y" generate -p x -m $xl --crop 3,-1
refuse 2 "--target-size: found '0x64', expected WIDTHxHEIGHT, each from 1 to" generate -p x -m $xl --target-size 0x64
refuse 2 "is not told them, as SDXL is" generate -p x -m $model --crop 3,1
refuse 2 "is not told them, as SDXL's refiner is" generate -p x -m $xl --aesthetic-score 3
refuse 2 "training knows one text encoder" train --data reference/training/pictures -m $xl -o "$work/out/t"
finish
