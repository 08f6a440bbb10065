#!/bin/sh
# SPDX-License-Identifier: MIT
# Pictures to begin with, masks, second passes by the command line: what is drawn, made again, written down and refused.
. tests/cli.sh
pictures=reference/from_picture
picture=$pictures/picture.png mask=$pictures/mask.png
inpaint=reference/tiny/inpaint instruct=reference/tiny/instruct
boat="-p boat --steps 4 --quiet"

# ---- sizes: the picture's own, rounded down; of one side its proportions ----

size() { # size WxH OPTION...
    want=$1
    shift
    $tintype generate -m $model $boat --image $picture "$@" -o "$work/size.png" 2>"$work/err" &&
        [ "$(head -c 24 "$work/size.png" | tail -c 8 | od -An -tu1 |
            awk '{ print $3 * 256 + $4 "x" $7 * 256 + $8 }')" = "$want" ]
    check "size $want $*" $?
}
size 48x32
size 32x16 -W 32
size 24x24 -W 24 -H 24 --resize crop
size 24x24 -W 24 -H 24 --resize fill
size 48x32 --mask $mask
size 50x37 --mask $mask --inpaint-padding 0 -W 24 -H 24

# ---- a picture is made again from what stands in it, to the bytes ----

again() { # again MODEL TEXT OPTION...: the text is in the settings
    with=$1 text=$2
    shift 2
    rm -f "$work/one.png" "$work/two.png"
    $tintype generate -m "$with" $boat "$@" -o "$work/one.png" &&
        $tintype generate -m "$with" --quiet --replay "$work/one.png" -o "$work/two.png" &&
        cmp -s "$work/one.png" "$work/two.png" && grep -aqF -- "$text" "$work/one.png"
    check "again $*" $?
}
again $model "Image: $picture, Image hash: " --image $picture
again $model 'Denoising strength: 0.5, ' --image $picture --strength 0.5 --scheduler euler-ancestral
again $model 'Resize mode: fill, ' --image $picture -W 24 -H 32 --resize fill
again $model "Mask: $mask, Mask hash: " --image $picture --mask $mask
again $model 'Mask blur: 1.5, ' --image $picture --mask $mask --mask-blur 1.5
again $model 'Inpaint area: Only masked, Masked area padding: 3, ' --image $picture --mask $mask --inpaint-padding 3
again $inpaint 'Denoising strength: 1, ' --image $picture --mask $mask
again $instruct 'Image CFG scale: 1.25, ' --image $picture --image-guidance-scale 1.25
again $model 'Denoising strength: 0.5, Hires upscale: 2, Hires upscaler: Latent, ' -W 24 -H 16 --upscale 2
again $model 'Denoising strength: 0.75, Hires upscale: 1.5, Hires upscaler: Lanczos, ' -W 48 -H 32 --upscale 1.5 \
    --upscale-strength 0.75 --upscale-in pixels
again $model 'Hires denoising strength: 0.5, Hires upscale: 2' --image $picture -W 24 -H 16 --upscale 2
again $model 'Strip: 4, ' --image $picture --strip 4
again $model 'Strip: 5, ' -W 24 -H 16 --upscale 2 --strip 5
again reference/tiny/lcm 'Denoising strength: 0.6, ' --image $picture --strength 0.6

# Another picture under that name is told; a picture that the command line names may be any.
cp $picture "$work/moved.png" && $tintype generate -m $model $boat --image "$work/moved.png" -o "$work/one.png"
cp $mask "$work/moved.png"
refuse 2 "$work/moved.png: found another picture (its pixels' SHA-256 is " generate -m $model --replay "$work/one.png"
refuse 2 'expected the one that was drawn from (' generate -m $model --replay "$work/one.png"
$tintype generate -m $model --quiet --replay "$work/one.png" --image $picture -o "$work/two.png" &&
    [ "$(cksum <"$work/one.png")" != "$(cksum <"$work/two.png")" ]
check "replayed with a picture that is named" $?

# ---- grid: strength is an axis; every cell is checked before the first ----

$tintype grid -m $model -p boat --quiet --image $picture --x strength=0.3,0.6,1 --y steps=4,6 -o "$work/grid.png"
check "grid of strengths" $?
$tintype grid -m $model -p boat --quiet --x seed=1,2 -W 24 -H 16 --steps 4 --upscale 2 -o "$work/grid.png"
check "grid of second passes" $?
refuse 2 'strength, steps: found 0.1 of 4 steps, which leaves none' grid -m $model -p boat --image $picture \
    --x strength=0.5,0.1 --steps 4
refuse 2 'strength: found it without a picture' grid -m $model -p boat --x strength=0.5,1 --steps 4

# ---- other files: grey, with alpha, JPEG ----

$tintype generate -m $model $boat --image $mask -o "$work/grey.jpg" &&
    $tintype generate -m $model $boat --image "$work/grey.jpg" -o "$work/one.png"
check "a grey PNG, a JPEG" $?

# ---- --json and previews ----

verb=generate
expect "json" 0 '"files":["' '"seeds":[3]' -- -m $model $boat --json -s 3 --image $picture -o "$work/one.png"
$tintype generate -m $model $boat --image $picture --preview 1 -o "$work/prev.png" && [ ! -e "$work/prev-preview.png" ]
check "previews" $?
$tintype generate -m $model $boat -W 24 -H 16 --upscale 2 --preview 1 --save-latents "$work/z.safetensors" \
    -o "$work/prev.png" && grep -aq '"shape":\[1,4,4,6\]' "$work/z.safetensors"
check "latents of the second pass" $?

# ---- what does not fit ----

g="generate -m $model $boat"
refuse 2 'strength: found 0, expected more than 0, up to 1' $g --image $picture --strength 0
refuse 2 "--strength: found '1.5', expected 0 to 1" $g --image $picture --strength 1.5
refuse 2 "--strength: found 'nan'" $g --image $picture --strength nan
refuse 2 'strength: found it without a picture, expected an image to begin with' $g --strength 0.5
refuse 2 'strength, steps: found 0.2 of 4 steps, which leaves none, expected a strength of at least 0.25, or 5 steps' \
    $g --image $picture --strength 0.2
refuse 2 'mask: found it without a picture' $g --mask $mask
refuse 2 'mask: found 128 x 128 pixels, expected 50 x 37' $g --image $picture --mask reference/pictures/lighthouse.png
refuse 2 'mask_blur: found it without a mask, expected a mask' $g --image $picture --mask-blur 2
refuse 2 '--resize: found it without --image' $g --resize crop
refuse 2 "--resize: found 'tile', expected stretch, crop or fill" $g --image $picture --resize tile
refuse 2 '--resize: found it with --inpaint-padding' $g --image $picture --mask $mask --resize crop --inpaint-padding 2
refuse 2 'mask: found no pixel that is not black' $g --image $picture --mask $pictures/black.png --inpaint-padding 2
refuse 2 '--upscale-in: found it without --upscale' $g --upscale-in pixels
refuse 2 "--upscale-in: found 'paint', expected latents or pixels" $g --upscale 2 --upscale-in paint
refuse 2 'upscale: found it with a mask' $g --image $picture --mask $mask --upscale 2
refuse 2 'image_guidance_scale: found 1.5, expected none' $g --image $picture --image-guidance-scale 1.5
refuse 2 'README.md: ' $g --image README.md
refuse 2 'none.png: ' $g --image none.png
refuse 2 'image: found one, expected none: reference/tiny/ddpm is unconditional' generate -m reference/tiny/ddpm \
    --steps 4 --image $picture
refuse 2 'mask: found none, expected one: the U-Net of reference/tiny/inpaint takes 9 channels' generate -m $inpaint \
    $boat --image $picture
refuse 2 'image: found none, expected a picture and a mask' generate -m $inpaint $boat
refuse 2 'image: found none, expected a picture: ' generate -m $instruct $boat
refuse 2 'expected none: reference/tiny/instruct begins with noise' generate -m $instruct $boat --image $picture \
    --strength 0.5
# A picture that is drawn from is not written over.
cp $picture "$work/own.png"
$tintype generate -m $model $boat --image "$work/own.png" -o "$work/own.png" 2>"$work/err"
[ $? = 2 ] && cmp -s "$work/own.png" $picture && grep -q 'own.png: this file is read' "$work/err"
check "a picture is not written over" $?
cp $mask "$work/own.png"
$tintype generate -m $model $boat --image $picture --mask "$work/own.png" -o "$work/own.png" 2>"$work/err"
[ $? = 2 ] && cmp -s "$work/own.png" $mask && grep -q 'own.png: this file is read' "$work/err"
check "a mask is not written over" $?

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
