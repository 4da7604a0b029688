#!/bin/bash
# Runs a command with KUBECONFIG set, after `make cluster`; says that it is skipped where there can
# be no cluster. With ELASTIC_JUPYTER_NO_SKIP that is an error.
set -euo pipefail
# shellcheck source=devcluster/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if ! foreign_cluster && ! can_start_cluster; then
  say "skipped: $* (no KUBECONFIG, and starting a cluster needs root, apt-get and Go)"
  [ -z "${ELASTIC_JUPYTER_NO_SKIP:-}" ]
  exit
fi
"$HERE/cluster.sh" >&2
KUBECONFIG=$("$HERE/kubeconfig.sh")
export KUBECONFIG
exec "$@"
