#!/bin/sh
# SPDX-License-Identifier: MIT
# Pixels against latents (README): two U-Nets learn the same scenes from scratch, without captions, for the same time,
# one thread each and side by side; then each draws 100 pictures and a sheet. One works on pixels; the other, the
# shipped model's, on latents of the shipped autoencoder, with every caption left empty.
# Usage: bench/pixels.sh FOLDER [SECONDS]        the results go to FOLDER; SECONDS of training, 1800 if not given
[ $# -ge 1 ] || { sed -n 's/^# //p' "$0" | sed 1d; exit 2; }
out=$1 seconds=${2:-1800}
tintype=${BUILD:-build}/tintype
export OMP_WAIT_POLICY=passive

scenes() { # scenes NAME COUNT SEED
    [ -e "$out/$1" ] || "$tintype" scenes -o "$out/$1" --count "$2" --seed "$3" || exit
}
train() { # train LIMIT NAME OPTION...
    limit=$1 name=$2
    shift 2
    timeout "$limit" "$tintype" train --part unet --threads 1 --quiet --data "$out/scenes" -o "$out/$name" --batch 8 \
        --learning-rate 3e-4 --ema-decay 0.99 --log-every 10 "$@"
}
learn() { # learn NAME OPTION...: until the time is up; then no step more, but the last checkpoint becomes the model
    train "$seconds" "$@" --steps 1000000 2>/dev/null
    train 0 "$@" --resume --steps 1
}
draw() { # draw NAME OPTION...: a sheet of three, and pictures to measure
    name=$1
    shift
    mkdir -p "$out/$name-pictures"
    "$tintype" grid -m "$out/$name" --steps 25 "$@" --x seed=0,1,2 -o "$out/$name.png" --quiet
    "$tintype" generate -m "$out/$name" --steps 25 "$@" --count 100 -o "$out/$name-pictures/p.png" --quiet
}

scenes scenes 4000 1
scenes reference 1000 1001 # what the distance is measured from
scenes drawn 100 2001      # the distance of as many scenes that are drawn
learn pixels --config reference/models/pixels --save-every 10 &
learn latents --config reference/models/scenes --caption-dropout 1 --save-every 100 &
wait
tail -n 1 "$out/pixels/train.jsonl" "$out/latents/train.jsonl"
draw pixels
draw latents -p "" --guidance-scale 1
python3 reference/scene_distance.py "$out/reference" "$out/drawn" "$out/pixels-pictures" "$out/latents-pictures"
