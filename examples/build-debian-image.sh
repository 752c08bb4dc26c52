#!/bin/sh
# Makes a Debian 12 base image from Debian's own packages; nothing else is downloaded. It is what
# `capsulctl image build --boot direct` makes, without capsuld.
set -eu
# Debian gives ordinary users no sbin; mke2fs is there.
PATH=$PATH:/usr/sbin:/sbin
export PATH

# The layout of the result: one name, used for every file in OUTDIR.
NAME=debian-12
SUITE=bookworm
MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
SECURITY_MIRROR=${DEBIAN_SECURITY_MIRROR:-http://deb.debian.org/debian-security}
# An overlay may be bigger than this; the guest's file system then grows to fill it at boot.
SIZE=$((3 << 30))

usage() {
	cat <<USAGE
usage: ${0##*/} [--force] [OUTDIR]

Builds a small Debian 12 cloud image that boots with QEMU's -kernel and -initrd, and writes
  $NAME.qcow2  $NAME.vmlinuz  $NAME.initrd  $NAME.cmdline  SHA256SUMS
to OUTDIR (default: ${XDG_CACHE_HOME:-\$HOME/.cache}/capsul/images). Takes about a minute and 3 GB of
free space in TMPDIR (default /var/tmp). Does nothing when OUTDIR already holds what this version of the
script makes; --force builds again. Needs no root: without it, it uses user namespaces (package uidmap).

What is in the guest: $builder --help

Another mirror: DEBIAN_MIRROR=http://… DEBIAN_SECURITY_MIRROR=http://… ${0##*/}
USAGE
}

fail() {
	echo "${0##*/}: $*" >&2
	exit 1
}

require_tools() {
	missing=
	while read -r tool package; do
		command -v "$tool" >/dev/null || missing="$missing $package"
	done <<-TOOLS
		mmdebstrap mmdebstrap
		mke2fs e2fsprogs
		qemu-img qemu-utils
		sha256sum coreutils
	TOOLS
	if [ "$(id -u)" -ne 0 ]; then
		command -v newuidmap >/dev/null || missing="$missing uidmap"
	fi
	[ -z "$missing" ] || fail "missing tools; run: apt-get install$missing"
}

is_complete() {
	[ "$(cat "$outdir/$NAME.stamp" 2>/dev/null)" = "$version" ] &&
		(cd "$outdir" && sha256sum --check --quiet SHA256SUMS >/dev/null 2>&1)
}

# The stamp is removed first and written last: an interrupted run is never taken for a whole image.
publish() {
	rm -f "$outdir/$NAME.stamp"
	install -m 0644 "$work/disk.qcow2" "$outdir/$NAME.qcow2"
	install -m 0644 "$work/kernel" "$outdir/$NAME.vmlinuz"
	install -m 0644 "$work/initrd" "$outdir/$NAME.initrd"
	install -m 0644 "$work/cmdline" "$outdir/$NAME.cmdline"
	(cd "$outdir" && sha256sum "$NAME.qcow2" "$NAME.vmlinuz" "$NAME.initrd" "$NAME.cmdline" >SHA256SUMS)
	printf '%s\n' "$version" >"$outdir/$NAME.stamp"
}

clear_up() {
	"$builder" remove "$work/scratch"
	rm -rf "$work"
}

build() {
	work=$(mktemp -d "${TMPDIR:-/var/tmp}/capsul-image.XXXXXX")
	trap clear_up EXIT
	trap 'exit 1' HUP INT TERM
	chmod 0711 "$work" # the builder works as another user further in
	echo "building $outdir/$NAME.qcow2 (about a minute)" >&2
	if ! "$builder" build --output "$work" --scratch "$work/scratch" --boot direct --size $SIZE --release $SUITE \
		--mirror "$MIRROR" --security-mirror "$SECURITY_MIRROR" 2>"$work/log"; then
		cat "$work/log" >&2
		fail "the build failed"
	fi
	publish
}

builder=$(dirname "$(readlink -f "$0")")/../daemon/builder/capsul-build

force=
outdir=
for argument in "$@"; do
	case $argument in
	--force) force=yes ;;
	-h | --help) usage && exit ;;
	-*) fail "unknown option: $argument (see --help)" ;;
	*)
		[ -z "$outdir" ] || fail "more than one OUTDIR (see --help)"
		outdir=$argument
		;;
	esac
done
outdir=${outdir:-${XDG_CACHE_HOME:-$HOME/.cache}/capsul/images}
version=$(cat "$0" "$builder" | sha256sum | cut -d ' ' -f 1)
mkdir -p "$outdir"
outdir=$(cd "$outdir" && pwd)

if [ -z "$force" ] && is_complete; then
	echo "$outdir/$NAME.qcow2 is up to date" >&2
	exit 0
fi
require_tools
build
