#!/bin/bash
# Stops what up.sh started, by recorded process, and removes its mounts, network and files.
# Also cleans what a reboot or a crash left behind; touches nothing that is not its own.
set -uo pipefail # no -e: whatever fails, the rest is still removed
# shellcheck source=devcluster/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

signal() { # name signal
  local pid
  ! alive "$1" || { read -r pid _ <"$RUN/pid/$1" && kill "-$2" "$pid"; }
} 2>/dev/null

any_alive() { # names...
  local name
  for name in "$@"; do ! alive "$name" || return 0; done
  return 1
}

# Asks all, waits 5 s for them (the API server drains its watches), then insists.
stop() { # names...
  local name deadline=$((SECONDS + 5))
  for name in "$@"; do signal "$name" TERM; done
  while any_alive "$@" && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.1; done
  for name in "$@"; do
    signal "$name" KILL
    rm -f "$RUN/pid/$name"
  done
}

ctr() { command ctr -a "$RUN/containerd.sock" -n k8s.io "$@"; }

# Kills all containers and prints the network namespaces that their sandboxes used.
kill_containers() {
  local container task
  for container in $(ctr containers ls -q); do
    ctr containers info "$container" | grep -o '/[^"]*netns/cni-[^"]*'
  done | sort -u
  for task in $(ctr tasks ls -q); do
    ctr tasks kill -s KILL "$task"
    # Without this the shim of the task outlives containerd.
    ctr tasks rm -f "$task"
  done >/dev/null
}

# Shims that lived through a containerd that was killed: they carry its address as an argument.
kill_shims() {
  local dir
  for dir in /proc/[0-9]*; do
    if tr '\0' ' ' <"$dir/cmdline" | grep -q "^[^ ]*containerd-shim.* -address $RUN/containerd.sock "; then
      kill -9 "${dir#/proc/}"
    fi
  done 2>/dev/null
}

unmount_below() { # folder
  # Deepest first. Lazily: a process that is just ending may still stand in it.
  awk -v dir="$1/" 'index($2, dir) == 1 {print $2}' /proc/mounts | sort -r | xargs -r umount -l
}

remove_network() {
  local net
  # The host's end first: deleting the namespace alone leaves it for a while.
  ip link del ej-host
  ip netns del "$NETNS"
  for net in "$LINK_CIDR" "$SERVICE_CIDR" "$POD_CIDR"; do
    ip route del blackhole "$net" metric 9000
  done
} 2>/dev/null

# A hundred thousand files of images: nobody waits for their end.
remove_gone() {
  local gone
  for gone in "$CACHE"/devcluster/gone.*; do
    rm -rf "$gone" || { unmount_below "$gone"; rm -rf "$gone"; }
  done
} >/dev/null 2>&1 9>&-

lock
if [ ! -d "$RUN" ]; then
  remove_gone  # of a removal that was cut short
  exit
fi
say "stopping the devcluster ..."
stop proxy kubelet coredns scheduler controllers apiserver etcd
namespaces=
[ ! -S "$RUN/containerd.sock" ] || ! alive containerd || namespaces=$(kill_containers 2>/dev/null)
stop containerd
kill_shims
unmount_below "$RUN"
for namespace in $namespaces; do
  umount -l "$namespace" 2>/dev/null
  rm -f "$namespace"
done
remove_network
# The pods' control groups are empty now; the kubelet would have removed them in time.
find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null
gone=$(mktemp -d "$CACHE/devcluster/gone.XXXXXX")
mv "$RUN" "$gone"
remove_gone &
