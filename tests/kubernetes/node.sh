# One real Kubernetes node in namespaces of its own: network, mounts and processes. Its first process starts all parts, and starts a part again
# that ends, as an init system would; when that process is killed the kernel ends all others, and takes mounts and interfaces away.
#
#   node.sh DIR NUMBER    is that first process (./cluster starts it by unshare)
#
# DIR holds all state. NUMBER makes the network between the machine and the node: the machine is 198.18.NUMBER.1, the node 198.18.NUMBER.2
# (a range for tests, which leads nowhere). Pods are 10.88.0.0/16 and services 10.96.0.0/16, known inside only.
set -euo pipefail
dir=$1 number=$2 programs=$dir/bin
node=198.18.$number.2 dns=10.96.0.10 services=10.96.0.0/16 pods=10.88.0.0/16
group=/watchstate-$number
cd "$dir"

# What parts write outside of DIR vanishes with the namespace.
mount -t tmpfs run /run
mount -t tmpfs log /var/log
mkdir -p /var/lib/kubelet /usr/libexec/kubernetes kubelet
mount --bind kubelet /var/lib/kubelet

# The end of the cable: ./cluster plugs it in.
until ip link show node >/dev/null 2>&1; do sleep 0.02; done
ip link set lo up
ip addr add "$node/30" dev node
ip link set node up
ip route add default via "198.18.$number.1" # kubelet asks which interface leads out; nothing is there
sysctl -qw net.ipv4.ip_forward=1

certificates() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.crt -subj /CN=watchstate-tests -days 30
  issue() { # file, subject, names
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" -out "$1.csr" -subj "$2"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "$1.crt" -extfile <(echo "subjectAltName=$3")
  }
  issue apiserver /CN=kube-apiserver "IP:$node,IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes.default.svc"
  issue kubelet /O=system:nodes/CN=system:node:node "IP:$node,DNS:node"
  issue admin /O=system:masters/CN=admin DNS:admin
  local part
  for part in controller-manager scheduler; do issue "$part" "/CN=system:kube-$part" "DNS:$part"; done
  issue proxy /CN=system:kube-proxy DNS:proxy
  openssl ecparam -name prime256v1 -genkey -noout -out service-accounts.key
}
mkdir -p pki
(cd pki && certificates) >pki/log 2>&1

text() { base64 -w0 "pki/$1"; }
for who in admin kubelet controller-manager scheduler proxy; do
  cat >"$who.kubeconfig" <<EOF
apiVersion: v1
kind: Config
current-context: watchstate-tests
contexts: [{name: watchstate-tests, context: {cluster: watchstate-tests, user: $who}}]
clusters: [{name: watchstate-tests, cluster: {server: "https://$node:6443", certificate-authority-data: $(text ca.crt)}}]
users: [{name: $who, user: {client-certificate-data: $(text "$who.crt"), client-key-data: $(text "$who.key")}}]
EOF
done

mkdir -p log cni volumes etcd
start() { # part, command
  local part=$1
  shift
  # Told of its loss, the shell would print a line for each.
  (while true; do "$@" >>"log/$part" 2>&1 || true; sleep 0.1; done) 2>/dev/null &
}

# Nothing is kept over a crash: no fsync.
start etcd "$programs/etcd" --data-dir etcd --unsafe-no-fsync --log-level warn \
  --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
start kube-apiserver "$programs/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --advertise-address="$node" --secure-port=6443 \
  --tls-cert-file=pki/apiserver.crt --tls-private-key-file=pki/apiserver.key --client-ca-file=pki/ca.crt \
  --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=pki/service-accounts.key \
  --service-account-signing-key-file=pki/service-accounts.key --service-cluster-ip-range="$services" --authorization-mode=Node,RBAC \
  --enable-admission-plugins=NodeRestriction --kubelet-client-certificate=pki/admin.crt --kubelet-client-key=pki/admin.key \
  --kubelet-certificate-authority=pki/ca.crt --kubelet-preferred-address-types=InternalIP --shutdown-delay-duration=0s
start kube-controller-manager "$programs/kube-controller-manager" --kubeconfig=controller-manager.kubeconfig --use-service-account-credentials \
  --service-account-private-key-file=pki/service-accounts.key --root-ca-file=pki/ca.crt --leader-elect=false --kube-api-qps=200 --kube-api-burst=400
start kube-scheduler "$programs/kube-scheduler" --kubeconfig=scheduler.kubeconfig --leader-elect=false

# native copies each image for each container, and works where overlays on overlays don't.
snapshotter=overlayfs
[ "$(stat -f -c %T .)" != overlayfs ] || snapshotter=native
echo "$snapshotter" >snapshotter
# restrict_oom_score_adj: where root may not make processes more important than it is itself, no pod would start.
cat >containerd.toml <<EOF
version = 2
root = "$dir/containerd"
state = "/run/containerd"
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:1"
restrict_oom_score_adj = true
containerd.snapshotter = "$snapshotter"
cni = { bin_dir = "$3", conf_dir = "$dir/cni" }
EOF
# Each pod has a cable of its own to the node: on a common bridge, answers of a service would go past the rules that brought the question.
cat >cni/pods.conflist <<EOF
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipMasq": true, "ipam": {"type": "host-local",
  "ranges": [[{"subnet": "$pods"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "$dir/cni-addresses"}}]}
EOF
start containerd containerd --config containerd.toml

# All that the node measures and limits is below one group, so that no other node of this machine takes its pods for lost ones.
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
  [ -e "$hierarchy/cgroup.procs" ] || continue
  mkdir -p "$hierarchy$group"
  for file in cpuset.cpus cpuset.mems; do
    [ ! -e "$hierarchy/$file" ] || cat "$hierarchy/$file" >"$hierarchy$group/$file"
  done
done
echo "nameserver $dns" >resolv.conf
cat >kubelet.yaml <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $dir/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $dir/pki/kubelet.crt
tlsPrivateKeyFile: $dir/pki/kubelet.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: $group
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
maxPods: 250
kubeAPIQPS: 200
kubeAPIBurst: 400
serializeImagePulls: false
clusterDNS: [$dns]
clusterDomain: cluster.local
resolvConf: $dir/resolv.conf
evictionHard: {imagefs.available: "0%", nodefs.available: "0%", nodefs.inodesFree: "0%", memory.available: 10Mi}
imageGCHighThresholdPercent: 100
EOF
start kubelet "$programs/kubelet" --config=kubelet.yaml --kubeconfig=kubelet.kubeconfig --hostname-override=node --node-ip="$node"
start kube-proxy "$programs/kube-proxy" --kubeconfig=proxy.kubeconfig --hostname-override=node --proxy-mode=iptables --cluster-cidr="$pods" \
  --conntrack-max-per-core=0
cat >Corefile <<EOF
.:53 {
  bind $node
  errors
  cache 2
  kubernetes cluster.local {
    kubeconfig $dir/admin.kubeconfig
  }
}
EOF
start coredns "$programs/coredns" -conf Corefile

# Without job control a shell waits for all at once, and for the orphans of its pods.
while true; do wait; sleep 1; done
