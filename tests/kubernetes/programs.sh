# The programs that a throw-away cluster is made of. Kubernetes, etcd, CoreDNS and helm are built from their Go modules, once for each go.sum,
# into a cache that outlives the checkout; containerd, runc and the rest are Debian's.
# Sourced by ./cluster. Sets $programs, the folder of the built ones.

# What is called, and the package of Debian that has it.
debian_tools=(buildah:buildah containerd:containerd ctr:containerd ip:iproute2 iptables:iptables mount:mount nsenter:util-linux openssl:openssl
  runc:runc sysctl:procps)
kubernetes_version=v1.34.4

# Where CNI plugins are: Debian's folder, or the usual one.
plugin_folder() {
  local folder
  for folder in /usr/lib/cni /opt/cni/bin; do [ -x "$folder/ptp" ] && echo "$folder" && return; done
  return 1
}

# Names all that is missing at once, and how to get it.
need_tools() {
  local missing=() tool
  for tool in "${debian_tools[@]}"; do command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}"); done
  plugin_folder >/dev/null || missing+=(containernetworking-plugins)
  [ "${#missing[@]}" -eq 0 ] || fail "A Kubernetes of its own needs more of Debian:
  apt-get install --no-install-recommends $(printf '%s\n' "${missing[@]}" | sort -u | xargs)"
  [ "$(id -u)" -eq 0 ] || fail "A Kubernetes of its own needs root: its kubelet starts containers. Or install kind, or k3d."
}

programs_folder() {
  local sum
  sum=$(cd "$here/programs" && cat go.mod go.sum main.go pause/main.go | sha256sum | cut -c1-16)
  local cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
  echo "${WATCHSTATE_KUBERNETES_PROGRAMS:-${cache:-/var/cache}/watchstate/kubernetes}/$sum"
}

# Builds what isn't there yet. Who comes second waits for the first.
build_programs() {
  programs=$(programs_folder)
  [ -e "$programs/complete" ] && return
  command -v go >/dev/null || fail "go is missing (1.24 or newer): the cluster's Kubernetes is built with it. Or install kind, or k3d."
  mkdir -p "$programs"
  exec 8>"$programs/lock"
  flock 8
  if [ ! -e "$programs/complete" ]; then
    say "Building Kubernetes $kubernetes_version and helm, once for all: some 5 minutes"
    local version=k8s.io/component-base/version
    local flags="-s -w -X $version.gitVersion=$kubernetes_version -X $version.gitMajor=1 -X $version.gitMinor=34"
    # helm takes the version of Kubernetes that it was built with from its own flags, and an old one without them.
    local helm="-s -w -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=34"
    (
      cd "$here/programs"
      export CGO_ENABLED=0
      go build -trimpath -ldflags "$flags" -o "$programs/kubernetes" .
      go build -trimpath -ldflags "$helm" -o "$programs/helm" helm.sh/helm/v3/cmd/helm
      go build -trimpath -ldflags '-s -w' -o "$programs/pause" ./pause
    )
    local part
    for part in etcd coredns kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do ln -sf kubernetes "$programs/$part"; done
    touch "$programs/complete"
  fi
  exec 8>&-
}
