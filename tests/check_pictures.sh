#!/bin/sh
# SPDX-License-Identifier: MIT
# Sheets, strips, plots, previews and replays from the command line.
. tests/cli.sh
m=$model

# again FILE.png ARGUMENT...: drawn anew from its own settings, the same bytes.
again() {
    file=$1
    shift
    $tintype generate -m "$m" --replay "$file" --quiet -o "$work/again.png" "$@" && cmp "$file" "$work/again.png"
    check "replay of $(basename "$file") $*" $?
}

# ---- noise ----
draw -o "$work/a.png"
$tintype noise "$work/a.png" -m "$m" -t 500 --quiet -o "$work/n1.png" --threads 1; check "noise" $?
$tintype noise "$work/a.png" -m "$m" -t 500 --quiet -o "$work/n2.png" --threads 3 --cpu scalar
cmp -s "$work/n1.png" "$work/n2.png"; check "noise: same bytes for scalar and 3 threads" $?
$tintype noise "$work/a.png" -m "$m" -t 500 --quiet -o "$work/n2.png" -s 1
! cmp -s "$work/n1.png" "$work/n2.png"; check "noise: another seed" $?
$tintype noise "$work/a.png" -m "$m" -t 500 --quiet -o "$work/n2.png" --scheduler-option beta_schedule=squaredcos_cap_v2
! cmp -s "$work/n1.png" "$work/n2.png"; check "noise: another schedule" $?
for space in latents pixels; do
    $tintype noise "$work/a.png" -m "$m" --strip 5 --space $space -o "$work/strip-$space.png"
    check "noise --strip --space $space" $?
done
! cmp -s "$work/strip-latents.png" "$work/strip-pixels.png"; check "noise: spaces differ" $?

# ---- strips, previews ----
draw --strip 4 -o "$work/strip.png"; check "generate --strip" $?
draw --strip 3 --count 2 -o "$work/two.png" && [ -e "$work/two-2.png" ]; check "generate --strip --count" $?
draw -o "$work/p.png" --preview 1 && cmp -s "$work/p.png" "$work/a.png" && [ ! -e "$work/p-preview.png" ]
check "--preview alters nothing and leaves nothing" $?
mkdir "$work/q-preview.png"
draw -o "$work/q.png" --preview 2 2>"$work/err"
[ $? = 2 ] && grep -q 'q-preview.png: found a directory' "$work/err" && [ ! -e "$work/q.png" ]
check "--preview where none can be written" $?
draw --steps 100 -o "$work/r.png" --preview 1 &
seen=1
while kill -0 $! 2>/dev/null && [ $seen = 1 ]; do cp "$work/r-preview.png" "$work/now.png" 2>/dev/null && seen=0; done
wait $!
[ $seen = 0 ] && $tintype encode "$work/now.png" -m "$m" -o "$work/now.safetensors"; check "a preview is a whole PNG" $?

# ---- guidance interval ----
draw -o "$work/i.png" --guidance-interval 0,1; cmp -s "$work/i.png" "$work/a.png"; check "interval 0,1" $?
draw -o "$work/i.png" --guidance-interval 0,0 --save-latents "$work/i1"
draw -o "$work/j.png" --guidance-scale 1 --save-latents "$work/i2"
cmp "$work/i1" "$work/i2"; check "an empty interval is no guidance" $?
draw -o "$work/i.png" --guidance-interval 0.3,0.7; check "--guidance-interval" $?
! cmp -s "$work/i.png" "$work/a.png" && ! cmp -s "$work/i.png" "$work/j.png"; check "interval: a picture between" $?
# pndm makes 4 calls of 3 steps: steps are what the progress counts.
draw -o "$work/i.png" --guidance-interval 0.25,0.75; draw -o "$work/j.png" --guidance-interval 2-3
cmp -s "$work/i.png" "$work/j.png"; check "interval in steps" $?
draw -o "$work/j.png" --guidance-interval 1-4; cmp -s "$work/j.png" "$work/a.png"; check "interval of all steps" $?
draw -o "$work/i.png" --steps 25 --scheduler ddim --guidance-interval 8-14
draw -o "$work/j.png" --steps 25 --scheduler ddim --guidance-interval 0.28,0.56; cmp -s "$work/i.png" "$work/j.png"
check "interval of 25 steps" $?

# ---- replay ----
again "$work/a.png"
again "$work/a.png" --threads 1 --cpu scalar
again "$work/i.png"
again "$work/strip.png"
again "$work/two-2.png"
draw -o "$work/r1.png" -n "blurry: \"low\", grey" --scheduler dpm++-2m --scheduler-option use_karras_sigmas=true \
    --scheduler-option solver_order=1 --guidance-rescale 0.7 --guidance-scale 3.3333333333333335 --conv direct \
    -s 4294967297
again "$work/r1.png"
draw -o "$work/r2.png" --scheduler ddim --scheduler-option eta=0.5 -n x -p 'two
Negative prompt: of these
Steps: 9, ' -s 12345
again "$work/r2.png"
draw -o "$work/r3.png" -p "ein Häuschen, 灯台" -n "" && again "$work/r3.png"
draw -o "$work/r4.png" -p "" --scheduler-option num_train_timesteps=1000 && again "$work/r4.png"
draw -o "$work/s1.png" -s 9
$tintype generate -m "$m" --replay "$work/a.png" -s 9 --quiet -o "$work/s2.png" && cmp "$work/s1.png" "$work/s2.png"
check "--replay with another seed" $?
draw -o "$work/s1.png" -n "blurry: \"low\", grey" --scheduler euler --guidance-rescale 0.7 \
    --guidance-scale 3.3333333333333335 --conv direct -s 4294967297
$tintype generate -m "$m" --replay "$work/r1.png" --scheduler euler --quiet -o "$work/s2.png"
cmp "$work/s1.png" "$work/s2.png"; check "--replay with another scheduler drops its options" $?

# ---- grid ----
grid() { $tintype grid -m "$m" --steps 2 -W 48 -H 32 --quiet "$@"; }
grid -p "a boat" --x steps=1,2 --y guidance-scale=1,3,7.5 --json -o "$work/g.png" >"$work/g.json"
check "grid" $?
[ "$(grep -o '"x":"2","y":"7.5","seconds":' "$work/g.json" | wc -l)" = 1 ] &&
    [ "$(grep -o '"seconds"' "$work/g.json" | wc -l)" = 7 ]; check "grid --json" $?
grep -aq 'Grid x: "steps=1,2"' "$work/g.png"; check "grid: settings" $?
grid --x 'prompt="a, b",c' --y scheduler=ddim,euler --json -o "$work/g.png" | grep -q '"x":"a, b","y":"euler"'
check "grid of prompts and schedulers" $?
grid -p x --x seed=1,2,3 -o "$work/g1.png"; check "grid of one row" $?
grid -p x --x steps=3,25 --scheduler ddim --guidance-interval 2-3 -o "$work/g2.png"; check "grid: an interval" $?

# ---- plot ----
$tintype schedulers --quiet --plot "$work/p1.svg" -m "$m"; check "schedulers --plot" $?
$tintype schedulers --quiet --plot "$work/p2.svg" -m "$m" --cpu scalar
cmp "$work/p1.svg" "$work/p2.svg"; check "plot: same bytes" $?
missing=$($tintype schedulers | while read -r name class; do grep -qF ">$name" "$work/p1.svg" || echo "$name"; done)
[ -z "$missing" ] && [ "$(grep -c '<polyline' "$work/p1.svg")" -ge 12 ]; check "plot: every scheduler, every curve" $?

# ---- what is refused ----
x=$work/out/x.png
refuse 2 "usage: tintype noise" noise -t 1 -o "$x"
refuse 2 "--output is missing" noise "$work/a.png" -m "$m" -t 1
refuse 2 "found neither -t nor --strip, expected -t T or --strip N" noise "$work/a.png" -m "$m" -o "$x"
refuse 2 "found -t and --strip" noise "$work/a.png" -m "$m" -t 3 --strip 4 -o "$x"
refuse 2 "-t: found 1000, expected 0 to 999" noise "$work/a.png" -m "$m" -t 1000 -o "$x"
refuse 2 "--timestep: found '-1', expected a whole number from 0" noise "$work/a.png" -m "$m" -t -1 -o "$x"
refuse 2 "--timestep: found '2.5'" noise "$work/a.png" -m "$m" -t 2.5 -o "$x"
refuse 2 "--strip: found 1, expected 2 to 64" noise "$work/a.png" -m "$m" --strip 1 -o "$x"
refuse 2 "--strip: found 65" noise "$work/a.png" -m "$m" --strip 65 -o "$x"
refuse 2 "--space: found 'sound', expected latents or pixels" noise "$work/a.png" -m "$m" -t 1 --space sound -o "$x"
refuse 2 "README.md: found neither a PNG nor a JPEG" noise README.md -m "$m" -t 1 -o "$x"
refuse 2 "nowhere.png: cannot open" noise nowhere.png -m "$m" -t 1 -o "$x"
refuse 2 "strip.png: size: found" noise "$work/strip.png" -m "$m" -t 1 -o "$x"
refuse 2 "no_such_key" noise "$work/a.png" -m "$m" -t 1 --scheduler-option no_such_key=1 -o "$x"
refuse 2 "nowhere/x.png: cannot create" noise "$work/a.png" -m "$m" -t 1 -o "$work/nowhere/x.png"

refuse 2 "--strip: found 1, expected 2 to 5" generate -m "$m" -p x --steps 3 --strip 1
refuse 2 "--strip: found 6, expected 2 to 5" generate -m "$m" -p x --steps 3 --strip 6
refuse 2 "--preview: found '0'" generate -m "$m" -p x --preview 0
for interval in 0.8,0.2 1 a,b -0.1,1 0,1.1 0,1,2 ,1 nan,1 '' 0-3 3-2 2-5 -1-2 2- -3 2-3-4 1.5-2 a-b; do
    refuse 2 "--guidance-interval: found '$interval', expected steps FROM-TO within 1-4, or parts of the run A,B" \
        generate -m "$m" -p x --steps 3 --guidance-interval="$interval"
done
refuse 2 "found '2-3', expected steps FROM-TO within 1-2" grid -m "$m" -p x --x steps=3,2 --scheduler ddim \
    --guidance-interval 2-3
refuse 2 "README.md: found no PNG" generate -m "$m" --replay README.md
refuse 2 "nowhere.png: cannot open" generate -m "$m" --replay nowhere.png
refuse 2 "n1.png: found a PNG without settings" generate -m "$m" --replay "$work/n1.png"
refuse 2 "g.png: settings: found key 'Grid x'" generate -m "$m" --replay "$work/g.png"
refuse 2 "a.png: model hash: found" generate -m reference/tiny/wide --replay "$work/a.png"
head -c 60 "$work/a.png" >"$work/cut.png"
refuse 2 "cut.png: not a valid PNG" generate -m "$m" --replay "$work/cut.png"

refuse 2 "--x is missing" grid -m "$m" -p x
refuse 2 "--x: found 'width=1,2', expected NAME=V,V,... with steps, guidance-scale" grid -m "$m" -p x --x width=1,2
refuse 2 "--x: found 'steps'" grid -m "$m" -p x --x steps
refuse 2 "--x: found an empty value" grid -m "$m" -p x --x steps=
refuse 2 "--y: found an empty value" grid -m "$m" -p x --x steps=1 --y seed=1,,2
refuse 2 "--x: found an empty value" grid -m "$m" -p x --x steps=1,
refuse 2 "--x: found '0', expected a whole number" grid -m "$m" -p x --x steps=3,0
refuse 2 "--y: found 'inf', expected a finite number" grid -m "$m" -p x --x steps=3 --y guidance-scale=1,inf
refuse 2 "--x, --y: found steps twice" grid -m "$m" -p x --x steps=3 --y steps=4
refuse 2 "expected a closing quote" grid -m "$m" --x 'prompt="a, b'
refuse 2 "after a quoted value" grid -m "$m" --x 'prompt="a"b'
refuse 2 "nosuchscheduler" grid -m "$m" -p x --x scheduler=ddim,nosuchscheduler
refuse 2 "steps" grid -m "$m" -p x --x steps=2,2000
refuse 2 "UTF-8" grid -m "$m" --x "$(printf 'prompt=a,\377')"
refuse 2 "--prompt is missing" grid -m "$m" --x steps=1,2
refuse 2 "expected sides of at most 32768" grid -m "$m" -p x -W 8192 -H 8192 --x seed=1,2,3,4,5

# ---- the log of a training run ----
log() { # log STEP...: its lines
    for step; do
        printf '{"step":%d,"loss":%d.5,"learning_rate":0.001,"norm":0.5,"images_per_second":40,' "$step" $((900 / step))
        printf '"seconds":%d}\n' "$step"
    done
}
log $(seq 10 10 9000) >"$work/train.jsonl"
printf '{"step":9010,"lo' >>"$work/train.jsonl" # as a crash leaves it
$tintype plot "$work/train.jsonl" -o "$work/l1.svg" --json >"$work/json"; check "plot" $?
$tintype plot "$work/train.jsonl" --quiet -o "$work/l2.svg" && cmp "$work/l1.svg" "$work/l2.svg"
check "plot: the same bytes" $?
grep -q '"lines":900,"steps":9000,"loss":0.5,"images_per_second":40.0' "$work/json"; check "plot --json" $?
[ "$(grep -c '<polyline' "$work/l1.svg")" = 3 ] && grep -q '>9000 steps in 2.50 h' "$work/l1.svg"
check "plot: three curves" $?
$tintype plot "$work/train.jsonl" --log -o "$work/l2.svg" && grep -q '>100<' "$work/l2.svg"; check "plot --log" $?
log 10 30 20 >"$work/bad.jsonl"
refuse 2 "bad.jsonl: line 3: step: found 20, expected more than 30" plot "$work/bad.jsonl" -o "$work/out/l.svg"
log 10 20 | sed '2s/0.001/"fast"/' >"$work/bad.jsonl"
refuse 2 "bad.jsonl: line 2: learning_rate: found \"fast\", expected a number" \
    plot "$work/bad.jsonl" -o "$work/out/l.svg"
log 10 | sed 's/norm/nrm/' >"$work/bad.jsonl"
refuse 2 "bad.jsonl: line 1: norm" plot "$work/bad.jsonl" -o "$work/out/l.svg"
: >"$work/bad.jsonl"
refuse 2 "bad.jsonl: found no line" plot "$work/bad.jsonl" -o "$work/out/l.svg"
refuse 2 "nowhere.jsonl" plot "$work/nowhere.jsonl" -o "$work/out/l.svg"
refuse 2 "expected a name that ends in .svg" plot "$work/train.jsonl" -o "$work/out/l.jpg"
refuse 2 "nowhere/l.svg: cannot create" plot "$work/train.jsonl" -o "$work/nowhere/l.svg"
refuse 2 "nowhere/p.svg: cannot create" schedulers -m "$m" --plot "$work/nowhere/p.svg"
refuse 2 "nowhere: " schedulers -m nowhere --plot "$work/out/p.svg"
finish
