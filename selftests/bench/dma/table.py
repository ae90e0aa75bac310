#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Lines of peer, what, mappings, threads, nanoseconds: a table of medians. What is missing is
an error."""
import collections
import statistics
import sys

times = collections.defaultdict(list)
for line in sys.stdin:
    peer, what, nr, threads, ns = line.split()
    times[what, int(nr), int(threads), peer].append(float(ns))

peers = [peer for peer in ("libvfn", "dpdk") if any(peer in key for key in times)]
measured = {"vfioext": ("vaddr->iova", "iova->vaddr", "map+unmap"),
            "libvfn": ("vaddr->iova", "iova->vaddr", "map+unmap"),
            "dpdk": ("vaddr->iova", "map+unmap")}
missing = [(what, nr, threads, peer) for peer in ["vfioext"] + peers for what in measured[peer]
           for nr in (16, 256, 4096, 65536) for threads in (1, 2)
           if (what, nr, threads, peer) not in times]
if missing:
    sys.exit(f"not measured: {missing}")
names = {"libvfn": "libvfn", "dpdk": "DPDK"}
print("| what | mappings | threads | libvfioext |"
      + "".join(f" {names[peer]} | ratio |" for peer in peers))
print("|" + "---|" * (4 + 2 * len(peers)))
for what, nr, threads, peer in sorted(times):
    if peer != "vfioext":
        continue
    ours = statistics.median(times[what, nr, threads, peer])
    row = [what, f"{nr:,}", str(threads), f"{ours:.0f} ns"]
    for other in peers:
        theirs = times.get((what, nr, threads, other))
        row += [f"{statistics.median(theirs):,.0f} ns",
                f"{ours / statistics.median(theirs):.3f}"] if theirs else ["none", ""]
    print("| " + " | ".join(row) + " |")
