#!/usr/bin/env bash
# One set made in one go, killed (kill -9) when about half of it is there, resumed, and checked: count, hashes, doubles.
#
#   runs/synth/fifty_thousand.sh OUT [further options of `wholebody synth`]     COUNT=50000 unless set
#
# OUT must not exist. PYTHON names the interpreter.
set -euo pipefail
out=${1:?name a folder that does not exist yet}
shift
count=${COUNT:-50000}
python=${PYTHON:-python}
test ! -e "$out" || { echo "$out exists already" >&2; exit 1; }
make() { exec "$python" -m wholebody.cli synth "$out" --count "$count" "$@"; }
there() {  # pictures in finished shards
    "$python" -c 'import json, sys; print(sum(s["count"] for s in json.load(open(sys.argv[1]))["shards"].values()))' \
        "$out/manifest.json" 2>/dev/null || echo 0
}

start=$SECONDS
make "$@" &
run=$!
while kill -0 "$run" 2>/dev/null && (( $(there) < count / 2 )); do sleep 1; done
if ! kill -9 "$run"; then echo "it ended before it could be killed" >&2; exit 1; fi
wait "$run" || true
kept=$(there)
echo "killed after $((SECONDS - start)) s with $kept of $count pictures in finished shards"
(( kept > 0 && kept < count )) || { echo "nothing was left to resume" >&2; exit 1; }
sums=$(mktemp)
(cd "$out" && sha256sum [0-9]*.tar) > "$sums"

resumed=$SECONDS
(make "$@")
echo "resumed: $((count - kept)) pictures in $((SECONDS - resumed)) s"
(cd "$out" && sha256sum --quiet --check "$sums") && echo "the shards from before the kill are untouched"
rm "$sums"
"$python" "$(dirname "$0")/whole.py" "$out" "$count"
