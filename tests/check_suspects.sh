#!/bin/sh
# SPDX-License-Identifier: MIT
# Who is at fault, and why: faults that were planted in PyTorch's code and recorded (reference/plant_faults.py). Each of
# the list is named, those of no list are called unknown, and what has no fault raises no alarm. Then --bisect through
# a finer recording, and --save-repro.
. tests/cli.sh
faults=reference/faults

verify() { $tintype verify "$@" >"$work/log" 2>"$work/err"; }
# says TEXT...: each stands in the output or the message.
says() {
    for text in "$@"; do
        grep -qF -- "$text" "$work/log" "$work/err" && continue
        echo "lacks: $text"
        tail -n 8 "$work/log" "$work/err"
        return 1
    done
}
suspects() { sed -n 's/^ *SUSPECT \([a-z0-9-]*\): .*/\1/p' "$work/log"; }

# ---- every fault ----
sed -n 's/^{"name": "\([^"]*\)", "model": "\([^"]*\)", "part": "\([^"]*\)", "says": "*\([a-z-]*\)"*}.*/\1 \2 \3 \4/p' \
    $faults/faults.json >"$work/cases"
while read -r name of part expected; do
    verify -m reference/tiny/$of $faults/$name --bisect --quiet
    status=$?
    if [ "$expected" = null ]; then
        [ $status = 0 ] && [ -z "$(suspects)" ] && says "NONE AT FAULT" && ! grep -q ': AT FAULT' "$work/log"
    elif [ "$expected" = unknown ]; then
        [ $status = 1 ] && [ "$(suspects)" = unknown ] && says "explanations fits"
    else
        [ $status = 1 ] && suspects | grep -qx "$expected" && ! suspects | grep -qx unknown
    fi
    result=$?
    [ $result = 0 ] || { echo "exit $status, found: $(suspects)"; cat "$work/err"; }
    check "$name ($part of $of): $expected" $result
done <"$work/cases"
named=$(grep -cvE ' (null|unknown)$' "$work/cases") unknown=$(grep -c ' unknown$' "$work/cases")
clean=$(grep -c ' null$' "$work/cases")
[ "$named" -ge 48 ] && [ "$unknown" -ge 8 ] && [ "$clean" -ge 30 ]
check "$named faults, $unknown unknown, $clean without" $?

# Whole recordings, of every part: nothing is at fault.
for recording in sd15/square sd21/odd wide/small lcm/square ddpm/wide ddim/tall; do
    verify -m reference/tiny/${recording%/*} reference/golden/$recording --bisect --quiet
    [ $? = 0 ] && ! grep -q ': AT FAULT' "$work/log" && says "unet: NONE AT FAULT: each of "
    check "$recording: nothing at fault" $?
done

# ---- what is told ----
verify -m $model $faults/tanh-gelu --quiet
[ $? = 1 ] && says "unet: AT FAULT: down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0 (GEGLU): off by " \
    "  made by: geglu down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0.geglu of " \
    "  the smallest module around that: down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0" \
    "  SUSPECT activation: the tanh GELU (ours: the exact (erf) GELU) in "
check "told without --bisect, where something differs" $?
verify -m $model $faults/no-causal-mask --quiet
says "text: AT FAULT: encoder.layers.0.self_attn.out_proj.in (what a module is given): off by " \
    "  the smallest module around that: encoder.layers.0.self_attn"
check "a fault between modules: the module around it" $?
verify -m $model $faults/eps-of-no-list --quiet --bisect
says "SUSPECT eps: an eps of about 0.00037"; check "an eps of no list, reckoned" $?
verify -m $model $faults/pad-token --quiet --bisect
says "SUSPECT pad-token: pad token 0 in place of "; check "which pad token" $?
verify -m $model $faults/heads --json
[ $? = 1 ] && says '"suspects": [' '"suspect": "heads"' '"text": "2 heads (ours: 4) in ' '"part": "unet"' '"call": 0' \
    '"made_by": "attention ' '"module": "' '"left": ' '"agrees": false'
check "--json" $?
verify -m $model $faults/f16-input --quiet --bisect
[ $? = 1 ] && says "SUSPECT dtype: what it reads rounded to F16"
check "what the recorded error hides, --bisect finds" $?
verify -m $model $faults/clean-00 --quiet
[ $? = 0 ] && ! grep -q FAULT "$work/log"; check "nothing told where all agrees" $?

# ---- between the networks ----
verify -m $model $faults/run-guided-and-unguided --bisect --quiet
[ $? = 1 ] && says "scheduler call 0: AT FAULT: model_output, between the networks" \
    "SUSPECT swapped-rows: guided and unguided rows swapped"
check "a run with its guided and unguided rows swapped" $?
verify -m $model $faults/run-pad-token --bisect --json
[ $? = 1 ] && says '"suspect": "pad-token"' '"text": "pad token 0 in place of '; check "a run with another pad token" $?
verify -m $model $faults/run-clean --bisect --quiet
[ $? = 0 ] && ! grep -q ': AT FAULT' "$work/log"; check "a run without a fault" $?

# ---- down into a module ----
# A recording with the part's inputs and one module around the fault alone.
coarse() { # coarse NAME MODULE
    rm -rf "$work/coarse"
    cp -r $faults/$1 "$work/coarse"
    awk -v keep="\"name\": \"$2\"," '/^ *\{"name"/ && !index($0, keep) && !/"type": "input"/ { next } { print }' \
        $faults/$1/recording.json | awk '{ line[NR] = $0 }
        END { for (i = 1; i <= NR; i++) {
            if (line[i] ~ /^ *\{"name"/ && line[i + 1] !~ /^ *\{"name"/) sub(/,$/, "", line[i])
            print line[i] } }' >"$work/coarse/recording.json"
}
block=down_blocks.0.attentions.0.transformer_blocks.0
coarse doubled-block $block
verify -m $model "$work/coarse" --quiet --bisect
says "unet: AT FAULT: $block (BasicTransformerBlock): off by " "more of sample, timestep, encoder_hidden_states"
check "a recording of one module" $?
verify -m $model "$work/coarse" --quiet --bisect --pipeline $faults/doubled-block --save-repro "$work/inside"
[ $? = 1 ] && says "inside, by $faults/doubled-block:" "SUSPECT doubled: $block run twice" \
    "$work/inside shows it alone" && [ -e "$work/inside/repro.py" ]
check "--pipeline with a finer recording" $?
verify -m $model "$work/coarse" --quiet --bisect --pipeline $model
[ $? = 1 ] && says "to look inside, with Python: python3 reference/record.py --pipeline '$model'" \
    "--modules '^" "--bisect --pipeline $work/coarse-inside"
check "--pipeline with a model: the command" $?
refuse 2 "--pipeline: found it without --bisect" verify -m $model $faults/heads --pipeline $faults/heads
refuse 2 "expected a recording of what is inside, or a pipeline" verify -m $model "$work/coarse" --bisect \
    --pipeline tests
refuse 2 "found other values than in" verify -m $model "$work/coarse" --bisect --pipeline reference/golden/sd15/square
refuse 2 "found no call 0 of unet" verify -m $model "$work/coarse" --bisect --pipeline $faults/pad-token

# ---- alone ----
for name in skipped-resnet no-causal-mask tanh-gelu bilinear concat-order timestep-off-by-one pad-token \
    symmetric-padding; do
    of=$(sed -n "s/^$name \([^ ]*\) .*/\1/p" "$work/cases")
    rm -rf "$work/repro"
    verify -m reference/tiny/$of $faults/$name --quiet --save-repro "$work/repro"
    [ $? = 1 ] && says "$work/repro shows it alone: 'python3 $work/repro/repro.py'" &&
        [ "$(ls "$work/repro" | tr '\n' ' ')" = "repro.json repro.py repro.safetensors " ]
    check "$name: --save-repro" $?
    verify "$work/repro"
    [ $? = 1 ] && says " nodes of what was recorded: off by " "DIFFERS"; check "$name: the folder differs by itself" $?
done
verify "$work/repro" --json
[ $? = 1 ] && says '"agrees": false' '"difference": ' '"nodes": 1'; check "the same, --json" $?
refuse 2 "--save-repro: " verify -m $model $faults/heads --save-repro "$work/repro"
[ "$(ls "$work/repro" | wc -l)" = 3 ]; check "what is there stays" $?
refuse 2 "--save-repro: found nothing at fault" verify -m $model $faults/clean-00 --save-repro "$work/none"
[ ! -e "$work/none" ]; check "nothing at fault: no folder" $?
refuse 2 "found it with --weights-only" verify -m $model $faults/heads --weights-only --save-repro "$work/none"

# Broken folders.
broken() { # broken MESSAGE SED-SCRIPT
    rm -rf "$work/b"
    cp -r "$work/repro" "$work/b"
    sed -i "$2" "$work/b/repro.json"
    refuse 2 "$1" verify "$work/b"
}
broken 'format: found' 's/tintype-repro/tintype-other/'
broken 'version: found' 's/"version": 1/"version": 2/'
broken "nodes[0]" 's/"problem": "conv2d n[0-9]*/"problem": "conv2d x1/'
broken "expected a node alone" 's/+bias/+bias +residual/'
broken "input 0: found" 's/"problem": "conv2d n\([0-9]*\) c\([0-9]*\) h[0-9]*/"problem": "conv2d n\1 c\2 h9/'
broken "'nowhere': found none" 's/"output": "[^"]*"/"output": "nowhere"/'
rm -rf "$work/b"
cp -r "$work/repro" "$work/b"
head -c 200 "$work/repro/repro.safetensors" >"$work/b/repro.safetensors"
refuse 2 "repro.safetensors" verify "$work/b"
rm "$work/b/repro.safetensors"
refuse 2 "repro.safetensors" verify "$work/b"

finish
