# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154

refuse()
{
	die "$build cannot be written${build_owner:+ (it belongs to $build_owner)}; BUILD= names another place to build in"
}
build_owner=$(stat -c %U "$build" 2>/dev/null || :)

# lock NAME: only one build at a time does this in a build directory. The lock is held until
# this script and what it started have ended.
lock()
{
	if [ -z "$(ls -A "$build" 2>/dev/null)" ]; then
		mkdir -p "$build" 2>/dev/null && touch "$build/.made-here" 2>/dev/null || refuse
	fi
	[ -w "$build" ] || refuse
	{ exec {build_lock}>> "$build/.lock-$1"; } 2>/dev/null || refuse
	# What root builds for its installation in a user's checkout is the user's to build on.
	[ "$(id -u)" != 0 ] || [ "$(stat -c %u "$top")" = 0 ] || [ ! -e "$build/.made-here" ] ||
		trap 'chown -R --reference="$top" "$build"' EXIT
	flock -n "$build_lock" && return
	echo "waiting for another make in $build" >&2
	flock "$build_lock"
}

# Is it make -n that runs us, which is to build nothing?
is_dry()
{
	local flags=-${MAKEFLAGS:-}
	flags=${flags%% *}
	[[ $flags != --* && $flags = -*n* ]]
}
