#!/bin/sh
# SPDX-License-Identifier: MIT
# The model of this folder from nothing, by tintype alone: scenes -> autoencoder -> latents -> U-Net and text
# encoder -> pictures. Run from the top of the repository:
#
#   sh reference/models/scenes/train.sh FOLDER          what `make train-demo` does
#   sh reference/models/scenes/train.sh FOLDER full     the model that ships
#
# Stopped in any way, the same command goes on from the last checkpoint, to the same bits.
set -e
out=${1:?a folder to work in}
here=reference/models/scenes
tintype=${BUILD:-build}/tintype
case ${2:-demo} in
demo) scenes=8000 vae_steps=6000 unet_steps=8000 word_steps=2500 ;;
full) scenes=24000 vae_steps=20000 unet_steps=18000 word_steps=4500 ;;
*) echo "train.sh: found '$2', expected demo or full" >&2; exit 2 ;;
esac
scenes=${SCENES:-$scenes} vae_steps=${VAE_STEPS:-$vae_steps} unet_steps=${UNET_STEPS:-$unet_steps}
word_steps=${WORD_STEPS:-$word_steps}

say() { echo "train.sh: $*" >&2; }

mkdir -p "$out"
if [ ! -d "$out/scenes" ]; then
    say "1/5 drawing $scenes scenes"
    $tintype scenes -o "$out/scenes" --count "$scenes" --captions 8
fi

# Squares weigh most: a small subject's colour is few numbers far off, a sky many that are nearly right.
say "2/5 autoencoder, $vae_steps steps"
$tintype train --part vae --config $here --data "$out/scenes" -o "$out/vae" --resume --float16 \
    --steps "$vae_steps" --batch 4 --flip --learning-rate 1e-3 --schedule cosine --warmup-steps 200 --beta2 0.99 \
    --l1-weight 0.5 --l2-weight 5 --kl-weight 1e-7 --save-every 250 --log-every 25 --sample-every 1000
$tintype plot "$out/vae/train.jsonl" --log -o "$out/vae.svg"

denoise() {
    $tintype train --part unet+text --data "$out/scenes" --resume --float16 --batch 16 --learning-rate 1e-3 \
        --schedule cosine --warmup-steps 200 --beta2 0.99 --min-snr 5 --caption-dropout 0.1 \
        --save-every 500 --log-every 50 --sample-every 2000 "$@"
}

say "3/5 U-Net and text encoder, $unet_steps steps"
denoise --config "$out/vae" -o "$out/unet" --steps "$unet_steps"
$tintype plot "$out/unet/train.jsonl" -o "$out/unet.svg"

# What no scene showed together (a balloon at night) comes together in pictures once each word has had to do alone.
# Not from the beginning: times of day are not learnt well then.
say "4/5 the same, with words of the captions left out, $word_steps steps"
mkdir -p "$out/model"
ln -f "$out/unet/latents.safetensors" "$out/model" # no need to encode again
denoise -m "$out/unet" -o "$out/model" --steps "$word_steps" --weight-decay 0.1 --word-dropout 0.2
$tintype plot "$out/model/train.jsonl" -o "$out/model.svg"

say "5/5 pictures"
$tintype grid -m "$out/model" --x seed=1,2,3,4 -o "$out/sheet.png" --steps 25 --guidance-scale 4 \
    --y 'prompt="a lighthouse at sunset","a castle at night","a small red windmill on the left, in fog","a snowman"'
$tintype generate -m "$out/model" -p "a lighthouse at sunset" --strip 8 -o "$out/reverse.png"
say "done: the model is $out/model, pictures $out/sheet.png, losses $out/vae.svg, $out/unet.svg and $out/model.svg"
