#!/bin/sh
# SPDX-License-Identifier: MIT
# What the machine around a run does to it: threads that cannot be made, small stacks, files cut short while they are
# mapped, signals, weights that are no numbers; and options that are no options.
. tests/cli.sh
skipped=0
skip() { skipped=$((skipped + 1)); echo "SKIP: $*"; }
case $CFLAGS in *-fsanitize*) sanitized=1 ;; *) sanitized= ;; esac
small() { $tintype generate -m $model -p x -W 32 -H 32 --steps 2 --quiet "$@"; }

with() { # with SETTING COMMAND...
    # shellcheck disable=SC2163
    (export "$1" && shift && "$@")
}
limited() { # limited OPTION VALUE COMMAND...
    (ulimit "$1" "$2" && shift 2 && "$@")
}

# ends NAME STATUS MESSAGE COMMAND...: how the command ends and what it says.
ends() {
    name=$1 expected=$2 message=$3
    shift 3
    "$@" >/dev/null 2>"$work/err"
    found=$?
    [ $found = "$expected" ] && grep -qF -- "$message" "$work/err"
    result=$?
    [ $result = 0 ] || { echo "exit $found, expected $expected '$message':"; cat "$work/err"; }
    check "$name" $result
}

# ---- threads ----
small -o "$work/right.png"; check "draws" $?
same() { # same NAME: as with the usual threads
    cmp -s "$work/right.png" "$work/x.png"; check "$1" $?
    rm -f "$work/x.png"
}
for n in 1025 100000 2000000000; do
    ends "OMP_NUM_THREADS=$n" 2 "OMP_NUM_THREADS: found $n, expected at most 1024" \
        with OMP_NUM_THREADS=$n small -o "$work/x.png"
    ends "--threads $n" 2 "--threads: found " small --threads $n -o "$work/x.png"
done
for setting in OMP_NUM_THREADS=5 OMP_THREAD_LIMIT=1 OMP_THREAD_LIMIT=3 OMP_DYNAMIC=true OMP_STACKSIZE=256k \
    OMP_MAX_ACTIVE_LEVELS=0 OMP_SCHEDULE=static,1; do
    with "$setting" small --threads 4 -o "$work/x.png" 2>/dev/null
    same "$setting"
done
if [ -n "$RUN$sanitized" ]; then
    skip "an emulator and sanitizers take memory of their own, so that it cannot be limited"
else
    # However much there is, it is enough, or the end is a message and status 3; never OpenMP's own, which is 1.
    wrong= enough= short=
    for kib in 60000 120000 180000 240000 300000 400000 600000 800000 2000000; do
        limited -v $kib with OMP_STACKSIZE=8m small --threads 48 -o "$work/x.png" 2>"$work/err"
        case $? in
        0) enough=1 ;;
        3) grep -q "tintype" "$work/err" && short=1 || wrong="$wrong $kib" ;;
        *) wrong="$wrong $kib" ;;
        esac
    done
    [ -z "$wrong" ]; check "memory for 48 threads:$wrong KiB" $?
    [ -n "$enough" ] && [ -n "$short" ]; check "both ends were seen" $?
    ends "stacks beyond all memory" 3 "threads: 1 of 4 could be started" \
        with OMP_STACKSIZE=200000g small --threads 4 -o "$work/x.png"
fi

# ---- stacks ----
if [ -n "$RUN$sanitized" ]; then
    skip "an emulator has a stack of its own, and sanitizers make frames larger"
else
    for kib in 64 128 192; do
        ends "a stack of $kib KiB" 3 "stack of the calling thread (ulimit -s): found" \
            limited -s $kib small -o "$work/x.png"
        ends "OMP_STACKSIZE=${kib}k" 3 "stack of OpenMP's threads" \
            with OMP_STACKSIZE=${kib}k small --threads 4 -o "$work/x.png"
    done
    $tintype scenes -o "$work/data" --count 4 --pixels 32 --quiet
    (ulimit -s 256 && OMP_STACKSIZE=256k && export OMP_STACKSIZE && small --threads 4 -o "$work/x.png" &&
        $tintype encode -m $model "$work/x.png" -o "$work/z" && $tintype decode -m $model "$work/z" -o "$work/y.png" &&
        $tintype noise -m $model "$work/x.png" -t 5 -o "$work/y.png" &&
        $tintype verify -m $model reference/golden/sd15/square >/dev/null &&
        $tintype grid -m $model -p x --x steps=1,2 --y seed=1,2 -W 16 -H 16 -o "$work/y.png" --quiet &&
        $tintype train --data "$work/data" -m $model -W 32 -H 32 --batch 2 --steps 2 --sample-every 2 --sample-steps 1 \
            --quiet --threads 4 -o "$work/trained")
    check "stacks of 256 KiB are enough" $?
    same "stacks of 256 KiB"
fi

# ---- a file cut short while it is mapped ----
if [ -n "$RUN" ]; then
    skip "the emulator's own files stand in its maps"
else
    folder=$(printf '%s/a\033b\nc' "$work") # what would be a terminal's command, and a line of its own
    mkdir "$folder" && cp -r $model "$folder/m"
    rm -f "$work"/cut*
    $tintype generate -m "$folder/m" -p x -W 64 -H 64 --steps 900 --preview 1 --quiet -o "$work/cut.png" 2>"$work/err" &
    until [ -e "$work/cut-preview.png" ] || ! kill -0 $!; do sleep 0.02; done
    : >"$folder/m/vae/diffusion_pytorch_model.safetensors"
    wait $!
    [ $? = 3 ]; check "a file cut short: exit 3" $?
    grep -qF 'b\012c/m/vae/diffusion_pytorch_model.safetensors: cannot read what is mapped' "$work/err" &&
        ! grep -q "$(printf '\033')" "$work/err" && [ "$(wc -l <"$work/err")" = 1 ]
    check "a file cut short: its name, harmless" $? || cat "$work/err"
    [ ! -e "$work/cut.png" ]; check "a file cut short: no picture" $?
    # A signal of that number which somebody sent is none of ours.
    (ulimit -c 0
     $tintype generate -m $model -p x -W 64 -H 64 --steps 900 --quiet -o "$work/cut.png" 2>/dev/null &
     sleep 0.5; kill -BUS $!; wait $!) 2>/dev/null
    [ $? = 135 ]; check "a SIGBUS that was sent" $?
fi

# ---- signals ----
# As `timeout` sends them: a shell's background has INT and QUIT ignored. The preview is gone when the run ended itself.
if [ -n "$RUN" ] || ! timeout --foreground --preserve-status 1 true 2>/dev/null; then
    skip "no timeout(1) that sends signals to the program alone"
else
    for pair in HUP:129 INT:130 QUIT:131 TERM:143 XCPU:152; do
        (ulimit -c 0
         timeout --foreground --preserve-status -s "${pair%:*}" 1 $tintype generate -m $model -p x -W 256 -H 256 \
             --steps 900 --preview 1 --quiet -o "$work/long.png" 2>"$work/err")
        [ $? = "${pair#*:}" ] && grep -q cancelled "$work/err" && [ -z "$(find "$work" -name 'long*')" ]
        check "SIG${pair%:*}" $?
    done
    (trap '' HUP
     $tintype generate -m $model -p x -W 64 -H 64 --steps 300 --quiet -o "$work/long.png" &
     sleep 0.3; kill -HUP $!; wait $!)
    [ $? = 0 ] && [ -s "$work/long.png" ]; check "SIGHUP that was ignored" $?
fi

# ---- options ----
for option in --step --step=3 --neg --n --qui --heigh --s; do
    refuse 2 "unknown option '$option'" generate -p x -m $model $option 3
done
refuse 2 "option '--quiet=1' takes no value" generate -p x -m $model --quiet=1
refuse 2 "option '--json=' takes no value" generate -p x -m $model --json=
ends "--steps without a value" 2 "option '--steps' needs a value" $tintype generate -p x --steps
refuse 2 "unknown option '--mod'" verify --mod $model reference/golden/sd15/square
refuse 2 "unknown option '--learning'" train --learning 1
for value in -1 -1e-9 1.001 1e30; do
    refuse 2 "--guidance-rescale: found '$value', expected 0 to 1" generate -p x -m $model --guidance-rescale $value
done
refuse 2 "--guidance-scale: found '1e30', expected -1000 to 1000" generate -p x -m $model --guidance-scale 1e30
refuse 2 "--y: found '1001', expected -1000 to 1000" grid -p x -m $model --x steps=1 --y guidance-scale=1,1001
refuse 2 "--factor: found '-1', expected 0 to 1e+30" verify -m $model reference/golden/sd15/square --factor -1
$tintype generate --help | grep -q -- '--guidance-rescale R .*; 0 to 1$'; check "help tells the range" $?

# ---- what is no number ----
# nan MODEL FILE LAST: a copy of the model whose file's first number (or last) is none
nan() {
    rm -rf "$work/m" && cp -r "$1" "$work/m" && size=$(wc -c <"$1/$2")
    at=$((8 + $(od -An -tu8 -N8 "$1/$2")))
    [ -z "$3" ] || at=$((size - 4))
    { head -c $at "$1/$2"; printf '\0\0\300\177'; tail -c +$((at + 5)) "$1/$2"; } >"$work/m/$2"
}
unet=unet/diffusion_pytorch_model.safetensors vae=vae/diffusion_pytorch_model.safetensors
for last in "" last; do
    for name in ddim ddpm; do
        nan reference/tiny/$name $unet $last
        refuse 2 "$unet: tensor '" generate -m "$work/m" --steps 1
        refuse 2 "found nan at element" generate -m "$work/m" --steps 2 --preview 1
    done
    nan $model $unet $last
    refuse 2 "found nan at element" generate -m "$work/m" -p x --steps 1 -W 32 -H 32
    $tintype scenes -o "$work/data" --count 4 --pixels 32 --quiet 2>/dev/null
    ends "training from NaN" 2 "found nan at element" $tintype train --data "$work/data" -m "$work/m" -W 32 -H 32 \
        --batch 2 --steps 1 --quiet -o "$work/out/t"
done
$tintype encode -m $model "$work/right.png" -o "$work/z.safetensors"
nan $model $vae # the decoder's tensors come first
ends "decode with NaN weights" 2 "found nan at element" \
    $tintype decode -m "$work/m" "$work/z.safetensors" -o "$work/y.png"
nan $model $vae last # quant_conv.weight
ends "encode or decode with NaN weights" 2 "found nan at element" sh -c "$tintype encode -m '$work/m' \
    '$work/right.png' -o '$work/y' && $tintype decode -m '$work/m' '$work/z.safetensors' -o '$work/y.png'"
small --save-latents "$work/z.safetensors" -o "$work/x.png"
for name in sd15 ddim; do
    file=$work/z.safetensors
    if [ $name = ddim ]; then
        file=$work/pixels.safetensors
        $tintype generate -m reference/tiny/ddim --steps 1 --quiet --save-latents "$file" -o "$work/x.png"
    fi
    rm -rf "$work/m" && mkdir "$work/m"
    { head -c -4 "$file"; printf '\0\0\200\177'; } >"$work/m/z.safetensors"
    rm -f "$work/y.png"
    ends "decode of latents that are no numbers, $name" 2 "m/z.safetensors: latents: found inf at element" \
        $tintype decode -m reference/tiny/$name "$work/m/z.safetensors" -o "$work/y.png"
    [ ! -e "$work/y.png" ]; check "and no picture, $name" $?
done

# ---- a tokenizer without room for start and end ----
# As transformers has it, a text is then neither cut nor padded: it is as with a length that just fits.
for length in 0 1 7; do
    rm -rf "$work/m" && cp -r $model "$work/m"
    sed -i "s/\"model_max_length\": 77/\"model_max_length\": $length/" "$work/m/tokenizer/tokenizer_config.json"
    $tintype generate -m "$work/m" -p "a lighthouse at sunset" -W 32 -H 32 --steps 2 --quiet -o "$work/l$length.png"
    check "model_max_length $length" $?
done
cmp -s "$work/l1.png" "$work/l7.png" && cmp -s "$work/l0.png" "$work/l7.png"; check "model_max_length 1 is 7" $?

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
