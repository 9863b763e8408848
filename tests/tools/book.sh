#!/usr/bin/env bash
# Builds the book of docs/ with mdBook, into target/book: docs/ is the book, and beside it lies what its pages link to. Fails when
# a link in it leads nowhere. mdBook is built once, by its version, and kept in the cache.
set -euo pipefail

version=0.5.4
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
home=${KAGIBAN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kagiban}/mdbook-$version
out=$root/target/book

if [ ! -x "$home/bin/mdbook" ]; then
    echo "book: mdBook $version is built from its crate, about 3 min on 2 cores, into $home"
    "${CARGO:-cargo}" install --quiet --locked --no-default-features --features search --root "$home" "mdbook@$version"
fi

rm -rf "$out"
mkdir -p "$out"
(cd "$root" && cp -r --parents charts crds/*.yaml examples LICENSE ./*.md tests/README.md "$out/")
# mdBook makes `.html` of each link to a `.md`, also where the file is no page of the book.
(cd "$out" && find . -name '*.md') | while read -r page; do
    printf '<!doctype html><meta http-equiv="refresh" content="0; url=%s">\n' "$(basename "$page")" >"$out/${page%.md}.html"
done
"$home/bin/mdbook" build "$root/docs"
# A README.md becomes the index.html of its directory, and links to it do not follow.
(cd "$out/docs" && find . -mindepth 2 -name index.html -execdir cp {} README.html \;)

python3 - "$out" <<'PYTHON'
import html.parser, os, sys, urllib.parse

root = os.path.realpath(sys.argv[1])

class Links(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.ids = [], set()
    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if attributes.get("id"):
            self.ids.add(attributes["id"])
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])

def read(path):
    page = Links()
    page.feed(open(path, encoding="utf-8").read())
    return page

pages, wrong = {}, []
for directory, _, files in os.walk(os.path.join(root, "docs")):
    for name in files:
        if name.endswith(".html") and name not in ("print.html", "404.html", "toc.html"):
            path = os.path.join(directory, name)
            pages[path] = read(path)
for path, page in pages.items():
    for link in page.links:
        parts = urllib.parse.urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = os.path.realpath(os.path.join(os.path.dirname(path), urllib.parse.unquote(parts.path))) if parts.path else path
        anchor = urllib.parse.unquote(parts.fragment)
        if not target.startswith(root) or not os.path.exists(target):
            wrong.append(f"{os.path.relpath(path, root)}: {link}: no such file")
        elif anchor and target in pages and anchor not in pages[target].ids:
            wrong.append(f"{os.path.relpath(path, root)}: {link}: no such heading")
print("\n".join(wrong))
if wrong:
    sys.exit(f"book: {len(wrong)} links lead nowhere")
print(f"book: {len(pages)} pages, {os.path.join(root, 'docs', 'index.html')}")
PYTHON
