#!/bin/sh
# SPDX-License-Identifier: MIT
# The command line as scripts see it: exit codes, messages, files left behind, the same bytes for the same settings.
. tests/cli.sh

# ---- what works ----
$tintype --version | grep -q '^tintype [0-9]'; check "--version" $?
$tintype --help | grep -q generate; check "--help" $?
$tintype generate --help | grep -q -- --guidance-scale; check "generate --help" $?
$tintype kernels | grep -q gemm; check "kernels" $?
$tintype kernels --cpu scalar --json | grep -q '"cpu": "scalar"'; check "kernels --cpu" $?
TINTYPE_CPU=scalar $tintype kernels | grep -q avx; [ $? = 1 ]; check "TINTYPE_CPU" $?
$tintype schedulers | grep -q 'dpm++-2m *DPMSolverMultistepScheduler'; check "schedulers" $?
$tintype info $model | grep -q PNDMScheduler; check "info" $?
$tintype tokenize "a lighthouse" -m $model --json | grep -q '"used":'; check "tokenize" $?
$tintype profile -m $model --part unet -W 48 -H 32 --repeat 2 --json >"$work/profile.json"
check "profile" $?
grep -q '"seconds"' "$work/profile.json" && grep -q '"name": "conv_in"' "$work/profile.json"
check "profile --json" $?
for part in text unet vae-encode vae-decode; do
    $tintype profile -m $model --part $part -W 48 -H 32 --repeat 2 --train --json >"$work/train.json" &&
        grep -q '"train": true' "$work/train.json" && [ "$(grep -c '"op": ".* backward' "$work/train.json")" -gt 20 ] &&
        $tintype profile -m $model --part $part -W 48 -H 32 --repeat 1 --train |
        grep -qE '^ +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9]+  linear backward *$'
    check "profile --part $part --train" $?
done
! grep -q ' backward' "$work/profile.json" && grep -q '"train": false' "$work/profile.json"
check "profile without --train" $?

draw -o "$work/a.png" --threads 1; check "generate" $?
draw -o "$work/b.png" --threads 3 --cpu scalar; check "generate --cpu scalar" $?
cmp -s "$work/a.png" "$work/b.png"; check "same bytes for scalar and 3 threads" $?
draw -o "$work/c.png" -s 1; ! cmp -s "$work/a.png" "$work/c.png"; check "another seed, another picture" $?
draw -o "$work/d.png" --count 2 --save-latents "$work/d.safetensors"; check "--count 2" $?
cut_text() { grep -a -c "Seed: $2" "$1" >/dev/null; }
cut_text "$work/d-1.png" 0 && cut_text "$work/d-2.png" 1; check "settings in the PNG" $?
cmp -s "$work/d-1.png" "$work/a.png" && cmp -s "$work/d-2.png" "$work/c.png"
check "picture k takes seed + k" $?
draw -o "$work/e.png" --save-latents "$work/e.safetensors"
$tintype decode "$work/e.safetensors" -m $model --quiet -o "$work/f.png"; check "decode" $?
$tintype encode "$work/f.png" -m $model --quiet -o "$work/g.safetensors"; check "encode" $?
draw -o "$work/g.png" --guidance-scale 1; check "no guidance" $?
draw -o "$work/h.png" --conv direct; check "--conv direct" $?
for scheduler in ddim pndm euler euler-ancestral dpm++-2m dpm++-2s unipc deis lcm tcd; do
    draw -o "$work/s.png" --scheduler $scheduler; check "--scheduler $scheduler" $?
done

$tintype scenes -o "$work/scenes" --count 9 --seed 5 --quiet &&
    $tintype scenes --quiet -o "$work/more/" --count 9 --seed 5 --threads 1 &&
    diff -r "$work/scenes" "$work/more" && [ "$(wc -l <"$work/scenes/metadata.jsonl")" = 9 ]
check "scenes twice" $?
$tintype scenes --quiet -o "$work/kept" --count 9 --held-out --captions 2 &&
    grep -q '"text":\["' "$work/kept/metadata.jsonl" &&
    ! grep -q -e lighthouse -e mountain "$work/kept/metadata.jsonl"
check "scenes --held-out" $?

# ---- what is refused ----
m=$model
refuse 2 "unknown verb 'paint'" paint
refuse 2 "unknown option '--stepz'" generate -p x --stepz 3
refuse 2 "--prompt is missing" generate -m "$m"
refuse 2 "--steps: found '0', expected a whole number from 1" generate -p x --steps 0
refuse 2 "--steps: found '-3'" generate -p x --steps=-3
refuse 2 "--guidance-scale: found 'nan', expected a finite number" generate -p x --guidance-scale nan
refuse 2 "--seed: found '1x'" generate -p x -s 1x
refuse 2 "--cpu: found 'mmx', expected scalar, avx2, avx512 or neon" generate -p x --cpu mmx
refuse 2 "--precision: found 'f8', expected f32" generate -m "$m" -p x --precision f8
refuse 2 "--conv: found 'fft', expected auto or direct" generate -m "$m" -p x --conv fft
refuse 2 "expected multiples of" generate -m "$m" -p x -W 33 -H 32
refuse 2 "nosuchscheduler" generate -m "$m" -p x --scheduler nosuchscheduler
refuse 2 "no_such_key" generate -m "$m" -p x --scheduler-option no_such_key=1
refuse 2 "nowhere" generate -m nowhere -p x
refuse 2 "nowhere.png" encode nowhere.png -m "$m" -o "$work/out/z"
refuse 2 "nowhere.safetensors" decode nowhere.safetensors -m "$m" -o "$work/out/z"
refuse 2 "--part: found 'tail'" profile -m "$m" --part tail
refuse 2 "usage: tintype tokenize" tokenize -m "$m"

# A folder whose files go wrong one at a time.
broken() { # broken FILE SED-SCRIPT MESSAGE
    rm -rf "$work/model"
    cp -r "$m" "$work/model"
    sed -i "$2" "$work/model/$1"
    refuse 2 "$3" generate -m "$work/model" -p x --steps 1 -W 48 -H 32
}
broken unet/config.json 's/"act_fn": "silu"/"act_fn": "mish"/' 'act_fn'
broken unet/config.json 's/"CrossAttnDownBlock2D"/"SkipDownBlock2D"/' 'SkipDownBlock2D'
refuse 2 "--output is missing" scenes
touch "$work/scenes/mine"
refuse 2 "scenes: found files in it, expected no folder or an empty one" scenes -o "$work/scenes"
refuse 2 "nowhere/scenes: cannot create: No such file" scenes -o "$work/nowhere/scenes"
refuse 2 "--pixels: found '5000', expected a whole number from 1 to 4096" scenes -o "$work/out/s" --pixels 5000
broken unet/config.json '$d' 'unet/config.json'
broken vae/config.json 's/"latent_channels": 4/"latent_channels": 5/' 'latent_channels'
broken scheduler/scheduler_config.json 's/"epsilon"/"flow"/' 'prediction_type'
broken model_index.json 's/StableDiffusionPipeline/OtherPipeline/' '_class_name'
for file in unet/config.json unet/diffusion_pytorch_model.safetensors model_index.json; do
    rm -rf "$work/model"
    cp -r "$m" "$work/model"
    rm "$work/model/$file"
    refuse 2 "$(dirname "$file" | sed 's/^\.$/model_index/')" generate -m "$work/model" -p x
done

# ---- values that are not finite ----
# The last four bytes of a safetensors file are a float of some tensor.
end_with() { # end_with FILE OCTAL-BYTES
    printf "$2" | dd of="$1" bs=1 seek=$(($(wc -c <"$1") - 4)) conv=notrunc 2>/dev/null
}
rm -rf "$work/model"
cp -r "$m" "$work/model"
unet=$work/model/unet/diffusion_pytorch_model.safetensors
end_with "$unet" '\000\000\300\177'
refuse 2 "tensor 'up_blocks.2.resnets.2.time_emb_proj.weight': found nan at element 575, expected finite numbers" \
    generate -m "$work/model" -p x --steps 1 -W 48 -H 32
end_with "$unet" '\346\261\141\177' # 3e38
refuse 2 "step 1: node up_blocks.2.resnets.2.norm2 of unet: group_norm+silu: found nan" \
    generate -m "$work/model" -p x --steps 1 -W 48 -H 32
cp "$work/e.safetensors" "$work/nan.safetensors"
end_with "$work/nan.safetensors" '\000\000\300\177'
refuse 2 "nan.safetensors: latents: found nan at element" decode "$work/nan.safetensors" -m "$m" -o "$work/out/x"

# ---- Ctrl-C ----
# interrupt SIGNAL EXIT VERB ARGUMENT...: after $pause seconds of work that takes many, the signal ends the run between
# two nodes with that exit status, and neither a result nor a part of one is there.
pause=1
[ -z "$RUN" ] || pause=6 # an emulator may take the second to start
interrupt() {
    signal=$1 code=$2
    shift 2
    rm -rf "$work/out"
    mkdir "$work/out"
    timeout --foreground --preserve-status -s "$signal" $pause $tintype "$@" --threads 1 -o "$work/out/x" \
        >/dev/null 2>"$work/err"
    stopped $? "$signal" "$code" "$*"
}
stopped() { # stopped STATUS SIGNAL EXIT WHAT
    [ "$1" = "$3" ] && grep -q "cancelled" "$work/err" && [ -z "$(ls -A "$work/out")" ]
    result=$?
    [ $result = 0 ] || { echo "exit $1, expected $3 'cancelled':"; cat "$work/err"; ls -A "$work/out"; }
    check "SIG$2: $4" $result
}
$tintype scenes --count 1 --pixels 512 -o "$work/large" --quiet
$tintype encode "$work/large/000000.png" -m "$m" -o "$work/large/z" --quiet
interrupt INT 130 generate -p x --steps 900 -W 128 -H 128 -m "$m" --cpu scalar
interrupt TERM 143 generate -p x --steps 900 -W 128 -H 128 --count 2 --save-latents "$work/out/z" -m "$m" --cpu scalar
interrupt INT 130 encode "$work/large/000000.png" -m "$m" --cpu scalar
interrupt INT 130 decode "$work/large/z" -m "$m" --cpu scalar
interrupt TERM 143 decode "$work/large/z" -m "$m" --cpu scalar
interrupt INT 130 scenes --count 1000 --pixels 512

# interrupt_preview SIGNAL EXIT SECONDS: the same so long after the first preview is there; it goes, too.
# (What a shell starts in the background would ignore Ctrl-C: env sees to that.)
interrupt_preview() {
    rm -rf "$work/out" "$work/ended"
    mkdir "$work/out"
    { until [ -e "$work/out/x-preview.png" ] || [ -e "$work/ended" ]; do sleep 0.01; done
      sleep "$3"
      kill -s "$1" "$(cat "$work/pid")"; } &
    env --default-signal=INT sh -c 'echo $$ >"$0"; exec "$@"' "$work/pid" $tintype generate -p x --steps 999 \
        -W 128 -H 128 --preview 1 -m "$m" --cpu scalar --threads 1 -o "$work/out/x.png" >/dev/null 2>"$work/err"
    stopped $? "$1" "$2" "preview, $3 s"
    : >"$work/ended"
    wait
}
for seconds in 0 0.02 0.05 0.3; do
    interrupt_preview INT 130 $seconds
    interrupt_preview TERM 143 $seconds
done

finish
