# shellcheck shell=bash
# Paths, addresses and helpers that the devcluster's and the images' scripts share. Sourced, never run.
# shellcheck disable=SC2034  # the names below are used by those who source this file

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$HERE")
# Outside the checkout: a second run finds the binaries, the base image and the image layers again.
CACHE=${ELASTIC_JUPYTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/elastic-jupyter}
BIN=$CACHE/devcluster/bin
RUN=$CACHE/devcluster/run # all state of the running cluster; gone after `make cluster-down`
OWN_KUBECONFIG=$RUN/pki/admin.conf

NETNS=elastic-jupyter
NODE=node-0
GPUS=2
VOLUMES=24
HOST_IP=10.89.0.1
NODE_IP=10.89.0.2
LINK_CIDR=10.89.0.0/24
SERVICE_CIDR=10.96.0.0/16
SERVICE_API_IP=10.96.0.1
DNS_IP=10.96.0.10
POD_CIDR=10.244.0.0/16
POD_SUBNET=10.244.0.0/24

say() { echo "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# Removed containers leave their network namespace to us, and the tools come without a PATH under cron.
export PATH=$PATH:/usr/sbin:/sbin

# kubectl of the cluster in use: the one that KUBECONFIG names, else our own.
kubectl() { "$(kubectl_binary)" "$@"; }

kubectl_binary() {
  if [ -x "$BIN/kubectl" ]; then
    echo "$BIN/kubectl"
  else
    type -P kubectl || die "no kubectl: neither on the PATH nor built (make cluster)"
  fi
}

# True if KUBECONFIG names a cluster that this folder did not start.
foreign_cluster() { [ -n "${KUBECONFIG:-}" ] && [ "$KUBECONFIG" != "$OWN_KUBECONFIG" ]; }

# True if this machine can start the devcluster.
can_start_cluster() { [ "$(id -u)" = 0 ] && type -P go apt-get >/dev/null; }

# A process is recorded as "<pid> <start time>": a pid alone may be someone else's after a reboot.
start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

alive() { # name
  local pid started
  read -r pid started 2>/dev/null <"$RUN/pid/$1" || return 1
  [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ]
}

# Waits for a condition with a deadline, and says what it waited for if that never came.
wait_for() { # seconds what command...
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || die "gave up waiting for $what (logs: $RUN/log)"
    sleep 0.2
  done
}

# One at a time: two `make cluster` would fight for the namespace. Held until the script ends;
# what is started in the background must close it (9>&-).
lock() {
  [ -z "${DEVCLUSTER_LOCKED:-}" ] || return 0
  mkdir -p "$CACHE"
  exec 9>"$CACHE/devcluster.lock"
  flock -n 9 || { say "waiting for another devcluster command ..."; flock 9; }
  export DEVCLUSTER_LOCKED=1 # for the scripts that this one calls
}
