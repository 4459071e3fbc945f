# `make cluster`: a node of our own with everything installed, to try by hand.
# Sourced by ./cluster.

try_up() {
  dir=$(folder_of try)
  [ ! -e "$dir" ] || fail "It is there already: export KUBECONFIG=$dir/admin.kubeconfig
make cluster-down takes it away."
  unset WATCHSTATE_TEST_IMAGE
  trap 'stop_own try' EXIT
  start_own try
  simulators_archive "$binaries"
  load_own "$(archive "$simulators_image")"
  rm -rf "$archives"

  say "Installing the chart, with a Postgres of its own"
  kubectl create namespace media >/dev/null
  kubectl label namespace media pod-security.kubernetes.io/enforce=restricted >/dev/null
  helm install watchstate "$root/charts/watchstate" --namespace media --wait --timeout 3m --values - >/dev/null <<EOF
image: {repository: ${image%:*}, tag: ${image##*:}}
postgres: {enabled: true, image: {repository: ${postgres_image%:*}, tag: ${postgres_image##*:}}}
operator: {extraEnv: [{name: WATCHSTATE_PLEX_TV_URL, value: "http://simulators:8000"}]}
webhook: {service: {type: NodePort}}
EOF
  say "Three simulated servers, described to Kubernetes by resources"
  kubectl --namespace media apply -f "$here/try.yaml" >/dev/null
  kubectl --namespace media rollout status deployment/simulators --timeout=1m >/dev/null
  kubectl --namespace media logs deployment/simulators | kubectl --namespace media apply -f - >/dev/null
  kubectl --namespace media wait --for=condition=Ready mediaserver --all --timeout=2m >/dev/null
  # Each server tells the webhook what happens there, as a person would set it up.
  local server token port=30801
  for server in plex jellyfin-10-11 emby-4-9; do
    try_webhook "$server" "http://198.18.$number.2:$port"
    port=$((port + 1))
  done
  trap - EXIT
  try_told
}

# Lets a simulated server send webhooks to the address that its MediaServer's status names.
try_webhook() { # MediaServer, address of the simulator
  local path name key token
  read -r path name key < <(kubectl --namespace media get mediaserver "$1" \
    -o jsonpath='{.status.webhook.path} {.status.webhook.tokenSecretName} {.status.webhook.tokenSecretKey}{"\n"}')
  token=$(kubectl --namespace media get secret "$name" -o go-template="{{index .data \"$key\" | base64decode}}")
  curl --silent --fail --output /dev/null --data "{\"url\": \"http://watchstate-webhook:8080$path?apikey=$token\"}" "$2/_sim/webhooks"
}

try_told() {
  local port
  port=$(kubectl --namespace media get service watchstate-webhook -o jsonpath='{.spec.ports[0].nodePort}')
  cat <<EOF

A Kubernetes with Watch State Sync is running. In this shell:

  export KUBECONFIG=$KUBECONFIG PATH=$programs:\$PATH
  kubectl config set-context --current --namespace media
  kubectl get pods,ms,sync

Simulated servers, each with a past of its own:
  Plex     http://198.18.$number.2:30801
  Jellyfin http://198.18.$number.2:30802
  Emby     http://198.18.$number.2:30803
The webhook: http://198.18.$number.2:$port

Import and export now, and see what became of it:
  kubectl annotate sync home watchstate.dev/requestedAt="\$(date +%FT%T)"
  kubectl get sync home -w

Anna watches Casablanca on Plex; a second later it is watched on Jellyfin:
  curl --data '{"do": "play_to_end", "user": "anna", "item": "Casablanca"}' http://198.18.$number.2:30801/_sim/do
  curl http://198.18.$number.2:30802/_sim/writes

make cluster-down takes all of it away.
EOF
}

try_down() {
  dir=$(folder_of try)
  [ -e "$dir" ] || { say "There is none." && return; }
  stop_own try
  say "It is gone."
}
