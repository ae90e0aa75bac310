# SPDX-License-Identifier: GPL-2.0-only
# Sourced by the tests of benchmarks: results, and rows of tables.
# shellcheck shell=bash
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0

check()
{
	local name=$1 status=not\ ok
	shift
	"$@" > "$work/said" 2>&1 && status=ok
	[ "$status" = ok ] || sed 's/^/# /' "$work/said"
	echo "$status $((++n)) $name"
}

# has_rows NUMBER COMMAND…: it prints so many rows of tables, each with a number in it
has_rows()
{
	local number=$1 rows
	shift
	"$@" > "$work/table" || return 1
	cat "$work/table"
	rows=$(grep -cE '^\|.*\| *[0-9][0-9,.]*( [nu]s)? *\|' "$work/table")
	[ "$rows" = "$number" ] || { echo "$rows rows, not $number"; return 1; }
}
