#!/bin/sh
# Builds the fuzz targets and runs each for SECONDS (the first argument, 60 if none), or only those named after it. Fails on a crash.
# All that is built and found lies under target/fuzz; a crash is told with the file that repeats it.
set -eu

seconds=${1:-60}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- plex tautulli jellyfin emby form
here=$(cd "$(dirname "$0")" && pwd)
target=$(cd "$here/../../.." && pwd)/target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')

# The coverage that libFuzzer steers by. A stable compiler has no sanitizers; overflows and debug assertions are checked (Cargo.toml).
# --target: build scripts and macros must not be instrumented.
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
RUSTFLAGS=$coverage ${CARGO:-cargo} build --quiet --release --manifest-path "$here/Cargo.toml" --target-dir "$target" --target "$host"

for name in "$@"; do
    echo "fuzzing $name for $seconds s" >&2
    mkdir -p "$target/corpus/$name" "$target/crashes"
    log=$target/$name.log
    if ! "$target/$host/release/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 -verbosity=0 \
        -print_final_stats=1 -dict="$here/words.dict" -artifact_prefix="$target/crashes/$name-" \
        "$target/corpus/$name" "$here/seeds/$name" >"$log" 2>&1; then
        cat "$log" >&2
        exit 1
    fi
    grep -E 'number_of_executed_units|average_exec_per_sec|peak_rss_mb' "$log" >&2
done
