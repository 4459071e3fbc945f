# Clusters of kind and k3d, which need a Docker engine. The image is the project's Dockerfile, built by that engine.
# Sourced by ./cluster.

start_docker() { # kind|k3d, name
  command -v "$1" >/dev/null || fail "$1 is missing."
  docker info >/dev/null 2>&1 || fail "$1 needs a Docker engine, and none answers."
  build_programs
  dir=$(folder_of "$2")
  mkdir -p "$dir"
  export KUBECONFIG="$dir/kubeconfig" PATH="$programs:$PATH"
  export HELM_CACHE_HOME="$dir/helm" HELM_CONFIG_HOME="$dir/helm" HELM_DATA_HOME="$dir/helm"
  docker build --quiet --tag "$image" "$root"
  local network
  case $1 in
    kind)
      kind create cluster --name "watchstate-$2" --kubeconfig "$KUBECONFIG" --wait 2m
      kind load docker-image --name "watchstate-$2" "$image"
      network=kind
      ;;
    k3d)
      k3d cluster create "watchstate-$2" --kubeconfig-update-default=false --wait
      k3d kubeconfig get "watchstate-$2" >"$KUBECONFIG"
      k3d image import --cluster "watchstate-$2" "$image"
      network=k3d-watchstate-$2
      ;;
  esac
  export WATCHSTATE_TEST_IMAGE=$image WATCHSTATE_TEST_POSTGRES_IMAGE=docker.io/library/postgres:17 WATCHSTATE_TEST_HOST
  WATCHSTATE_TEST_HOST=$(docker network inspect "$network" --format '{{range .IPAM.Config}}{{println .Gateway}}{{end}}' | grep -m1 -F .)
}

stop_docker() { # kind|k3d, name
  case $1 in
    kind) kind delete cluster --name "watchstate-$2" ;;
    k3d) k3d cluster delete "watchstate-$2" ;;
  esac
  rm -rf "$(folder_of "$2")"
}
