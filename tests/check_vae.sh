#!/bin/sh
# SPDX-License-Identifier: MIT
# Other autoencoders on the command line: --vae, --preview-vae, an AutoencoderTiny in a model's folder and alone.
. "$(dirname "$0")/cli.sh"
tiny=reference/tiny/taesd

draw -o "$work/own.png" --save-latents "$work/own.safetensors"
draw -o "$work/tiny.png" --vae $tiny --save-latents "$work/tiny.safetensors"
cmp -s "$work/own.safetensors" "$work/tiny.safetensors" && ! cmp -s "$work/own.png" "$work/tiny.png"
check "--vae: the same latents, another picture" $?
$tintype decode "$work/own.safetensors" -m $tiny -o "$work/alone.png" --quiet &&
    $tintype decode "$work/own.safetensors" -m $model --vae $tiny -o "$work/with.png" --quiet &&
    cmp "$work/alone.png" "$work/with.png"
check "decode: an autoencoder alone, and in a model's place" $?
cp -r $model "$work/m" && chmod -R u+w "$work/m" && rm "$work"/m/vae/* && cp $tiny/* "$work/m/vae"
sed -i s/AutoencoderKL/AutoencoderTiny/ "$work/m/model_index.json"
draw -o "$work/inside.png" -m "$work/m" &&
    $tintype decode "$work/own.safetensors" -m "$work/m" -o "$work/n.png" --quiet &&
    cmp "$work/n.png" "$work/alone.png"
check "an AutoencoderTiny in a model's folder" $?
$tintype generate --replay "$work/tiny.png" -m $model --vae $tiny -o "$work/again.png" --quiet &&
    cmp "$work/tiny.png" "$work/again.png"
check "--replay with the picture's --vae" $?
refuse 2 "expected $(grep -ao 'Model hash: [0-9a-f]*' "$work/tiny.png" | cut -d' ' -f3): give the picture's own" \
    generate --replay "$work/tiny.png" -m $model

# Previews: the picture is as without them; each step's is the other autoencoder's, at its own size.
cat >"$work/see.sh" <<'END'
while :; do [ -s "$1" ] && cp "$1" "$2" 2>/dev/null; sleep 0.02; done
END
draw -o "$work/p.png" --preview 1 --preview-vae $tiny --steps 3 && cmp "$work/p.png" "$work/own.png" &&
    [ ! -e "$work/p-preview.png" ]
check "--preview-vae leaves the picture as it is" $?
sh "$work/see.sh" "$work/q-preview.png" "$work/seen.png" & watcher=$!
draw -o "$work/q.png" --preview 1 --preview-vae $tiny --steps 200 --scheduler euler
kill $watcher
[ -s "$work/seen.png" ] && ! cmp -s "$work/seen.png" "$work/own.png"
check "previews are drawn" $?

$tintype noise "$work/own.png" -t 500 -m $model --vae $tiny -o "$work/noise.png" --quiet; check "noise --vae" $?
$tintype encode "$work/own.png" -m $model --vae $tiny -o "$work/x.safetensors" --quiet; check "encode --vae" $?
$tintype encode "$work/own.png" -m $tiny -o "$work/z.safetensors" --quiet &&
    $tintype encode "$work/own.png" -m $tiny -s 5 -o "$work/y.safetensors" --quiet &&
    cmp "$work/z.safetensors" "$work/y.safetensors" && cmp "$work/z.safetensors" "$work/x.safetensors"
check "encode: no posterior to draw from" $?
$tintype grid --x steps=1,2 -p x -m $model --vae $tiny -W 32 -H 32 -o "$work/g.png" --quiet; check "grid --vae" $?
$tintype verify -m $tiny reference/golden/taesd/tall --quiet >/dev/null; check "verify of an autoencoder alone" $?
$tintype verify -m $model --vae $tiny reference/golden/taesd/tall --quiet >/dev/null; check "verify --vae" $?
$tintype profile -m $tiny --part vae-decode -W 32 -H 32 --repeat 1 --train >/dev/null; check "profile both ways" $?
$tintype info $tiny | grep -q '^vae .*parameters'; check "info" $?

refuse 2 "$tiny: found no size of its own: width and height must be given" profile -m $tiny --part vae-decode
refuse 2 "--preview-vae: found it without --preview" generate -p x -m $model --preview-vae $tiny
refuse 2 "latent_channels: found 3, expected 4, as $model has" generate -p x -m $model --preview 1 \
    --preview-vae reference/tiny/taegelu
refuse 2 "--preview-vae: nowhere: cannot open" generate -p x -m $model --preview 1 --preview-vae nowhere
refuse 2 "found reference/tiny/ddpm without an autoencoder" generate -m reference/tiny/ddpm --preview 1 \
    --preview-vae $tiny
refuse 2 "expected 3, the autoencoder's latent_channels" generate -p x -m $model --vae reference/tiny/taegelu
refuse 2 "vae: found $tiny, expected none" generate -m reference/tiny/ddpm --vae $tiny
refuse 2 "found an autoencoder alone, expected a model's folder: give the autoencoder with --vae" generate -p x -m $tiny
refuse 2 "unet: found no such part" train --data reference/training/pictures -m $tiny -o "$work/out/t"
refuse 2 "found an autoencoder without a posterior, expected AutoencoderKL" train \
    --data reference/training/pictures -m "$work/m" -o "$work/out/t"
finish
