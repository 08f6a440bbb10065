# SPDX-License-Identifier: MIT
# What the check_*.sh that drive the command line share; they source it.
BUILD=${BUILD:-build}
tintype="$RUN $BUILD/tintype"
model=reference/tiny/sd15
work=$(mktemp -d) || exit 3
export XDG_CACHE_HOME=$(cd "$BUILD" && pwd)/cache # one measured roof for all scripts, and none in anyone's home
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

check() { # check NAME CONDITION-STATUS
    if [ "$2" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $1"; fi
}

# refuse EXIT MESSAGE-PART ARGUMENT...: the exit code, the message, and no file left behind.
refuse() {
    code=$1 message=$2 verb=$3
    shift 3
    rm -rf "$work/out"
    mkdir "$work/out"
    case $verb in generate | grid) set -- "$@" -o "$work/out/x.png" ;; esac
    $tintype "$verb" "$@" >/dev/null 2>"$work/err"
    status=$?
    [ "$status" = "$code" ] && grep -qF -- "$message" "$work/err" && [ -z "$(ls -A "$work/out")" ]
    result=$?
    [ $result = 0 ] || { echo "exit $status, expected $code '$message':"; cat "$work/err"; ls "$work/out"; }
    check "$verb $*" $result
}

# expect NAME EXIT TEXT... -- ARGUMENT...: the exit status of `tintype $verb ARGUMENT...`, and each text in what it
# prints ($work/log) or says ($work/err).
verb=
expect() {
    name=$1 code=$2
    shift 2
    : >"$work/texts"
    while [ "$1" != -- ]; do printf '%s\n' "$1" >>"$work/texts"; shift; done
    shift
    $tintype $verb "$@" >"$work/log" 2>"$work/err"
    status=$?
    [ $status = "$code" ]
    result=$?
    while read -r text; do
        grep -qF -- "$text" "$work/log" "$work/err" || { echo "lacks: $text"; result=1; }
    done <"$work/texts"
    [ $result = 0 ] || { echo "exit $status, expected $code:"; tail -n 8 "$work/log"; cat "$work/err"; }
    check "$name" $result
}

# draw OPTION...: a small picture; what is not given is as here.
draw() {
    case " $* " in *" -p "*) ;; *) set -- -p "a lighthouse at sunset" "$@" ;; esac
    case " $* " in *" --steps "*) ;; *) set -- --steps 3 "$@" ;; esac
    case " $* " in *" -W "*) ;; *) set -- -W 48 -H 32 "$@" ;; esac
    case " $* " in *" -m "*) ;; *) set -- -m $model "$@" ;; esac
    $tintype generate --quiet "$@"
}

refused() { # refused MESSAGE [OPTION]...: of the script's own `train FOLDER` and `says`: exit 2, and no folder
    message=$1
    shift
    train "$work/none" "$@"
    [ $? = 2 ] && says "$message" && [ ! -e "$work/none" ]
    check "refused: $message ($*)" $?
}
finish() {
    echo "$passed passed, $failed failed, 0 skipped"
    [ $failed = 0 ]
}
