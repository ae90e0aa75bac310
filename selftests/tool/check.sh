# SPDX-License-Identifier: GPL-2.0-only
# What tests of the tool have in common.
# shellcheck disable=SC2034
edu=0000:00:03.0
n=0
work=$(mktemp -d)
# A kernel that checks itself takes its time.
# shellcheck disable=SC2034
slow=1
[[ $(uname -r) != *-vfioext-* ]] || slow=4

# need MODULE…: what the tests that follow take, until the next line of this kind; or swap
lacking=
need()
{
	local module
	lacking=
	for module in "$@"; do
		case $module in
		swap) [ -e /proc/swaps ] ;;
		*) modprobe -q "$module" ;;
		esac || lacking+=" $module"
	done
}

# check NAME STATUS PATTERN COMMAND…: the status, and what is printed
check()
{
	local name=$1 status=$2 pattern=$3 got
	shift 3
	n=$((n + 1))
	if [ -n "$lacking" ]; then
		echo "ok $n $name # SKIP this kernel has no$lacking"
		return
	fi
	"$@" > "$work/said" 2>&1
	got=$?
	if [ $got = "$status" ] && grep -qE -- "$pattern" "$work/said"; then
		echo "ok $n $name"
	else
		echo "# status $got, not $status; printed, not '$pattern':"
		sed -e 's/^/# /' -e '$a\' "$work/said"
		echo "not ok $n $name"
	fi
}

# One process reads all JSON, as it takes seconds to start where the kernel checks itself.
coproc READER { exec python3 -u -c '
import json, sys
for path in sys.stdin:
    try:
        print(json.dumps(json.load(open(path.strip())), indent=4))
        print("end 0")
    except ValueError as error:
        print(error)
        print("end 1")
'; }

# json COMMAND…: what it prints, read as JSON
json()
{
	local line
	"$@" > "$work/json" || return
	echo "$work/json" >&"${READER[1]}"
	while IFS= read -r line <&"${READER[0]}" && [[ $line != 'end '[01] ]]; do
		printf '%s\n' "$line"
	done
	return "${line#end }"
}
