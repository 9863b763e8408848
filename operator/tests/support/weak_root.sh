#!/bin/sh
# Makes weak_root.pem: a CA with a P-256 key below a root with an RSA-1024 key, and its key.
set -eu
cd "$(dirname "$0")"
d=$(mktemp -d)
trap 'rm -r "$d"' EXIT
ca='basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign'
openssl req -x509 -newkey rsa:1024 -nodes -sha256 -keyout "$d/root.key" -out "$d/root.pem" -days 36500 -subj /CN=Root \
    -addext 'keyUsage=critical,keyCertSign' 2>/dev/null
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$d/ca.key" -out "$d/ca.csr" -subj '/CN=Fleet CA' 2>/dev/null
echo "$ca" | openssl x509 -req -in "$d/ca.csr" -CA "$d/root.pem" -CAkey "$d/root.key" -days 36500 -extfile /dev/stdin -out "$d/ca.pem" 2>/dev/null
cat "$d/ca.pem" "$d/root.pem" "$d/ca.key" > weak_root.pem
