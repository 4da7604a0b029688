#!/bin/bash
# Prints the path of the kubeconfig in use, and nothing else.
set -euo pipefail
# shellcheck source=devcluster/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if foreign_cluster; then
  echo "$KUBECONFIG"
elif [ -f "$OWN_KUBECONFIG" ]; then
  echo "$OWN_KUBECONFIG"
else
  die "there is no devcluster: make cluster"
fi
