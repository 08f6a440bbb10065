#!/bin/sh
# SPDX-License-Identifier: MIT
# tintype verify on recordings of whole runs, of statistics, weights and a backward pass (reference/recordings), and on
# copies and models with one thing changed.
. tests/cli.sh
base=reference/tiny/variants/base run=reference/recordings/drawn back=reference/recordings/backward

verb=verify
# change FILE TENSOR OCTAL-BYTES: the first value of a tensor becomes these four bytes.
change() {
    length=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    begin=$(head -c $((length + 8)) "$1" | tail -c +9 |
        sed 's/.*"'"$(printf %s "$2" | sed 's/\./\\./g')"'":{[^}]*"data_offsets":\[\([0-9]*\),.*/\1/')
    printf "$3" | dd of="$1" bs=1 seek=$((length + 8 + begin)) conv=notrunc 2>/dev/null
}
copy() { rm -rf "$work/r" && cp -r "$1" "$work/r"; }
copy_model() { rm -rf "$work/m" && cp -r $base "$work/m"; }

# ---- a whole run ----
expect "a whole run" 0 "weights: " " compared, all as recorded" "text call 0: " "unet call 1, step 1: " "vae-decode: " \
    "the picture drawn again, relative L2 (at most 0.0001):" "  noise: 0.000e+00" "  prev_sample of step 1: " \
    "  latents: " "  image: " "the recording is not whole" "verdict: agrees: " -- -m $base $run
! grep -q DIFFER "$work/log"; check "a whole run: nothing differs" $?
for how in "--cpu scalar" "--threads 1" "--threads 3"; do
    $tintype verify -m $base $run $how 2>/dev/null | cmp -s - "$work/log"; check "a whole run: same output with $how" $?
done
expect "a whole run, --json" 0 '"pipeline": [' '"weights": {' '"differing": []' '"whole": false' '"step": 1' \
    -- -m $base $run --json
expect "statistics are no inputs" 2 "values: found statistics for --isolated, expected tensors" \
    -- -m $base $run --isolated
expect "--part" 0 "unet call 0, step 0: " -- -m $base $run --part unet
! grep -q '^text call' "$work/log"; check "--part: no other" $?

# ---- weights first ----
expect "--weights-only" 0 "all as recorded" "verdict: agrees: 0 tensors of 0 calls, weights alone" \
    -- -m $base $run --weights-only
! grep -q '^unet' "$work/log"; check "--weights-only: nothing else" $?
copy_model
change "$work/m/unet/diffusion_pytorch_model.safetensors" conv_in.bias '\000\000\200\076' # 0.25
expect "one weight" 1 "1 DIFFER" "unet: conv_in.bias: sample: ours 0.25, recorded " \
    "FIRST TO DIFFER: conv_in (Conv2d)" "the weights are not those that were recorded" -- -m "$work/m" $run
expect "one weight, --weights-only" 1 "1 weights differ and 0 are missing" -- -m "$work/m" $run --weights-only
expect "one weight, --json" 1 '"differ": 1' '"name": "conv_in.bias"' '"what": "sample"' -- -m "$work/m" $run \
    --weights-only --json
# A weight that no sample and no moment shows: the digest does.
copy_model
change "$work/m/unet/diffusion_pytorch_model.safetensors" conv_out.weight '\000\000\000\000'
printf '\001' | dd of="$work/m/unet/diffusion_pytorch_model.safetensors" bs=1 conv=notrunc 2>/dev/null \
    seek=$(($(wc -c <"$work/m/unet/diffusion_pytorch_model.safetensors") - 4))
expect "the last weight's last bits" 1 "unet: " "digest: ours " -- -m "$work/m" $run --weights-only
expect "the same in float16" 0 "all as recorded" -- -m reference/tiny/variants/fp16 $run --weights-only
expect "the same in bfloat16" 0 "all as recorded" -- -m reference/tiny/variants/bf16 $run --weights-only
expect "the same by other names" 0 "all as recorded" -- -m reference/tiny/variants/hub $run --weights-only
expect "another model" 1 "shape: ours " "  and " " more" -- -m $model $run --weights-only
copy $run
sed -i 's/"name": "conv_in.bias"/"name": "stem.bias"/' "$work/r/weights.json"
expect "a weight that we lack" 1 "0 DIFFER, 1 recorded ones are missing here" "unet: stem.bias: missing" \
    -- -m $base "$work/r" --weights-only

# ---- what differs in a run ----
copy $run
sed -i '/"name":"up_blocks.1.resnets.0"/s/"max":[-0-9.e]*/"max":77/' "$work/r"/*unet.json
[ "$(cat "$work/r"/*unet.json | grep -c '"max":77')" = 2 ]; check "a planted maximum" $?
expect "a maximum that no sample has" 1 \
    "FIRST TO DIFFER: up_blocks.1.resnets.0 (ResnetBlock2D) of unet call 0, step 0: " " (max)" "2 of " \
    -- -m $base "$work/r" --quiet
copy $run
file=$(ls "$work/r"/*unet.safetensors | tail -n 1)
change "$file" conv_out '\000\000\050\102'
expect "one value of the second step" 1 "FIRST TO DIFFER: conv_out (Conv2d) of unet call 1, step 1: " \
    -- -m $base "$work/r"
copy $run
change "$(ls "$work/r"/*scheduler.safetensors | tail -n 1)" prev_sample '\000\000\050\102'
expect "one value of the last step's latents" 1 "prev_sample of step 1: " "DIFFERS" \
    "the picture drawn again: 'prev_sample' is the first of 1 that differ" -- -m $base "$work/r"
expect "--drift" 0 "(at most 1000)" -- -m $base "$work/r" --drift 1000
expect "--drift below 0" 2 "--drift: found '-1', expected 0 to 1e+30" -- -m $base "$work/r" --drift=-1
sed -i 's/"seed": 5/"seed": 6/' "$work/r/recording.json"
expect "another seed" 1 "the picture drawn again: 'noise' is the first of " -- -m $base "$work/r"

# ---- a backward pass ----
expect "a backward pass" 0 "gradient of conv_out " "gradient of conv_in.weight " "gradient of mid_block.resnets.0 " \
    -- -m $base $back
! grep -q 'DIFFERS\|not in the model' "$work/log"; check "a backward pass: every gradient" $?
for how in "--cpu scalar" "--threads 1" "--threads 3"; do
    $tintype verify -m $base $back $how 2>/dev/null | cmp -s - "$work/log"; check "gradients: same output with $how" $?
done
for name in conv_in.weight mid_block.resnets.0; do
    copy $back
    change "$(ls "$work/r"/*unet.safetensors | tail -n 1)" $name '\000\000\050\102'
    expect "one value of a gradient: $name" 1 "FIRST TO DIFFER: gradient of $name (gradient) of unet call 1" \
        "1 of " -- -m $base "$work/r"
done
copy $back
sed -i 's/"name":"conv_in.bias"/"name":"stem.bias"/' "$(ls "$work/r"/*unet.json | tail -n 1)"
expect "a gradient of nothing" 2 "tensor 'stem.bias': found 1 that unet of " -- -m $base "$work/r"
finish
