#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh SECONDS [NAME...]: runs each fuzzer, or those named, for so long. What reaches new code is kept in
# $BUILD/corpus/NAME, what fails in $BUILD/found. `run.sh merge [NAME...]` instead folds $BUILD/corpus into
# tests/fuzz/corpus, as few and as small files as reach the same code.
BUILD=${BUILD:-build-fuzz}
seconds=${1:-60}
[ $# = 0 ] || shift
[ $# = 0 ] && set -- $(cd tests/fuzz && ls fuzz_*.c | sed 's/fuzz_\(.*\)\.c/\1/')
mkdir -p "$BUILD/found" "$BUILD/logs"

# The words of our readers, as they stand in a JSON file: a fuzzer seldom finds them alone.
grep -ohE '"[A-Za-z0-9_.<>|/+-]{2,48}"' src/io/*.c src/lora/*.c src/model/*.c src/noise/*.c src/noise/*.def \
    src/text/*.c | sort -u | sed 's/"\(.*\)"/"\\"\1\\""/' >"$BUILD/words"
grep -ohE '"[A-Za-z0-9_.<>|/+-]{2,48}"' src/doctor/*.c src/doctor/*.def |
    sort -u | sed 's/"\(.*\)"/"\"\1\""/' >"$BUILD/names"
# The words of a picture's settings, and the names of chunks.
{ grep -ohE '"[A-Z][A-Za-z :]{2,48}"' src/cli/parameters.c
  printf '"%s"\n' ', ' ': ' IHDR PLTE tRNS tEXt zTXt iTXt iCCP gAMA eXIf IDAT IEND RIFF WEBP VP8X VP8L ALPH ANMF \
      EXIF 'XMP ' Exif MM II 'Raw profile type exif' 'XML:com.adobe.xmp' 'tiff:Orientation='; } |
    sort -u >"$BUILD/marks"

# The parts of tensors' names.
grep -ohE '"[a-z0-9_.]{3,48}"' src/single/*.c | sort -u >"$BUILD/parts"
# The keys of GGUF that change how a file is read.
printf '"%s"\n' GGUF 'GGUF\x03\x00\x00\x00' general.alignment comfy.gguf.orig_shape. general.architecture >"$BUILD/gguf"

passed=0 failed=0
for name in "$@"; do
    corpus=tests/fuzz/corpus/$name own=$BUILD/corpus/$name dictionary= length=4096 memory=2048
    mkdir -p "$corpus" "$own"
    case $name in
    config) dictionary=-dict=$BUILD/words length=6000 ;;
    tokenizer) dictionary=-dict=$BUILD/words length=20000 ;;
    doctor) dictionary=-dict=$BUILD/names memory=512 ;;
    single) dictionary=-dict=$BUILD/parts length=20000 ;;
    safetensors | recording | lora) dictionary=-dict=$BUILD/words ;;
    gguf) dictionary=-dict=$BUILD/gguf ;;
    image) dictionary=-dict=$BUILD/marks length=16384 memory=64 ;;
    esac
    if [ "$seconds" = merge ]; then
        rm -rf "$BUILD/merged"
        mkdir "$BUILD/merged"
        "$BUILD/tests/fuzz_$name" -merge=1 -max_len=$length "$BUILD/merged" "$corpus" "$own" \
            >"$BUILD/logs/$name" 2>&1 && rm -f "$corpus"/* && cp "$BUILD"/merged/* "$corpus/"
    else
        "$BUILD/tests/fuzz_$name" -max_total_time="$seconds" -max_len=$length -timeout=300 -rss_limit_mb=4096 \
            -malloc_limit_mb=$memory -print_final_stats=1 -artifact_prefix="$BUILD/found/$name-" \
            $dictionary "$own" "$corpus" >"$BUILD/logs/$name" 2>&1
    fi
    status=$?
    if [ $status = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); tail -n 40 "$BUILD/logs/$name"; fi
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$BUILD/logs/$name")
    echo "$name: exit $status, ${executions:-0} executions, $(ls "$own" | wc -l) inputs kept"
done
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
