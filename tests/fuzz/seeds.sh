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

# Alert mails and exported logs: the notice's own fields, in the encodings that mails and consoles use.
python3 - "$here/seeds" <<'PY'
import base64, quopri, sys
from pathlib import Path

mails, logs = Path(sys.argv[1], "alert_mail"), Path(sys.argv[1], "alert_log")
mails.mkdir(exist_ok=True)
logs.mkdir(exist_ok=True)
rule = "-" * 52
body = f"""{rule}
日時:2026/06/01 09:08:07
端末機No.:0012
コンピューター名:MASTER
ログオンアカウント:admin
ログオンユーザー名:管理者
ログカテゴリ:システム
ログ種別:認証失敗
ログ詳細:送信元端末 [IPアドレス:192.0.2.10]
アラート項目:SKYSEAセキュリティ通知/認証失敗
アラート条件:
アラート処理:メール
{rule}
"""
def head(charset, transfer):
    return (f"From: skysea@example.com\nSubject: =?ISO-2022-JP?B?GyRCJSIlaSE8JUgbKEI=?=\nMIME-Version: 1.0\n"
            f"Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: {transfer}\n\n").encode()
plain = head("ISO-2022-JP", "7bit") + body.encode("iso2022_jp")
folder = body.replace("認証失敗", "ログ保存フォルダ不正アクセス").replace(":", "：")
parts = (b"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/html\n\n<p>\n--x\n"
         b"Content-Type: text/plain; charset=utf-8\n\n" + folder.encode() + b"\n--x--\n>From here\n")
mark = b"From a@b Mon Jun  1 00:00:0%d 2026\n"
(mails / "iso-2022-jp").write_bytes(plain)
(mails / "shift_jis-base64").write_bytes(head("Shift_JIS", "base64") + base64.encodebytes(body.encode("cp932")))
(mails / "utf-8-quoted").write_bytes(head("UTF-8", "quoted-printable") + quopri.encodestring(body.encode()))
(mails / "euc-jp-undeclared").write_bytes(b"From: a@b\n\n" + body.encode("euc_jp"))
(mails / "box").write_bytes(mark % 0 + plain + b"\n" + mark % 1 + parts)
row = '12,2026/06/01 09:08:07,認証失敗,"送信元端末 [IPアドレス:192.0.2.10]",SKYSEAセキュリティ通知/認証失敗\r\n'
log = "端末機No.,日時,ログ種別,ログ詳細,アラート項目\r\n" + row + '13,2026/06/01 09:08:08,ログオン,"a ""b""\nc",\r\n'
(logs / "shift_jis").write_bytes(log.encode("cp932"))
(logs / "utf-8-marked").write_bytes(b"\xef\xbb\xbf" + log.encode())
(logs / "utf-16").write_bytes(b"\xff\xfe" + log.encode("utf-16-le"))
(logs / "no-header").write_bytes(row.replace('"', "").encode("euc_jp"))
# What clients of an anti-virus server may have logged; no vendor has published a column.
log = ("日時,コンピュータ名,ドメイン,内容\r\n2017/06/13 09:08:07,PC-0012,本社,サーバ認証に失敗しました\r\n"
       '2017/06/13 09:08:08,本社\\経理-01,本社,"認証に失敗, 通知を破棄"\r\n2017/06/13 09:08:09,PC-0013,本社,更新\r\n')
(logs / "clients-cp932").write_bytes(log.encode("cp932"))
(logs / "clients-utf-16").write_bytes(b"\xff\xfe" + log.replace(",", "\t").encode("utf-16-le"))
(logs / "clients-two-exports").write_bytes(
    b"title\n" + log.encode() + b"Endpoint,Date,Time,Message\nPC-9,2017-06-13,9:08:07,Authentication failed\nPC-1,2017-")

# Lists of clients: what a server's own program may write.
lists = Path(sys.argv[1], "client_list")
lists.mkdir(exist_ok=True)
japanese = "コンピュータ名,ドメイン,IPアドレス\r\n経理-01,本社,192.0.2.1\r\n\"PC-02\",\"本社, 2F\",192.0.2.2\r\n"
(lists / "shift_jis").write_bytes(japanese.encode("cp932"))
(lists / "utf-8-marked").write_bytes(b"\xef\xbb\xbf" + japanese.encode())
(lists / "utf-16").write_bytes(b"\xff\xfe" + japanese.encode("utf-16-le"))
(lists / "utf-16-cut").write_bytes(b"\xff\xfe" + japanese.encode("utf-16-le")[:-1])
(lists / "no-heading").write_bytes(b"WG\\PC-01,192.0.2.1,14.0.12526\nWG\\PC-02,192.0.2.2,14.0.12526\n")
(lists / "tabs").write_bytes(b"IP address\tEndpoint Name\n2001:db8::1\tPC-01\n")
(lists / "heading-alone").write_bytes(b"Endpoint\r\n")

# Lists of Apex Central: the documented fields, with invented values.
lists = Path(sys.argv[1], "inventory")
lists.mkdir(exist_ok=True)
import json
def agent(host, server, isolation="normal", product="SLF_PRODUCT_OFFICESCAN_CE"):
    return {"entity_id": f"00000000-0000-0000-0000-{len(host):012}", "product": product, "managing_server_id": server, "ad_domain": "",
            "folder_path": "Workgroup", "ip_address_list": "192.0.2.1,2001:db8::1", "mac_address_list": "00-00-5E-00-53-01", "host_name": host,
            "isolation_status": isolation, "capabilities": ["cmd_uninstall_agent", "cmd_relocate_agent"]}
def reply(content, code=1):
    return json.dumps({"result_code": code, "result_description": "Operation successful", "result_content": content}, ensure_ascii=False).encode()
one, two = "00000000-0000-0000-0000-00000000000A", "00000000-0000-0000-0000-00000000000B"
(lists / "agents").write_bytes(reply([agent("PC-01", one), agent("pc-01", two), agent("経理-02", one, "isolated"), agent("", two, "", "P")]))
(lists / "servers").write_bytes(reply([{"entity_id": one, "product": "SLF_PRODUCT_OFFICESCAN_CE", "ad_domain": "", "ip_address_list": "",
                                        "host_name": "apex-01", "capabilities": []}]))
(lists / "refused").write_bytes(reply("", -1))
(lists / "other-fields").write_bytes(b'{"a":[{}],"result_content":[{"host_name":null,"new":{"b":[1]}}],"result_code":1}')
(lists / "cut").write_bytes(reply([agent("PC-01", one)])[:150])
(lists / "page").write_bytes(b"<html>a login page</html>")
PY
