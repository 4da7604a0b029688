#!/bin/bash
# Builds the images whose inputs changed, and loads into the devcluster what it does not have yet.
# BASE=<image>: build on that one and not on a local Debian. REGISTRY=<host/path>: push there.
set -euo pipefail
# shellcheck source=devcluster/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../devcluster/lib.sh"

STORE=$CACHE/images
TAG=dev
# The kernel image holds the agent, the others the project itself.
IMAGES=(kernel-python operator gateway notebook)
# Without anything of ours, for the cluster tests alone; never pushed.
TEST_IMAGES=(plain-kernel r-kernel stock-lab)

export BUILDAH_ISOLATION=chroot # the one that works inside containers and small VMs, too

# A store of our own: other images on this machine stay what they are. The run root tells buildah
# by its absence that the machine was started anew.
buildah() {
  command buildah --root "$STORE/storage" --runroot /run/elastic-jupyter/images \
    --storage-driver overlay "$@"
}

image_id() { buildah images --quiet --no-trunc "$1" 2>/dev/null; }

digest() { # files and folders; the content counts, not the place
  (cd "$ROOT" && find "$@" -type f ! -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum | sha256sum)
}

# What pip needs to reach its index, as far as this machine's environment says something about it.
# It is mounted for the build alone, on a folder that every image has, so that no trace stays.
pip_access() {
  local name variable value link links=() access=$STORE/pip
  rm -rf "$access"
  mkdir -p "$access"
  echo "--volume=$access:/mnt:ro"
  for link in ${PIP_FIND_LINKS:-}; do
    if [ -d "$link" ]; then
      mkdir "$access/links-${#links[@]}"
      echo "--volume=$link:/mnt/links-${#links[@]}:ro"
      link=/mnt/links-${#links[@]}
    fi
    links+=("$link")
  done
  [ -z "${PIP_CERT:-}" ] || cp -L "$PIP_CERT" "$access/ca.crt"
  {
    echo "[global]"
    [ -z "${PIP_CERT:-}" ] || echo "cert = /mnt/ca.crt"
    [ ${#links[@]} = 0 ] || echo "find-links = ${links[*]}"
    for name in index-url extra-index-url trusted-host default-timeout; do
      variable=${name^^}
      variable=PIP_${variable//-/_}
      value=${!variable:-}
      [ -z "$value" ] || echo "$name = $value"
    done
  } >"$access/pip.conf"
}

build() { # image context containerfile [build arguments]
  local image=$1 context=$2 file=$3
  shift 3
  say "building $image ..."
  local access
  mapfile -t access < <(pip_access)
  local command=(buildah bud --quiet --layers --network host "${access[@]}"
    --build-arg PIP_CONFIG_FILE=/mnt/pip.conf "$@"
    --tag "localhost/$image" --file "$file" "$context")
  # Twice: now and then crun cannot seal its copy of itself ("Device or resource busy"). The layers
  # that are made stay.
  "${command[@]}" >/dev/null || {
    say "building $image once more ..."
    "${command[@]}" >/dev/null
  }
}

# Builds an image unless it was built from the same inputs.
build_once() { # name inputs command...
  local name=$1 inputs=$2 stamp=$STORE/${1//\//_}.inputs
  shift 2
  if [ "$(cat "$stamp" 2>/dev/null)" = "$inputs" ] && [ -n "$(image_id "localhost/$name")" ]; then
    return 0
  fi
  "$@"
  echo "$inputs" >"$stamp"
}

build_pause() {
  build devcluster/pause:1 "$BIN" "$ROOT/devcluster/pause/Containerfile"
}

build_base() {
  "$ROOT/devcluster/packages.sh" mmdebstrap
  say "building a Debian base ..."
  "$ROOT/images/base/build.sh" "$STORE/base.tar"
  build elastic-jupyter/base:$TAG "$STORE" "$ROOT/images/base/Containerfile"
  rm "$STORE/base.tar"
}

# A distribution as a wheel in its dist/, in one version: the Containerfiles copy all of them.
build_wheel() { # folder inputs...
  local folder=$1 inputs
  inputs=$(digest "${@:2}")
  [ "$(cat "$folder/dist/.inputs" 2>/dev/null)" != "$inputs" ] || return 0
  say "building a wheel of ${folder##*/} ..."
  rm -rf "$folder/dist"
  "$ROOT/.venv/bin/uv" build --quiet --wheel --out-dir "$folder/dist" "$folder"
  echo "$inputs" >"$folder/dist/.inputs"
}

build_image() { # name folder
  build "elastic-jupyter/$1:$TAG" "$ROOT" "$ROOT/$2/$1/Containerfile" --build-arg "BASE=$BASE"
}

build_all() {
  mkdir -p "$STORE"
  if [ -z "${BASE:-}" ]; then
    build_once elastic-jupyter/base:$TAG "$(digest images/base)" build_base
    BASE=localhost/elastic-jupyter/base:$TAG
  fi
  local name inputs base
  base="$BASE $(image_id "$BASE")"
  build_wheel "$ROOT" src pyproject.toml README.md LICENSE
  build_wheel "$ROOT/agent" agent/src agent/pyproject.toml agent/README.md
  for name in "${IMAGES[@]}"; do
    inputs="$base $(digest "images/$name" "requirements/$name.txt")"
    case $name in
      kernel-python) inputs+=" $(cat "$ROOT/agent/dist/.inputs")" ;;
      gateway) inputs+=" $(cat "$ROOT/dist/.inputs") $(digest requirements/kernel-python.txt)" ;;
      *) inputs+=" $(cat "$ROOT/dist/.inputs")" ;;
    esac
    build_once "elastic-jupyter/$name:$TAG" "$inputs" build_image "$name" images
  done
  [ -z "${REGISTRY:-}" ] || return 0
  for name in "${TEST_IMAGES[@]}"; do
    inputs="$base $(digest "tests/images/$name" requirements/{kernel-python,notebook}.txt)"
    build_once "elastic-jupyter/$name:$TAG" "$inputs" build_image "$name" tests/images
  done
}

load() { # image
  local id archive=$STORE/${1//[:\/]/_}.tar loaded=$RUN/images/${1//\//_}
  id=$(image_id "localhost/$1")
  [ "$(cat "$loaded" 2>/dev/null)" != "$id" ] || return 0
  say "loading $1 ..."
  rm -f "$archive"
  # The reference at the push is the name in the cluster.
  buildah push --quiet "localhost/$1" "docker-archive:$archive:localhost/$1"
  ctr -a "$RUN/containerd.sock" -n k8s.io images import "$archive" >/dev/null
  rm "$archive"
  mkdir -p "$RUN/images"
  echo "$id" >"$loaded"
}

load_each() { # images...
  local name
  for name in "$@"; do load "elastic-jupyter/$name:$TAG"; done
}

push_all() {
  local name
  for name in "${IMAGES[@]}"; do
    say "pushing $REGISTRY/$name:$TAG ..."
    buildah push "localhost/elastic-jupyter/$name:$TAG" "docker://$REGISTRY/$name:$TAG"
  done
}

[ "$(id -u)" = 0 ] || die "building images needs root here; with another builder see images/README.md"
"$ROOT/devcluster/packages.sh" buildah
if [ "${1:-}" = pause ]; then
  mkdir -p "$STORE"
  build_once devcluster/pause:1 "$(sha256sum <"$BIN/pause")" build_pause
  load devcluster/pause:1
  exit 0
fi
build_all
if [ -n "${REGISTRY:-}" ]; then
  push_all
elif foreign_cluster; then
  say "built localhost/elastic-jupyter/*:$TAG; REGISTRY=<host/path> make images pushes them"
elif alive containerd; then
  # Side by side: either keeps one processor busy.
  load_each "${TEST_IMAGES[@]}" &
  load_each "${IMAGES[@]}"
  wait "$!"
fi
