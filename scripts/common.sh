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

# KERNEL= names: the Debian release that has the package, or what it is built of
declare -A kernel_suite=([6.1]=bookworm [6.12]=trixie [7.2]=trixie)
declare -A kernel_fragments=(
	[debug]='6.12 base checks debug'
	[kcsan]='6.12 base checks kcsan'
)
declare -A source_suite=([6.1]=bookworm [6.12]=trixie)

check_kernel()
{
	[ -n "${kernel_suite[$1]:-}${kernel_fragments[$1]:-}" ] ||
		die "no kernel '$1'; there are: ${!kernel_suite[*]} ${!kernel_fragments[*]}"
}

# QEMU= names: the Debian release that has it in its backports; without, the host's
declare -A qemu_suite=([11]=trixie)

check_qemu()
{
	[ -n "${qemu_suite[$1]:-}" ] || die "no QEMU '$1'; there are: ${!qemu_suite[*]}, and the host's without QEMU="
}

# The release that was fetched or built for a KERNEL= name
kernel_release()
{
	cat "$cache/kernels/$1/release"
}

# suite_apt SUITE get|cache ARGUMENTS…: apt of a Debian release, that of the host
# for its own, and otherwise with lists in the cache: the host's apt stays as it is.
suite_apt()
{
	local suite=$1 command=apt-$2 site dir=$cache/apt-$1 options=(-qq -o APT::Sandbox::User=root)
	shift 2
	if [ "$suite" != bookworm ]; then
		if [ ! -e "$dir/sources.list" ]; then
			site=$(bookworm_site)
			[ -n "$site" ] || { apt-get update -qq; site=$(bookworm_site); }
			[ -n "$site" ] || die "apt has no bookworm archive set up"
			mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
			printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' \
				"$site" "$suite" "$site" "$suite-backports" > "$dir/sources.list"
		fi
		options+=(-o "Dir::Etc::SourceList=$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null
			-o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir/cache")
	fi
	"$command" "${options[@]}" "$@"
}

bookworm_site()
{
	apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Codename: bookworm' | head -n 1
}

# suite_packages SUITE PATTERN: names of packages, the lists being fetched if need be
suite_packages()
{
	suite_apt "$1" cache pkgnames linux- 2>/dev/null | grep -E "$2" && return
	suite_apt "$1" get update
	suite_apt "$1" cache pkgnames linux- | grep -E "$2"
}

# suite_download SUITE PACKAGE…: to the current directory; old lists are renewed
suite_download()
{
	local suite=$1
	shift
	suite_apt "$suite" get download "$@" 2>/dev/null && return
	suite_apt "$suite" get update
	suite_apt "$suite" get download "$@"
}
