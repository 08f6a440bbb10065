#!/bin/sh
# SPDX-License-Identifier: MIT
# tintype verify on the shipped recordings and on copies with one thing changed: exit codes, what it names, and the
# same output on every instruction set and thread count. Broken recordings are in check_hostile.sh.
. tests/cli.sh
golden=reference/golden

verify() { $tintype verify "$@" 2>"$work/err"; }
verb=verify

# ---- what agrees ----
for recording in sd15/square sd15/token sd21/odd sd21/wide wide/small wide/tall lcm/square ddpm/wide ddim/tall; do
    expect "verify $recording" 0 "unet: " -- -m reference/tiny/${recording%/*} $golden/$recording
    ! grep -qE 'DIFFER|not in the model|not recorded' "$work/log"; check "$recording: nothing differs or lacks" $?
done
expect "every part" 0 "text: 49 compared, all within the limit (most: 0.432 times the limit, " \
    "unet: 572 compared, all within the limit" "vae-encode: 81 compared" "vae-decode: 113 compared" \
    "limit: at most 10 times the recorded error (err32)" "limit: at most 3 times" "verdict: agrees: 815 tensors" \
    "  left out: 3 (" -- -m $model $golden/sd15/square
cp "$work/log" "$work/whole"
number=' +[0-9.e-]+'
grep -qE "^down_blocks\\.0\\.resnets\\.1 +\\(2, 12, 4, 4\\)$number$number$number$number  ok\$" "$work/whole" &&
    grep -qE '^mean +\(1, 4, 2, 3\) .* ok$' "$work/whole" && grep -qE '^time_proj .* ok$' "$work/whole" &&
    grep -qE '^up_blocks\.0\.resnets\.0\.norm1\.in .* ok$' "$work/whole"
check "rows of the table" $?
for how in "--cpu scalar" "--threads 1" "--threads 3"; do
    verify -m $model $golden/sd15/square $how | cmp -s - "$work/whole"; check "same output with $how" $?
done
expect "--quiet" 0 "unet: 572 compared" -- -m $model $golden/sd15/square --quiet
[ "$(wc -l <"$work/log")" = 7 ]; check "--quiet: no table" $?
expect "--part" 0 "vae-decode: 113 compared" "text: 49 compared" -- -m $model $golden/sd15/square \
    --part vae-decode --part text --part text
! grep -q -e '^unet:' -e '^vae-encode:' "$work/log" && [ "$(grep -c '^text: .*compared' "$work/log")" = 1 ]
check "--part: no other, none twice" $?
expect "--conv direct" 0 "at most 3 times" "all within the limit" \
    -- -m $model $golden/sd15/square --conv direct --part unet
expect "--json" 0 '"agrees": true' '"conv": "auto"' '"part": "unet"' '"factor": 10.0' '"compared": 572' '"differ": 0' \
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
rm -rf "$work/f"
cp -r "$work/r" "$work/f"
expect "one value changed" 1 "FIRST TO DIFFER: $conv (Conv2d) of unet: " "  at (0, 0, 0, 0): ours " ", recorded 42; " \
    "unet: 572 compared, 1 DIFFER (most: " "tintype verify: unet: '$conv' is the first of 1 tensors that differ" \
    "text: 49 compared, all within" -- -m $model "$work/r"
grep -qE "^$conv .* DIFFERS\$" "$work/log" && [ "$(grep -c 'DIFFERS$' "$work/log")" = 1 ]; check "its row alone" $?
expect "the same, another part" 0 "text: 49 compared" -- -m $model "$work/r" --part text
expect "the same, --quiet" 1 "FIRST TO DIFFER: $conv" -- -m $model "$work/r" --quiet
[ "$(grep -c '^[a-z_]*blocks' "$work/log")" = 1 ]; check "the same, --quiet: its row" $?
expect "the same, --json" 1 '"agrees": false' '"differ": 1' "\"first\": \"$conv\"" '"agrees": true' \
    -- -m $model "$work/r" --json
expect "the same, a large factor" 0 "at most 1e+12 times" -- -m $model "$work/r" --factor 1e12 --all
change "$work/r/unet.safetensors" conv_in '\000\000\050\102'
expect "an earlier one changed, too" 1 "FIRST TO DIFFER: conv_in (Conv2d)" "first of 2 tensors" -- -m $model "$work/r"
expect "--factor" 1 "text: 49 compared, " "at most 1 times" -- -m $model $golden/sd15/square --factor 1
expect "--factor 0" 1 "at most 0 times" -- -m $model $golden/sd15/square --factor 0 --part text

# The weights of another model of the same shape: every layer from the first on.
rm -rf "$work/m"
cp -r $model "$work/m"
weights=$work/m/unet/diffusion_pytorch_model.safetensors
change "$weights" down_blocks.1.resnets.0.conv1.weight '\000\000\200\077' # 1
expect "one weight changed" 1 "FIRST TO DIFFER: down_blocks.1.resnets.0.conv1 (Conv2d)" -- -m "$work/m" \
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
expect "a port's recording" 0 "text: 2 compared" "  in the model, but not recorded: embeddings.token_embedding, " \
    " more" -- -m $model "$work/r"
change "$work/r/text_encoder.safetensors" final_layer_norm '\000\000\050\102'
expect "a port's recording, one value off" 1 "FIRST TO DIFFER: final_layer_norm" -- -m $model "$work/r"
port "{\"name\": \"layer.0\", \"type\": \"Own\", \"shape\": [2, 77, 24], $values}"
expect "a name that the model lacks" 2 "  recorded, but not in the model: layer.0" \
    "tensor 'layer.0': found 1 that text of reference/tiny/sd15 lacks" -- -m $model "$work/r"
expect "the same, --json" 2 '"agrees": false' '"layer.0"' -- -m $model "$work/r" --json
port "{\"name\": \"encoder.layers.0.mlp\", \"type\": \"MLP\", \"shape\": [2, 24, 77], $values}"
expect "another order of axes" 2 \
    "text_encoder.safetensors: tensor 'encoder.layers.0.mlp': found shape (2, 24, 77), expected (2, 77, 24)" \
    -- -m $model "$work/r"
port "{\"name\": \"e\", \"type\": \"input\", \"shape\": [2, 77, 24], $values}"
expect "an input that the model does not take" 2 "input 'e': found it, expected one of input_ids of text" \
    -- -m $model "$work/r"
port "{\"name\": \"own\", \"type\": \"Own\", \"shape\": [2, 77, 24], $values}"
sed -i '/"encoder.layers.0.mlp.fc2", "type"/s/{[^}]*}, //' "$work/r/recording.json"
expect "nothing that the model has" 2 "text_encoder.safetensors: found no tensor to compare, expected modules of text" \
    -- -m $model "$work/r"

# ---- the order of execution is the model's ----
# Entries sorted by name, as json.dump(sort_keys) or a dictionary may leave them: the same module is the first.
copy $golden/sd15/square
sort_entries() { # the unet's entries alone, by name
    { echo '{"format": "tintype-recording", "version": 1, "parts": [{"part": "unet", "file": "unet.safetensors",
        "tensors": ['
      sed -n '/"part": "unet"/,/"part": "vae/p' "$1" | grep '^ *{"name"' | sed 's/,$//; s/\]}$//' | sort |
        sed '$!s/$/,/'
      echo ']}]}'; } >"$work/r/sorted.json"
    mv "$work/r/sorted.json" "$1"
}
sort_entries "$work/r/recording.json"
expect "sorted by name" 0 "unet: 572 compared, all within the limit" -- -m $model "$work/r"
change "$work/r/unet.safetensors" time_embedding.linear_1 '\000\000\050\102'
change "$work/r/unet.safetensors" conv_in '\000\000\050\102'
change "$work/r/unet.safetensors" conv_norm_out '\000\000\050\102'
expect "sorted by name: the first that runs" 1 "FIRST TO DIFFER: time_embedding.linear_1 (Linear) of unet" \
    "first of 3 tensors that differ" -- -m $model "$work/r"
grep -A 3 '^the worst, ' "$work/log" | grep -q '^  conv_in .* times, difference '; check "the worst" $?
cut -d' ' -f1 "$work/log" | grep -nE '^(time_embedding.linear_1|conv_in|conv_norm_out)$' >"$work/order"
[ "$(sed 's/.*://' "$work/order" | tr '\n' ' ')" = "time_embedding.linear_1 conv_in conv_norm_out " ]
check "rows in the order of execution" $?

# ---- a NaN is a row ----
copy $golden/sd15/square
rm -rf "$work/m"
cp -r $model "$work/m"
change "$work/m/unet/diffusion_pytorch_model.safetensors" up_blocks.0.resnets.0.conv1.bias '\000\000\200\177' # infinity
expect "a weight that is infinite" 2 "conv1.bias': found inf at element 0" -- -m "$work/m" "$work/r" --part unet
change "$work/m/unet/diffusion_pytorch_model.safetensors" up_blocks.0.resnets.0.conv1.bias '\000\000\000\000'
change "$work/m/unet/diffusion_pytorch_model.safetensors" up_blocks.0.resnets.0.norm1.weight '\377\377\177\177' # 3.4e38
expect "NaN in our run" 1 "FIRST TO DIFFER: up_blocks.0.resnets.0.norm1 (GroupNorm)" "(ours: " " NaN, " \
    "vae-decode: 113 compared, all within the limit" "conv_out " -- -m "$work/m" "$work/r"
change "$work/r/unet.safetensors" $conv '\000\000\300\177' # NaN
expect "NaN in the recording" 2 "(recorded: 1 NaN, 0 Inf)" "unet: 572 compared, 1 DIFFER" "verdict: not comparable" \
    "unet.safetensors: tensor '$conv': found nan at element 0, expected finite numbers" -- -m $model "$work/r"

# ---- in isolation ----
expect "--isolated" 0 "unet: 572 compared, all within the limit" "of the module alone" \
    -- -m $model $golden/sd15/square --isolated
# One weight changed: end to end all that follows differs, alone that module, and those made of it.
rm -rf "$work/m"
cp -r $model "$work/m"
change "$work/m/unet/diffusion_pytorch_model.safetensors" down_blocks.1.resnets.0.conv1.weight '\000\000\200\077' # 1
expect "one weight changed, end to end" 1 "FIRST TO DIFFER: down_blocks.1.resnets.0.conv1 (Conv2d)" \
    -- -m "$work/m" $golden/sd15/square --part unet --quiet
[ "$(grep -c 'DIFFERS$' "$work/log")" -gt 300 ]; check "end to end: all that follows" $?
expect "one weight changed, in isolation" 1 "FIRST TO DIFFER: down_blocks.1.resnets.0.conv1 (Conv2d)" \
    "unet: 572 compared, 1 DIFFER" -- -m "$work/m" $golden/sd15/square --part unet --quiet --isolated
for how in "--cpu scalar" "--threads 1" "--threads 3"; do
    verify -m "$work/m" $golden/sd15/square --isolated $how >"$work/again"
    verify -m "$work/m" $golden/sd15/square --isolated | cmp -s - "$work/again"
    check "--isolated: same output with $how" $?
done

# ---- tolerances ----
expect "--tolerance f16" 0 "what rounding to f16 explains" "limit L2" "unet: 572 compared, all within" \
    -- -m $model $golden/sd15/square --tolerance f16
expect "--tolerance bf16 lets a fault through that is smaller than its rounding, no larger one" 1 \
    "FIRST TO DIFFER: $conv" -- -m $model "$work/f" --tolerance bf16
expect "--rtol --atol" 0 "0.001 |recorded| + 1e-05, element by element" \
    -- -m $model $golden/sd15/square --rtol 1e-3 --atol 1e-5
expect "--rtol alone" 1 "FIRST TO DIFFER: " "1e-07 |recorded| + 0," -- -m $model $golden/sd15/square --rtol 1e-7
expect "--rtol and --tolerance" 2 "--rtol, --atol: found them with --tolerance" \
    -- -m $model $golden/sd15/square --rtol 1e-3 --tolerance f16
expect "--tolerance unknown" 2 "--tolerance: found 'f8', expected err32, f16 or bf16" \
    -- -m $model $golden/sd15/square --tolerance f8
expect "--factor with f16" 2 "--factor: found it with --tolerance f16" \
    -- -m $model $golden/sd15/square --tolerance f16 --factor 2
expect "--isolated --weights-only" 2 "--isolated: found it with --weights-only" \
    -- -m $model $golden/sd15/square --isolated --weights-only
expect "--weights-only without any" 2 "weights: found none, expected them for --weights-only" \
    -- -m $model $golden/sd15/square --weights-only
expect "--json: details where it differs" 1 '"format": "tintype-verification"' '"mode": "isolated"' '"times": ' \
    '"cosine": ' '"sqnr": ' '"max_relative": ' '"ulp": ' '"decades": ' '"recorded": 42.0' '"worst": ' \
    '"verdict": "DIFFERS: unet: ' -- -m $model "$work/f" --isolated --json
# What is made of the wrong value, which is fed on, differs from what was recorded.
[ "$(grep -c '"decades": ' "$work/log")" = 2 ] && [ "$(grep -c '"agrees": false' "$work/log")" = 3 ]
check "--json: no details where it agrees" $?
expect "--all" 0 '"decades": ' -- -m $model $golden/sd15/square --part text --all --json
[ "$(grep -c '"decades": ' "$work/log")" = 49 ]; check "--all: details everywhere" $?

# ---- names of another port ----
copy $golden/sd15/square
sed -i 's/"name": "\(down_blocks\.[^"]*\)"/"name": "enc.\1"/; s/"name": "conv_in"/"name": "stem"/
    s/"name": "sample", "type": "input"/"name": "x", "type": "input"/' "$work/r/recording.json"
expect "other names" 2 "input 'x': found it" -- -m $model "$work/r" --part unet
names() { printf '%s' "$1" >"$work/map.json"; }
names '{"names": {"x": "sample", "stem": "conv_in"}, "prefixes": {"enc.down_": "down_"}}'
expect "--names" 0 "unet: 572 compared, all within the limit" "enc.down_blocks.0.resnets.1.conv1 " "stem " \
    -- -m $model "$work/r" --part unet --names "$work/map.json"
! grep -q 'not in the model\|not recorded' "$work/log"; check "--names: nothing is missing" $?
names '{"names": {"x": "sample", "stem": "conv_in", "tail": "conv_out"}, "prefixes": {"enc.": ""}}'
expect "--names: unknown there" 2 "map.json: names: found 'tail', which no recorded tensor is called" \
    -- -m $model "$work/r" --part unet --names "$work/map.json"
names '{"names": {"x": "sample", "stem": "conv_inn"}, "prefixes": {"enc.": ""}}'
expect "--names: unknown here" 2 "'stem': found 'conv_inn', which no module or input of the model is called" \
    -- -m $model "$work/r" --part unet --names "$work/map.json"
names '{"names": {"x": "sample"}, "prefixes": {"dec.": "up_"}}'
expect "--names: a prefix that nobody has" 2 "prefixes: found 'dec.', which no recorded tensor begins with" \
    -- -m $model "$work/r" --part unet --names "$work/map.json"
names '{"names": {"x": 1}}'
expect "--names: no text" 2 "names: 'x': found no text" -- -m $model "$work/r" --names "$work/map.json"
names '{"modules": {}}'
expect "--names: another key" 2 "found key 'modules', expected names or prefixes" -- -m $model "$work/r" \
    --names "$work/map.json"
names '{'
expect "--names: no JSON" 2 "map.json: line 1" -- -m $model "$work/r" --names "$work/map.json"
expect "--names: no file" 2 "nowhere.json" -- -m $model "$work/r" --names "$work/nowhere.json"
long=$(printf 'x%.0s' $(seq 200))
names "{\"names\": {\"x\": \"sample\", \"stem\": \"conv_in\", \"$long\": \"conv_out\"}, \"prefixes\": {\"enc.\": \"\"}}"
sed -i "s/\"name\": \"conv_out\"/\"name\": \"$long\"/" "$work/r/recording.json"
expect "a long name" 0 "$long " -- -m $model "$work/r" --part unet --names "$work/map.json"
[ "$(grep '  ok$' "$work/log" | sed 's/^\(.*\) ([0-9, ]*) .*/\1/' | awk '{print length($0)}' | sort -u | wc -l)" = 1 ]
check "long names break no columns" $?

# ---- two files ----
file=$model/unet/diffusion_pytorch_model.safetensors
cp "$file" "$work/a.safetensors"
expect "two files" 0 "496 tensors, 0 differ" -- "$file" "$work/a.safetensors"
change "$work/a.safetensors" conv_in.bias '\000\000\050\102'
expect "two files, one value" 1 "496 tensors, 1 differ" "conv_in.bias " "element 0: " " and 42" \
    -- "$file" "$work/a.safetensors"
expect "two files, --json" 1 '"format": "tintype-tensors-compared"' '"differ": 1' '"element": 0' \
    -- "$file" "$work/a.safetensors" --json
expect "two files, within --atol" 0 "0 differ" -- "$file" "$work/a.safetensors" --atol 50
expect "two files of other tensors" 1 "only in A" "only in B" -- "$file" $golden/sd15/square/text_encoder.safetensors
expect "two files, one missing" 2 "nowhere.safetensors" -- "$file" "$work/nowhere.safetensors"

# ---- what cannot be compared ----
expect "another model" 2 "tintype verify: $golden/sd21/wide/unet.safetensors: input 'sample': found F32" \
    "of shape (1, 3, 6, 10), expected F32 of shape (N, 4, H, W) for unet of $model" \
    -- -m $model $golden/sd21/wide --part unet
expect "another kind of model" 2 "text: found no such part" -- -m reference/tiny/ddpm $golden/sd15/square
expect "another kind of recording" 2 "input 'encoder_hidden_states': found none, expected F32 of shape (2, T, 24)" \
    -- -m $model $golden/ddpm/wide
expect "no such model" 2 "nowhere" -- -m nowhere $golden/sd15/square
expect "no recording" 2 "usage: tintype verify" -- -m $model
expect "--part unknown" 2 "--part: found 'tail', expected text, text-2, unet" -- \
    -m $model $golden/sd15/square --part tail
expect "--part not recorded" 2 "parts: found none of text, for --part" -- -m reference/tiny/ddpm $golden/ddpm/wide \
    --part text
expect "--factor below 0" 2 "--factor: found '-1', expected 0 to 1e+30" -- -m $model $golden/sd15/square --factor=-1
expect "--conv unknown" 2 "--conv: found 'fft'" -- -m $model $golden/sd15/square --conv fft
expect "--help" 0 "usage: tintype verify" "--factor F" "A RECORDING is a folder" "reference/record.py --pipeline" \
    "tintype record" "--json prints: format" -- --help
$tintype --help | grep -q '^  verify  *compare'; check "in the list of verbs" $?

finish
