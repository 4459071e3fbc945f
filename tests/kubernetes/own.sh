# Starts and ends a node of our own, from outside of its namespaces.
# Sourced by ./cluster.

folder_of() { echo "${TMPDIR:-/tmp}/watchstate-cluster-$1"; }

# Waits until a command succeeds; tells its last words if it never does.
until_ok() { # seconds, what is waited for, command
  local end=$((SECONDS + $1)) what=$2 words
  shift 2
  until words=$("$@" 2>&1); do
    [ "$SECONDS" -lt "$end" ] || fail "$what doesn't come. $words
The logs are in $dir/log."
    sleep 0.1
  done
}

# A pair of interfaces, one of them inside. Who can make the interface has its number.
plug_in() { # process inside
  for number in $(seq 1 250); do
    ip link add "watchstate$number" type veth peer name node netns "$1" 2>/dev/null || continue
    ip addr add "198.18.$number.1/30" dev "watchstate$number"
    ip link set "watchstate$number" up
    return
  done
  fail "No network between this machine and a node can be made: ip link add … type veth fails."
}

start_own() {
  need_tools
  need_binaries
  build_programs
  dir=$(folder_of "$1") archives=$(folder_of "$1")/archives
  rm -rf "$dir"
  mkdir -p "$dir" "$archives"
  ln -s "$programs" "$dir/bin"

  # The number is known once the namespaces are there, and the node waits for it.
  mkfifo "$dir/number"
  setsid unshare --mount --net --pid --fork --kill-child --mount-proc --propagation private \
    bash -c 'exec bash "$1" "$2" "$(cat "$2/number")" "$3"' node "$here/node.sh" "$dir" "$(plugin_folder)" >"$dir/node.log" 2>&1 </dev/null &
  local outside=$!
  disown "$outside" # its end is nothing to tell of
  echo "$outside" >"$dir/pid"
  until_ok 10 "A network namespace" apart "$outside"
  until_ok 10 "The node's first process" pgrep --parent "$outside"
  pgrep --parent "$outside" >"$dir/inside"
  plug_in "$outside"
  echo "$number" >"$dir/cable"
  echo "$number" >"$dir/number"

  # Images are made while Kubernetes starts.
  pause_archive
  base_built
  [ -n "${WATCHSTATE_TEST_IMAGE:-}" ] || watchstate_archive "$binaries"
  postgres_archive "$(postgres_programs)"
  export KUBECONFIG="$dir/admin.kubeconfig" PATH="$programs:$PATH"
  export HELM_CACHE_HOME="$dir/helm" HELM_CONFIG_HOME="$dir/helm" HELM_DATA_HOME="$dir/helm"
  until_ok 300 "containerd" inside ctr version
  load_own "$archives"/*.tar
  until_ok 300 "The API server" kubectl get --raw /readyz
  kubectl apply -f - >/dev/null <<EOF
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: 10.96.0.10, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
endpoints: [{addresses: [198.18.$number.2]}]
ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
EOF
  volumes_own | kubectl apply -f - >/dev/null
  until_ok 300 "The node" kubectl wait --for=condition=Ready node/node --timeout=0

  export WATCHSTATE_TEST_IMAGE=${WATCHSTATE_TEST_IMAGE:-$image} WATCHSTATE_TEST_POSTGRES_IMAGE=$postgres_image
  export WATCHSTATE_TEST_HOST=198.18.$number.1 WATCHSTATE_TEST_NODE
  WATCHSTATE_TEST_NODE=$(cat "$dir/inside")
}

# Whether a process has a network of its own.
apart() { [ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }

inside() { nsenter --target "$(cat "$dir/inside")" --mount --net --pid "$@"; }

load_own() { # archives
  local file
  for file; do inside ctr --namespace k8s.io images import --snapshotter "$(cat "$dir/snapshotter")" "$file" >/dev/null; done
}

# Some volumes for whoever claims one: there is no one who would make them.
volumes_own() {
  local volume
  for volume in $(seq 1 16); do
    mkdir -p "$dir/volumes/$volume"
    chmod 777 "$dir/volumes/$volume"
    cat <<EOF
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: volume-$volume}
spec:
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  hostPath: {path: $dir/volumes/$volume}
EOF
  done
}

# All of it is throw-away: nothing is asked politely.
stop_own() {
  local dir
  dir=$(folder_of "$1")
  [ -d "$dir" ] || return 0
  # The kernel ends all others with the first process, and takes mounts and interfaces away.
  [ ! -s "$dir/inside" ] || kill -9 "$(cat "$dir/inside")" 2>/dev/null || true
  [ ! -s "$dir/pid" ] || kill -9 "$(cat "$dir/pid")" 2>/dev/null || true
  if [ -s "$dir/cable" ]; then
    number=$(cat "$dir/cable")
    until_ok 10 "The end of the node's processes" empty_groups
    # By itself it goes once the kernel has tidied the namespace up, which may take its time.
    ip link del "watchstate$number" 2>/dev/null || true
  fi
  rm -rf "$dir"
}

# Removes the groups of a node; fails as long as one has processes.
empty_groups() {
  local hierarchy
  for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
    [ ! -d "$hierarchy/watchstate-$number" ] || find "$hierarchy/watchstate-$number" -depth -type d -exec rmdir {} + || return 1
  done
}

# What a killed `cluster run` has left.
stop_orphans() {
  local folder name
  for folder in "$(folder_of run-)"*; do
    name=${folder##*/watchstate-cluster-}
    [ ! -d "$folder" ] || kill -0 "${name#run-}" 2>/dev/null || stop_own "$name"
  done
}
