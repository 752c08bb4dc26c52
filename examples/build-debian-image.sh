#!/bin/sh
# Makes a Debian 12 base image from Debian's own packages; nothing else is downloaded.
set -eu
# Debian gives ordinary users no sbin; mke2fs and chroot are there.
PATH=$PATH:/usr/sbin:/sbin
export PATH

# The layout of the result: one name, used for every file in OUTDIR.
NAME=debian-12
SUITE=bookworm
MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
SECURITY_MIRROR=${DEBIAN_SECURITY_MIRROR:-http://deb.debian.org/debian-security}
# An overlay may be bigger than this; the guest's file system then grows to fill it at boot.
SIZE=3G
# The guest's root is the whole disk: no partition table, no boot loader.
CMDLINE='root=LABEL=root rootfstype=ext4 ro console=ttyS0 quiet loglevel=3'
PACKAGES=linux-image-cloud-amd64,systemd-sysv,udev,dbus,libpam-systemd,systemd-resolved,systemd-timesyncd,\
cloud-init,openssh-server,sudo,qemu-guest-agent,iproute2,iputils-ping,netbase,ca-certificates,e2fsprogs,zstd

usage() {
	cat <<USAGE
usage: ${0##*/} [--force] [OUTDIR]

Builds a small Debian 12 cloud image that boots with QEMU's -kernel and -initrd, and writes
  $NAME.qcow2  $NAME.vmlinuz  $NAME.initrd  $NAME.cmdline  SHA256SUMS
to OUTDIR (default: ${XDG_CACHE_HOME:-\$HOME/.cache}/capsul/images). Takes about a minute and 3 GB of
free space in TMPDIR (default /var/tmp). Does nothing when OUTDIR already holds what this version of the
script makes; --force builds again. Needs no root: without it, it uses user namespaces (package uidmap).

The guest: user "debian" (sudo, ssh keys from cloud-init), cloud-init from a disk labelled "cidata",
qemu-guest-agent, a login on ttyS0, networkd with DHCP on the first NIC.

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

# Runs before the packages are unpacked. Only what a QEMU guest needs to find its root goes into the
# initrd: it is unpacked by an emulated CPU where there is no KVM.
write_early_config() {
	install -d "$1/etc/initramfs-tools/conf.d"
	cat >"$1/etc/initramfs-tools/conf.d/capsul" <<-CONF
		MODULES=list
		COMPRESS=zstd
		FSTYPE=ext4
		RESUME=none
	CONF
	printf '%s\n' virtio_pci virtio_blk ext4 >"$1/etc/initramfs-tools/modules"
}

write_cloud_init_config() {
	# The modules are Debian's list without those of vendors, of locales (there are none here), of what
	# systemd does itself, and of package managers that Debian has not: each costs an import by an
	# emulated CPU. RSA keys take seconds to make.
	cat >"$1/etc/cloud/cloud.cfg.d/90_capsul.cfg" <<-CONF
		datasource_list: [NoCloud, None]
		datasource:
		  NoCloud:
		    fs_label: cidata
		manage_etc_hosts: localhost
		ssh_genkeytypes: [ed25519, ecdsa]
		system_info:
		  network:
		    renderers: [networkd]
		cloud_init_modules:
		  - seed_random
		  - bootcmd
		  - write-files
		  - disk_setup
		  - mounts
		  - set_hostname
		  - update_hostname
		  - update_etc_hosts
		  - ca-certs
		  - users-groups
		  - ssh
		cloud_config_modules:
		  - set-passwords
		  - apt-configure
		  - ntp
		  - timezone
		  - runcmd
		cloud_final_modules:
		  - package-update-upgrade-install
		  - write-files-deferred
		  - scripts-vendor
		  - scripts-per-once
		  - scripts-per-boot
		  - scripts-per-instance
		  - scripts-user
		  - phone-home
		  - final-message
		  - power-state-change
	CONF
}

write_system_config() {
	# systemd's growfs fills a bigger disk at once; cloud-init's would do it later and slower.
	echo 'LABEL=root / ext4 rw,errors=remount-ro,x-systemd.growfs 0 1' >"$1/etc/fstab"
	echo debian >"$1/etc/hostname"
	install -d "$1/var/log/journal"
	# One NIC that is up is enough, and a NIC without DHCP must not hold up the boot for two minutes.
	install -d "$1/etc/systemd/system/systemd-networkd-wait-online.service.d"
	cat >"$1/etc/systemd/system/systemd-networkd-wait-online.service.d/capsul.conf" <<-CONF
		[Service]
		ExecStart=
		ExecStart=/lib/systemd/systemd-networkd-wait-online --any --timeout=30
	CONF
}

set_services() {
	chroot "$1" systemctl --quiet enable systemd-networkd.service systemd-networkd-wait-online.service
	# There is no screen, and nothing that a timer does is wanted in a fresh VM's first minutes.
	# Each of the last four is one more process to start in every boot; mount them by hand when needed.
	chroot "$1" systemctl --quiet mask getty@tty1.service e2scrub_reap.service apt-daily.timer \
		apt-daily-upgrade.timer e2scrub_all.timer dpkg-db-backup.timer modprobe@drm.service \
		sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount
	# The kernel comes from outside: an upgrade inside would leave it without its modules.
	chroot "$1" apt-mark -qq hold linux-image-cloud-amd64
}

# What must differ between two VMs, and what only a build needs.
remove_leftovers() {
	rm -f "$1"/etc/ssh/ssh_host_*_key* "$1/var/lib/dbus/machine-id" "$1"/boot/initrd.img-* "$1"/boot/vmlinuz-*
	rm -rf "$1"/var/cache/apt/*.bin "$1"/var/lib/apt/lists/*_* "$1"/var/log/apt "$1"/var/log/dpkg.log
	: >"$1/etc/machine-id"
}

# Called by mmdebstrap with the new root. In unshare mode only a process inside its user namespace sees
# the true owners of the files, so the file system is made here too.
customize() {
	root=$1
	work=$2
	write_cloud_init_config "$root"
	write_system_config "$root"
	set_services "$root"
	cp "$root"/boot/vmlinuz-* "$work/$NAME.vmlinuz"
	cp "$root"/boot/initrd.img-* "$work/$NAME.initrd"
	chmod 0644 "$work/$NAME.vmlinuz" "$work/$NAME.initrd"
	remove_leftovers "$root"
	make_file_system "$root" "$work"
}

# mmdebstrap has mounted /proc, /sys and /dev in the root: a bind mount shows it without them.
make_file_system() {
	mkdir "$2/root"
	# shellcheck disable=SC2016  # the inner shell expands them
	unshare --mount sh -euc 'mount --bind "$1" "$2/root"
		mke2fs -q -t ext4 -L root -m 1 -d "$2/root" "$2/root.ext4" "$3"' sh "$1" "$2" "$SIZE"
	chmod 0644 "$2/root.ext4"
}

bootstrap() {
	mmdebstrap --quiet --variant=minbase --format=null --include="$PACKAGES" \
		--aptopt='Acquire::Languages "none"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-include=/usr/share/doc/*/copyright' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--essential-hook="'$self' --hook-early \"\$1\"" \
		--customize-hook="'$self' --hook-customize \"\$1\" '$work'" \
		"$SUITE" /dev/null \
		"deb $MIRROR $SUITE main" \
		"deb $MIRROR $SUITE-updates main" \
		"deb $SECURITY_MIRROR $SUITE-security main"
}

# The stamp is removed first and written last: an interrupted run is never taken for a whole image.
publish() {
	rm -f "$outdir/$NAME.stamp"
	qemu-img convert -f raw -O qcow2 "$work/root.ext4" "$outdir/$NAME.qcow2"
	install -m 0644 "$work/$NAME.vmlinuz" "$work/$NAME.initrd" "$outdir"
	printf '%s\n' "$CMDLINE" >"$outdir/$NAME.cmdline"
	(cd "$outdir" && sha256sum "$NAME.qcow2" "$NAME.vmlinuz" "$NAME.initrd" "$NAME.cmdline" >SHA256SUMS)
	printf '%s\n' "$version" >"$outdir/$NAME.stamp"
}

build() {
	private=$(mktemp -d "${TMPDIR:-/var/tmp}/capsul-image.XXXXXX")
	trap 'rm -rf "$private"' EXIT
	trap 'exit 1' HUP INT TERM
	work=$(mktemp -d "$private/XXXXXXXXXXXXXXXX")
	if [ "$(id -u)" -ne 0 ]; then
		# In unshare mode the hooks run as another user, who may pass through the outer folder. Nobody else can: the
		# inner one's name is secret.
		chmod 0711 "$private"
		chmod 0777 "$work"
	fi
	cp "$self" "$work/build.sh"
	chmod 0755 "$work/build.sh"
	self=$work/build.sh
	echo "building $outdir/$NAME.qcow2 (about a minute)" >&2
	bootstrap
	publish
}

self=$(readlink -f "$0")
case ${1:-} in
--hook-early) write_early_config "$2" && exit ;;
--hook-customize) customize "$2" "$3" && exit ;;
-h | --help) usage && exit ;;
esac

force=
outdir=
for argument in "$@"; do
	case $argument in
	--force) force=yes ;;
	-*) fail "unknown option: $argument (see --help)" ;;
	*)
		[ -z "$outdir" ] || fail "more than one OUTDIR (see --help)"
		outdir=$argument
		;;
	esac
done
outdir=${outdir:-${XDG_CACHE_HOME:-$HOME/.cache}/capsul/images}
version=$(sha256sum <"$self" | cut -d ' ' -f 1)
mkdir -p "$outdir"
outdir=$(cd "$outdir" && pwd)

if [ -z "$force" ] && is_complete; then
	echo "$outdir/$NAME.qcow2 is up to date" >&2
	exit 0
fi
require_tools
build
