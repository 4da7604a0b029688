#!/bin/bash
# Installs the Debian packages given as arguments, as far as they are missing.
set -euo pipefail
# shellcheck source=devcluster/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

missing=()
for package in "$@"; do
  status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
say "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
{
  apt-get -qq update
  apt-get -qq install -y --no-install-recommends "${missing[@]}"
} >/dev/null
