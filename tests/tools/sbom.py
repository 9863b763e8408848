#!/usr/bin/env python3
"""Writes what a program is linked from as an SBOM, CycloneDX 1.6 in JSON: sbom.py PROGRAM FILE

The crates are those of `cargo tree --edges normal` for the target of the releases, with the features that they have when the program is
built by itself; `cargo metadata` knows the features of the whole workspace together, which bring sixty crates more. A crate that runs in the
compiler only, as a procedural macro or for one, has the scope `excluded`; what build scripts need is not listed. The Rust standard library
is that of the compiler under metadata.tools. The same sources, compiler and SOURCE_DATE_EPOCH give the same bytes.
"""
import datetime, json, os, re, subprocess, sys, uuid

TARGET = "x86_64-unknown-linux-gnu"
OURS = "https://kagiban.dev"


def cargo(*arguments):
    return subprocess.run([os.environ.get("CARGO", "cargo"), *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def tree(program, edges):
    """Each crate of the tree, as (name, version), with those that it depends on."""
    lines = cargo("tree", "--locked", "--quiet", "--package", program, "--target", TARGET, "--edges", edges, "--prefix", "depth", "--format", " {p}")
    found, above = {}, []
    for line in lines.splitlines():
        depth, name, version = re.match(r"(\d+) (\S+) v(\S+)", line).groups()
        crate = (name, version)
        # What stands below a crate is printed once.
        found.setdefault(crate, set())
        del above[int(depth):]
        if above:
            found[above[-1]].add(crate)
        above.append(crate)
    return found


def component(package, checksum, kind):
    name, version = package["name"], package["version"]
    # A name of ours may be a stranger's on crates.io.
    purl = f"pkg:{'cargo' if package['source'] else 'generic'}/{name}@{version.replace('+', '%2B')}"
    # Older manifests write `MIT/Apache-2.0`, which is no SPDX expression.
    licence = re.sub(r"\s*/\s*", " OR ", package["license"] or "")
    if not licence:
        sys.exit(f"sbom: {name} {version} says no licence")
    references = [("vcs", package["repository"]), ("website", package["homepage"])] if package["source"] else [("website", OURS)]
    described = {
        "type": kind, "bom-ref": purl, "name": name, "version": version, "description": " ".join((package["description"] or "").split()),
        "licenses": [{"expression": licence}], "purl": purl,
        "externalReferences": [{"type": kind, "url": url} for kind, url in references if url],
    }
    if checksum:
        described["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return {key: value for key, value in described.items() if value}


def checksums():
    with open("Cargo.lock", encoding="utf-8") as lock:
        entries = lock.read().split("[[package]]")
    fields = [dict(re.findall(r'^(name|version|checksum) = "(.*)"$', entry, re.M)) for entry in entries]
    return {(it["name"], it["version"]): it["checksum"] for it in fields if "checksum" in it}


def main(program, file):
    file = os.path.abspath(file)
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    crates, linked = tree(program, "normal"), tree(program, "normal,no-proc-macro")
    metadata = json.loads(cargo("metadata", "--locked", "--quiet", "--format-version=1", "--filter-platform", TARGET))
    known, sums = {(it["name"], it["version"]): it for it in metadata["packages"]}, checksums()
    described = {crate: component(known[crate], sums.get(crate), "library") for crate in crates}
    for crate, it in described.items():
        it["scope"] = "required" if crate in linked else "excluded"
    root = next(crate for crate in crates if crate[0] == program)
    described.pop(root)
    whole = component(known[root], None, "application")
    refs = {crate: it["bom-ref"] for crate, it in described.items()} | {root: whole["bom-ref"]}

    compiler = subprocess.run(["rustc", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[1]
    time = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{"type": "application", "name": "rustc", "version": compiler}]},
            "component": whole,
            "supplier": {"name": "Kagiban", "url": [OURS]},
        },
        "components": [described[crate] for crate in sorted(described)],
        "dependencies": [{"ref": refs[crate], "dependsOn": sorted(refs[it] for it in crates[crate])} for crate in sorted(crates)],
    }
    # Of what stands in it, so that two are of one number only when they say the same.
    bom["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bom, sort_keys=True)).urn
    with open(file, "w", encoding="utf-8") as out:
        json.dump(bom, out, indent=1, ensure_ascii=False)
        out.write("\n")
    print(f"sbom: {os.path.relpath(file)}: {len(described)} crates, {len(linked) - 1} of them linked")


if len(sys.argv) != 3:
    sys.exit("usage: sbom.py PROGRAM FILE")
main(*sys.argv[1:])
