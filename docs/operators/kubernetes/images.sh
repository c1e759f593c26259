#!/bin/sh
# Build and push the tools image and mirror BuildKit's, with Docker; write their digests into a site. Again
# for the product's next version: the site then has the new digests.
#
#     images.sh REPOSITORY SITE [WHEELS]
#
# WHEELS is the folder with the product's wheel (default: wheels).
set -eu
usage="usage: images.sh REPOSITORY SITE [WHEELS]"
repository=${1:?$usage}
site=${2:?$usage}
wheels=${3:-wheels}
if ! ls "$wheels"/*.whl > /dev/null 2>&1; then
  echo "images.sh: $wheels holds no wheel: pip wheel --no-deps -w $wheels REPOSITORY-OF-THE-PRODUCT" >&2
  exit 2
fi
guide=$(cd "$(dirname "$0")" && pwd)
buildkit=$(sed -n 's/^ *image: //p' "$guide/builder/daemonset.yaml")

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp -R "$wheels" "$context/wheels"
docker build -q -t "$repository/tools:1" -f "$guide/tools.Dockerfile" "$context" > /dev/null
docker image inspect "$buildkit" > /dev/null 2>&1 || docker pull -q "$buildkit" > /dev/null
docker tag "$buildkit" "$repository/buildkit:1"
digest() {
  docker push -q "$repository/$1:1" > /dev/null
  docker inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$repository/$1:1" |
    sed -n "s|^$repository/$1@sha256:||p" | head -n 1
}
tools=$(digest tools)
mirrored=$(digest buildkit)
write() {
  sed "$2" "$site/$1" > "$context/written"
  cat "$context/written" > "$site/$1"
}
write builders/kustomization.yaml "s|digest: sha256:[A-Za-z0-9]*|digest: sha256:$mirrored|"
write notebooks/jupyter_secxops_config.json "s|/tools@sha256:[A-Za-z0-9]*|/tools@sha256:$tools|"
echo "$repository/tools@sha256:$tools"
echo "$repository/buildkit@sha256:$mirrored"
