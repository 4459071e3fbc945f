# The images that a cluster runs, made without a registry and without an engine.
# Sourced by ./cluster. Each function leaves an archive in a folder that can be loaded into a node.

image=localhost/watchstate:test
postgres_image=localhost/postgres:test
simulators_image=localhost/simulators:test
pause_image=localhost/pause:1
base_image=localhost/base:1

# Storage of its own, in the folder of the cluster: nothing is left in the user's.
store() { buildah --storage-driver vfs --root "$archives/storage" --runroot "$archives/run" "$@"; }
built() { store bud --quiet --isolation chroot --pull=never "$@" >/dev/null; }
# name of an image -> its archive
archive() { echo "$archives/$(basename "${1%%:*}").tar"; }
keep() {
  rm -f "$(archive "$1")"
  store push --quiet "$1" "docker-archive:$(archive "$1"):$1" >/dev/null
}

# The content of some of Debian's packages, each fetched once.
unpacked() { # folder, packages
  local folder=$1 debs
  shift
  debs=$(mktemp -d)
  # apt fetches as a user of its own, who has to be let in.
  chmod 777 "$debs"
  (cd "$debs" && { apt-get download -qq "$@" 2>/dev/null || { apt-get update -qq && apt-get download -qq "$@"; }; }) ||
    fail "apt-get can't download $*: the images' base is made of them."
  local deb
  for deb in "$debs"/*.deb; do dpkg-deb -x "$deb" "$folder"; done
  rm -rf "$debs"
}

# What stands in for the base image of the Dockerfile, and a busybox. Kept with the programs.
base_packages=(libc6 libgcc-s1 libstdc++6 ca-certificates tzdata)
base_folder() { echo "$programs/base-$(echo "${base_packages[@]}" | sha256sum | cut -c1-8)"; }
base_files() {
  base=$(base_folder)
  [ -e "$base/complete" ] && return
  local made="$base.$$"
  mkdir -p "$made/root/tmp" "$made/busybox" "$made/root/home/nonroot"
  chmod 1777 "$made/root/tmp"
  unpacked "$made/root" "${base_packages[@]}"
  rm -rf "$made/root/usr/share/doc" "$made/root/usr/share/lintian"
  mkdir -p "$made/root/etc/ssl/certs"
  cat "$made"/root/usr/share/ca-certificates/mozilla/*.crt >"$made/root/etc/ssl/certs/ca-certificates.crt"
  echo nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin >"$made/root/etc/passwd"
  unpacked "$made/busybox" busybox-static
  touch "$made/complete"
  mv -T "$made" "$base" 2>/dev/null || rm -rf "$made"
}

base_built() {
  base_files
  built --tag "$base_image" --file "$here/images/base.Containerfile" "$base/root"
}

pause_archive() {
  local folder="$archives/pause"
  mkdir -p "$folder"
  cp "$programs/pause" "$folder/"
  printf 'FROM scratch\nCOPY pause /pause\nUSER 65532:65532\nENTRYPOINT ["/pause"]\n' >"$folder/Containerfile"
  built --tag "$pause_image" "$folder"
  keep "$pause_image"
}

need_binaries() {
  local name
  for name in operator worker webhook; do
    [ -x "$binaries/watchstate-$name" ] || fail "$binaries/watchstate-$name is missing: cargo build --package watchstate-$name"
  done
}

# The last stage of the project's Dockerfile, with programs that were compiled outside in place of its first.
watchstate_archive() { # folder of the binaries
  local folder="$archives/out" name
  mkdir -p "$folder/out"
  for name in operator worker webhook; do
    strip --strip-all -o "$folder/out/watchstate-$name" "$1/watchstate-$name"
  done
  built --tag "$image" --build-arg BASE="$base_image" --build-arg VERSION=test --build-arg TARGETARCH= --build-context build="$folder" --file "$root/Dockerfile" "$root"
  keep "$image"
}

simulators_archive() { # folder of the binaries
  local folder="$archives/simulators"
  mkdir -p "$folder"
  strip --strip-all -o "$folder/watchstate-sim" "$1/watchstate-sim"
  built --tag "$simulators_image" --build-arg BASE="$base_image" --file "$here/images/simulators/Containerfile" "$folder"
  keep "$simulators_image"
}

# Where the embedded Postgres' programs are (tests/src/postgres.rs says the same); they come with its first start.
postgres_programs() {
  local cache=${XDG_CACHE_HOME:-} found
  [ -n "$cache" ] || cache=$([ "${HOME:-/root}" = /root ] && echo /var/cache || echo "$HOME/.cache")
  "$binaries/with-postgres" true >&2
  found=$(find "${WATCHSTATE_POSTGRES_PROGRAMS:-$cache/watchstate/postgres}" -path '*/bin/postgres' | sort -V | tail -1)
  [ -n "$found" ] || fail "The tests' Postgres isn't where it is expected."
  echo "${found%/bin/postgres}"
}

postgres_archive() { # folder of the server's programs
  local folder="$archives/postgres"
  mkdir -p "$folder"
  cp -r "$here"/images/postgres/. "$folder/"
  cp -r "$1" "$folder/postgres"
  cp "$(base_folder)/busybox/bin/busybox" "$folder/busybox"
  built --tag "$postgres_image" --build-arg BASE="$base_image" "$folder"
  keep "$postgres_image"
}
