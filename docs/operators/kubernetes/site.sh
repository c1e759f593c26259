#!/bin/sh
# Make the site of one namespace of notebooks, with builders of its own, in the folder of that name beside this
# script: certificates, the registry's password (a Docker configuration) and, for a private authority, its certificate.
# Then images.sh, and `kubectl apply -k FOLDER`.
#
#     site.sh NAMESPACE REGISTRY DOCKERCONFIG [CA]
set -eu
umask 077
usage="usage: site.sh NAMESPACE REGISTRY DOCKERCONFIG [CA]"
namespace=${1:?$usage}
registry=${2:?$usage}
config=${3:?$usage}
ca=${4:-}
# Both become parts of files: only what names may hold.
case $namespace in *[!a-z0-9-]* | -*) echo "site.sh: $namespace is not the name of a namespace" >&2; exit 2 ;; esac
case $registry in *[!a-zA-Z0-9.:/_-]*) echo "site.sh: $registry is not a registry's address" >&2; exit 2 ;; esac
if ! grep -Eq '"(auth|password|identitytoken)" *: *"[^"]' "$config"; then
  echo "site.sh: $config holds no password, as a credential helper has it: pods can't ask that program." >&2
  echo "  Make one with \`kubectl create secret docker-registry\`, as the guide shows." >&2
  exit 2
fi
guide=$(cd "$(dirname "$0")" && pwd)
site=$guide/$namespace
if [ -e "$site" ]; then echo "site.sh: $site is there already" >&2; exit 2; fi

cp -R "$guide/site" "$site"
for file in $(cd "$guide/site" && find . -type f); do
  # The address last, which may hold the other word.
  sed -e "s|analytics|$namespace|g" -e "s|registry\.example\.org|$registry|g" "$guide/site/$file" > "$site/$file"
done
# A registry's authority is known by its host.
host=${registry%%/*}
sed -i.bak "s|registry\.\"$registry\"|registry.\"$host\"|" "$site/builders/buildkitd.toml"
if [ -z "$ca" ]; then
  sed -i.bak -e '/^\[registry/,$d' "$site/builders/buildkitd.toml"
  sed -i.bak -e 's/, ca\.crt\]/]/' "$site/builders/kustomization.yaml"
  sed -i.bak -e '/name: registry-ca/{' -e N -e d -e '}' "$site/notebooks/kustomization.yaml"
  sed -i.bak -e '/"ca": /d' "$site/notebooks/jupyter_secxops_config.json"
fi
"$guide/certificates.sh" "$site/certificates"
for part in builders notebooks; do
  rm -f "$site/$part/"*.bak
  cp "$config" "$site/$part/.dockerconfigjson"
  if [ -n "$ca" ]; then cp "$ca" "$site/$part/ca.crt"; fi
done
mkdir "$site/builders/certificates" "$site/notebooks/certificates"
mv "$site/certificates/server" "$site/builders/certificates/server"
mv "$site/certificates/client" "$site/notebooks/certificates/client"
echo "$site is ready. Keep $site/certificates/ca.key where only you can read it, then run:"
echo "  $guide/images.sh $registry/secxops $site"
echo "  kubectl apply -k $site"
