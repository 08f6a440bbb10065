#!/bin/sh
# SPDX-License-Identifier: MIT
# Training on people's own pictures, from outside: what is left out, cut or not done is said; what a part does not
# use is refused; zero terminal SNR as a whole; what a run goes on with.
. tests/cli.sh
side=reference/tiny/sd21 # predicts the velocity, and its scheduler can end in pure noise

train() { # train FOLDER [OPTION]...
    folder=$1
    shift
    case $folder in */run) set -- "$@" --schedule cosine --log-every 1 ;; esac
    $tintype train --data "$work/data" -o "$folder" -W 32 -H 32 --batch 2 --seed 3 --steps 2 --learning-rate 1e-3 \
        "$@" 2>"$work/err"
}
says() { grep -qF -- "$1" "$work/err" || { echo "expected '$1' in:"; cat "$work/err"; false; }; }
silent() { ! grep -qF -- "$1" "$work/err" || { echo "did not expect '$1' in:"; cat "$work/err"; false; }; }
corpus=tests/fuzz/corpus/image

$tintype scenes -o "$work/data" --count 4 --pixels 64 --quiet || exit 3

# ---- pictures and captions ----
mkdir -p "$work/mixed/trip"
cp "$work/data/000000.png" "$work/mixed/trip/a.png"
cp "$work/data/000001.png" "$work/mixed/b.png"
cp $corpus/upright-lossy30.webp "$work/mixed/c.webp"
cp $corpus/upright-II6.webp "$work/mixed/d.webp" # 10 x 16 once it is upright
printf '\357\273\277a boat' >"$work/mixed/trip/a.txt"
for word in $(seq 100); do printf 'long '; done >"$work/mixed/b.txt"
echo "a sea" >"$work/mixed/c.txt"
echo "a hill" >"$work/mixed/d.txt"
train "$work/mixed-run" -m $side --data "$work/mixed" &&
    says "4 pictures, 0 left out" && says "1 of 4 captions are cut" && says "the first: of b.png"
check "mixed formats, a folder in the folder, a caption that is cut" $?
train "$work/strict-run" -m $side --data "$work/mixed" --strict && says "1 of 4 captions are cut"
check "--strict takes captions that are cut" $?
cmp "$work/mixed-run/checkpoint.safetensors" "$work/strict-run/checkpoint.safetensors"
check "--strict changes no bit" $?
printf 'a boat' >"$work/mixed/trip/a.txt"
train "$work/plain-run" -m $side --data "$work/mixed" &&
    cmp "$work/mixed-run/checkpoint.safetensors" "$work/plain-run/checkpoint.safetensors"
check "a byte order mark changes no bit" $?
touch "$work/mixed/e.heic"
echo x >"$work/mixed/f.txt"
train "$work/more-run" -m $side --data "$work/mixed" && says "4 pictures, 2 left out" &&
    says "e.heic: found a picture of a kind that is not read" && says "f.txt: found a caption, but no picture"
check "what is left out is said" $?
refused "e.heic: found a picture of a kind that is not read" -m $side --data "$work/mixed" --strict
rm "$work/mixed/e.heic"
refused "f.txt: found a caption, but no picture of its name" -m $side --data "$work/mixed" --strict
$tintype encode $corpus/upright-II6.png -m $model -o "$work/z" 2>"$work/err"; [ $? = 2 ] && says "10 x 16"
check "encode sees pictures upright" $?
mkdir "$work/clear"
cp "$corpus/upright-rgba.webp" "$work/clear/a.webp"
echo "a cloud" >"$work/clear/a.txt"
for ground in linear black white; do
    train "$work/$ground" -m $side --data "$work/clear" --background $ground || exit 3
done
train "$work/default" -m $side --data "$work/clear" &&
    cmp "$work/default/checkpoint.safetensors" "$work/linear/checkpoint.safetensors" &&
    ! cmp -s "$work/black/checkpoint.safetensors" "$work/linear/checkpoint.safetensors" &&
    ! cmp -s "$work/black/checkpoint.safetensors" "$work/white/checkpoint.safetensors" &&
    ! cmp -s "$work/black/latents.safetensors" "$work/white/latents.safetensors"
check "--background" $?
train "$work/white" -m $side --data "$work/clear" --resume --steps 3
[ $? = 2 ] && says 'background: found "white", expected "linear" as it is now'
check "the background is a run's own" $?
printf '{"file_name": "a.png", "text": "a"}\n{"file_name": "a.png", "text": "b"}' >"$work/mixed/trip/metadata.jsonl"
rm "$work/mixed/"*.txt "$work/mixed/trip/a.txt"
train "$work/twice" -m $side --data "$work/mixed" && says "1 lines list a picture once more" &&
    says "1 pictures, 3 left out"
check "listed twice" $?

# ---- what training sees ----
preview() { $tintype train --data "$work/look" -m $model -W 32 -H 32 --preview-data "$@" 2>"$work/err"; }
mkdir "$work/look"
cp $corpus/upright-II1.png "$work/look/a.png"
preview "$work/1.png"; [ $? = 2 ] && says "a.png: no caption"; check "nothing to preview" $?
echo "a caption" >"$work/look/a.txt"
preview "$work/1.png" && preview "$work/2.png" && cmp "$work/1.png" "$work/2.png" && cp $corpus/upright-II6.png \
    "$work/look/a.png" && preview "$work/2.png" && ! cmp -s "$work/1.png" "$work/2.png"
check "a preview shows pictures upright" $?
echo "another" >"$work/look/a.txt"
preview "$work/1.png" && ! cmp -s "$work/1.png" "$work/2.png"; check "and captions" $?
preview "$work/look/a.png"; [ $? = 2 ] && says "this file is read" && cmp $corpus/upright-II6.png "$work/look/a.png"
check "a preview over a picture" $?
preview "$work/1.png" --json >"$work/json" && grep -q '{"preview":".*/1.png","notes":\[.*left out' "$work/json"
check "--json, with notes" $?
$tintype train --data "$work/data" -m $model 2>"$work/err"; [ $? = 2 ] && says "output is missing: -o FOLDER"
check "training has an output folder" $?

# ---- options that the part does not use ----
for option in --prediction-type=v_prediction --zero-snr --l1-weight=2 --l2-weight=0 --kl-weight=1e-6 \
    --caption-dropout=0.1 --word-dropout=0 --min-snr=5 --sample-guidance=2 --sample-steps=3 --sample-prompts=x; do
    name=$(echo "$option" | sed 's/^--//; s/=.*//' | tr - _)
    value=$(echo "$option" | sed -n 's/.*=//p')
    set -- "${option%%=*}" $value
    case $name in
    l?_weight | kl_weight) unused="unet text unet+text" ;;
    prediction_type | zero_snr) unused="vae text" ;;
    *) unused=vae ;;
    esac
    for part in $unused; do refused "$name: found " -m $side --part "$part" "$@"; done
done
refused "kl_weight: found 0.1, expected none" -m $side --part vae-decoder --kl-weight 0.1
refused "found part vae-decoder and config" --config $side --part vae-decoder
refused "l1_weight 0 and l2_weight 0" -m $side --part vae --l1-weight 0
refused "caption_dropout: found 0.5, expected none: the model has no text" -m reference/tiny/ddpm --part unet \
    --caption-dropout 0.5
printf '{"part": "vae", "zero_snr": false}' >"$work/settings.json"
refused "zero_snr: found false, expected none" -m $side --settings "$work/settings.json"

# ---- the decoder alone ----
decoder() { # decoder FOLDER [OPTION]...
    folder=$1
    shift
    train "$folder" -m $side --part vae-decoder --flip "$@"
}
decoder "$work/decoder" --steps 2 && decoder "$work/parts" --steps 1 &&
    decoder "$work/parts" --steps 2 --resume &&
    cmp "$work/decoder/checkpoint.safetensors" "$work/parts/checkpoint.safetensors"
check "--part vae-decoder" $?
for folder in $side "$work/decoder"; do
    $tintype encode "$work/data/000000.png" -m "$folder" -o "$work/$(basename "$folder").z" --quiet &&
        $tintype decode "$work/sd21.z" -m "$folder" -o "$work/$(basename "$folder").png" --quiet
    check "encodes and decodes: $folder" $?
done
cmp "$work/sd21.z" "$work/decoder.z"; check "the encoder stays" $?
! cmp -s "$work/sd21.png" "$work/decoder.png"; check "the decoder learns" $?
train "$work/decoder16" -m $side --part vae-decoder --float16 &&
    $tintype encode "$work/data/000000.png" -m "$work/decoder16" -o "$work/decoder16.z" --quiet &&
    cmp "$work/sd21.z" "$work/decoder16.z"
check "the encoder stays, float16 or not" $?

# ---- weights without the average ----
refused "found raw_weights and ema_decay 0" -m $side --raw-weights --ema-decay 0
train "$work/average" -m $side --ema-decay 0.5 && train "$work/raw" -m $side --ema-decay 0.5 --raw-weights &&
    train "$work/none" -m $side --ema-decay 0
check "--raw-weights" $?
for part in unet/diffusion_pytorch_model text_encoder/model; do
    cmp "$work/average/$part.safetensors" "$work/raw/$part.safetensors" &&
        cmp "$work/none/$part.safetensors" "$work/raw/$part.non_ema.safetensors" &&
        ! cmp -s "$work/raw/$part.safetensors" "$work/raw/$part.non_ema.safetensors"
    check "$part: the average, and beside it what it is of" $?
done
[ ! -e "$work/raw/vae/diffusion_pytorch_model.non_ema.safetensors" ]; check "only of what learns" $?
rm -rf "$work/none"
for folder in raw average; do
    $tintype generate -m "$work/$folder" -p "a tree" --steps 2 -W 32 -H 32 -o "$work/x.png" --quiet \
        --save-latents "$work/$folder.z"
done
cmp "$work/raw.z" "$work/average.z"
check "the folder draws as without them" $?
train "$work/raw" -m $side --ema-decay 0.5 --resume --steps 3; [ $? = 2 ] && says "another setting: raw_weights"
check "raw weights are a run's own" $?

# ---- zero terminal SNR ----
refused "zero_snr: found prediction_type epsilon, expected v_prediction or sample" -m $side \
    --prediction-type epsilon --zero-snr
refused "cannot end in pure noise; a copy of the folder can: with \"DDIMScheduler\"" -m $model --zero-snr \
    --prediction-type v_prediction
cp -r $model "$work/ddim"
for file in scheduler/scheduler_config.json model_index.json; do # the way out that was named
    sed 's/PNDMScheduler/DDIMScheduler/' $model/$file >"$work/ddim/$file"
done
train "$work/snr" -m "$work/ddim" --zero-snr --prediction-type v_prediction &&
    grep -q '"timestep_spacing": *"trailing"' "$work/snr/scheduler/scheduler_config.json" &&
    grep -q '"rescale_betas_zero_snr": *true' "$work/snr/scheduler/scheduler_config.json" &&
    grep -q '"prediction_type": *"v_prediction"' "$work/snr/scheduler/scheduler_config.json"
check "the export begins at the last timestep" $?
$tintype generate -m "$work/snr" -p "a tree" --steps 20 -W 32 -H 32 -o "$work/snr.png" --quiet; check "and draws" $?
sed 's/"prediction_type": "v_prediction"/"prediction_type": "epsilon"/' "$work/snr/scheduler/scheduler_config.json" \
    >"$work/ddim/scheduler/scheduler_config.json"
refused "rescale_betas_zero_snr: found prediction_type epsilon" -m "$work/ddim"

# ---- going on ----
cp -r $side "$work/model"
train "$work/run" -m "$work/model" --part unet || exit 3
train "$work/vae" -m "$work/model" --part vae || exit 3
other() { # other FILE PART FOLDER SED: another file is another run
    cp "$work/model/$1" "$work/kept"
    case $1 in
    *.safetensors) { head -c -4 "$work/kept"; printf 'abcd'; } >"$work/model/$1" ;;
    *) sed "$4" "$work/kept" >"$work/model/$1" ;;
    esac
    train "$work/$3" -m "$work/model" --part "$2" --resume --steps 3
    [ $? = 2 ] && says "which does not learn"
    check "$3 goes on with another $1" $?
    cp "$work/kept" "$work/model/$1"
}
other text_encoder/model.safetensors unet run
other vae/diffusion_pytorch_model.safetensors unet run
other scheduler/scheduler_config.json unet run 's/1000/999/'
other tokenizer/tokenizer_config.json unet run 's/{/{ /'
other model_index.json unet run 's/{/{ /'
other text_encoder/model.safetensors vae vae
other unet/diffusion_pytorch_model.safetensors vae vae
train "$work/run" -m "$work/model" --part unet --resume --steps 1 && says "holds 2 steps, more than --steps 1"
check "fewer steps than are done" $?
train "$work/run" -m "$work/model" --part unet --resume --steps 2 && silent "more than" && silent "jumps"
check "as many steps as are done" $?
train "$work/run" -m "$work/model" --part unet --resume --steps 4 && says "the learning rate jumps: step 2 was done at"
check "a longer cosine" $?
train "$work/run" -m "$work/model" --part unet --resume --steps 4 && silent "jumps"; check "the same cosine" $?

# ---- configurations and prompts ----
sed 's/"dropout": 0.0/"dropout": 0.3/; s/"attention_dropout": 0.0/"attention_dropout": 0.2/' \
    $side/text_encoder/config.json >"$work/model/text_encoder/config.json"
sed 's/{/{ "dropout": 0.1,/' $side/unet/config.json | sed '0,/"dropout": 0.0,/s///' >"$work/model/unet/config.json"
train "$work/dropout" -m "$work/model" && says "unet/config.json: dropout: found 0.1" &&
    says "text_encoder/config.json: attention_dropout: found 0.2"
check "dropout" $?
printf '\357\273\277a tree\r\n\n \t\r\n\302\240\na castle' >"$work/prompts.txt"
train "$work/prompts" -m $side --sample-every 2 --sample-steps 1 --sample-prompts "$work/prompts.txt" &&
    says "prompts.txt: 3 lines are blank" && [ "$(ls "$work/prompts/samples")" = "step-000002-1.png
step-000002-2.png" ]
check "blank lines of the prompts" $?
strings -n 4 "$work/prompts/samples/step-000002-1.png" 2>/dev/null | grep -q "a tree" ||
    grep -qa "a tree" "$work/prompts/samples/step-000002-1.png"
check "the first prompt" $?
seq 11 | sed 's/^/prompt /' >"$work/prompts.txt"
train "$work/prompts2" -m $side --sample-every 2 --sample-steps 1 --sample-prompts "$work/prompts.txt" &&
    says "11 prompts are too many: the first 8 are drawn"
check "more prompts than are drawn" $?
finish
