#!/bin/sh
# SPDX-License-Identifier: MIT
# Hostile input to the whole program: every case must end with exit 2 (3 where the system fails), a message that
# says what is wrong, and nothing left in the output folder.
BUILD=${BUILD:-build}
tintype="$RUN $BUILD/tintype"
model=$PWD/reference/tiny/sd15
work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT
mkdir "$work/out"
# Counted in files: a case at the end of a pipe has its own variables.
: >"$work/passed"; : >"$work/failed"
pass() { echo >>"$work/passed"; }
fail() { echo >>"$work/failed"; echo "FAILED: $*"; }

# expect EXIT MESSAGE ARGUMENT...
expect() {
    code=$1 message=$2
    shift 2
    $tintype "$@" >/dev/null 2>"$work/err"
    status=$?
    if [ $status = "$code" ] && grep -qF -- "$message" "$work/err" && [ -z "$(ls -A "$work/out")" ]; then
        pass
    else
        fail "$*: exit $status, expected $code and '$message':" "$(cat "$work/err")" "$(ls -A "$work/out")"
        rm -rf "$work/out" && mkdir "$work/out"
    fi
}

draw() { # draw EXIT MESSAGE ARGUMENT...
    code=$1 message=$2
    shift 2
    expect "$code" "$message" generate -m "$model" -p x --steps 1 -W 16 -H 16 -o "$work/out/x.png" "$@"
}

# A fresh copy of the model; its files are links, so one is replaced, never written to.
fresh() { rm -rf "$work/m" && cp -rs "$model" "$work/m"; }
broken() { # broken MESSAGE: draws with the copy
    expect 2 "$1" generate -m "$work/m" -p x --steps 1 -W 16 -H 16 -o "$work/out/x.png"
}
without() { # without FILE MESSAGE
    fresh && rm -r "$work/m/$1" && broken "$2"
}
holds() { # holds FILE MESSAGE: standard input becomes the file
    fresh && rm "$work/m/$1" && cat >"$work/m/$1" && broken "$2"
}
changed() { # changed FILE SED-SCRIPT MESSAGE
    sed "$2" "$model/$1" | holds "$1" "$3"
}
# tensors HEADER BYTES MESSAGE: a text encoder with that header before so many zero bytes
tensors() {
    length=$(printf %s "$1" | wc -c)
    { printf "\\$(printf %o $((length % 256)))\\$(printf %o $((length / 256)))\\0\\0\\0\\0\\0\\0"
      printf %s "$1"
      head -c "$2" /dev/zero; } | holds text_encoder/model.safetensors "$3"
}

# noted FILE SED-SCRIPT NOTE: it is drawn all the same, and said so, once
noted() {
    fresh && rm "$work/m/$1" && sed "$2" "$model/$1" >"$work/m/$1"
    said "$3"
}
said() { # said NOTE: of the copy
    $tintype generate -m "$work/m" -p x --steps 1 -W 16 -H 16 -o "$work/noted.png" >/dev/null 2>"$work/err"
    status=$?
    if [ $status = 0 ] && [ "$(grep -cF -- "$1" "$work/err")" = 1 ]; then pass
    else fail "exit $status, expected 0 and once '$1':" "$(cat "$work/err")"; fi
}

# ---- folders ----
expect 2 nowhere generate -m "$work/nowhere" -p x -o "$work/out/x.png"
expect 2 "expected a folder" generate -m README.md -p x -o "$work/out/x.png"
without model_index.json "model_index.json is missing"
without text_encoder/config.json "text_encoder/config.json"
without unet/config.json "unet/config.json"
without vae/config.json "vae/config.json"
without scheduler/scheduler_config.json "scheduler/scheduler_config.json"
without tokenizer/tokenizer.json "found neither tokenizer.json nor vocab.json"
without unet "unet/config.json"
pointer='version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345'
for file in model_index.json unet/config.json vae/diffusion_pytorch_model.safetensors tokenizer/tokenizer.json \
    scheduler/scheduler_config.json; do
    # shellcheck disable=SC2059
    printf "$pointer\n" | holds $file "$file: found a git-lfs pointer, expected the file it stands for"
done
mkdir -p "$work/models--a--b/snapshots/1234"
expect 2 "expected a snapshot of it: $work/models--a--b/snapshots/1234" generate -m "$work/models--a--b" -p x \
    -o "$work/out/x.png"
fresh && said "m/unet/config.json is a link that leads outside the folder, to $model/unet/config.json"
without text_encoder/model.safetensors "text_encoder: found no weights"
without unet/diffusion_pytorch_model.safetensors "unet: found no weights"
without vae/diffusion_pytorch_model.safetensors "vae: found no weights"

# ---- safetensors ----
weights=text_encoder/model.safetensors
holds $weights "found 0 bytes, expected a safetensors file" </dev/null
head -c 5 "$model/$weights" | holds $weights "found 5 bytes, expected a safetensors file"
head -c 900 "$model/$weights" | holds $weights "no safetensors file, or cut short"
head -c 100000 "$model/$weights" | holds $weights "expected a range in the"
printf '\377\377\377\377\377\377\377\377{}' | holds $weights "found a header of 18446744073709551615 bytes"
{ cat "$model/$weights"; echo; } | holds $weights "bytes of data, expected"
f32='"dtype":"F32","shape"'
tensors '[]' 0 "the header does not begin with '{'"
tensors '{"a"' 0 "invalid JSON"
tensors '{"a":1}' 0 "tensor a: found 1, expected an object"
tensors "{\"a\":{$f32:[1]}}" 4 "data_offsets: found nothing, expected two integers"
tensors "{\"a\":{$f32:[2],\"data_offsets\":[0,4]}}" 4 "found 4 bytes, expected 8"
tensors "{\"a\":{$f32:[1],\"data_offsets\":[0,4]},\"b\":{$f32:[1],\"data_offsets\":[2,6]}}" 6 "tensors overlap"
tensors "{\"a\":{$f32:[1],\"data_offsets\":[4,8]}}" 8 "there is a hole"
tensors "{\"a\":{$f32:[1],\"data_offsets\":[4,0]}}" 8 "found [4, 0], expected a range"
tensors "{\"a\":{$f32:[-1],\"data_offsets\":[0,4]}}" 4 "shape[0]: found -1, expected a size"
tensors "{\"a\":{$f32:[4294967296,4294967296],\"data_offsets\":[0,4]}}" 4 "overflows"
tensors '{"a":{"dtype":"F8","shape":[1],"data_offsets":[0,1]}}' 1 'dtype: found "F8", expected one of F64'
tensors "{\"a\":{$f32:[1],\"data_offsets\":[0,4],\"x\":0}}" 4 'found key "x"'
tensors "{\"a\":{$f32:[1],\"data_offsets\":[0,4]}}" 4 \
    "tensor 'embeddings.token_embedding.weight' is missing; expected shape (760, 24)"
cat "$model/vae/diffusion_pytorch_model.safetensors" | holds $weights "'embeddings.token_embedding.weight' is missing"
LC_ALL=C sed 's/"F32"/"I32"/g' "$model/$weights" | holds $weights 'I32'
changed text_encoder/config.json 's/"intermediate_size": 52/"intermediate_size": 53/' \
    'found shape (52, 24), expected (53, 24)'
LC_ALL=C sed 's/"conv_norm_out.bias"/"conv_norm_out.bios"/' "$model/unet/diffusion_pytorch_model.safetensors" |
    holds unet/diffusion_pytorch_model.safetensors "tensor 'conv_norm_out.bias' is missing; expected shape (12)"
noted text_encoder/config.json 's/"num_hidden_layers": 3/"num_hidden_layers": 2/' \
    "$weights: found 16 tensors that text_encoder/config.json has no place for, ignored: 'encoder.layers.2."
# extra FILE NAME MESSAGE: one more tensor, of no elements
extra() {
    entry="\"$2\":{$f32:[0],\"data_offsets\":[0,0]},"
    length=$(($(od -An -tu4 -N4 "$model/$1") + ${#entry}))
    { printf "\\$(printf %o $((length % 256)))\\$(printf %o $((length / 256 % 256)))\\$(printf %o $((length / 65536)))"
      printf '\0\0\0\0\0{%s' "$entry"
      fresh && rm "$work/m/$1" && tail -c +10 "$model/$1"; } >"$work/extra"
    mv "$work/extra" "$work/m/$1" && said "$3"
}
for part in unet vae; do
    extra $part/diffusion_pytorch_model.safetensors logit_scale \
        "found 1 tensor that $part/config.json has no place for, ignored: 'logit_scale'"
done
extra $weights lora_A.weight "$weights: found 1 tensor that text_encoder/config.json has no place for"
# last_nan FILE TENSOR ELEMENT: the last number in the file is none.
last_nan() {
    { head -c -4 "$model/$1"; printf '\0\0\300\177'; } |
        holds "$1" "$1: tensor '$2': found nan at element $3, expected finite numbers"
}
last_nan $weights final_layer_norm.weight 23
last_nan unet/diffusion_pytorch_model.safetensors up_blocks.2.resnets.2.time_emb_proj.weight 575

# ---- JSON and what it says ----
holds unet/config.json "invalid JSON" <README.md
holds unet/config.json "expected an object" <<END
[]
END
{ yes '{"a":' | head -n 100 | tr -d '\n'; echo 1; yes '}' | head -n 100 | tr -d '\n'; } |
    holds unet/config.json "nested deeper"
{ yes '[' | head -n 9000 | tr -d '\n'; } | holds vae/config.json "vae/config.json: found JSON nested deeper than 64"
changed unet/config.json 's/^{/{"act_fn": "silu",/' 'duplicate object key'
changed unet/config.json 's/"in_channels": 4/"in_channels": 0/' 'in_channels: found 0, expected an integer'
changed unet/config.json 's/"in_channels": 4/"in_channels": 1e999/' 'unet/config.json'
changed unet/config.json 's/"in_channels": 4/"in_channels": 5/' 'in_channels, out_channels: found 5'
changed unet/config.json 's/"cross_attention_dim": 24/"cross_attention_dim": 25/' "hidden_size"
changed unet/config.json 's/"norm_num_groups": 4/"norm_num_groups": 7/' 'expected a multiple of norm_num_groups (7)'
changed unet/config.json 's/"act_fn": "silu"/"act_fn": "mish"/' 'act_fn: found "mish"'
changed unet/config.json 's/"CrossAttnDownBlock2D"/"SkipDownBlock2D"/' 'found "SkipDownBlock2D", expected'
noted unet/config.json 's/^{/{"new_key": 1,/' 'unet/config.json: new_key: no key of UNet2DConditionModel, ignored'
noted vae/config.json 's/^{/{"new_key": 1,/' 'vae/config.json: new_key: no key of AutoencoderKL'
noted text_encoder/config.json 's/^{/{"new_key": 1,/' 'text_encoder/config.json: new_key: no key of CLIPTextModel'
noted scheduler/scheduler_config.json 's/^{/{"new_key": 1,/' "scheduler_config.json: new_key: no key of diffusers'"
noted model_index.json 's/^{/{"new_key": 1,/' 'model_index.json: new_key: no key of StableDiffusionPipeline'
noted unet/config.json 's/"dropout": 0.0/"dropout": 0.3/' 'unet/config.json: dropout: found 0.3'
noted scheduler/scheduler_config.json 's/PNDMScheduler/OtherScheduler/' "outside the folder, to $model/vae/config.json"
changed unet/config.json 's/"layers_per_block": 2/"layers_per_block": 3/' 'resnets.2'
changed vae/config.json 's/"scaling_factor": 0.18215/"scaling_factor": 0/' 'scaling_factor: found 0, expected'
changed vae/config.json 's/"latent_channels": 4/"latent_channels": "4"/' 'latent_channels: found "4"'
changed vae/config.json 's/"in_channels": 3/"in_channels": 4/' 'in_channels, out_channels: found 4, 3, expected 3, 3'
changed vae/config.json 's/"out_channels": 3/"out_channels": 1/' 'in_channels, out_channels: found 3, 1, expected 3, 3'
changed text_encoder/config.json 's/"quick_gelu"/"relu"/' 'hidden_act: found "relu", expected one of'
changed text_encoder/config.json 's/"num_attention_heads": 3/"num_attention_heads": 5/' 'a divisor of hidden_size'
changed text_encoder/config.json 's/"vocab_size": 760/"vocab_size": 76/' 'vocab_size: found 76, expected at least'
changed text_encoder/config.json 's/"hidden_size": 24/"hidden_size": 48/' 'the text encoder'
changed scheduler/scheduler_config.json 's/"epsilon"/"flow"/' 'prediction_type: found "flow", expected'
changed model_index.json 's/PNDMScheduler/OtherScheduler/' "found 'OtherScheduler', expected one of"
changed model_index.json 's/StableDiffusionPipeline/OtherPipeline/' '_class_name: found "OtherPipeline"'
changed tokenizer/tokenizer.json 's/"NFC"/"NFD"/' 'normalizers'
changed tokenizer/tokenizer.json 's/"RobertaProcessing"/"Other"/' 'post_processor.type: found "Other"'
changed tokenizer/tokenizer_config.json 's/"CLIPTokenizer"/"T5Tokenizer"/' 'tokenizer_class: found "T5Tokenizer"'

changed tokenizer/tokenizer_config.json 's/"model_max_length": 77/"model_max_length": 1.5/' \
    'model_max_length: found 1.5, expected a whole number >= 0'
{ echo '['; yes '{},' | head -n 900000; echo '{}]'; } | holds unet/config.json "would take more than 256 MiB of memory"

# A model_max_length of 0 or 1 neither cuts nor pads (as transformers has it): a prompt of seven tokens is drawn as by a
# model of seven, one of more than the encoder's positions is an error.
rm -rf "$work/m" && cp -r "$model" "$work/m"
for length in 7 1 0; do
    sed "s/\"model_max_length\": 77/\"model_max_length\": $length/" "$model/tokenizer/tokenizer_config.json" \
        >"$work/m/tokenizer/tokenizer_config.json"
    $tintype generate -m "$work/m" -p "a lighthouse at sunset" -n "word word word" -W 16 -H 16 --steps 1 --quiet \
        --save-latents "$work/latents.$length" -o "$work/x.png" || fail "model_max_length $length: exit $?"
    if cmp -s "$work/latents.7" "$work/latents.$length"; then pass; else fail "model_max_length $length differs"; fi
done
expect 2 "tokens, expected at most 77" generate -m "$work/m" -o "$work/x.png" \
    -p "$(yes sunset | head -n 90)"

# ---- recordings ----
golden=reference/golden/sd15/token
verify() { # verify MESSAGE: with the copy
    expect 2 "$1" verify -m "$model" "$work/r"
}
fresh_recording() { rm -rf "$work/r" && cp -r $golden "$work/r"; }
recorded() { # recorded SED-SCRIPT MESSAGE: a change in recording.json
    fresh_recording && sed -i "$1" "$work/r/recording.json" && verify "$2"
}
values() { # values MESSAGE: standard input becomes the text encoder's file
    fresh_recording && cat >"$work/r/text_encoder.safetensors" && verify "$1"
}
expect 2 "nowhere" verify -m "$model" "$work/nowhere"
expect 2 "expected a folder" verify -m "$model" README.md
expect 2 "tests/recording.json" verify -m "$model" tests
fresh_recording && rm "$work/r/unet.safetensors" && verify "r/unet.safetensors"
lists() { # lists MESSAGE: standard input becomes recording.json
    fresh_recording && cat >"$work/r/recording.json" && verify "recording.json: $1"
}
lists "invalid JSON" </dev/null
echo '[1]' | lists "found a list of 1, expected an object"
head -c 5000 $golden/recording.json | lists "invalid JSON"
{ yes '{"a":' | head -n 100 | tr -d '\n'; echo 1; yes '}' | head -n 100 | tr -d '\n'; } |
    lists "found JSON nested deeper than 64"
recorded 's/"tintype-recording"/"tintype-pipeline"/' 'format: found "tintype-pipeline", expected'
recorded 's/"version": 1/"version": 3/' 'version: found 3, expected'
recorded 's/"version": 1/"version": 2/' 'calls: found nothing, expected a list of calls'
recorded 's/"parts"/"part"/' 'parts: found nothing, expected a list of parts'
recorded 's/"part": "unet"/"part": "unit"/' 'parts[1].part: found "unit", expected text_encoder, text_encoder_2, unet'
recorded 's/"part": "vae_encoder"/"part": "unet"/' 'parts[2].part: found "unet", expected each part once'
recorded 's/"file": "unet.safetensors"/"file": 7/' 'parts[1].file: found 7, expected a name'
recorded 's|"file": "unet.safetensors"|"file": "../unet.safetensors"|' 'leaves the folder'
recorded 's|"file": "unet.safetensors"|"file": "/etc/passwd"|' 'leaves the folder'
recorded 's/"file": "unet.safetensors"/"file": "vae_encoder.safetensors"/' \
    "vae_encoder.safetensors: tensor 'sample': found shape (1, 3, 40, 24), expected (1, 4, 5, 3)"
recorded 's/"tensors": \[/"tensors": [{}, /' 'parts[0].tensors[0].name: found nothing, expected a name'
recorded 's/"tensors": \[/"tensors": [3, /' 'parts[0].tensors[0].name: found nothing'
recorded 's/{"name": "conv_in"/{"name": "time_proj"/' 'name: found "time_proj", expected each name once'
recorded '/"name": "conv_in"/s/"shape": \[1, 12/"shape": [1, 13/' \
    "unet.safetensors: tensor 'conv_in': found shape (1, 12, 5, 3), expected (1, 13, 5, 3), the shape of 'conv_in'"
recorded '/"name": "conv_in"/s/"shape": \[1, 12/"shape": [1, -12/' 'shape: found a list of 4, expected a list of'
recorded '/"name": "conv_in"/s/"shape": \[1, 12/"shape": [4294967296, 4294967296/' 'expected a list of at most 8 sizes'
recorded '/"name": "conv_in"/s/"shape": \[1, 12/"shape": [1, 1.5/' 'expected a list of at most 8 sizes'
recorded '/"name": "conv_in"/s/"err32": [^,]*/"err32": -1/' 'err32: found -1, expected a number from 0'
recorded '/"name": "conv_in"/s/"err32": [^,]*/"err32": "0"/' 'err32: found "0", expected a number from 0'
recorded '/"name": "conv_in"/s/"maxabs": [^,]*/"maxabs": 1e300/' 'maxabs: found 1e+300, expected a number from 0'
recorded '/"name": "conv_in"/s/"stored": [^}]*/"stored": "conv_inn"/; /"name": "conv_in"/s/"conv_in"/"c"/' \
    "unet.safetensors: tensor 'conv_inn' is missing; expected shape (1, 12, 5, 3)"
recorded '/"name": "conv_in"/s/"type": "Conv2d"/"type": "input"/' \
    "unet.safetensors: input 'conv_in': found it, expected one of sample"
recorded '/"name": "sample"/s/"input"/"Conv2d"/' "input 'sample': found none, expected F32 of shape (N, 4, H, W)"
values "found 0 bytes, expected a safetensors file" </dev/null
head -c 900 $golden/text_encoder.safetensors | values "no safetensors file, or cut short"
head -c -100 $golden/text_encoder.safetensors | values "expected a range in the"
LC_ALL=C sed '1s/"I64"/"F64"/' $golden/text_encoder.safetensors | values "in': found F64, expected F32"
# Data begin with a position and the one token id, of 8 bytes each.
ids=$golden/text_encoder.safetensors
length=$(od -An -tu8 -N8 "$ids" | tr -d ' ')
{ head -c $((length + 16)) "$ids"; printf '\377\377\377\377\377\377\377\377'; tail -c +$((length + 25)) "$ids"; } |
    values "input 'input_ids': found -1, expected token ids"
{ head -c $((length + 16)) "$ids"; printf '\377\377\377\0\0\0\0\0'; tail -c +$((length + 25)) "$ids"; } |
    values "token id: found 16777215, expected 0 to vocab_size - 1"
last=$(head -c $((length + 8)) "$ids" | tail -c +9 | sed 's/.*"\([^"]*\)":{[^}]*}}* *$/\1/')
{ head -c -4 "$ids"; printf '\0\0\300\177'; } | values "tensor '$last': found nan at element"

# ---- options ----
expect 2 "no valid UTF-8" generate -m "$model" -p "$(printf 'caf\351')" -o "$work/out/x.png"
draw 2 "no valid UTF-8" -n "$(printf '\355\240\200')"
draw 2 "--steps: found '0'" --steps 0
draw 2 "--steps: found '-1'" --steps=-1
draw 2 "--steps: found '1e3'" --steps 1e3
draw 2 "--guidance-scale: found 'inf'" --guidance-scale inf
draw 2 "--guidance-scale: found 'nan'" --guidance-scale nan
draw 2 "expected multiples of 8" -W 20
draw 2 "--width: found '-16'" -W -16
draw 2 "--count: found '0'" --count 0
draw 2 "--count: found '1073741824', expected a whole number from 1 to 100000" --count 1073741824
draw 2 "--count: found '100001'" --count 100001
draw 2 "--steps: found '1000001', expected a whole number from 1 to 1000000" --steps 1000001
draw 2 "--width: found '32769', expected a whole number from 1 to 32768" -W 32769
draw 2 "--strip: found '32769'" --strip 32769
expect 2 "--repeat: found '100001'" profile --part unet -m "$model" --repeat 100001
expect 2 "--steps: found '10001'" schedulers --plot "$work/x.svg" --steps 10001
expect 2 "--count: found '1000001'" scenes -o "$work/scenes" --count 1000001
expect 2 "--captions: found '1001'" scenes -o "$work/scenes" --captions 1001
draw 2 "found 'best', expected one of" --scheduler best
draw 2 "--cpu: found 'z80', expected scalar" --cpu z80
draw 2 "--threads: found '0'" --threads 0

# ---- pictures ----
picture() { # picture MESSAGE: standard input is the picture
    cat >"$work/picture"
    expect 2 "$1" encode "$work/picture" -m "$model" -o "$work/out/z.safetensors"
}
corpus=tests/fuzz/corpus/image
picture "found neither a PNG nor a JPEG" </dev/null
picture "found neither a PNG nor a JPEG" <README.md
head -c 60 $corpus/RGB.png | picture "not a valid PNG"
head -c 300 $corpus/RGB.jpg | picture "not a valid JPEG"
picture "expected multiples of 8" <$corpus/RGB.png
# A header that promises 2^31 - 1 by 2^31 - 1 pixels, and one of 65,000 by 65,000.
{ printf '\211PNG\r\n\032\n\0\0\0\015IHDR\177\377\377\377\177\377\377\377\010\002\0\0\0\256\026\072\016'; } |
    picture "not a valid PNG"
printf '\377\330\377\300\0\021\010\375\350\375\350\003\001\021\0\002\021\0\003\021\0' | picture "not a valid JPEG"
# A text that promises 2 GB takes no memory.
{ printf '\211PNG\r\n\032\n\0\0\0\015IHDR\0\0\0\010\0\0\0\010\010\002\0\0\0\113\155\051\334'
  printf '\164\0\0\203tEXtparameters\0a lighthouse'; } >"$work/promise.png"
picture "a chunk goes beyond the end" <"$work/promise.png"
expect 2 "promise.png: not a valid PNG: a chunk goes beyond the end" generate --replay "$work/promise.png" \
    -m "$model" -o "$work/out/x.png"
expect 2 "found a directory" encode "$work" -m "$model" -o "$work/out/z.safetensors"
expect 2 "no safetensors file" decode $corpus/RGB.png -m "$model" -o "$work/out/x.png"

# ---- GGUF ----
# gguf BYTES MESSAGE: a file of those bytes, as printf writes them, in the model's place
gguf() {
    printf "$1" >"$work/x.gguf"
    expect 2 "x.gguf: $2" generate -m "$work/x.gguf" -p x --steps 1 -o "$work/out/x.png"
}
zero='\0\0\0\0\0\0\0' four='\4\0\0\0\0\0\0\0'
gguf 'GGUF' "version: found 0 bytes at byte 4 of the header, expected 4: cut short"
gguf "GGUF\1\0\0\0$four$four" "version: found 1, expected 2 or 3"
gguf "GGUF\0\0\0\3$four$four" "version: found 50331648 (big-endian), expected 2 or 3"
gguf "GGUF\3\0\0\0$four\0$zero" "found 4 tensors, expected at most 0"
# One tensor "x" of 256 elements, of type 10.
gguf "GGUF\3\0\0\0\1$zero\0$zero\1${zero}x\1\0\0\0\0\1\0\0\0\0\0\0\12\0\0\0\0$zero" \
    "tensor x: dtype: found Q2_K, expected one of F32, F16, BF16, Q8_0,"
gguf "GGUF\3\0\0\0\1$zero\0$zero\1${zero}x\1\0\0\0\0\1\0\0\0\0\0\0\14\0\0\0\0$zero" \
    "tensor x: offset: found 144 bytes from 0 on, expected a range in the 0 bytes of data"

# ---- the system ----
draw 2 "cannot create" -o "$work/nowhere/x.png"
draw 2 "found a directory, expected a file" -o "$work/out"
[ ! -e /dev/full ] || draw 3 "No space left" -o /dev/full
# 512 KiB are less than a picture of noise and enough for the file that ThreadSanitizer maps into every process. The
# signal that the limit sends is ignored, as a full disk sends none.
if (trap '' XFSZ; ulimit -f 1024; head -c 524289 /dev/zero >"$work/limit") 2>/dev/null; then
    echo "SKIP: this shell cannot limit the size of files"
else
    trap '' XFSZ
    message=$(ulimit -f 1024; $tintype noise reference/pictures/grid.png --space pixels -t 999 -m "$model" \
        -o "$work/out/x.png" 2>&1)
    status=$?
    case "$status $message" in
    "3 "*"cannot write: File too large"*) pass ;;
    *) fail "size limit: exit $status: $message" ;;
    esac
    [ -z "$(ls -A "$work/out")" ] || fail "size limit: a file is left"
fi

echo "$(wc -l <"$work/passed") passed, $(wc -l <"$work/failed") failed, 0 skipped"
[ ! -s "$work/failed" ]
