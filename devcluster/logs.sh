#!/bin/bash
# Prints what the operator, the gateways and the notebooks said last, and recent events.
set -uo pipefail
# shellcheck source=devcluster/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

KUBECONFIG=$("$HERE/kubeconfig.sh") || exit 0
export KUBECONFIG
kubectl get pods -A -o wide
kubectl get events -A --sort-by=.lastTimestamp | tail -n 50
for name in elastic-jupyter-operator jupyter-gateway jupyter-notebook; do
  echo "== $name"
  kubectl get pods -A -l "app.kubernetes.io/name=$name" --no-headers \
    -o custom-columns=:metadata.namespace,:metadata.name | while read -r namespace pod; do
    echo "-- $namespace/$pod"
    kubectl logs -n "$namespace" "$pod" --tail=200
    kubectl logs -n "$namespace" "$pod" --tail=50 --previous 2>/dev/null
  done
done
