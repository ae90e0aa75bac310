# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154

# lock NAME: only one build at a time does this in a build directory. The lock is held until
# this script and what it started have ended.
lock()
{
	mkdir -p "$build"
	exec {build_lock}>> "$build/.lock-$1"
	flock -n "$build_lock" && return
	echo "waiting for another make in $build" >&2
	flock "$build_lock"
}
