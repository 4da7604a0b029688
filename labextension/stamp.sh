#!/bin/bash
# What JupyterLab loads was built of these sources: "write" says so after a build, "check" fails when
# either has changed since. It needs no node_modules.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
BUILT=../src/elastic_jupyter/notebook/labextensions/@elastic-jupyter/labextension
STAMP=$BUILT/built-of.sha256

digests() {
  find package.json package-lock.json tsconfig.json install.json schema src style "$BUILT" \
    -type f ! -path "$STAMP" -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
}

case ${1:-check} in
  write) digests >"$STAMP" ;;
  check)
    digests | diff -u "$STAMP" - ||
      { echo "labextension/ and what was built of it differ: make labextension" >&2; exit 1; }
    ;;
esac
