#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Lines of server, what, how many a second: a table of medians."""
import collections
import statistics
import sys

rates = collections.defaultdict(lambda: collections.defaultdict(list))
for line in sys.stdin:
    server, what, rate = line.rstrip("\n").split("\t")
    rates[what][server].append(float(rate))

peers = [peer for peer in ("libvfio-user", "bare")
         if any(peer in servers for servers in rates.values())]
print("| a second | vfioext |", " | ".join(f"{peer} | of it" for peer in peers), "|")
print("|" + "---|" * (2 + 2 * len(peers)))
for what, servers in rates.items():
    row = [what, f"{statistics.median(servers['vfioext']):,.0f}"]
    for peer in peers:
        theirs = servers.get(peer)
        # Each with the one that was measured next to it.
        pairs = [a / b for a, b in zip(servers["vfioext"], theirs or [])]
        row += [f"{statistics.median(theirs):,.0f}",
                f"{statistics.median(pairs):.2f}"] if theirs else ["", ""]
    print("| " + " | ".join(row) + " |")
