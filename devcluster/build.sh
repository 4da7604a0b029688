#!/bin/bash
# Builds Kubernetes, etcd, CoreDNS and the pause program from Go modules into $BIN, as far as
# they are missing or older than their go.mod. Two cores, empty caches: see README.md.
set -euo pipefail
# shellcheck source=devcluster/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

export CGO_ENABLED=0 GOFLAGS="-buildvcs=false -mod=readonly -trimpath"

# A Kubernetes binary without these says v0.0.0, and clients compare versions.
k8s_ldflags() {
  local version
  version=$(awk '$1 == "k8s.io/kubernetes" {print $2}' "$HERE/kubernetes/go.mod")
  local minor=${version#v1.}
  local package=k8s.io/component-base/version
  echo "-X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
}

stamp() { # component
  { cat "$HERE/$1"/go.* "$HERE/$1"/*.go "${BASH_SOURCE[0]}" 2>/dev/null || true; go version; } | sha256sum
}

build() { # component ldflags output packages...
  local component=$1 ldflags=$2 output=$3
  shift 3
  [ "$(cat "$BIN/.$component" 2>/dev/null)" != "$(stamp "$component")" ] || return 0
  say "building $component ..."
  # One command for all packages of a component: they share compilation, and link in parallel.
  (cd "$HERE/$component" && go build -ldflags "-s -w $ldflags" -o "$output" "$@")
  stamp "$component" >"$BIN/.$component"
}

mkdir -p "$BIN"
build kubernetes "$(k8s_ldflags)" "$BIN/" \
  k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kubelet,kube-proxy,kubectl}
build etcd "" "$BIN/etcd" go.etcd.io/etcd/server/v3
build coredns "" "$BIN/" github.com/coredns/coredns
build pause "" "$BIN/" .
