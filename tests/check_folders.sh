#!/bin/sh
# SPDX-License-Identifier: MIT
# How a model's folder is read, as scripts see it: variants for every verb that opens a model, what is noted and where,
# configurations without weights, negative seeds.
. tests/cli.sh
model=reference/tiny/variants/base
m=$work/m
fresh() { rm -rf "$m" && cp -r $model "$m" && chmod -R u+w "$m"; }
verb() { # verb FILE VERB ARGUMENT...: what it says goes to FILE.err
    file=$1
    shift
    $tintype "$@" >"$work/$file.out" 2>"$work/$file.err"
}
says() { grep -qF -- "$2" "$work/$1"; }
never() { ! grep -qF -- "$2" "$work/$1"; }

# ---- notes: once on standard error, in --json, not with --quiet ----
fresh
sed -i 's/^{/{"new_key": 1,/' "$m/unet/config.json"
note='unet/config.json: new_key: no key of UNet2DConditionModel, ignored'
verb a generate -m "$m" -p x --steps 1 -o "$work/a.png" --json && says a.out "$note" &&
    [ "$(grep -cF "$note" "$work/a.err")" = 1 ]
check "a note on standard error and in --json" $?
verb a generate -m "$m" -p x --steps 1 -o "$work/a.png" --json --quiet && says a.out "$note" && never a.err "$note"
check "a note with --quiet" $?
long=$(yes lighthouse | head -n 80 | tr '\n' ' ')
verb a generate -m $model -p "$long" --steps 1 -o "$work/a.png" --json && says a.err "note: prompt: cut to 77 of" &&
    says a.out "prompt: cut to 77 of"
check "a prompt that is cut" $?
verb a grid -m $model --x "prompt=$long" -o "$work/a.png" --steps 1 && says a.err "note: prompt: cut to 77 of"
check "a prompt of a grid that is cut" $?
verb a generate -m $model -p "a lighthouse" --steps 1 -o "$work/a.png" && never a.err note; check "nothing to note" $?

# ---- configurations alone ----
fresh
rm "$m/unet/diffusion_pytorch_model.safetensors" "$m/vae/diffusion_pytorch_model.safetensors"
verb a info "$m" && says a.out "scheduler        PNDMScheduler" && says a.out "unet             null" &&
    says a.out "text_encoder     {" && says a.err "note: $m/unet: found no weights" &&
    says a.err "note: $m/vae: found no weights"
check "info without weights" $?
verb a info "$m" --json && tr -d ' \n' <"$work/a.out" | grep -q '"unet":null.*"notes":\['
check "info without weights, --json" $?
refuse 2 "$m/unet: found no weights, expected" generate -m "$m" -p x
rm -r "$m/unet"
refuse 2 "unet/config.json" info "$m"
fresh
sed -i 's/"time_embedding_dim": null/"time_embedding_dim": 7/' "$m/unet/config.json"
refuse 2 "unet/config.json does not match its weights: $m/unet/diffusion_pytorch_model.safetensors: tensor" info "$m"

# ---- variants ----
fresh
for part in unet/diffusion_pytorch_model vae/diffusion_pytorch_model text_encoder/model; do
    mv "$m/$part.safetensors" "$m/$part.bf16.safetensors"
done
refuse 2 "$m/text_encoder: found no weights but model.bf16.safetensors, expected" generate -m "$m" -p x
refuse 2 "variant: found no part with 'ema'; unet has diffusion_pytorch_model.bf16.safetensors" \
    generate -m "$m" -p x --variant ema
refuse 2 "variant: found 'a/b', expected a part of file names" generate -m "$m" -p x --variant a/b
draw_as() { # draw_as FILE OPTION...
    file=$1
    shift
    $tintype generate -p "a tree" -s 5 --steps 2 --quiet -o "$work/$file" "$@"
}
draw_as plain.png -m $model && draw_as bf16.png -m "$m" --variant bf16 && cmp "$work/plain.png" "$work/bf16.png"
check "generate --variant" $?

# What weights take in memory changes no bit.
for half in "fp16 --variant fp16" bf16; do
    from=reference/tiny/variants/$half
    draw_as stored.png -m $from --save-latents "$work/stored" &&
        draw_as widened.png -m $from --save-latents "$work/widened" --weights f32 &&
        cmp "$work/stored" "$work/widened"
    check "generate --weights f32 from $half" $?
done
refuse 2 "--weights: found 'f16', expected stored or f32" generate -p x -m $model --weights f16
$tintype generate --replay "$work/plain.png" -m "$m" --variant bf16 -o "$work/again.png" --quiet &&
    cmp "$work/plain.png" "$work/again.png"
check "--replay --variant" $?
v="-m $m --variant bf16 --quiet"
# shellcheck disable=SC2086
{
    $tintype grid $v -p x --x steps=1,2 -o "$work/x.png"; check "grid --variant" $?
    $tintype encode $v "$work/plain.png" -o "$work/z.safetensors"; check "encode --variant" $?
    $tintype decode $v "$work/z.safetensors" -o "$work/x.png"; check "decode --variant" $?
    $tintype noise $v "$work/plain.png" -t 10 -o "$work/x.png"; check "noise --variant" $?
    $tintype profile $v --part unet --repeat 1 >/dev/null; check "profile --variant" $?
    $tintype tokenize $v x >/dev/null; check "tokenize --variant" $?
    $tintype schedulers $v --plot "$work/x.svg" >/dev/null; check "schedulers --variant" $?
    $tintype info "$m" --variant bf16 | grep -q 'model.bf16.safetensors'; check "info --variant" $?
    $tintype scenes -o "$work/data" --count 2 --pixels 64 --quiet
    $tintype train $v --data "$work/data" -o "$work/t" -W 16 -H 16 --batch 1 --steps 1 --part unet &&
        $tintype generate -m "$work/t" -p x --steps 1 -o "$work/x.png" --quiet
    check "train --variant" $?
}
fresh # some parts go without
mv "$m/unet/diffusion_pytorch_model.safetensors" "$m/unet/diffusion_pytorch_model.fp16.safetensors"
verb a generate -m "$m" -p "a tree" -s 5 --steps 2 -o "$work/x.png" --variant fp16 &&
    cmp "$work/x.png" "$work/plain.png" &&
    says a.err "vae/diffusion_pytorch_model.safetensors: read, for want of the variant 'fp16'"
check "parts without the variant" $?
verb a generate -m "$m" -p "a tree" -s 5 --steps 2 -o "$work/x.png" && cmp "$work/x.png" "$work/plain.png" &&
    says a.err "unet/diffusion_pytorch_model.fp16.safetensors: read, for want of weights without a variant"
check "fp16 where nothing else is" $?

# ---- seeds, as torch.Generator has them ----
draw_as a.png -m $model -s -1 && draw_as b.png -m $model -s 18446744073709551615 && cmp "$work/a.png" "$work/b.png" &&
    ! cmp -s "$work/a.png" "$work/plain.png"
check "seed -1 is 2^64 - 1" $?
draw_as c.png -m $model -s -9223372036854775808 && draw_as d.png -m $model -s 9223372036854775808 &&
    cmp "$work/c.png" "$work/d.png"
check "seed -2^63" $?
draw_as e.png -m $model -s -1 --count 2 && cmp "$work/e-1.png" "$work/a.png"; check "--count after a negative seed" $?
$tintype generate --replay "$work/a.png" -m $model -o "$work/f.png" --quiet && cmp "$work/a.png" "$work/f.png"
check "replay of a negative seed" $?
$tintype encode "$work/plain.png" -m $model -s -1 -o "$work/z1.safetensors" --quiet &&
    ! cmp -s "$work/z1.safetensors" "$work/z.safetensors"
check "encode draws with seed -1" $?
for seed in -9223372036854775809 18446744073709551616 1.5 -x ''; do
    refuse 2 "--seed: found '$seed', expected a whole number from -9223372036854775808" \
        generate -m $model -p x --seed="$seed"
done
refuse 2 "found '-1', expected a whole number from 0" noise "$work/plain.png" -m $model -t -1 -o "$work/out/n.png"

# ---- pure noise has no prediction of its noise ----
refuse 2 "found rescale_betas_zero_snr with prediction_type epsilon" generate -m $model -p x --steps 3 \
    --scheduler ddim --scheduler-option rescale_betas_zero_snr=true --scheduler-option timestep_spacing=trailing

finish
