# SPDX-License-Identifier: GPL-2.0-only
# Sourced by common.sh: packages of Debian's archive, downloaded and unpacked into the cache.
# Each release has package lists of its own there, so nothing here needs root, and the
# host's apt stays as it is. A SUITE is a Debian release, as bookworm, or one with another
# architecture than the host's, as trixie/arm64, or with two, as trixie/amd64,arm64.
# shellcheck shell=bash disable=SC2034,SC2154

suite_dir()
{
	local name=${1//\//-}
	echo "$cache/apt/${name//,/-}"
}

# archive_site RELEASES: the site from which the host's apt takes one of these, a pattern
archive_site()
{
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(SITE)' 'Created-By: Packages' 2>/dev/null |
		awk -v wanted="^($1)\$" '$1 ~ wanted && $2 == "main" && $3 !~ /^cdrom/ { print $3; exit }'
}

# The sources.list of a suite. With DEBIAN_MIRROR that site is used, and not the host's; then
# there are security updates only with DEBIAN_SECURITY_MIRROR. Of another architecture only
# the release itself is used, since its packages are mixed with the host's.
suite_sources()
{
	local release=${1%/*} site=${DEBIAN_MIRROR:-} security=${DEBIAN_SECURITY_MIRROR:-}
	if [ -z "$site" ]; then
		site=$(archive_site "$host_suite|stable|oldstable")
		security=$(archive_site '[a-z]+-security')
	fi
	[ -n "$site" ] || die "apt has no Debian archive set up; give one with DEBIAN_MIRROR=URL"
	sources=("$site $release")
	if [ "$release" = "$1" ]; then
		[ -z "$security" ] || sources+=("$security $release-security")
		[ "$release" != trixie ] || sources+=("$site $release-backports")
	fi
	printf "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s main\n" "${sources[@]}"
}

# suite_apt SUITE get|cache ARGUMENTS…: apt with the lists of a suite, as if nothing were
# installed. Of each suite one runs at a time.
suite_apt()
{
	local suite=$1 command=apt-$2 dir architecture
	dir=$(suite_dir "$suite")
	architecture=$host_architecture
	[ "$suite" = "${suite%/*}" ] || architecture=${suite#*/}
	shift 2
	(
		flock 9
		exec "$command" -q -o APT::Sandbox::User=root -o Debug::NoLocking=true \
			-o "APT::Architecture=${architecture%%,*}" -o "APT::Architectures=$architecture" \
			-o "Dir::Etc::SourceList=$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null \
			-o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
			-o "Dir::State::Lists=$dir/lists" -o "Dir::State::Status=$dir/status" \
			-o "Dir::Cache=$dir/cache" -o Acquire::Languages=none -o Acquire::Retries=1 \
			-o Acquire::http::Timeout=30 "$@"
	) 9> "$dir/lock"
}

# older FILE MINUTES: it is not there, or that old
older() { [ -z "$(find "$1" -mmin "-$2" 2>/dev/null)" ]; }

# renew_lists SUITE MINUTES: get the lists of a suite if they are that old. If the archive
# cannot be reached, the old ones stay, and $archive_error tells why.
renew_lists()
{
	local dir sources
	dir=$(suite_dir "$1")
	sources=$(suite_sources "$1") || exit
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
	[ "$sources" = "$(cat "$dir/sources.list" 2>/dev/null)" ] || rm -f "$dir/renewed"
	older "$dir/renewed" "$2" || return 0
	say "getting Debian's package lists of ${1//\// for }"
	: > "$dir/status"
	echo "$sources" > "$dir/sources.list"
	if ! suite_apt "$1" get update -q --error-on=any > "$dir/said" 2>&1; then
		archive_error=$(grep -m 1 '^E: ' "$dir/said")
		return 1
	fi
	touch "$dir/renewed"
}

# shown FILE COMMAND…: on a terminal a command shows how far it is; its errors are in the file
shown()
{
	local file=$1
	shift
	if [ -t 1 ]; then
		"$@" 2> "$file"
	else
		"$@" > "$file" 2>&1
	fi
}

# download SUITE DIRECTORY PACKAGE…: whole and as the lists say, or it fails
download()
{
	local suite=$1 directory=$2 status=0
	shift 2
	mkdir -p "$directory"
	(cd "$directory" && shown "$directory/said" suite_apt "$suite" get download "$@") || status=$?
	[ $status = 0 ] || download_error=$(grep -m 1 '^E: ' "$directory/said")
	rm -f "$directory/said"
	return $status
}

# try_download SUITE DIRECTORY PACKAGE…: with lists that are renewed once if they are old, or
# if a package that they name is gone
try_download()
{
	local suite=$1
	renew_lists "$suite" $((24 * 60)) || warn "$archive_error"
	download "$@" && return
	renew_lists "$suite" 1 && download "$@"
}

# unpack DIRECTORY INTO: all packages of a directory
unpack()
{
	local package
	mkdir -p "$2"
	for package in "$1"/*.deb; do
		dpkg-deb --fsys-tarfile "$package" |
			tar -x --keep-directory-symlink --no-same-owner -C "$2" ||
			die "${package##*/} cannot be unpacked"
	done
}

# unpack_with_all SUITE INTO OPTIONS-AND-PACKAGES…: packages and what they depend on, down to
# the C library, unpacked where nothing is yet, or no file of theirs
unpack_with_all()
{
	local suite=$1 into=$2 debs=$2.debs attempt directory
	shift 2
	renew_lists "$suite" $((24 * 60)) || warn "$archive_error"
	for attempt in 1 2; do
		rm -rf "$debs"
		mkdir -p "$debs/archives/partial"
		if shown "$debs/said" suite_apt "$suite" get install --yes --download-only \
				--no-install-recommends -o "Dir::Cache=$debs" "$@"; then
			break
		fi
		[ "$attempt" = 1 ] && renew_lists "$suite" 1 ||
			die "the archive does not have all of ${*: -1}: $(grep -m 1 '^E: ' "$debs/said")"
	done
	# These are links in a Debian that is installed, but directories in some packages.
	for directory in bin sbin lib lib64; do
		mkdir -p "$into/usr/$directory"
		ln -sfn "usr/$directory" "$into/$directory"
	done
	unpack "$debs/archives" "$into"
	rm -rf "$debs"
}
