# SPDX-License-Identifier: GPL-2.0-only
# Sourced by the scripts: where things are, and which kernels there are.
# shellcheck shell=bash disable=SC2034

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
build=${BUILD:-$top/build}
# As the specification of these has it, one that is relative does not count.
case ${XDG_CACHE_HOME:-} in
/*) cache=$XDG_CACHE_HOME/vfioext ;;
*) cache=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}/.cache/vfioext ;;
esac

# depmod and modprobe are not in an ordinary user's path.
PATH=$PATH:/usr/sbin:/sbin

say() { echo "${0##*/}: $*"; }
warn() { say "$*" >&2; }
die() { warn "$*"; exit 1; }

host_architecture=$(dpkg --print-architecture 2>/dev/null || echo none)
host_suite=$(. /etc/os-release 2>/dev/null; echo "${VERSION_CODENAME:-}")

. "$top/scripts/archive.sh"

# The KERNEL= that is the host's own release's
declare -A host_kernels=([bookworm]=6.1 [trixie]=6.12)
host_kernel=${host_kernels[${host_suite:-none}]:-6.1}

# KERNEL= names: the Debian release that has the package, with another architecture than
# the host's, or what it is built of; version and flavour, if the name does not tell them
declare -A kernel_suite=([6.1]=bookworm [6.12]=trixie [newest]=trixie
	[ppc64le]=trixie/ppc64el [ppc64le-64k]=trixie/ppc64el [arm64]=trixie/arm64)
declare -A kernel_version=([newest]='[0-9]+\.[0-9]+'
	[ppc64le]=6.12 [ppc64le-64k]=6.12 [arm64]=6.12)
declare -A kernel_flavour=([ppc64le]=powerpc64le [ppc64le-64k]=powerpc64le-64k [arm64]=arm64)
declare -A kernel_fragments=(
	[debug]='6.12 base checks debug'
	[kcsan]='6.12 base checks kcsan'
)

# Another architecture: what its compiler's name begins with, and the kernel's name of it
declare -A architecture_gnu=([ppc64el]=powerpc64le-linux-gnu [arm64]=aarch64-linux-gnu)
declare -A architecture_kernel=([ppc64el]=powerpc [arm64]=arm64)

# The Debian architecture of a kernel; empty if it is the host's
kernel_architecture()
{
	local suite=${kernel_suite[$1]:-}
	[ "$suite" = "${suite#*/}" ] || echo "${suite#*/}"
}

# The tree of the cache that a kernel's modules are built in; empty if it is the host itself
kernel_chroot()
{
	local suite=${kernel_suite[$1]:-$host_suite}
	[ "$suite" = "$host_suite" ] || echo "${suite//\//-}"
}

check_kernel()
{
	[ -n "${kernel_suite[$1]:-}${kernel_fragments[$1]:-}" ] ||
		die "no kernel '$1'; there are:" \
			"$(printf '%s\n' "${!kernel_suite[@]}" "${!kernel_fragments[@]}" | sort -V | paste -sd ' ')"
}

# The releases that a KERNEL= name may stand for, as a pattern
kernel_pattern()
{
	local version=${kernel_version[$1]:-${1//./\\.}} flavour=${kernel_flavour[$1]:-amd64}
	echo "$version\\.[0-9]+(-[0-9]+|\\+deb[0-9.]+)-$flavour"
}

# The release that KERNEL_RELEASE= asks for, if the name may stand for it
kernel_exact()
{
	[[ -z ${KERNEL_RELEASE:-} || -z ${kernel_suite[$1]:-} || ! $KERNEL_RELEASE =~ ^$(kernel_pattern "$1")$ ]] ||
		echo "$KERNEL_RELEASE"
}

# Where a KERNEL= name's is in the cache
kernel_root()
{
	local exact
	exact=$(kernel_exact "$1")
	readlink -f "$cache/kernels/${exact:-$1}"
}

# One that no name may stand for is a mistake, which must not end in another release.
check_exact()
{
	local name
	[ -n "${KERNEL_RELEASE:-}" ] || return 0
	for name in "$@" ${KERNELS:-${KERNEL:-}}; do
		[ -z "$(kernel_exact "$name")" ] || return 0
	done
	die "KERNEL_RELEASE=$KERNEL_RELEASE is no release of $*; KERNEL= names the kernel that it is one of"
}

# The release that was fetched or built for a KERNEL= name
kernel_release()
{
	cat "$(kernel_root "$1")/release" 2>/dev/null || die "no Linux $1 in the cache; 'make kernel KERNEL=$1' fetches it"
}

# QEMU= names: the Debian release that has it in its backports; host is the host's
declare -A qemu_suite=([11]=trixie)
declare -A qemu_package=([x86_64]=qemu-system-x86 [ppc64]=qemu-system-ppc [aarch64]=qemu-system-arm)

check_qemu()
{
	[ -n "${qemu_suite[$1]:-}" ] || die "no QEMU '$1'; there are: ${!qemu_suite[*]}, host"
}

# The paths are in what make, the kernel's build and others read.
check_cache()
{
	[[ $cache = /* && $cache != *[!A-Za-z0-9/._+~@-]* ]] ||
		die "the cache, $cache, has a character in its path that make cannot deal with; XDG_CACHE_HOME names another place"
}

# begin NAME [PLACE]: what is made in the cache is made by one at a time, and moved to its place
# when it is whole. Sets $new, a directory for it, of which nothing is left at the end. If
# it cannot be made, what an older script had made there is used.
begin()
{
	check_cache
	mkdir -p "$cache/new" 2>/dev/null || die "the cache needs a directory that can be written; XDG_CACHE_HOME names another"
	exec {lock}> "$cache/new/$1.lock"
	if ! flock -n "$lock"; then
		say "waiting for another that makes ${1//-/ }"
		flock "$lock"
	fi
	new=$cache/new/$1
	before=${2:-}
	rm -rf "$new"
	mkdir "$new"
	trap end_of_making EXIT
}

end_of_making()
{
	local status=$?
	rm -rf "$new"
	[ $status = 1 ] && [ -n "$before" ] && [ -e "$before/made" ] || exit $status
	warn "going on with the older one in the cache"
	[ -z "${answer:-}" ] || echo "$program" >&"$answer"
	exit 0
}

# put PART PLACE: what was made takes the place of what was there
put()
{
	rm -rf --one-file-system "$2"
	mkdir -p "${2%/*}"
	mv "$1" "$2"
}

# made PLACE: was it made by the script as it now is?
made() { [ "$(cat "$1/made" 2>/dev/null)" = "$(sha256sum < "$0")" ]; }

# in_chroot CHROOT PATH… -- COMMAND…: a command in a tree of the cache, which sees these
# directories of the host
in_chroot()
{
	local chroot=$cache/$1 options=(--mount)
	shift
	[ "$(id -u)" = 0 ] || options+=(--map-root-user)
	# shellcheck disable=SC2016
	unshare "${options[@]}" bash -c 'set -e
		chroot=$1
		shift
		set -- /proc /dev "$@"
		while [ "$1" != -- ]; do
			mkdir -p "$chroot$1"
			mount --rbind "$1" "$chroot$1"
			shift
		done
		shift
		exec chroot "$chroot" "$@"' - "$chroot" "$@"
}
