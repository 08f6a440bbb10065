#!/bin/sh
# SPDX-License-Identifier: MIT
# tintype compare on two pictures, and verify --perturb: what a lower precision would do to one.
. tests/cli.sh

# ---- pictures ----
draw -o "$work/a.png" && draw -s 1 -o "$work/b.png" && draw -W 32 -o "$work/small.png"
check "pictures to compare" $?
expect "a picture with itself" 0 "48x32: 0 of 1536 pixels differ, by at most 0 of 255" "PSNR inf dB, SSIM 1.000000" \
    -- compare "$work/a.png" "$work/a.png"
expect "a picture with itself, --min-psnr" 0 "PSNR inf" -- compare "$work/a.png" "$work/a.png" --min-psnr 90
expect "two pictures" 0 "worst pixel: x " "worst window: around x " -- compare "$work/a.png" "$work/b.png"
expect "too far apart" 1 "tintype compare: PSNR: found " ", expected at least 90" \
    -- compare "$work/a.png" "$work/b.png" --min-psnr 90
expect "--json" 0 '"format": "tintype-pictures-compared"' '"psnr": ' '"ssim": ' '"worst_window": ' '"agrees": true' \
    -- compare "$work/a.png" "$work/b.png" --json
expect "a difference picture" 0 "$work/d.png" "the difference picture shows differences" \
    -- compare "$work/a.png" "$work/b.png" -o "$work/d.png"
expect "the difference picture is one" 0 "48x32: " -- compare "$work/d.png" "$work/d.png"
expect "over its own input" 2 "a.png" -- compare "$work/a.png" "$work/b.png" -o "$work/a.png"
expect "other sizes" 2 "a.png, $work/small.png: found 48x32 and 32x64 pixels, expected pictures of one size" \
    -- compare "$work/a.png" "$work/small.png"
expect "no such picture" 2 "nowhere.png" -- compare "$work/a.png" nowhere.png
expect "one picture" 2 "usage: tintype compare A.png B.png" -- compare "$work/a.png"
expect "compare --help" 0 "--min-psnr DB" "Wang, Bovik, Sheikh, Simoncelli" -- compare --help

# ---- what if ----
try() { # try NAME EXIT TEXT... -- OPTION...
    name=$1 code=$2
    shift 2
    set -- "$name" "$code" "$@" -p "a lighthouse" -m $model --steps 2 -W 48 -H 32
    expect "$@"
}
try "--perturb with noise of nothing" 0 "conv_in=noise:1e-30: 1 nodes; picture: PSNR inf, SSIM 1.00000, largest 0" \
    "latents: relative L2 0.000e+00; may go" -- verify --perturb conv_in=noise:1e-30
try "--perturb bf16" 0 "down_blocks.*=bf16: " " nodes; picture: PSNR " "mid_block.*=f16: " \
    "of others, it reaches these most" -- verify --perturb 'down_blocks.*=bf16' --perturb 'mid_block.*=f16'
grep -q '^  up_blocks' "$work/log"; check "--perturb: it reaches later nodes" $?
try "--perturb with much noise" 0 "MAY NOT" -- verify --perturb 'conv_in,time_embedding.*=noise:1'
cp "$work/log" "$work/whole"
for how in "--cpu scalar" "--threads 1" "--threads 3"; do
    $tintype verify --perturb 'conv_in,time_embedding.*=noise:1' -p "a lighthouse" -m $model --steps 2 -W 48 \
        -H 32 $how 2>/dev/null | cmp -s - "$work/whole"
    check "--perturb: same output with $how" $?
done
try "--perturb int8, --json" 0 '"format": "tintype-perturbation"' '"perturb": "*attn1*=int8"' '"psnr": ' '"may": ' \
    '"latents_relative_l2": ' '"nodes": ' '"perturbed": true' -- verify --perturb '*attn1*=int8' --json
try "--perturb of no node" 2 "found 'tail=bf16', which no node of" -- verify --perturb tail=bf16
try "--perturb of another kind" 2 "--perturb: found 'conv_in=f8', expected NODES=bf16" -- verify --perturb conv_in=f8
try "--perturb without a kind" 2 "--perturb: found 'conv_in', expected" -- verify --perturb conv_in
expect "--perturb of nothing" 2 "expected one: what to draw" -- verify -m $model --perturb conv_in=f16
finish
