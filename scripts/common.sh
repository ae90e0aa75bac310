# SPDX-License-Identifier: GPL-2.0-only
# Sourced by the scripts: where things are, and which kernels there are.
# shellcheck shell=bash disable=SC2034

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${BUILD:-$top/build}
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/vfioext

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

# KERNEL= names, and the package whose dependency is the current image of it
declare -A kernel_package=(
	[6.1]=linux-image-amd64
)

check_kernel()
{
	[ -n "${kernel_package[$1]:-}" ] || die "no kernel '$1'; there are: ${!kernel_package[*]}"
}

# The release that was fetched for a KERNEL= name
kernel_release()
{
	cat "$cache/kernels/$1/release"
}
