#!/bin/bash
# Starts the one-node Kubernetes in a network namespace of its own, unless it runs already.
# What is left of one that does not run any more is removed first. Run as root, after build.sh.
set -euo pipefail
# shellcheck source=devcluster/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PROCESSES=(etcd apiserver controllers scheduler containerd coredns kubelet proxy)

k() { "$BIN/kubectl" --kubeconfig "$OWN_KUBECONFIG" "$@"; }

healthy() {
  local name
  for name in "${PROCESSES[@]}"; do alive "$name" || return 1; done
  k get --raw /readyz --request-timeout=5s
}

# Not `ip netns exec`: it mounts a new /sys, which hides /sys/fs/cgroup from the kubelet.
run() { # name command...
  local name=$1
  shift
  nsenter --net="/run/netns/$NETNS" setsid "$@" >"$RUN/log/$name.log" 2>&1 </dev/null 9>&- &
  echo "$! $(start_time $!)" >"$RUN/pid/$name"
}

network() {
  local net
  # Nothing meant for the cluster leaves the machine while the cluster is down.
  for net in "$LINK_CIDR" "$SERVICE_CIDR" "$POD_CIDR"; do
    ip route replace blackhole "$net" metric 9000
  done
  ip netns add "$NETNS"
  ip link add ej-host type veth peer name ej-node
  ip link set ej-node netns "$NETNS"
  ip addr add "$HOST_IP/24" dev ej-host
  ip link set ej-host up
  ip -n "$NETNS" addr add "$NODE_IP/24" dev ej-node
  ip -n "$NETNS" link set ej-node up
  ip -n "$NETNS" link set lo up
  # Services need a route before kube-proxy rewrites the address, and CoreDNS an address to bind.
  # A veth pair that ends nowhere serves for both; not every kernel has `dummy` devices.
  ip -n "$NETNS" link add svc0 type veth peer name svc1
  ip -n "$NETNS" link set svc1 up
  ip -n "$NETNS" addr add "$DNS_IP/32" dev svc0
  ip -n "$NETNS" link set svc0 up
  ip -n "$NETNS" route add "$SERVICE_CIDR" dev svc0
  ip -n "$NETNS" route add default dev svc0 src "$NODE_IP"
  nsenter --net="/run/netns/$NETNS" sysctl -qw net.ipv4.ip_forward=1
}

certificate() { # name subject [alternative names]
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -keyout "$1.key" -out "$1.csr" -subj "$2" 2>/dev/null
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -out "$1.crt" \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "${3:-DNS:$1}") \
    2>/dev/null
}

kubeconfig() { # name
  cat >"$1.conf" <<END
apiVersion: v1
kind: Config
clusters:
  - name: devcluster
    cluster:
      server: https://$NODE_IP:6443
      certificate-authority-data: $(base64 -w0 ca.crt)
users:
  - name: $1
    user:
      client-certificate-data: $(base64 -w0 "$1.crt")
      client-key-data: $(base64 -w0 "$1.key")
contexts:
  - name: devcluster
    context: {cluster: devcluster, user: $1}
current-context: devcluster
END
}

keys() (
  umask 077
  mkdir -p "$RUN/pki"
  cd "$RUN/pki"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -keyout ca.key -out ca.crt -days 3650 -subj /CN=devcluster-ca 2>/dev/null
  openssl genrsa -out sa.key 2048 2>/dev/null
  openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
  local service=kubernetes.default.svc
  certificate apiserver /CN=kube-apiserver \
    "DNS:kubernetes,DNS:kubernetes.default,DNS:$service,DNS:$service.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$NODE_IP,IP:$SERVICE_API_IP"
  certificate admin /O=system:masters/CN=admin
  certificate kubelet "/O=system:nodes/CN=system:node:$NODE" "DNS:$NODE,IP:$NODE_IP"
  certificate controllers /CN=system:kube-controller-manager
  certificate scheduler /CN=system:kube-scheduler
  certificate proxy /CN=system:kube-proxy
  certificate kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
  local name
  for name in kubelet controllers scheduler proxy coredns; do
    [ "$name" != coredns ] || certificate coredns /O=system:masters/CN=coredns
    kubeconfig "$name"
  done
  # The last: its presence says that a kubeconfig can be given out.
  kubeconfig admin
)

control_plane() {
  run etcd "$BIN/etcd" --data-dir "$RUN/etcd" --unsafe-no-fsync --log-level=warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380
  run apiserver "$BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
    --advertise-address="$NODE_IP" --bind-address=0.0.0.0 --secure-port=6443 \
    --tls-cert-file="$RUN/pki/apiserver.crt" --tls-private-key-file="$RUN/pki/apiserver.key" \
    --client-ca-file="$RUN/pki/ca.crt" --kubelet-certificate-authority="$RUN/pki/ca.crt" \
    --kubelet-client-certificate="$RUN/pki/kubelet-client.crt" \
    --kubelet-client-key="$RUN/pki/kubelet-client.key" \
    --kubelet-preferred-address-types=InternalIP \
    --service-account-issuer=https://kubernetes.default.svc \
    --service-account-key-file="$RUN/pki/sa.pub" \
    --service-account-signing-key-file="$RUN/pki/sa.key" \
    --service-cluster-ip-range="$SERVICE_CIDR" --authorization-mode=Node,RBAC \
    --enable-admission-plugins=NodeRestriction --allow-privileged=true
  wait_for 60 "the API server" k get --raw /readyz
  run controllers "$BIN/kube-controller-manager" --kubeconfig="$RUN/pki/controllers.conf" \
    --cluster-signing-cert-file="$RUN/pki/ca.crt" --cluster-signing-key-file="$RUN/pki/ca.key" \
    --root-ca-file="$RUN/pki/ca.crt" --service-account-private-key-file="$RUN/pki/sa.key" \
    --use-service-account-credentials --leader-elect=false
  run scheduler "$BIN/kube-scheduler" --kubeconfig="$RUN/pki/scheduler.conf" --leader-elect=false
}

containers() {
  mkdir -p "$RUN/cni"
  # restrict_oom_score_adj: where lowering oom_score_adj is forbidden every sandbox would fail
  # with "can't get final child's PID from pipe: EOF".
  cat >"$RUN/containerd.toml" <<END
version = 2
root = "$RUN/containerd"
state = "$RUN/containerd-state"
[grpc]
address = "$RUN/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/devcluster/pause:1"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "$RUN/cni"
END
  cat >"$RUN/cni/10-bridge.conflist" <<END
{
  "cniVersion": "1.0.0",
  "name": "devcluster",
  "plugins": [
    {
      "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
      "ipam": {
        "type": "host-local", "dataDir": "$RUN/ipam",
        "ranges": [[{"subnet": "$POD_SUBNET"}]], "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
END
  run containerd containerd -c "$RUN/containerd.toml"
  wait_for 30 containerd ctr -a "$RUN/containerd.sock" version
}

dns() {
  echo "nameserver $DNS_IP" >"$RUN/resolv.conf"
  cat >"$RUN/Corefile" <<END
.:53 {
  bind $DNS_IP
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $RUN/pki/coredns.conf
    pods insecure
  }
}
END
  run coredns "$BIN/coredns" -conf "$RUN/Corefile"
}

node() {
  # failCgroupV1 and cgroupfs: works with either version of control groups, and without systemd.
  # oomScoreAdj, conntrack: see README.md. Images are imported, never pulled: keep them.
  cat >"$RUN/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $RUN/pki/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $RUN/pki/kubelet.crt
tlsPrivateKeyFile: $RUN/pki/kubelet.key
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
clusterDomain: cluster.local
clusterDNS: [$DNS_IP]
resolvConf: $RUN/resolv.conf
containerRuntimeEndpoint: unix://$RUN/containerd.sock
registerNode: true
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
serializeImagePulls: false
maxPods: 250
END
  run kubelet "$BIN/kubelet" --config="$RUN/kubelet.yaml" --kubeconfig="$RUN/pki/kubelet.conf" \
    --hostname-override="$NODE" --node-ip="$NODE_IP" --root-dir="$RUN/kubelet" --v=1
  run proxy "$BIN/kube-proxy" --kubeconfig="$RUN/pki/proxy.conf" --hostname-override="$NODE" \
    --cluster-cidr="$POD_CIDR" --proxy-mode=iptables --oom-score-adj=0 --conntrack-max-per-core=0
}

node_is_ready() { k get node "$NODE" --no-headers | grep -qw Ready; }

# Stand-in GPUs: an extended resource that the scheduler counts like the real one. A kubelet that
# registers its node anew takes it away, so this runs at every call.
gpus() {
  local patch='[{"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": "'$GPUS'"}]'
  k patch node "$NODE" --subresource=status --type=json -p "$patch" >/dev/null
}

# hostPath ignores fsGroup: the folders must be open to the pods' user as they are.
volumes() {
  local n name released
  released=$(k get pv -o jsonpath='{range .items[?(@.status.phase=="Released")]}{.metadata.name} {end}')
  for name in $released; do # static volumes are never bound twice: make them new
    k delete pv "$name" --wait=true >/dev/null
    rm -rf "$RUN/volumes/$name"
  done
  for n in $(seq -w "$VOLUMES"); do
    install -d -m 0777 "$RUN/volumes/volume-$n"
    cat <<END
---
apiVersion: v1
kind: PersistentVolume
metadata:
  name: volume-$n
spec:
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce, ReadWriteMany]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: standard
  hostPath: {path: $RUN/volumes/volume-$n, type: Directory}
END
  done >"$RUN/volumes.yaml"
  k apply -f "$HERE/storageclass.yaml" -f "$RUN/volumes.yaml" >/dev/null
}

lock
if ! healthy >/dev/null 2>&1; then
  "$HERE/down.sh"
  say "starting the devcluster ..."
  mkdir -p "$RUN"/{log,pid}
  keys
  network
  containers
  control_plane
  dns
  node
fi
wait_for 60 "the node" node_is_ready
gpus
volumes
