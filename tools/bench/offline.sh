#!/usr/bin/env bash
# The wheel in a fresh environment with the network off: how fast --help answers, whether the demo
# passes, and which files are written outside its output, cache and temporary folders.
#     tools/bench/offline.sh            (needs strace, and unshare as root or in a user namespace)
set -euo pipefail
cd "$(dirname "$0")/../.."
unset ORT_DISABLE_TELEMETRY EDGEKIT_PATH

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

python3 -m venv "$place/venv"
"$place/venv/bin/pip" wheel -q --no-deps -w "$place" . 2>"$place/log" || { cat "$place/log" >&2; exit 4; }
"$place/venv/bin/pip" install -q "$place"/*.whl 2>"$place/log" || { cat "$place/log" >&2; exit 4; }

alone=(unshare -n)
"${alone[@]}" true 2>"$place/log" || alone=(unshare -rn)
mkdir "$place/home" "$place/tmp" "$place/here"
cd "$place/here"
run=("${alone[@]}" env -i PATH="$place/venv/bin:/usr/bin:/bin" HOME="$place/home"
    TMPDIR="$place/tmp" LANG=C.UTF-8)

for _ in 1 2 3 4 5 6; do
    "${run[@]}" bash -c 'TIMEFORMAT=%R; time edgekit --help >/dev/null' 2>&1
done | tail -n 5 | sort -n | sed -n '3s/.*/edgekit --help, median of 5 after one: & s/p'

code=0
"${run[@]}" strace -f -y -qq --seccomp-bpf -o "$place/trace" \
    -e trace=open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,connect,sendto \
    edgekit demo --out "$place/here/demo.bundle" || code=$?
echo "edgekit demo, network off: exit code $code"

python3 - "$place" <<'PYTHON'
"""Read the trace: paths opened for writing or created, and addresses spoken to."""

import re
import sys
from pathlib import Path

place = sys.argv[1]
allowed = tuple(f"{place}/{name}" for name in ("here", "tmp", "home/.cache/edgekit"))
devices = ("/dev/null", "/dev/tty", "/dev/shm/", "/proc/self/", "/proc/")
inside, outside, spoken = set(), set(), set()
for line in Path(place, "trace").read_text(errors="replace").splitlines():
    call = re.match(r"\d+\s+(\w+)\((.*)\)\s+= (-?\d+|\?)", line)
    if call is None:
        continue
    name, arguments, ended = call.groups()
    if name in {"connect", "sendto"}:
        if "AF_INET" in arguments:
            spoken.add(arguments)
        continue
    if name.startswith("open") and not re.search(r"O_(WRONLY|RDWR|CREAT)", arguments):
        continue
    if ended.startswith("-"):
        continue
    for folder, path in re.findall(r'(?:<([^>]*)>, )?"([^"]*)"', arguments):
        absolute = path if path.startswith("/") else f"{folder or place + '/here'}/{path}"
        if absolute.startswith(allowed):
            inside.add(absolute)
        elif not absolute.startswith(devices):
            outside.add(absolute)
print(f"paths written in them: {len(inside)}")
print(f"written outside the output, cache and temporary folders: {sorted(outside) or 'nothing'}")
print(f"network addresses spoken to: {sorted(spoken) or 'none'}")
sys.exit(1 if outside or spoken else 0)
PYTHON
exit "$code"
