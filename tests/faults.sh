#!/bin/sh
# SPDX-License-Identifier: MIT
# faults.sh [--quick] [CASE...]: what the system can do to a run, done to it. Each case is one command. It runs once
# undisturbed, then once under strace, which tells the calls it makes; then again and again with one of these calls
# failing, or the process killed at it. Held after each: the exit status is the documented one, with a message, or the
# output is that of the undisturbed run; every output is absent, as it was, or whole; nothing else in the folder has
# changed; an exported folder is read as one of the whole sets or by nobody; and the same command, left alone, then ends
# with the undisturbed run's bytes and leaves nothing of its own behind. `make faults` runs it all, `make test` a part.
. "$(dirname "$0")/faults_lib.sh"

# ---- the cases: what lies in $box before (prepare), the command (act), what it may write (outputs, a pattern) ----
# `act WORDS...` puts words (strace and its options) before the command. What is not an output is the user's.
tiny="-W 16 -H 16 --steps 2"

over() { # over NAME...: outputs that are there already
    for name in "$@"; do echo "an older one" >"$box/$name"; done
}
case_generate() {
    verb=generate outputs='(x-[12]\.png|z\.safetensors)' passing='x-[12]-preview\.png'
    growing=z.safetensors # of the pictures so far, when it stops
    prepare() { over x-2.png && chmod 600 "$box/x-2.png"; }
    act() {
        "$@" $tintype generate -m "$box/m" -p "a tree" $tiny --count 2 --save-latents "$box/z.safetensors" \
            --preview 1 --threads 1 --quiet -o "$box/x.png"
    }
}
case_generate_link() {
    verb=generate outputs='(far/y\.png|x\.png)'
    prepare() { mkdir "$box/far" && over far/y.png && ln -s far/y.png "$box/x.png"; }
    act() { "$@" $tintype generate -m "$box/m" -p "a tree" $tiny --threads 1 --quiet -o "$box/x.png"; }
}
case_generate_threads() {
    verb=generate outputs='x\.png'
    act() { "$@" $tintype generate -m "$box/m" -p "a tree" $tiny --threads 3 --quiet -o "$box/x.png"; }
}
case_generate_strip() {
    verb=generate outputs='x\.png'
    act() { "$@" $tintype generate -m "$box/m" -p "a tree" $tiny --strip 3 --threads 1 --quiet -o "$box/x.png"; }
}
case_generate_replay() {
    verb=generate outputs='x\.png'
    prepare() {
        $tintype generate -m "$box/m" -p "a tree" $tiny --quiet -o "$box/picture.png" && over x.png
    }
    act() {
        "$@" $tintype generate -m "$box/m" --replay "$box/picture.png" --threads 1 --quiet -o "$box/x.png"
    }
}
case_generate_jpeg() {
    verb=generate outputs='x\.jpg'
    act() { "$@" $tintype generate -m "$box/m" -p "a tree" $tiny --threads 1 --quiet -o "$box/x.jpg"; }
}
case_generate_stdout() {
    verb=generate outputs='stdout'
    act() { "$@" $tintype generate -m "$box/m" -p "a tree" $tiny --threads 1 --quiet -o - >"$box/stdout"; }
}
case_generate_json() {
    verb=generate outputs='(x\.png|stdout)' timed=stdout
    act() {
        "$@" $tintype generate -m "$box/m" -p "a tree" $tiny --threads 1 --json -o "$box/x.png" >"$box/stdout"
    }
}
case_grid() {
    verb=grid outputs='x\.png'
    prepare() { over x.png; }
    act() {
        "$@" $tintype grid -m "$box/m" -p "a tree" $tiny --x seed=1,2 --y guidance-scale=1,3 --threads 1 --quiet \
            -o "$box/x.png"
    }
}
case_noise() {
    verb=noise outputs='x\.png'
    prepare() { over x.png; }
    act() { "$@" $tintype noise "$box/data/000000.png" -t 500 -m "$box/m" --threads 1 --quiet -o "$box/x.png"; }
}
case_noise_strip() {
    verb=noise outputs='x\.png'
    act() { "$@" $tintype noise "$box/data/000000.png" --strip 3 -m "$box/m" --threads 1 --quiet -o "$box/x.png"; }
}
case_encode() {
    verb=encode outputs='z\.safetensors'
    prepare() { over z.safetensors; }
    act() { "$@" $tintype encode "$box/data/000000.png" -m "$box/m" --threads 1 --quiet -o "$box/z.safetensors"; }
}
case_decode() {
    verb=decode outputs='x\.png'
    act() { "$@" $tintype decode "$box/latents" -m "$box/m" --threads 1 --quiet -o "$box/x.png"; }
}
case_plot() {
    verb=plot outputs='x\.svg'
    prepare() { over x.svg; }
    act() { "$@" $tintype plot "$box/log.jsonl" --quiet -o "$box/x.svg"; }
}
case_schedulers() {
    verb=schedulers outputs='x\.svg'
    act() { "$@" $tintype schedulers -m "$box/m" --steps 5 --quiet --plot "$box/x.svg"; }
}
case_scenes() {
    verb=scenes outputs='scenes(/.*)?' once=scenes/metadata.jsonl
    act() { "$@" $tintype scenes -o "$box/scenes" --count 3 --pixels 16 --threads 1 --quiet; }
}
case_scenes_threads() {
    verb=scenes outputs='scenes(/.*)?' once=scenes/metadata.jsonl
    prepare() { mkdir "$box/scenes"; }
    act() { "$@" $tintype scenes -o "$box/scenes" --count 8 --pixels 16 --threads 2 --quiet; }
}
case_record() {
    verb=record outputs='rec(/[^.].*)?' once=rec/recording.json
    begun=rec/recording.part.json # what the next run goes on by
    act() { "$@" $tintype record -m "$box/m" -p "a tree" $tiny --threads 1 --quiet -o "$box/rec"; }
}
case_record_folder() { # one that is there; two threads
    verb=record outputs='rec(/[^.].*)?' once=rec/recording.json begun=rec/recording.part.json
    prepare() { mkdir "$box/rec"; }
    act() { "$@" $tintype record -m "$box/m" -p "a tree" $tiny --statistics --threads 2 --quiet -o "$box/rec"; }
}

# Training: the options that all have, then those of the case. All that stands in its folder is training's, but for what
# the case planted there.
training() { # training STEPS OPTION...
    verb=train outputs='out(/.*)?' timed=out/train.jsonl again=--resume threads=1 steps=$1
    shift
    options="$*"
    train() { # train STEPS WORDS...
        limit=$1
        shift
        "$@" $tintype train --data "$box/data" -o "$box/out" -W 32 -H 32 --batch 2 --seed 3 --threads $threads \
            --learning-rate 1e-3 --steps "$limit" --log-every 1 $quiet $options $resume
    }
    act() { train $steps "$@"; }
}
case_train() { training 3 -m "$box/m" --save-every 2; }
case_train_end() { training 4 -m "$box/m" --save-every 0; } # what an error leaves of steps that were not yet saved
case_train_resume() {
    training 4 -m "$box/m" --save-every 1
    resume=--resume planted='out/(movie\.mp4\.part|train\.jsonl\.bak|unet/notes\.txt)'
    prepare() {
        resume= && train 2 && resume=--resume && for name in movie.mp4.part train.jsonl.bak unet/notes.txt; do
            echo "not yours" >"$box/out/$name" || return
        done && chmod 600 "$box/out/unet/diffusion_pytorch_model.safetensors"
    }
}
case_train_samples() {
    training 2 -m "$box/m" --save-every 1 --sample-every 1 --sample-steps 1 --sample-prompts "$box/prompts.txt"
    prepare() { printf 'a tree\na boat\n' >"$box/prompts.txt"; }
}
case_train_vae() { training 2 --config "$box/m" --part vae --float16; }
case_train_text() { training 2 -m "$box/m" --part text --ema-decay 0.5; }
case_train_threads() {
    training 2 -m "$box/m"
    threads=2
}

# Verbs that print.
case_info() { verb=info outputs=stdout; act() { "$@" $tintype info "$box/m" >"$box/stdout"; }; }
case_tokenize() {
    verb=tokenize outputs=stdout
    act() { "$@" $tintype tokenize "a lighthouse" -m "$box/m" --json >"$box/stdout"; }
}
case_verify() {
    verb=verify outputs=stdout
    act() { "$@" $tintype verify -m "$box/m" "$top/reference/golden/sd15/square" --threads 1 >"$box/stdout"; }
}
case_verify_html() {
    verb=verify outputs='(v\.html|stdout)'
    prepare() { over v.html; }
    act() {
        "$@" $tintype verify -m "$box/m" "$top/reference/golden/sd15/square" --part text --threads 1 --json \
            --html "$box/v.html" >"$box/stdout"
    }
}
case_profile() {
    verb=profile outputs=stdout timed=stdout
    export XDG_CACHE_HOME=$(cd "$BUILD" && pwd)/cache # the roof is known, so that no run measures it
    $tintype bench --roof --threads 1 >/dev/null
    act() {
        "$@" $tintype profile -m "$box/m" --part text --repeat 1 --threads 1 --json >"$box/stdout"
    }
}
case_kernels() { verb=kernels outputs=stdout always=1; act() { "$@" $tintype kernels --json >"$box/stdout"; }; }

all="train train_resume train_samples train_vae train_end train_text train_threads generate generate_link generate_strip
    generate_replay generate_jpeg generate_stdout generate_json generate_threads grid noise noise_strip encode decode
    plot schedulers scenes scenes_threads record record_folder info tokenize verify verify_html profile kernels"
few="train_resume generate train_samples encode scenes generate_stdout"
main "$@"
