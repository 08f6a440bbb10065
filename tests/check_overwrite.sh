#!/bin/sh
# SPDX-License-Identifier: MIT
# No command writes over what it reads, nor over another of its outputs, whichever way the name is spelled; what it
# could not write it says before the work; what it may write it writes where the name leads, with the mode it had.
. tests/cli.sh
top=$PWD
case $BUILD in /*) program=$BUILD/tintype ;; *) program=$top/$BUILD/tintype ;; esac
RUN=$(echo "$RUN" | sed "s|-L build|-L $top/build|")
tintype="$RUN $program"
skipped=0 patience=20
chmod 755 "$work"
box=$work/box

# A fresh folder: a model, one as caches hold it (links to blobs), pictures, latents, logs, a picture with its settings.
mkdir "$work/base" && cp -r $model "$work/base/m" && mkdir "$work/base/blobs" && (
    cd "$work/base" && ln -s m linked && find m -type f | while read -r file; do
        blob=blobs/$(echo "$file" | tr / -)
        mkdir -p "hub/$(dirname "${file#m/}")" && cp "$file" "$blob" &&
            ln -s "$work/box/$blob" "hub/${file#m/}"
    done
) && $tintype scenes -o "$work/base/data" --count 4 --pixels 32 --quiet &&
    $tintype encode "$work/base/data/000000.png" -m $model -o "$work/base/latents" --quiet &&
    $tintype generate -m $model -p "a tree" --steps 2 -W 16 -H 16 --quiet -o "$work/base/picture.png" &&
    $tintype train --data "$work/base/data" -o "$work/base/run" -m $model -W 32 -H 32 --batch 2 --steps 1 --quiet &&
    printf 'a tree\n' >"$work/base/prompts.txt" && printf '{"steps": 2}\n' >"$work/base/settings.json" &&
    cp "$work/base/run/train.jsonl" "$work/base/log.svg" && echo "a text" >"$work/base/other" || exit 3

state() { (cd "$box" && find . -mindepth 1 -printf '%P %y %m %l\n' | sort && find . -type f | sort | xargs cksum); }
fresh() { rm -rf "$box" && cp -a "$work/base" "$box" && cd "${inside:-.}" || exit 3; }

# refused WHAT COMMAND...: exit 2 with a message that tells the name in question ($told), nothing changed, and soon: the
# commands here would work for long.
refused() {
    what=$1
    shift
    state >"$work/before"
    (cd "$box" && timeout $patience "$@") >/dev/null 2>"$work/err"
    code=$?
    state >"$work/after"
    [ $code = 2 ] && grep -q "^tintype " "$work/err" && grep -qF -- "$told" "$work/err" &&
        cmp -s "$work/before" "$work/after"
    result=$?
    if [ $result != 0 ]; then
        echo "exit $code, expected 2 and '$told' told: $(tail -n 1 "$work/err" | cut -c1-200)"
        diff "$work/before" "$work/after" | grep '^[<>]' | cut -c1-150 | head -n 4
        fresh
    fi
    check "$what" $result
}
allowed() { # allowed WHAT CONDITION-STATUS
    check "$1" "$2"
    [ "$2" = 0 ] || tail -n 1 "$work/err"
}

long="--steps 999 -W 64 -H 64 --threads 1 --quiet"
generate="$tintype generate -p x $long"
grid="$tintype grid -p x $long --x seed=1,2 --y guidance-scale=1,2"

# ---- an output that is an input: every file that is read, spelled in six ways ----

spell() { # spell WAY FILE-BELOW-BOX: a name of it
    case $1 in
    same) echo "$box/$2" ;;
    near) echo "$2" ;; # the commands run in $box
    dots) echo "$box/./m/../$(dirname "$2")//$(basename "$2")" ;;
    hard) ln -f "$box/$2" "$box/hard" && echo "$box/hard" ;;
    soft) ln -sf "$box/$2" "$box/soft" && echo "$box/soft" ;;
    link) ln -sfn "$(dirname "$2")" "$box/way" && echo "$box/way/$(basename "$2")" ;;
    esac
}
every="same near dots hard soft link"
turn=0
another() { # $one: another way each time
    turn=$((turn % 6 + 1))
    one=$(echo "$every" | cut -d' ' -f$turn)
}
# over FILE WAYS COMMAND-UP-TO-THE-OUTPUT...
over() {
    file=$1 ways=$2
    shift 2
    for way in $ways; do
        rm -f "$box/hard" "$box/soft" "$box/way"
        told=$(spell "$way" "$file")
        refused "$(echo "$*" | sed "s|.*/tintype ||") $file ($way)" "$@" "$told"
    done
    rm -f "$box/hard" "$box/soft" "$box/way"
}

fresh
for file in $(cd "$box" && find m -type f | sort); do
    case $file in
    */tokenizer_config.json | m/model_index.json | */unet/config.json) another && ways=$one ;;
    *.safetensors) ways=$every ;;
    *) another && ways=$one && another && ways="$ways $one" ;;
    esac
    over "$file" "$ways" $generate -m m -o
    another && over "$file" "$one" $generate -m m -o out.png --save-latents
    another && over "$file" "$one" $grid -m m -o
    case $file in
    m/vae/* | m/model_index.json)
        another && over "$file" "$one" $tintype encode data/000000.png -m m -o
        another && over "$file" "$one" $tintype decode latents -m m -o
        another && over "$file" "$one" $tintype noise data/000000.png -t 500 -m m -o
        ;;
    m/scheduler/*)
        another && over "$file" "$one" $tintype schedulers -m m --plot
        another && over "$file" "$one" $tintype noise data/000000.png -t 500 --space pixels -m m -o
        ;;
    esac
done
over blobs/m-unet-diffusion_pytorch_model.safetensors "same hard" $generate -m hub -o
over hub/unet/diffusion_pytorch_model.safetensors "same link" $generate -m hub -o
over data/000000.png "$every" $tintype encode data/000000.png -m m -o
over data/000000.png "$every" $tintype noise data/000000.png -t 500 -m m -o
another && over data/000000.png "$one" $tintype noise data/000000.png --strip 3 -m m -o
over latents "$every" $tintype decode latents -m m -o
over log.svg "$every" $tintype plot log.svg -o
over picture.png "$every" $tintype generate -m m --replay picture.png --steps 999 --quiet -o
another && over picture.png "$one" $tintype generate -m m --replay picture.png --steps 999 --quiet -o x.png \
    --save-latents
ln -s m/text_encoder/model.safetensors "$box/soft.html"
ln "$box/m/model_index.json" "$box/hard.html"
cp -r "$top/reference/golden/sd15/square" "$box/recording"
ln "$box/recording/text_encoder.safetensors" "$box/recorded.html"
for html in soft hard; do
    told=$html.html
    refused "profile --html ($html)" $tintype profile -m m --part text --repeat 100000 --html $html.html
    refused "verify --html ($html)" $tintype verify -m m recording --html $html.html
done
told=recorded.html; refused "verify --html of what is recorded" $tintype verify -m m recording --html recorded.html
fresh

# ---- an output that is another output ----

told=z; refused "-o z --save-latents z" $generate -m m -o z --save-latents z
told=z; refused "-o z --save-latents ./z" $generate -m m -o z --save-latents ./z
told=z; refused "--save-latents through a folder's link" $generate -m m -o data/z --save-latents "$box/m/../data/z"
ln -s z "$box/soft"
told=soft; refused "-o z --save-latents a link to z" $generate -m m -o z --save-latents soft
rm -f "$box/soft"
ln "$box/other" "$box/hard"
told=hard; refused "-o a file --save-latents its other name" $generate -m m -o other --save-latents hard
rm -f "$box/hard"
told=x-2.png; refused "--save-latents the second picture" $generate -m m -o x.png --count 2 --save-latents x-2.png
told=x-preview.png
refused "--save-latents the preview" $generate -m m -o x.png --preview 1 --save-latents x-preview.png
told=x-preview.png
cp "$box/picture.png" "$box/x-preview.png"
refused "--replay a picture that the preview would be" $tintype generate -m m --replay x-preview.png --steps 999 \
    --quiet -o x.png --preview 1
fresh

# ---- training: a folder that is something else ----

train="$tintype train --data data -W 32 -H 32 --batch 2 --steps 100000 --threads 1 --quiet"
told=m
refused "train -o the model" $train -m m -o m
refused "train -o the model --resume" $train -m m -o m --resume
refused "train -o the model --force" $train -m m -o m --force
refused "train -o the folder of the configuration --force" $train --part vae --config m -o m --force
told=linked
refused "train -o a link to the model --force" $train -m m -o linked --force
told=data
refused "train -o the pictures" $train -m m -o data
told=other
refused "train -o a file" $train -m m -o other
refused "train -o below a file" $train -m m -o other/run
told=foreign
mkdir -p "$box/foreign" && echo "not yours" >"$box/foreign/train.jsonl"
refused "train -o a foreign folder" $train -m m -o foreign
refused "train -o a foreign folder --resume" $train -m m -o foreign --resume
mkdir -p "$box/foreign" && cp "$box/picture.png" "$box/foreign/checkpoint.safetensors"
refused "train -o a folder with a foreign checkpoint --resume" $train -m m -o foreign --resume
told=checkpoint.safetensors
ln -s nowhere/checkpoint.safetensors "$box/run/far"
mv "$box/run/checkpoint.safetensors" "$box/kept" && mv "$box/run/far" "$box/run/checkpoint.safetensors"
refused "train --resume from a link that leads nowhere" $train -m m -o run --resume
rm "$box/run/checkpoint.safetensors" && mkdir "$box/run/checkpoint.safetensors"
refused "train --resume from a folder" $train -m m -o run --resume
fresh

# --force takes a foreign folder, and still deletes nothing that has not one of the run's own names.
mkdir "$box/foreign" "$box/foreign/unet" && for name in movie.mp4.part notes.txt unet/mine.safetensors .hidden; do
    echo "not yours" >"$box/foreign/$name"
done
(cd "$box" && $tintype train --data data -W 32 -H 32 --batch 2 --steps 1 --quiet -m m -o foreign --force) \
    2>"$work/err" &&
    [ "$(cd "$box/foreign" && cat movie.mp4.part notes.txt unet/mine.safetensors .hidden | sort -u)" = "not yours" ] &&
    $tintype generate -p x --steps 1 -W 16 -H 16 -m "$box/foreign" --quiet -o "$box/x.png"
allowed "train --force leaves foreign files" $?
told=step-000001-1.png
mkdir -p "$box/more/samples" && cp "$box/data/000000.png" "$box/more/samples/step-000001-1.png" &&
    echo "a tree" >"$box/more/samples/step-000001-1.txt"
refused "train --force on pictures that its samples would replace" $tintype train --data more/samples -W 32 -H 32 \
    --batch 1 --steps 100000 --sample-every 1 --sample-steps 1 --quiet -m m -o more --force
fresh
mkdir "$box/scenes" && echo "not yours" >"$box/scenes/000000.png"
told=scenes
refused "scenes into a folder with files" $tintype scenes -o scenes --count 100000 --quiet
fresh

# ---- what may be written is ----

short="$tintype generate -p x --steps 1 -W 16 -H 16 --threads 1 --quiet"
is_png() { [ "$(head -c 8 "$1" | od -An -tx1 | tr -d ' \n')" = 89504e470d0a1a0a ]; }
inside=$box
cd "$box" || exit 3
$short -m m -o other 2>"$work/err" && is_png other; allowed "over a foreign file" $?
echo old >kept && chmod 600 kept && $short -m m -o kept 2>"$work/err" && is_png kept && [ "$(stat -c %a kept)" = 600 ]
allowed "a mode of 0600 stays" $?
echo old >kept && chmod 664 kept && $short -m m -o x.png --save-latents kept 2>"$work/err" &&
    [ "$(stat -c %a kept)" = 664 ] && ! grep -q old kept
allowed "a mode of 0664 stays" $?
(umask 027 && $short -m m -o new.png) 2>"$work/err" && [ "$(stat -c %a new.png)" = 640 ]
allowed "a new file's mode is that of the umask" $?
mkdir far && echo old >far/y && chmod 640 far/y && ln -s far/y through && $short -m m -o through 2>"$work/err" &&
    [ -h through ] && is_png far/y && [ "$(stat -c %a far/y)" = 640 ] && [ "$(ls far)" = y ]
allowed "a link is followed, and stays" $?
ln -s far/z dangling && $short -m m -o dangling 2>"$work/err" && [ -h dangling ] && is_png far/z
allowed "a link that leads to no file yet makes the one it names" $?
ln -s dangling twice && rm far/z && $short -m m -o twice 2>"$work/err" && [ -h twice ] &&
    [ -h dangling ] && is_png far/z
allowed "so does a link to that link" $?
told=lost
ln -s nowhere/z lost
refused "a link into a folder that is missing" $generate -m m -o lost
ln -s round round
told=round
refused "a link to itself" $generate -m m -o round
rm lost round
mkfifo pipe && { cat pipe >piped & $short -m m -o pipe 2>"$work/err"; } && wait && is_png piped && [ -p pipe ]
allowed "a pipe by its name" $?
rm -f pipe
$short -m m -o /dev/null 2>"$work/err" && [ -c /dev/null ]; allowed "a device" $?
cp picture.png -- "-keep.png" && $short -m m -o ./- 2>"$work/err" && is_png ./-; allowed "a file called -" $?
name=$(printf '%0251d' 0).png
$short -m m -o "$name" 2>"$work/err" && is_png "$name" && rm "$name"; allowed "a name of 255 bytes" $?
$short -m m -o x.png --save-latents "${name%.png}.out" 2>"$work/err" &&
    [ -s "${name%.png}.out" ] && rm "${name%.png}.out"
allowed "latents in a name of 255 bytes" $?
name=$(printf '%125s' '' | sed 's/ /ö/g')a.png # 255 bytes, 130 letters
[ ${#name} -le 255 ] && $short -m m -o "$name" 2>"$work/err" && is_png "$name" && rm "$name"
allowed "a name of 255 bytes in 130 letters" $?
name=$(printf '%0243d' 0).png # with -preview: 255
$short -m m -o "$name" --steps 2 --preview 1 2>"$work/err" && is_png "$name" && rm "$name"
allowed "a preview's name of 255 bytes" $?
echo mine >x-preview.png
$short -m m --steps 3 --preview 1 -o x.png 2>"$work/err"; [ "$(cat x-preview.png)" = mine ]
allowed "a foreign file where the preview would be" $?
$short -m nowhere --preview 1 -o x.png 2>"$work/err"; [ $? = 2 ] && [ "$(cat x-preview.png)" = mine ]
allowed "the same, when the model cannot be opened" $?
for foreign in .x.png.part x.png.part .x.png.tmp x.png.123.part x.png~; do echo mine >"$foreign"; done
$short -m m -o x.png 2>"$work/err"
[ "$(cat .x.png.part x.png.part .x.png.tmp x.png.123.part x.png~ | sort -u)" = mine ]
allowed "foreign files that look like temporary ones" $?
echo victim >victim
sh -c 'for end in part tmp; do ln -s victim "x.png.$$.$end"; ln -s victim ".x.png.$$.$end"; done; exec "$@"' sh \
    $short -m m -o x.png 2>"$work/err" && is_png x.png && [ "$(cat victim)" = victim ]
allowed "a link under the name that a process id gives away" $?
inside=
cd "$top" || exit 3
fresh

# ---- what cannot be written is told before the work ----

cannot() { # cannot WHAT TOLD NAME: no verb works for it
    place=$1 told=$2
    refused "generate -o $place" $generate -m m -o "$3"
    refused "generate --save-latents $place" $generate -m m -o x.png --save-latents "$3"
    refused "generate --count -o $place" $generate -m m --count 3 -o "$3"
    refused "grid -o $place" $grid -m m -o "$3"
    refused "encode -o $place" $tintype encode data/000000.png -m m -o "$3"
    refused "decode -o $place" $tintype decode latents -m m -o "$3"
    refused "noise -o $place" $tintype noise data/000000.png -t 500 -m m -o "$3"
    refused "plot -o $place" $tintype plot run/train.jsonl -o "${3%.png}.svg"
    refused "schedulers --plot $place" $tintype schedulers -m m --plot "${3%.png}.svg"
    refused "profile --html $place" $tintype profile -m m --part unet --repeat 100000 --html "${3%.png}.htm"
    refused "verify --html $place" $tintype verify -m m "$top/reference/golden/sd15/square" --html "${3%.png}.htm"
    refused "scenes -o $place" $tintype scenes --count 100000 --quiet -o "$3"
}
cannot "into a folder that is missing" nowhere nowhere/x.png
cannot "below a file" other other/x.png
cannot "a name of 256 bytes" 000 "$(printf '%0252d' 0).png"
train_cannot() { told=$2; refused "train -o $1" $train -m m -o "$3"; }
train_cannot "a name of 256 bytes" 000 "$(printf '%0256d' 0)"
told=-1.png
refused "a name that --count makes too long" $generate -m m --count 2 -o "$(printf '%0251d' 0).png"
told=-preview.png
refused "a name that --preview makes too long" $generate -m m --preview 1 -o "$(printf '%0244d' 0).png"
told=data
refused "a folder as -o" $generate -m m -o data
refused "a folder as --save-latents" $generate -m m -o x.png --save-latents data/
refused "encode to a folder" $tintype encode data/000000.png -m m -o data
told=
refused "an empty name" $generate -m m -o ""
refused "an empty name for latents" $generate -m m -o x.png --save-latents ""

# Somebody without rights. The program goes where he can read it.
as_nobody=
if [ "$(id -u)" != 0 ]; then as_nobody=env
elif command -v setpriv >/dev/null; then as_nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
elif command -v runuser >/dev/null; then as_nobody="runuser -u nobody --"
fi
cp "$program" "$work/tintype" && chmod 755 "$work/tintype"
if [ -z "$as_nobody" ] || ! $as_nobody $RUN "$work/tintype" --version >/dev/null 2>&1; then
    echo "SKIP: folders without rights: cannot run as somebody else: apt-get install util-linux (setpriv)"
    skipped=$((skipped + 1))
else
    mkdir "$box/sealed" && echo old >"$box/sealed/old.png" && chmod 666 "$box/sealed/old.png" && chmod 555 "$box/sealed"
    mkdir "$work/base/sealed" 2>/dev/null && chmod 555 "$work/base/sealed"
    kept=$tintype tintype="$as_nobody $RUN $work/tintype"
    generate=$(echo "$generate" | sed "s|^$kept|$tintype|") grid=$(echo "$grid" | sed "s|^$kept|$tintype|")
    train=$(echo "$train" | sed "s|^$kept|$tintype|")
    cannot "into a folder without rights" sealed sealed/x.png
    told=sealed
    refused "train -o a folder without rights" $train -m m -o sealed
    refused "train -o in a folder without rights" $train -m m -o sealed/run
    mkdir "$box/open" && chmod 777 "$box/open"
    told=sealed
    refused "--count with one that cannot be written" $generate -m m --count 2 -o open/x.png --save-latents sealed/z
    tintype=$kept
fi
chmod -R u+w "$box" "$work/base"

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
