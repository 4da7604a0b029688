#!/bin/bash
# Ends with a cluster that runs this checkout's operator: `make cluster`. On the cluster that
# KUBECONFIG names, if it is set; else on the devcluster, which is built and started as needed.
set -euo pipefail
# shellcheck source=devcluster/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PACKAGES=(containerd runc containernetworking-plugins iptables conntrack iproute2 openssl procps buildah)
SYSTEM=elastic-jupyter-system
OPERATOR=deployment/elastic-jupyter-operator

# The same tag holds another image after a change: a new pod takes it.
restart_if_changed() {
  local image
  image=$(cat "$RUN/images/elastic-jupyter_operator:dev")
  local patch='{"spec":{"template":{"metadata":{"annotations":{"devcluster/image":"'$image'"}}}}}'
  kubectl -n "$SYSTEM" patch "$OPERATOR" -p "$patch" >/dev/null
}

install() { # overlay
  # Server-side: the schemas are too long for the annotation that a client-side apply leaves.
  kubectl apply --server-side --force-conflicts -k "$1" >/dev/null
  foreign_cluster || restart_if_changed
  if ! kubectl -n "$SYSTEM" rollout status "$OPERATOR" --timeout=120s >/dev/null; then
    kubectl -n "$SYSTEM" get pods,events >&2 || true
    kubectl -n "$SYSTEM" logs "$OPERATOR" --tail=50 >&2 || true
    die "the operator did not start"
  fi
}

if foreign_cluster; then
  say "using the cluster of KUBECONFIG"
  install "${OVERLAY:-$ROOT/deploy}"
  exit 0
fi
can_start_cluster || die "the devcluster needs root, Debian's apt-get and Go; or set KUBECONFIG"
lock
"$HERE/packages.sh" "${PACKAGES[@]}"
"$HERE/build.sh"
"$HERE/up.sh"
"$ROOT/images/build.sh" pause
"$ROOT/images/build.sh"
export KUBECONFIG=$OWN_KUBECONFIG # which foreign_cluster knows as our own
install "$HERE/overlay"
say "the devcluster is up: export KUBECONFIG=$OWN_KUBECONFIG (kubectl: $BIN/kubectl)"
