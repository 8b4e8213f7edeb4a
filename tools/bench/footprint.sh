#!/usr/bin/env bash
# How large the wheel and the core's virtual environment are. Prints two lines; fails over a limit.
#     tools/bench/footprint.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
export ORT_DISABLE_TELEMETRY=1

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

python3 -m venv "$place/venv"
"$place/venv/bin/pip" wheel -q --no-deps -w "$place" . 2>"$place/log" || { cat "$place/log" >&2; exit 4; }
"$place/venv/bin/pip" install -q "$place"/*.whl 2>"$place/log" || { cat "$place/log" >&2; exit 4; }
"$place/venv/bin/python" -m compileall -q "$place/venv/lib" || true # some packages ship templates

wheel_bytes=$(stat -c %s "$place"/*.whl)
files_mb=$(($(du -sb "$place/venv" | cut -f1) / 1000000))
disk_mb=$(du -sm "$place/venv" | cut -f1)
echo "wheel: $wheel_bytes bytes (limit 5000000)"
echo "core environment, compiled: $disk_mb by du -sm, $files_mb MB of files (limit 500)"
du -sm "$place"/venv/lib/python3*/site-packages/* | sort -rn | head -8
[ "$wheel_bytes" -lt 5000000 ] && [ "$disk_mb" -lt 500 ]
