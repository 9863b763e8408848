#!/bin/sh
# Makes version_1.pem: a certificate of X.509 version 1, as hand-made scripts without extensions make it. OpenSSL 3.0.
set -eu
cd "$(dirname "$0")"
key=$(mktemp)
trap 'rm -f "$key"' EXIT
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$key"
openssl req -new -key "$key" -subj /CN=version-1 |
    openssl x509 -req -signkey "$key" -days 36500 -out version_1.pem
openssl x509 -in version_1.pem -noout -text | grep -q 'Version: 1 '
