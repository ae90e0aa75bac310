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

# KERNEL= names: the Debian release that has the package, with another architecture than
# the host's, or what it is built of; version and flavour, if the name does not tell them
declare -A kernel_suite=([6.1]=bookworm [6.12]=trixie [7.2]=trixie
	[ppc64le]=trixie/ppc64el [ppc64le-64k]=trixie/ppc64el [arm64]=trixie/arm64)
declare -A kernel_version=([ppc64le]=6.12 [ppc64le-64k]=6.12 [arm64]=6.12)
declare -A kernel_flavour=([ppc64le]=powerpc64le [ppc64le-64k]=powerpc64le-64k [arm64]=arm64)
declare -A kernel_fragments=(
	[debug]='6.12 base checks debug'
	[kcsan]='6.12 base checks kcsan'
)
declare -A source_suite=([6.1]=bookworm [6.12]=trixie)

# Another architecture: what its compiler's name begins with, and the kernel's name of it
declare -A architecture_gnu=([ppc64el]=powerpc64le-linux-gnu [arm64]=aarch64-linux-gnu)
declare -A architecture_kernel=([ppc64el]=powerpc [arm64]=arm64)

# The Debian architecture of a kernel; empty if it is the host's
kernel_architecture()
{
	local suite=${kernel_suite[$1]:-}
	[ "$suite" = "${suite#*/}" ] || echo "${suite#*/}"
}

check_kernel()
{
	[ -n "${kernel_suite[$1]:-}${kernel_fragments[$1]:-}" ] ||
		die "no kernel '$1'; there are: ${!kernel_suite[*]} ${!kernel_fragments[*]}"
}

# QEMU= names: the Debian release that has it in its backports; host is the host's
declare -A qemu_suite=([11]=trixie)
declare -A qemu_package=([x86_64]=qemu-system-x86 [ppc64]=qemu-system-ppc [aarch64]=qemu-system-arm)

check_qemu()
{
	[ -n "${qemu_suite[$1]:-}" ] || die "no QEMU '$1'; there are: ${!qemu_suite[*]}, host"
}

# The release that was fetched or built for a KERNEL= name
kernel_release()
{
	cat "$cache/kernels/$1/release"
}

# suite_apt SUITE[/ARCHITECTURE] get|cache ARGUMENTS…: apt of a Debian release, that of the
# host for its own, and otherwise with lists in the cache: the host's apt stays as it is.
suite_apt()
{
	local suite=${1%/*} architecture=${1#"${1%/*}"} command=apt-$2 site releases
	local dir=$cache/apt-${1//\//-} options=(-qq -o APT::Sandbox::User=root)
	shift 2
	[ -z "$architecture" ] || options+=(-o "APT::Architecture=${architecture#/}"
		-o "APT::Architectures=${architecture#/}")
	if [ "$suite" != bookworm ]; then
		if [ ! -e "$dir/sources.list" ]; then
			site=$(bookworm_site)
			[ -n "$site" ] || { apt-get update -qq; site=$(bookworm_site); }
			[ -n "$site" ] || die "apt has no bookworm archive set up"
			mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
			releases=("$suite")
			# Of another architecture nothing is wanted from there.
			[ -n "$architecture" ] || releases+=("$suite-backports")
			printf "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site %s main\n" \
				"${releases[@]}" > "$dir/sources.list"
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

# in_chroot CHROOT PATHS COMMAND…: a command in a chroot of the cache, which sees these
# directories, words of PATHS, where the host has them
in_chroot()
{
	local chroot=$cache/$1 paths=$2
	shift 2
	# shellcheck disable=SC2016
	unshare --mount bash -c 'set -e
		chroot=$1 paths=$2
		shift 2
		mount -t proc proc "$chroot/proc"
		for path in $paths; do
			mkdir -p "$chroot$path"
			mount --rbind "$path" "$chroot$path"
		done
		exec chroot "$chroot" "$@"' - "$chroot" "$paths" "$@"
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
