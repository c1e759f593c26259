#!/bin/sh
# Make the certificates by which builders and their clients know each other: an authority, a server's
# and a client's, in the folder given, valid for the days given (default: 365). Keep ca.key to make
# others later, or delete it.
#
#     certificates.sh FOLDER [DAYS]
set -eu
umask 077
folder=${1:?usage: certificates.sh FOLDER [DAYS]}
days=${2:-365}
mkdir -p "$folder/server" "$folder/client"
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
key "$folder/ca.key"
openssl req -x509 -new -key "$folder/ca.key" -days "$days" -subj "/CN=secxops builders" -out "$folder/ca.crt"
for side in server client; do
  key "$folder/$side/tls.key"
  openssl req -new -key "$folder/$side/tls.key" -subj "/CN=secxops-builder" -out "$folder/$side/request"
  printf 'subjectAltName=DNS:secxops-builder\nextendedKeyUsage=%sAuth\n' "$side" > "$folder/$side/extensions"
  openssl x509 -req -in "$folder/$side/request" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" \
    -CAcreateserial -days "$days" -extfile "$folder/$side/extensions" -out "$folder/$side/tls.crt"
  cp "$folder/ca.crt" "$folder/$side/ca.crt"
  rm "$folder/$side/request" "$folder/$side/extensions"
done
