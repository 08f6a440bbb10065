#!/bin/sh
# SPDX-License-Identifier: MIT
# Recordings of version 2 that are broken: `tintype verify` names file and entry, found and expected, with exit status
# 2, and never hangs. Those of version 1 are in check_hostile.sh.
. tests/cli.sh
$tintype record -m $model -p lighthouse --steps 1 -W 16 -H 16 --quiet -o "$work/whole" || exit 3
$tintype record -m $model -p lighthouse --steps 1 -W 64 -H 64 --quiet --statistics -o "$work/statistics" || exit 3
list=$work/r/recording.json entries=$work/r/00001.unet.json values=$work/r/00001.unet.safetensors

fresh() { rm -rf "$work/r" && cp -r "$work/${1:-whole}" "$work/r"; }
refused() { # refused MESSAGE [OPTION]...: of the copy
    message=$1
    shift
    timeout 60 $tintype verify -m $model "$work/r" "$@" >/dev/null 2>"$work/err"
    status=$?
    [ $status = 2 ] && grep -qF -- "$message" "$work/err"
    result=$?
    [ $result = 0 ] || { echo "exit $status, expected 2 '$message':"; head -c 600 "$work/err"; }
    check "$message" $result
}
edit() { fresh && sed -i "$2" "$work/r/$1" && refused "$3"; } # edit FILE SED-SCRIPT MESSAGE

fresh && $tintype verify -m $model "$work/r" >"$work/log" 2>&1; check "as it was recorded it agrees" $?

# ---- the list of calls ----
edit recording.json 's/"version": 2/"version": 4/' 'recording.json: version: found 4, expected'
edit recording.json 's/"calls": \[/"calls": [], "more": [/' 'recording.json: calls: found'
edit recording.json 's/"calls": \[/"calls": [3, /' 'recording.json: calls[0].part: found nothing, expected a name'
edit recording.json '0,/"part": "unet"/s//"part": 3/' 'calls[1].part: found 3, expected a name'
edit recording.json '0,/"call": 0/s//"call": -1/' 'calls[0].call: found -1, expected a whole number'
edit recording.json '0,/"part": "scheduler"/s//"part": "unet"/' \
    'calls[2].call: found 0, expected a larger number than that of the part'
edit recording.json '0,/"step": 0/s//"step": "0"/' 'calls[1].step: found "0", expected a whole number'
edit recording.json '0,/"tensors": 578/s//"tensors": 0/' 'calls[1].tensors: found 0, expected a list of tensors'
edit recording.json '0,/"tensors": 578/s//"tensors": 577/' \
    '00001.unet.json: tensors: found a list of 578, expected a list of 577'
edit recording.json '0,/"manifest": "00001.unet.json"/s//"manifest": 1/' 'calls[1].manifest: found 1, expected a name'
edit recording.json '0,/"manifest": "00001.unet.json"/s//"manifest": "00002.scheduler.json"/' \
    '00002.scheduler.json: part: found "scheduler", expected unet, as in recording.json'
edit recording.json 's/"precision": "F32"/"precision": "F31"/' 'precision: found "F31", expected a type'
edit recording.json 's/"whole": true/"whole": 1/' 'recording.json: whole: found 1, expected'
edit recording.json 's/"values": "tensors"/"values": "some"/' 'recording.json: values: found "some", expected'
edit recording.json 's/"seed": 0/"seed": 0.5/' 'settings.seed: found 0.5, expected a whole number'
edit recording.json 's/"seed": 0/"seed": "0x"/' 'settings.seed: found "0x", expected a whole number'
edit recording.json 's/"scheduler_options": {}/"scheduler_options": 7/' \
    'settings.scheduler_options: found 7, expected an object'
edit recording.json 's/"prompt": "lighthouse"/"prompt": 7/' 'settings.prompt: found 7, expected a text'
fresh && printf '{"format": "tintype-recording"' >"$list" && refused 'recording.json: invalid JSON'
fresh && truncate -s 3G "$list" && refused 'recording.json: '
fresh && rm "$list" && mkfifo "$list" && refused 'recording.json: '

# ---- files: missing, of another place ----
fresh && rm "$values" && refused '00001.unet.safetensors: '
fresh && rm "$entries" && refused '00001.unet.json: '
fresh && rm "$work/r/weights.json" && refused 'weights.json: '
for name in ../whole/00001.unet.safetensors /etc/passwd a/../../x; do
    edit recording.json "0,/\"file\": \"00001.unet.safetensors\"/s||\"file\": \"$name\"|" \
        "the file name \"$name\" leaves the folder"
done
edit recording.json '0,/"manifest": "00001.unet.json"/s||"manifest": "../whole/00001.unet.json"|' 'leaves the folder'
edit recording.json 's|"weights": "weights.json"|"weights": "../whole/weights.json"|' 'leaves the folder'
for file in 00001.unet.safetensors 00001.unet.json weights.json recording.json; do
    fresh && ln -sf "$work/whole/$file" "$work/r/$file" && refused \
        "$file: found a link that leads outside the folder, to "
done
fresh && mv "$values" "$work/r/moved" && ln -s moved "$values" && $tintype verify -m $model "$work/r" >"$work/log" 2>&1
check "a link inside the folder is followed" $?
fresh && rm "$values" && mkfifo "$values" && refused '00001.unet.safetensors: '
fresh && rm "$values" && mkdir "$values" && refused '00001.unet.safetensors: '

# ---- entries ----
edit 00001.unet.json '3s/"name":"[^"]*"/"name":"sample"/' 'tensors[1].name: found "sample", expected each name once'
edit 00001.unet.json 's/"name":"conv_in"/"name":"time_proj"/' '.name: found "time_proj", expected each name once'
edit 00001.unet.json 's/"call":0/"call":1/' '00001.unet.json: call: found 1, expected 0, as in recording.json'
edit 00001.unet.json '/"name":"conv_in"/s/"stored":"conv_in"/"stored":"conv_inn"/; s/"name":"conv_in"/"name":"conv_inn"/' \
    "00001.unet.safetensors: tensor 'conv_inn' is missing; expected shape (2, 12, 2, 2)"
edit 00001.unet.json '/"name":"conv_in"/s/"shape":\[2,12,/"shape":[2,13,/' \
    "tensor 'conv_in': found shape (2, 12, 2, 2), expected (2, 13, 2, 2), the shape of 'conv_in'"
edit 00001.unet.json '/"name":"conv_in"/s/"dtype":"F32"/"dtype":"F99"/' 'dtype: found "F99", expected a type'
edit 00001.unet.json '/"name":"conv_in"/s/"inputs":\["sample"\]/"inputs":[7]/' \
    'inputs: found a list of 1, expected a list of names'
edit 00001.unet.json '/"name":"conv_in"/s/"maxabs":[^}]*/"maxabs":-1/' 'maxabs: found -1, expected a number from 0'
edit 00001.unet.json '/"name":"conv_in"/s/"maxabs":/"err32":"x","maxabs":/' 'err32: found "x", expected a number from 0'
edit 00001.unet.json '/"name":"conv_in"/s/"maxabs":/"drift32":1e300,"maxabs":/' \
    'drift32: found 1e+300, expected a number from 0'
fresh && head -c 3000 "$work/whole/00001.unet.json" >"$entries" && refused '00001.unet.json: invalid JSON'

# ---- values ----
fresh && head -c 3000 "$work/whole/00001.unet.safetensors" >"$values" && refused '00001.unet.safetensors: '
fresh && head -c -4 "$work/whole/00001.unet.safetensors" >"$values" && refused '00001.unet.safetensors: '
fresh && truncate -s +1T "$values" 2>/dev/null && refused '00001.unet.safetensors: '
fresh && : >"$values" && refused '00001.unet.safetensors: found 0 bytes'
fresh && { printf '\377\377\377\377\377\377\377\177'; tail -c +9 "$work/whole/00001.unet.safetensors"; } >"$values" &&
    refused '00001.unet.safetensors: '
size=$(stat -c %s "$work/whole/00001.unet.safetensors")
fresh && printf '\0\0\300\177' | dd of="$values" bs=1 seek=$((size - 4)) conv=notrunc 2>/dev/null &&
    refused "00001.unet.safetensors: tensor "
grep -qE "'(conv_)?out': found nan at element [0-9]+, expected finite numbers" "$work/err"; check \
    "what is not finite is told" $?

# ---- statistics ----
some='/"name":"conv_in"/'
in=00001.unet.json
change() { # change SED-COMMAND MESSAGE: in the statistics of conv_in
    fresh statistics && sed -i "$some$1" "$work/r/$in" && refused "$2"
}
fresh statistics && $tintype verify -m $model "$work/r" >"$work/log" 2>&1; check "statistics agree" $?
change 's/"quantiles":\[/&0,/' 'statistics.quantiles: found a list of 18, expected 17 finite numbers'
change 's/"quantiles":\[[^,]*/"quantiles":[null/' 'statistics.quantiles: found a list of 17, expected 17 finite numbers'
change 's/"mean":[^,]*,//' 'statistics.mean: found nothing, expected a finite number'
change 's/"std":[^,]*/"std":"1"/' 'statistics.std: found "1", expected a finite number'
change 's/"l2":/"not_finite":99999999,"l2":/' 'not_finite: found 99999999, expected at most as many as the tensor has'
change 's/"l2":/"not_finite":1,"l2":/' "tensor 'conv_in': found nan at element"
change 's/"statistics":/"none":/' "tensor 'conv_in': found shape (256), expected (2, 12, 8, 8), the shape of 'conv_in'"

# ---- weights ----
edit weights.json '0,/"part": "text_encoder"/s//"part": "text"/' 'weights[0].part: found "text", expected text_encoder'
edit weights.json '0,/"sha256": "[^"]*"/s//"sha256": "12"/' \
    'weights[0].sha256: found "12", expected 64 hexadecimal digits'
edit weights.json '0,/"mean": [^,]*/s//"mean": "0"/' 'weights[0].mean: found "0", expected a number'
edit weights.json '0,/"sample": \[[^,]*,/s//"sample": [/' 'weights[0].sample: found a list of 15, expected 16 numbers'
edit weights.json '0,/"shape": \[[^]]*/s//"shape": [0/' 'weights[0].shape: found a list of 1, expected a list'
edit weights.json 's/"name": "conv_in.bias"/"name": "conv_in.weight"/' \
    '.name: found "conv_in.weight", expected each name once'
fresh && echo '{"a": 1}' >"$work/r/weights.json" && refused \
    'weights.json: found {"weights":{"a":1}}, expected a list of weights'

# ---- names that the model lacks, or that are missing ----
sed_names() { sed -i "s/\"$1\"/\"$2\"/g" "$entries" "$values"; } # of the same length: the header's stays
fresh && sed_names down_blocks.0.resnets.1.conv1 down_block5.0.resnets.1.conv1 &&
    refused "'down_block5.0.resnets.1.conv1': found 1 that unet of $model lacks, expected modules of it; nearest to" &&
    grep -qF "nearest to this: 'down_blocks.0.resnets.1.conv1' (--names gives others to modules)" "$work/err"
check "and what may be meant" $?
fresh && sed -i '/"name":"conv_act"/d' "$entries" && sed -i '0,/"tensors": 578/s//"tensors": 577/' "$list" &&
    $tintype verify -m $model "$work/r" --part unet >"$work/log" 2>&1
grep -qF "in the model, but not recorded: conv_act" "$work/log"; check "a module that is not recorded is told" $?

# ---- of another model ----
timeout 60 $tintype verify -m reference/tiny/sd21 "$work/whole" >/dev/null 2>"$work/err"
[ $? = 2 ] && grep -qF "text_encoder.safetensors: tensor 'embeddings.token_embedding': found shape (2, 77, 24), expected" \
    "$work/err"
check "another model" $?
finish
