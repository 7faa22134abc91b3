#!/usr/bin/env bash
# Installs Flink for `cargo xtask bench lcp` under PEERS_DIR (default ~/.cache/perfstream-peers).
# Needs python3 with venv, Java 17 with javac; downloads about 300 MB.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
peers=${PEERS_DIR:-$HOME/.cache/perfstream-peers}
mkdir -p "$peers/flink-job"
[ -d "$peers/venv-flink" ] || python3 -m venv "$peers/venv-flink"
"$peers/venv-flink/bin/pip" install --quiet apache-flink==2.3.0
lib=$(echo "$peers"/venv-flink/lib/python3*/site-packages/pyflink/lib)
javac -cp "$lib/*" -d "$peers/flink-job" "$here/LcpJob.java"
