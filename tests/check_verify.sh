#!/bin/sh
# SPDX-License-Identifier: MIT
# tintype verify on the shipped recordings and on copies with one thing changed: exit codes, what it names, and the
# same output on every instruction set and thread count. Broken recordings are in check_hostile.sh.
. tests/cli.sh
golden=reference/golden

verify() { $tintype verify "$@" 2>"$work/err"; }
# run NAME EXIT TEXT... -- ARGUMENT...: the exit status, and each text in the output or the message.
run() {
    name=$1 code=$2
    shift 2
    : >"$work/texts"
    while [ "$1" != -- ]; do printf '%s\n' "$1" >>"$work/texts"; shift; done
    shift
    verify "$@" >"$work/log"
    status=$?
    [ $status = "$code" ]
    result=$?
    while read -r text; do
        grep -qF -- "$text" "$work/log" "$work/err" || { echo "lacks: $text"; result=1; }
    done <"$work/texts"
    [ $result = 0 ] || { echo "exit $status, expected $code:"; tail -n 5 "$work/log"; cat "$work/err"; }
    check "$name" $result
}

# ---- what agrees ----
for recording in sd15/square sd15/token sd21/odd sd21/wide wide/small wide/tall lcm/square ddpm/wide ddim/tall; do
    run "verify $recording" 0 "unet: " -- -m reference/tiny/${recording%/*} $golden/$recording
    ! grep -qE 'DIFFER|not in the model|not recorded' "$work/log"; check "$recording: nothing differs or lacks" $?
done
run "every part" 0 "text: 49 compared, all within 3 times err32 (most: 1.07, encoder.layers.0.self_attn.out_proj.in)" \
    "unet: 572 compared, all within 10 times err32" "vae-encode: 81 compared" "vae-decode: 113 compared" \
    "  left out: 3 (" -- -m $model $golden/sd15/square
cp "$work/log" "$work/whole"
grep -qE '^down_blocks\.0\.resnets\.1 +\(2, 12, 4, 4\) +[0-9.e-]+ +[0-9.e-]+ +[0-9.e-]+  ok$' "$work/whole" &&
    grep -qE '^mean +\(1, 4, 2, 3\) .* ok$' "$work/whole" && grep -qE '^time_proj .* ok$' "$work/whole" &&
    grep -qE '^up_blocks\.0\.resnets\.0\.norm1\.in .* ok$' "$work/whole"
check "rows of the table" $?
for how in "--cpu scalar" "--threads 1" "--threads 3"; do
    verify -m $model $golden/sd15/square $how | cmp -s - "$work/whole"; check "same output with $how" $?
done
run "--quiet" 0 "unet: 572 compared" -- -m $model $golden/sd15/square --quiet
[ "$(wc -l <"$work/log")" = 6 ]; check "--quiet: no table" $?
run "--part" 0 "vae-decode: 113 compared" "text: 49 compared" -- -m $model $golden/sd15/square \
    --part vae-decode --part text --part text
! grep -q -e '^unet:' -e '^vae-encode:' "$work/log" && [ "$(grep -c '^text: .*compared' "$work/log")" = 1 ]
check "--part: no other, none twice" $?
run "--conv direct" 0 "all within 3 times err32" -- -m $model $golden/sd15/square --conv direct --part unet
run "--json" 0 '"agrees": true' '"conv": "auto"' '"part": "unet"' '"factor": 10.0' '"compared": 572' '"differ": 0' \
    '"first": null' '"not_in_model": []' '"not_recorded": []' '"name": "down_blocks.0.resnets.1.conv1"' '"err32": ' \
    '"difference": ' '"times": ' -- -m $model $golden/sd15/square --json
[ "$(grep -c '^{' "$work/log")" = 1 ] && [ "$(grep -c '"part":' "$work/log")" = 4 ] &&
    [ "$(grep -c '"difference":' "$work/log")" = $((49 + 572 + 81 + 113)) ]
check "--json: one object, every tensor" $?

# ---- what differs ----
copy() { rm -rf "$work/r" && cp -r "$1" "$work/r"; }
# change FILE TENSOR OCTAL-BYTES: the first value of a tensor becomes these four bytes.
change() {
    length=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    begin=$(head -c $((length + 8)) "$1" | tail -c +9 |
        sed 's/.*"'"$(printf %s "$2" | sed 's/\./\\./g')"'":{[^}]*"data_offsets":\[\([0-9]*\),.*/\1/')
    printf "$3" | dd of="$1" bs=1 seek=$((length + 8 + begin)) conv=notrunc 2>/dev/null
}
conv=down_blocks.0.resnets.1.conv1
copy $golden/sd15/square
change "$work/r/unet.safetensors" $conv '\000\000\050\102' # 42
run "one value changed" 1 "  FIRST TO DIFFER: $conv (Conv2d): " ", recorded 42, at (0, 0, 0, 0)" \
    "unet: 572 compared, 1 DIFFER (most: " "tintype verify: unet: '$conv' is the first of 1 tensors that differ" \
    "text: 49 compared, all within" -- -m $model "$work/r"
grep -qE "^$conv .* DIFFERS\$" "$work/log" && [ "$(grep -c 'DIFFERS$' "$work/log")" = 1 ]; check "its row alone" $?
run "the same, another part" 0 "text: 49 compared" -- -m $model "$work/r" --part text
run "the same, --quiet" 1 "FIRST TO DIFFER: $conv" -- -m $model "$work/r" --quiet
[ "$(grep -c '^[a-z_]*blocks' "$work/log")" = 1 ]; check "the same, --quiet: its row" $?
run "the same, --json" 1 '"agrees": false' '"differ": 1' "\"first\": \"$conv\"" '"agrees": true' \
    -- -m $model "$work/r" --json
run "the same, a large factor" 0 "all within 1e+12 times" -- -m $model "$work/r" --factor 1e12
change "$work/r/unet.safetensors" conv_in '\000\000\050\102'
run "an earlier one changed, too" 1 "FIRST TO DIFFER: conv_in (Conv2d)" "first of 2 tensors" -- -m $model "$work/r"
run "--factor" 1 "text: 49 compared, " "at most 1 times" -- -m $model $golden/sd15/square --factor 1
run "--factor 0" 1 "at most 0 times" -- -m $model $golden/sd15/square --factor 0 --part text

# The weights of another model of the same shape: every layer from the first on.
rm -rf "$work/m"
cp -r $model "$work/m"
weights=$work/m/unet/diffusion_pytorch_model.safetensors
change "$weights" down_blocks.1.resnets.0.conv1.weight '\000\000\200\077' # 1
run "one weight changed" 1 "FIRST TO DIFFER: down_blocks.1.resnets.0.conv1 (Conv2d)" -- -m "$work/m" \
    $golden/sd15/square

# ---- what a port may leave out, and what it may not ----
# A recording with nothing but names, types, shapes and values: two modules of a text encoder.
copy $golden/sd15/square
values='"stored": "encoder.layers.0.mlp.fc2"'
port() { # port ENTRY...: recording.json of a text encoder, these beside its input and one module
    { printf '%s' '{"format": "tintype-recording", "version": 1, "parts": [{"part": "text_encoder", "file":
        "text_encoder.safetensors", "tensors": [{"name": "input_ids", "type": "input", "shape": [2, 77]},
        {"name": "encoder.layers.0.mlp.fc2", "type": "Linear", "shape": [2, 77, 24]}'
      printf ', %s' "$@"
      echo ']}]}'; } >"$work/r/recording.json"
}
port "{\"name\": \"final_layer_norm\", \"type\": \"LayerNorm\", \"shape\": [2, 77, 24], \"err32\": null, $values}"
run "a port's recording" 0 "text: 2 compared" "  in the model, but not recorded: embeddings.token_embedding, " \
    " more" -- -m $model "$work/r"
change "$work/r/text_encoder.safetensors" final_layer_norm '\000\000\050\102'
run "a port's recording, one value off" 1 "FIRST TO DIFFER: final_layer_norm" -- -m $model "$work/r"
port "{\"name\": \"layer.0\", \"type\": \"Own\", \"shape\": [2, 77, 24], $values}"
run "a name that the model lacks" 2 "  recorded, but not in the model: layer.0" \
    "tensor 'layer.0': found 1 that text of reference/tiny/sd15 lacks" -- -m $model "$work/r"
run "the same, --json" 2 '"agrees": false' '"layer.0"' -- -m $model "$work/r" --json
port "{\"name\": \"encoder.layers.0.mlp\", \"type\": \"MLP\", \"shape\": [2, 24, 77], $values}"
run "another order of axes" 2 \
    "text_encoder.safetensors: tensor 'encoder.layers.0.mlp': found shape (2, 24, 77), expected (2, 77, 24)" \
    -- -m $model "$work/r"
port "{\"name\": \"e\", \"type\": \"input\", \"shape\": [2, 77, 24], $values}"
run "an input that the model does not take" 2 "input 'e': found it, expected one of input_ids of text" \
    -- -m $model "$work/r"
port "{\"name\": \"own\", \"type\": \"Own\", \"shape\": [2, 77, 24], $values}"
sed -i '/"encoder.layers.0.mlp.fc2", "type"/s/{[^}]*}, //' "$work/r/recording.json"
run "nothing that the model has" 2 "text_encoder.safetensors: found no tensor to compare, expected modules of text" \
    -- -m $model "$work/r"

# ---- what cannot be compared ----
run "another model" 2 "tintype verify: $golden/sd21/wide/unet.safetensors: input 'sample': found F32" \
    "of shape (1, 3, 6, 10), expected F32 of shape (N, 4, H, W) for unet of $model" \
    -- -m $model $golden/sd21/wide --part unet
run "another kind of model" 2 "text: found no such part" -- -m reference/tiny/ddpm $golden/sd15/square
run "another kind of recording" 2 "input 'encoder_hidden_states': found none, expected F32 of shape (2, T, 24)" \
    -- -m $model $golden/ddpm/wide
run "no such model" 2 "nowhere" -- -m nowhere $golden/sd15/square
run "no recording" 2 "usage: tintype verify" -- -m $model
run "--part unknown" 2 "--part: found 'tail', expected text, unet" -- -m $model $golden/sd15/square --part tail
run "--part not recorded" 2 "parts: found none of text, for --part" -- -m reference/tiny/ddpm $golden/ddpm/wide \
    --part text
run "--factor below 0" 2 "--factor: found '-1', expected 0 to 1e+30" -- -m $model $golden/sd15/square --factor=-1
run "--conv unknown" 2 "--conv: found 'fft'" -- -m $model $golden/sd15/square --conv fft
run "--help" 0 "usage: tintype verify" "--factor F" -- --help
$tintype --help | grep -q '^  verify  *compare'; check "in the list of verbs" $?

finish
