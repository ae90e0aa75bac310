#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""coverage.py NAME DIRECTORY OBJECTS: of each source file in DIRECTORY how many lines ran,
and which did not, by what gcov says of the counts in OBJECTS. The sources need not be where
they were compiled."""
import collections
import json
import os
import subprocess
import sys

name, directory, objects = sys.argv[1:]
sources = {os.path.relpath(os.path.join(root, file), directory)
           for root, _, files in os.walk(directory) for file in files
           if file.endswith((".c", ".h")) and not file.endswith(".mod.c")}
lines = collections.defaultdict(lambda: collections.defaultdict(int))
for root, _, files in os.walk(objects):
    for counts in sorted(file for file in files if file.endswith(".gcda")):
        answer = subprocess.run(["gcov", "--json-format", "--stdout", counts], cwd=root,
                                capture_output=True, text=True, check=True).stdout
        for report in answer.splitlines():
            told = json.loads(report)
            for file in told["files"]:
                # Known by its last parts, wherever it was when it was compiled.
                path = os.path.normpath(os.path.join(told["current_working_directory"],
                                                     file["file"]))
                found = [source for source in sources if path.endswith("/" + source)]
                if not found or "/include/" in path:
                    continue
                for line in file["lines"]:
                    lines[max(found, key=len)][line["line_number"]] += line["count"]


def ranges(numbers):
    """1-3,7"""
    parts = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


total = ran = 0
for source in sorted(lines):
    missing = [line for line, count in lines[source].items() if not count]
    total += len(lines[source])
    ran += len(lines[source]) - len(missing)
    share = 100 * (len(lines[source]) - len(missing)) / len(lines[source])
    print(f"{name}/{source:32} {len(lines[source]):5} {share:4.0f} %  {ranges(missing)}")
print(f"{name + ' in all':37} {total:5} {100 * ran / total if total else 0:6.1f} %")
