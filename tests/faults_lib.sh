# SPDX-License-Identifier: MIT
# The machinery of faults.sh, which sources it: strace's plan of a command, one injection, what has to hold after it.
BUILD=${BUILD:-build}
top=$(cd "$(dirname "$0")/.." && pwd)
case $BUILD in /*) tintype=$BUILD/tintype ;; *) tintype=$top/$BUILD/tintype ;; esac
export GOMP_SPINCOUNT=5000 # else the program begins by starting itself again with this

skip_all() { # skip_all REASON
    echo "SKIP: faults: $1"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}

# ---- the plan: which calls a command makes on what is below its folder ----

# Of the log of `strace -f -y`: a line "KIND CALL N" for the N-th CALL of a thread, from the first mention of the
# folder on (what comes before is the loader's and the library's). Reading and writing are kinds apart.
plan() {
    awk -v place="$box/" -v always="$always" '
        { thread = $1; text = $0; sub(/^[0-9]+ +/, "", text) }
        text !~ /^[a-z]/ || text ~ /^execve/ { next }
        {
            call = text
            sub(/\(.*/, "", call)
            n = ++made[thread, call]
            if (!first) first = thread
            here = index(text, place)
            if (here || (always && index(text, "/stdout"))) begun = 1
            if (!begun && thread == first) before[call] = n
            # The N-th call of another thread may be one of the loader in the first.
            if (!begun || (thread != first && n <= before[call])) next
            fd = text
            sub(/^[a-z0-9_]+\(/, "", fd)
            fd += 0
            kind = ""
            if (call ~ /^(mmap|mremap)$/) kind = here ? "mmap-file" : "mmap"
            else if (call ~ /^(clone|clone3|getrandom|mprotect)$/) kind = call
            else if (!here) next
            else if (call == "openat") {
                kind = text ~ /O_WRONLY|O_RDWR|O_CREAT|O_TMPFILE/ ? "open-write" : "open-read"
                opened = text
                if (kind == "open-write" && sub(/.*\) = /, "", opened)) written[opened + 0] = 1
                else if (kind == "open-read" && sub(/.*\) = /, "", opened)) delete written[opened + 0]
            }
            else if (call == "close") kind = fd in written ? "close-write" : ""
            else if (call ~ /^(fsync|fdatasync|sync_file_range|syncfs)$/) kind = "fsync"
            else if (call ~ /^p?write/) kind = "write"
            else if (call ~ /^rename|^link|^unlink|^mkdir|^rmdir|^symlink/) {
                kind = call
                sub(/at2?$/, "", kind)
            }
            else if (call ~ /^(ftruncate|fallocate|flock|fchmod|fchmodat|chmod|fchown|utimensat)$/) kind = call
            else if (call ~ /^(newfstatat|l?stat|fstat|statx|access|faccessat2?|readlink(at)?)$/) kind = "stat"
            else if (call ~ /^(getdents64|read|pread64|lseek|fstatfs|statfs)$/) kind = call
            if (kind) print kind, call, n
        }' "$1"
}

# At most so many lines of a kind, evenly spread, the first and the last among them; then what goes wrong there.
# A `+` after an error: it goes wrong from there on.
sample() { # sample MOST-OF-WRITING MOST-OF-READING ERRORS-EACH (0: all)
    awk -v writing="$1" -v reading="$2" -v each="$3" '
        BEGIN {
            errors["open-write"] = "EACCES EMFILE ENOSPC EIO EMFILE+"
            errors["open-read"] = "EMFILE EIO EACCES ENOMEM EMFILE+"
            errors["write"] = "ENOSPC EIO"
            errors["fsync"] = "EIO ENOSPC+"
            errors["close-write"] = "EIO ENOSPC"
            errors["rename"] = "EACCES EIO ENOSPC+"
            errors["link"] = "EIO EACCES"
            errors["symlink"] = "EIO"
            errors["unlink"] = "EIO EACCES+"
            errors["mkdir"] = "ENOSPC EACCES EIO+"
            errors["rmdir"] = "EIO"
            errors["mmap"] = errors["mprotect"] = "ENOMEM ENOMEM+"
            errors["mmap-file"] = "ENOMEM"
            errors["clone"] = errors["clone3"] = "EAGAIN ENOMEM EAGAIN+"
            errors["flock"] = "EIO"
            errors["getrandom"] = "ENOSYS EIO+"
            errors["stat"] = "EIO EACCES ENOMEM"
            other = "EIO"
            split("open-write write fsync close-write rename link symlink unlink mkdir rmdir ftruncate fallocate " \
                  "fchmod fchmodat chmod fchown flock", names)
            for (i in names) writes[names[i]] = 1
        }
        { at[$1, ++lines[$1]] = $2 " " $3; if (lines[$1] == 1) order[++kinds] = $1 }
        END {
            for (k = 1; k <= kinds; k++) {
                kind = order[k]
                all = lines[kind]
                most = kind in writes || kind ~ /^clone/ ? writing : reading
                count = all < most ? all : most
                n = split(kind in errors ? errors[kind] : other, error)
                for (i = 0; i < count; i++) {
                    line = at[kind, 1 + (count > 1 ? int(i * (all - 1) / (count - 1)) : int(all / 2))]
                    many = !each && (kind in writes || kind ~ /^clone/) ? n : 1
                    for (j = 0; j < many; j++) print kind, line, error[1 + (many > 1 ? j : turn++ % n)]
                    if (kind in writes && (!each || !(i % 2))) print kind, line, "KILL"
                }
            }
        }'
}

# ---- what has to hold ----

complain() { trouble="$trouble; $*"; }

# Of a list of names: those that are the user's.
foreign() { awk -v outputs="^$outputs\$" -v planted="^$planted\$" '$0 !~ outputs || $0 ~ planted'; }

# What a folder holds: kinds, modes, links.
list() { (cd "$1" && find . -mindepth 1 -printf '%P %y %#m %l\n' | sort); }

# equal A B: the same but for times in what is timed (an expression takes them out).
without_times() { sed 's/"images_per_second":[^}]*//; s/"seconds"[^]]*//; s/"gflops[^,]*//g; /"median\|"share/d' "$1"; }
equal() {
    if [ "$timed" ] && [ "${1%/"$timed"}" != "$1" ] && [ -f "$1" ] && [ -f "$2" ]; then
        [ "$verb" = profile ] && [ -s "$1" ] && return # all times
        [ "$(without_times "$1")" = "$(without_times "$2")" ]
    elif [ "$verb" = grid ] && [ "${1%.png}" != "$1" ] && [ -f "$1" ]; then # under each picture stands its time
        cmp -s "$1" "$2" || { [ "$(head -c 24 "$1" | od -c)" = "$(head -c 24 "$2" | od -c)" ] && whole_png "$1"; }
    else
        cmp -s "$1" "$2"
    fi
}
whole_png() { [ "$(tail -c 12 "$1" | od -An -tx1 | tr -d ' \n')" = 0000000049454e44ae426082 ]; }

# Every output that the undisturbed run leaves is there with the same bytes and mode, and nothing besides.
as_undisturbed() {
    list "$box" >"$place/now"
    cmp -s "$place/now" "$place/wanted" ||
        { complain "left: $(diff "$place/wanted" "$place/now" | grep '^[<>]' | head -n 4 | tr '\n' ' ')"; return 1; }
    while read -r name; do
        equal "$box/$name" "$place/want/$name" || { complain "$name differs from the undisturbed run's"; return 1; }
    done <"$place/results"
}

# What could not be removed is told, or it bears a name that the next run knows.
unfinished='(.*/)?\.tintype-[0-9a-f]*\.part(/.*)?'
may_stay() {
    diff "$place/wanted" "$place/now" | grep -q '^<' && { complain "exit 0"; return; }
    while read -r name; do
        equal "$box/$name" "$place/want/$name" || { complain "exit 0"; return; }
    done <"$place/results"
    trouble=
    for name in $(diff "$place/wanted" "$place/now" | sed -n 's/^> \([^ ]*\) .*/\1/p'); do
        echo "$name" | grep -qxE "$unfinished" || grep -qF "$name" "$place/err" || complain "$name stays without a word"
    done
    stayed=1
}

# Each output is absent, old or whole; nothing else has changed; nothing is left over but by who was killed.
nothing_half() { # nothing_half CALL ERROR
    sha256sum --status -c "$place/users" 2>/dev/null ||
        complain "changed: $(sha256sum --quiet -c "$place/users" 2>&1 | sed "s|$box/||" | head -n 3 | tr '\n' ' ')"
    list "$box" | sed 's/ [a-z] [0-7]* .*//' >"$place/now"
    while read -r name; do
        if [ -d "$box/$name" ] && [ ! -h "$box/$name" ]; then continue; fi
        if [ "$verb" = train ] && [ "${name#out/}" != "$name" ]; then
            case $name in *.png) whole_png "$box/$name" || complain "$name is not whole" ;; esac
            continue # the rest is for readers and --resume to tell
        fi
        # What stands in standard output cannot be taken back; what tells that a run is not done goes with its end.
        case $name in stdout | "$begun") continue ;; esac
        equal "$box/$name" "$place/want/$name" || equal "$box/$name" "$place/old/$name" ||
            { [ "$name" = "$growing" ] && $tintype decode "$box/$name" -m "$box/m" --quiet -o "$place/drawn.png"; } ||
            complain "$name is neither the old one nor whole"
    done <<END
$(grep -xE "$outputs" "$place/now" | grep -vxE "$planted")
END
    while read -r name; do
        # (Without its key, a set of files is read by nobody.)
        [ -e "$box/$name" ] || [ -h "$box/$name" ] || [ "$verb:$name" = train:out/model_index.json ] ||
            complain "$name is gone"
    done <"$place/before"
    rest=$(grep -vxF -f "$place/before" "$place/now" | grep -vxF -f "$place/names" | grep -vxF "${begun:--}")
    [ -z "$rest" ] && return
    if [ "$2" = KILL ]; then
        for name in $rest; do
            [ -z "$passing" ] || ! echo "$name" | grep -qxE "$passing" || whole_png "$box/$name" ||
                complain "$name is not whole"
        done
    else
        case $1:$2 in
        # One that cannot remove or open anything any more leaves what the next run removes.
        unlink* | rmdir* | *+) rest=$(echo "$rest" | grep -vxE "$unfinished${passing:+|$passing}") ;;
        esac
        [ -z "$rest" ] || [ "$stayed" ] || complain "left over: $(echo $rest)"
    fi
}

# The files of a model folder in one digest.
model_digest() {
    (cd "$1" && find . -type f \( -path './*/*.json' -o -path './*/*.txt' -o -path './*/*model.safetensors' -o \
        -name model_index.json \) ! -path './.*' | sort | xargs -r sha256sum | sha256sum)
}
# The exported folder is the set of one moment, or nobody reads it.
read_as_one() {
    [ "$verb" = train ] && [ -d "$box/out" ] || return
    $tintype generate -m "$box/out" -p "a tree" $tiny --quiet -o "$place/drawn.png" >/dev/null 2>"$place/why"
    code=$?
    case $code in
    0)
        found=$(sha256sum <"$place/drawn.png")$(model_digest "$box/out")
        grep -qxF "$found" "$place/sets" || complain "the folder draws, but is no set that was ever whole"
        ;;
    2)
        for reader in "tokenize x -m $box/out" "encode $box/data/000000.png -m $box/out -o $place/z" \
            "schedulers -m $box/out --plot $place/z" \
            "train -m $box/out --data $box/data -o $place/z -W 32 -H 32 --batch 1 --steps 1"; do
            $tintype $reader --quiet >/dev/null 2>&1
            code=$?
            [ $code = 2 ] ||
                complain "${reader%% *} ends with $code on a folder that generate refuses: $(cut -c1-100 "$place/why")"
        done
        rm -rf "$place/z"
        ;;
    *) complain "the folder makes generate end with $code" ;;
    esac
}

# The same command, left alone, goes on or starts over, and ends as if nothing had been.
goes_on() { # goes_on CALL ERROR
    # What stands under a name that is taken only when it is whole needs no second run.
    [ -z "$once" ] || [ ! -e "$box/$once" ] || return
    done_steps=
    if [ "$verb" = train ]; then
        # A system that fails once keeps nobody from saving what was done.
        case $2 in KILL | *+) false ;; esac && ! grep -q checkpoint.safetensors "$place/err" &&
            done_steps=$(grep -cs . "$box/out/train.jsonl")
        kept=$quiet quiet=
        (resume=$again && act >"$place/ignored" 2>"$place/again")
        code=$?
        quiet=$kept
    else
        act >"$place/ignored" 2>"$place/again"
        code=$?
    fi
    [ $code = 0 ] || { complain "again: exit $code: $(tail -n 1 "$place/again" | cut -c1-160)"; return; }
    if [ "${done_steps:-0}" -gt 0 ]; then
        from=$(sed -n 's/.*goes on after step \([0-9]*\).*/\1/p' "$place/again")
        [ "${from:-0}" -ge "$done_steps" ] || complain "$done_steps steps were done, again began after ${from:-0}"
    fi
    as_undisturbed || complain "(again)"
}

# One injection: the N-th CALL of each thread gives ERROR, or the signal comes.
inject() { # inject KIND CALL N ERROR
    kind=$1 call=$2 n=$3 error=$4 trouble= stayed=
    from=$n
    case $error in *+) from=$n+ ;; esac
    how=error=${error%+} fast=--seccomp-bpf
    [ "$error" != KILL ] || { how=signal=KILL fast=; } # (the filter would swallow it)
    rm -rf "$box" && cp -a "$place/old" "$box" || exit 3
    act timeout -k 10 100 strace -f -qq $fast -e signal=none -o "$place/trace" -e trace="$call" \
        -e inject="$call:$how:when=$from" >"$place/ignored" 2>"$place/err"
    code=$?
    if [ "$error" = KILL ]; then
        [ $code = 137 ] || { [ $code = 0 ] && echo missed >>"$place/verdicts" && return; } || complain "exit $code"
    else
        grep -q '(INJECTED)' "$place/trace" || { echo missed >>"$place/verdicts"; return; }
        case $code:$call:$error in
        0:*) as_undisturbed || may_stay ;;
        3:*) ;;
        2:open*:EACCES* | 2:mkdir*:EACCES* | 2:rename*:EACCES* | 2:link*:EACCES* | 2:*stat*:EACCES*) ;;
        2:*access*:EACCES | 2:readlink*:EACCES) ;;
        124:* | 137:*) complain "no end after 100 s" ;;
        *) complain "exit $code: $(tail -n 1 "$place/err" | cut -c1-160)" ;;
        esac
        [ $code = 0 ] || grep -qE "^tintype( $verb)?: ." "$place/err" ||
            grep -q '^[0-9]* *write(2, .*INJECTED' "$place/trace" ||
            complain "exit $code without a message: $(tail -n 1 "$place/err" | cut -c1-120)"
    fi
    nothing_half "$call" "$error"
    read_as_one
    [ "$error" != KILL ] && [ $code = 0 ] && [ -z "$stayed" ] || goes_on "$call" "$error"
    if [ "$trouble" ]; then
        echo "FAILED: $title: $call $n ($kind) $error${trouble}"
        echo "failed $kind $error" >>"$place/verdicts"
    else
        echo "passed $kind $error" >>"$place/verdicts"
    fi
}

# ---- a case ----

# What a run begins with: a model, pictures, latents, a log, and files of somebody else.
base() { # base FOLDER
    mkdir "$1" && cp -r "$top/reference/tiny/sd15" "$1/m" &&
        $tintype scenes -o "$1/data" --count 6 --pixels 32 --quiet &&
        $tintype encode "$1/data/000000.png" -m "$1/m" -o "$1/latents" --quiet &&
        for step in 1 2 3; do
            echo '{"step":N,"loss":0.5,"learning_rate":1,"norm":1,"images_per_second":9,"seconds":N}' |
                sed "s/N/$step/g"
        done >"$1/log.jsonl" &&
        for name in movie.mp4.part x.png.123.part .hidden train.jsonl.bak x-preview.png .x.png.part; do
            echo "not yours" >"$1/$name" || return
        done
}

# Exported sets that a reader may find: the one before, and what each number of steps gives.
whole_sets() {
    : >"$place/sets"
    [ "$verb" = train ] || return 0
    for limit in 0 $(seq $steps); do
        rm -rf "$box" && cp -a "$place/old" "$box"
        [ "$limit" = 0 ] || (resume=$resume && train "$limit" >/dev/null 2>&1)
        [ -e "$box/out/model_index.json" ] &&
            $tintype generate -m "$box/out" -p "a tree" $tiny --quiet -o "$place/drawn.png" 2>/dev/null ||
            continue
        echo "$(sha256sum <"$place/drawn.png")$(model_digest "$box/out")" >>"$place/sets"
    done
}

undisturbed() {
    act >"$place/ignored" 2>"$place/err"
    code=$?
    list "$box" >"$place/wanted"
    sed 's/ [a-z] [0-7]* .*//' "$place/wanted" >"$place/names"
    cp -a "$box" "$place/want"
    [ $code = 0 ] || { echo "FAILED: $title: undisturbed: exit $code: $(tail -n 1 "$place/err")"; return 1; }
    sha256sum --status -c "$place/users" 2>/dev/null || {
        echo "FAILED: $title: undisturbed: changed:" $(sha256sum --quiet -c "$place/users" 2>&1 | head -n 3)
        return 1
    }
    rest=$(grep -vxE "$outputs" "$place/names" | grep -vxF -f "$place/before")
    [ -z "$rest" ] || { echo "FAILED: $title: undisturbed: left $rest"; return 1; }
    (cd "$box" && find . -type f -printf '%P\n') | grep -xE "$outputs" | grep -vxE "$planted" >"$place/results"
    while read -r name; do
        [ -s "$box/$name" ] || { echo "FAILED: $title: undisturbed: $name is empty"; return 1; }
    done <"$place/results"
    [ -s "$place/results" ] || { echo "FAILED: $title: undisturbed: no output"; return 1; }
}

run_case() { # run_case NAME
    title=$1 place=$work/$1 box=$work/$1/box
    verb= outputs= timed= once= passing= again= always= planted=- growing= begun= resume= quiet=--quiet
    prepare() { :; }
    mkdir "$place" && cp -a "$work/base" "$box" && : >"$place/verdicts" && case_$title && prepare || exit 3
    cp -a "$box" "$place/old"
    list "$box" | sed 's/ [a-z] [0-7]* .*//' >"$place/before"
    find "$box" -type f -printf '%P\n' | foreign | sed "s|^|$box/|" | tr '\n' '\0' |
        xargs -0 sha256sum >"$place/users"
    if undisturbed; then
        whole_sets
        rm -rf "$box" && cp -a "$place/old" "$box"
        act strace -f -y -qq --seccomp-bpf -e signal=none -e trace='!futex,sched_yield,brk,munmap' -o "$place/trace" \
            >"$place/ignored" 2>"$place/err"
        plan "$place/trace" >"$place/calls"
        sample $amount <"$place/calls" >"$place/injections"
        while read -r one; do inject $one </dev/null; done <"$place/injections"
    else
        echo "failed undisturbed none" >>"$place/verdicts"
    fi
    count() { grep -c "$@" "$place/verdicts"; }
    printf '%-18s %6d %9d %6d %7d %7d %7d\n' "$title" "$(grep -c . "$place/calls" 2>/dev/null)" \
        "$(count -v -e missed -e none)" "$(count KILL)" "$(count ^passed)" "$(count ^failed)" \
        "$(count ^missed)" >>"$work/table"
    cat "$place/verdicts" >>"$work/verdicts"
    rm -rf "$place"
}

# ---- all of them ----

main() {
    # Of writing calls, of reading calls: at most so many of a kind; errors each (0: all that fit).
    amount="12 8 0"
    if [ "$1" = --case ]; then # of `main`, below
        amount=$2 work=$3 tintype=$3/tintype
        cd "$work/away" || exit 3 # whose own name no argument holds: calls on it are not the command's
        run_case "$4"
        exit
    fi
    cases=$all
    [ "$1" != --quick ] || { cases=$few amount="2 1 1" && shift; }
    [ $# = 0 ] || cases=$*
    command -v strace >/dev/null || skip_all "strace is missing: apt-get install strace"
    strace -f -qq --seccomp-bpf -o /dev/null -e trace=close -e inject=close:error=EIO:when=9999 true 2>/dev/null ||
        skip_all "strace may not trace here (ptrace is not allowed): run where it is, or with --cap-add=SYS_PTRACE"
    [ -z "$RUN" ] || skip_all "an emulator's own calls would be taken for the program's: run without RUN"
    ! grep -qs fsanitize "$BUILD/flags" || skip_all "sanitizers do not run under strace: run the build without"
    work=$(mktemp -d) || exit 3
    trap 'rm -rf "$work"' EXIT
    # A program of our own: to build another one meanwhile does no harm.
    cp "$tintype" "$work/tintype" && mkdir "$work/away" && base "$work/base" || exit 3
    : >"$work/verdicts"
    : >"$work/table"
    printf '%s\n' $cases | xargs -P "$(nproc)" -I CASE sh "$top/tests/faults.sh" --case "$amount" "$work" CASE
    [ -z "$(ls -A "$work/away")" ] || { echo "FAILED: left where it ran: $(ls -A "$work/away")"
        echo "failed away none" >>"$work/verdicts"; }
    printf '\n%-18s %6s %9s %6s %7s %7s %7s\n' command calls injected kills passed failed missed
    sort "$work/table"
    printf '\n%-18s %6s %9s\n' "at" injected failed
    awk '$2 != "" && $1 != "missed" { all[$2]++; failed[$2] += $1 == "failed" }
         END { for (k in all) printf "%-18s %6d %9d\n", k, all[k], failed[k] }' "$work/verdicts" | sort
    awk '{ n[$1]++ }
         END { printf "%d passed, %d failed, 0 skipped\n", n["passed"], n["failed"]; exit n["failed"] > 0 }' \
        "$work/verdicts"
}
