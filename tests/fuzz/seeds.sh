#!/usr/bin/env bash
# How the inputs that programs write were made. Keystores: small ones, with so few rounds of key derivation that the fuzzer gets past
# it. Takes a JDK 17 and OpenSSL 3.
set -euo pipefail

seeds=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/seeds/keystore
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$seeds"
cd "$work"

few=(-J-Dkeystore.pkcs12.certPbeIterationCount=100 -J-Dkeystore.pkcs12.keyPbeIterationCount=100
    -J-Dkeystore.pkcs12.macIterationCount=100)

make() { # file, type, more arguments of keytool
    local file=$1 kind=$2
    shift 2
    keytool -genkeypair -alias a -keyalg EC -groupname secp256r1 -dname CN=a -validity 9 -storetype "$kind" \
        -storepass changeit -keystore "$file" "${few[@]}" "$@" >/dev/null 2>&1
}

make store.jks JKS
make store.jceks JCEKS
keytool -genseckey -alias s -keyalg AES -keysize 128 -storetype JCEKS -storepass changeit -keystore store.jceks >/dev/null 2>&1
make modern.p12 PKCS12
make legacy.p12 PKCS12 -J-Dkeystore.pkcs12.legacy
make plain.p12 PKCS12 -J-Dkeystore.pkcs12.macAlgorithm=NONE -J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE
keytool -exportcert -alias a -storepass changeit -keystore store.jks -file a.der >/dev/null 2>&1
openssl x509 -inform DER -in a.der -out a.pem
openssl crl2pkcs7 -nocrl -certfile a.pem -outform DER -out a.p7b
openssl crl2pkcs7 -nocrl -certfile a.pem -out a.p7b.pem
# A block that cannot be read between two that can.
{ cat a.pem; sed '2s/^MII/MIA/' a.pem; cat a.pem; } >one-bad.pem
openssl ecparam -name prime256v1 -genkey -noout -out key.pem
openssl req -new -key key.pem -subj /CN=a -outform DER -out request.der
openssl pkey -in key.pem -pubout -outform DER -out public.der
openssl pkcs8 -topk8 -in key.pem -passout pass:a -outform DER -out sealed.der
cp store.jks store.jceks modern.p12 legacy.p12 plain.p12 a.der a.pem a.p7b a.p7b.pem one-bad.pem request.der public.der sealed.der "$seeds"

# Certificates: with extensions of their own, without any, and with the outermost length not told.
mkdir -p "$seeds/../certificate"
openssl req -x509 -key key.pem -subj '/C=JP/O=a/CN=b' -days 9 -addext subjectAltName=DNS:a,IP:192.0.2.1 -outform DER -out names.der
{ printf '\x30\x80'; tail -c +5 a.der; printf '\0\0'; } >indefinite.ber
cp a.der names.der indefinite.ber "$seeds/../certificate"

# PowerChute's event log, by the writer of the exporter's own tests.
here=$(cd "$seeds/../.." && pwd)
writer=$here/../../exporter/tests/event_log
javac -encoding UTF-8 -d "$work/classes" -sourcepath "$writer" "$writer/WriteEvents.java"
mkdir -p "$here/seeds/event_log"
for manner in plain appended reset list; do
    java -cp "$work/classes" WriteEvents "$manner" "$here/seeds/event_log/$manner" \
        1800000000000,true,3.5.1.5.6.10 1800000001000,true,3.5.1.5.4.1 1800000004000,true,3.5.1.5.3.18 1800000005000,true,3.5.1.5.3.19
done

# What servers of older versions say in the clear, to a greeting that offers TLS 1.2 and everything that openssl has.
flights=$(cd "$seeds/.." && pwd)/first_flight
mkdir -p "$flights"
flight() { # file, options of s_server
    local file=$1
    shift
    openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=a -days 9 -keyout key.pem -out own.pem 2>/dev/null
    coproc openssl s_server -accept 127.0.0.1:0 -cert own.pem -key key.pem "$@" 2>/dev/null
    local line port=
    while read -r line <&"${COPROC[0]}"; do
        case $line in ACCEPT*) port=${line##*:} && break ;; esac
    done
    openssl s_client -connect "127.0.0.1:$port" -cipher ALL:@SECLEVEL=0 -no_tls1_3 -legacy_renegotiation -msg </dev/null 2>/dev/null |
        awk '/^<<< .*(RecordHeader|Handshake)/ {wanted = 1; next} /^[<>]|^---/ {wanted = 0} wanted && /^    [0-9a-f]/' |
        xxd -r -p >"$flights/$file"
    kill "$COPROC_PID"
    wait "$COPROC_PID" 2>/dev/null || true
}
flight tls-1.0 -tls1 -cipher ALL:@SECLEVEL=0
flight p-521-client-wanted -tls1_2 -groups P-521 -verify 1
