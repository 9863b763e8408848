"""Serves what a file holds to snmpd's pass_persist, reading it anew for each request.

A line of the file is an object's instance, snmpd's word for its type, and its value: `.1.3.6.1.2.1.33.1.2.4.0 gauge 97`.
"""

import sys


def arcs(oid):
    return tuple(int(arc) for arc in oid.strip(".").split("."))


def tree():
    with open(sys.argv[1], encoding="utf-8") as lines:
        rows = (line.rstrip("\n").split(" ", 2) for line in lines if line.strip())
        return {arcs(oid): (kind, value) for oid, kind, value in rows}


def answer(command, oid):
    objects = tree()
    if command == "getnext":
        oid = min((known for known in objects if known > oid), default=None)
    if oid not in objects:
        return ["NONE"]
    kind, value = objects[oid]
    return ["." + ".".join(map(str, oid)), kind, value]


while line := sys.stdin.readline():
    command = line.strip()
    if command == "PING":
        reply = ["PONG"]
    elif command in ("get", "getnext"):
        reply = answer(command, arcs(sys.stdin.readline()))
    else:
        sys.stdin.readline()
        sys.stdin.readline()
        reply = ["not-writable"]
    print("\n".join(reply), flush=True)
