#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Lines of server, what, how many a second: a table of medians. Those of server, "wait", what,
microseconds: another one. What is missing is an error."""
import collections
import statistics
import sys

TOOL = "vfioext serve"
TOOL_ROW = "the same by `vfioext serve`"
LOOP_ROW = "read, a server of two devices"
SIGNALS = "interrupts signaled"
CAREFUL = "to a client that is not trusted"

# What each server has to tell of; "bare" is for one device.
ONE = ["read, one at a time", "write, one at a time", "posted writes", "64 reads in flight",
       "DMA map and unmap", "beside one that stays", "and 32 pairs in flight",
       "SET_IRQS with an eventfd", SIGNALS, CAREFUL]
SEVERAL = [LOOP_ROW, "read of 100 devices in turn"]
WAITS = ["in the middle", "at most"]

rates = collections.defaultdict(list)
waits = collections.defaultdict(list)
for line in sys.stdin:
    server, what, *rest = line.rstrip("\n").split("\t")
    if what == "wait":
        waits[server, rest[0]].append(float(rest[1]))
    else:
        rates[server, what].append(float(rest[0]))

servers = [server for server in ("libvfio-user", "bare") if any(server == key[0] for key in rates)]
expected = [(server, what) for server in ["vfioext"] + servers for what in ONE
            if what != CAREFUL or server == "vfioext"]
loops = ["vfioext"] + [server for server in servers if server != "bare"]
expected += [(server, what) for server in loops for what in SEVERAL] + [(TOOL, TOOL_ROW)]
missing = [key for key in expected if key not in rates]
missing += [(server, what) for server in loops for what in WAITS if (server, what) not in waits]
if missing:
    sys.exit(f"not measured: {missing}")


def cells(ours, theirs):
    """The peer's median, and of each that was measured next to one of its the part of it."""
    if not theirs:
        return ["", ""]
    pairs = [a / b for a, b in zip(ours, theirs)]
    return [f"{statistics.median(theirs):,.0f}", f"{statistics.median(pairs):.2f}"]


def print_row(what, ours, peers_row):
    """A row, beside what the peers do of the same."""
    row = [what, f"{statistics.median(ours):,.0f}"]
    for server in servers:
        row += cells(ours, rates.get((server, peers_row)))
    print("| " + " | ".join(row) + " |")


print("| a second | vfioext |", " | ".join(f"{server} | of it" for server in servers), "|")
print("|" + "---|" * (2 + 2 * len(servers)))
for name in ONE:
    print_row(name, rates["vfioext", name], SIGNALS if name == CAREFUL else name)
print_row(LOOP_ROW, rates["vfioext", LOOP_ROW], LOOP_ROW)
print_row(TOOL_ROW, rates[TOOL, TOOL_ROW], LOOP_ROW)
print_row(SEVERAL[1], rates["vfioext", SEVERAL[1]], SEVERAL[1])

print("\nHow long a read of a second client takes, while the first one reads every 0.5 ms:\n")
print("| µs |", " | ".join(loops), "|")
print("|" + "---|" * (1 + len(loops)))
for name in WAITS:
    print("| " + " | ".join([name] + [f"{statistics.median(waits[server, name]):,.0f}"
                                      for server in loops]) + " |")
