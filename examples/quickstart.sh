#!/bin/bash
# From a fresh clone to a Debian guest: see --help.
set -euo pipefail
umask 022
# Debian gives ordinary users no sbin.
PATH=$PATH:/usr/sbin:/sbin
cd "$(dirname "$0")/.."

vm=demo
host=quickstart
build=build/quickstart

usage() {
	cat <<-USAGE
		usage: ./examples/quickstart.sh

		On a Debian 12 machine, as root or as a user who may sudo: installs the packages that are missing, builds
		capsul, builds a Debian image from Debian's packages, starts the VM "$vm" and runs a command in it by ssh.
		The first time takes some minutes and 5 GB of disk; a second time is quick and changes nothing.

		Where systemd runs, capsul is installed in /usr/local, for you (run by sudo: for who ran it; as root: for
		root). Where it does not (a container, a CI job), capsul gets a private host with a systemd of its own, see
		tests/host/README.md.

		To undo:  capsulctl rm $vm --yes; capsulctl image rm debian-12; systemctl --user disable --now capsuld.socket
		          sudo xargs rm -f <$build/install_manifest.txt
		or:       tests/host/host.py destroy $host
	USAGE
}

fail() {
	echo "quickstart.sh: $*" >&2
	exit 1
}

say() {
	printf '\n== %s\n' "$*"
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# What is built belongs to whom the clone belongs to, whoever runs this.
as_owner() {
	local owner
	owner=$(stat -c %U .)
	if [ "$(id -u)" -eq 0 ] && [ "$owner" != root ]; then
		runuser -u "$owner" -- "$@"
	else
		"$@"
	fi
}

has_systemd() {
	[ -d /run/systemd/system ] && [ "$(cat /proc/1/comm)" = systemd ]
}

build_capsul() {
	as_owner cmake --preset release -B $build -DCMAKE_INSTALL_PREFIX=/usr/local >/dev/null
	# A file may take a gigabyte to compile.
	local jobs gigabytes
	gigabytes=$(awk '/^MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)
	jobs=$(nproc)
	[ "$gigabytes" -ge "$jobs" ] || jobs=$((gigabytes > 0 ? gigabytes : 1))
	as_owner cmake --build $build --parallel "$jobs"
}

# ---- on this machine

choose_user() {
	user=$(id -un)
	if [ "$(id -u)" -eq 0 ] && [ -n "${SUDO_USER:-}" ]; then
		user=$SUDO_USER
	fi
	uid=$(id -u "$user")
	[ -S "/run/user/$uid/systemd/private" ] ||
		fail "$user has no systemd user manager; log in as $user, or: loginctl enable-linger $user; then again"
}

on_machine() {
	local place=(env "XDG_RUNTIME_DIR=/run/user/$uid")
	[ "$uid" = "$(id -u)" ] || place=(runuser -u "$user" -- env "HOME=$(getent passwd "$user" | cut -d : -f 6)" "${place[@]:1}")
	"${place[@]}" "$@"
}

install_on_machine() {
	as_root cmake --install $build >/dev/null
	image_folder=$images
	run_there=on_machine
	way_in="capsulctl ssh $vm"
	[ "$user" = "$(id -un)" ] || way_in="as $user: $way_in"
	way_out="capsulctl rm $vm --yes   (to remove capsul as well: $0 --help)"
}

# ---- on a private host

in_host() {
	tests/host/host.py run $host --user alice -- "$@"
}

install_in_host() {
	as_owner env "DESTDIR=$PWD/$build/stage" cmake --install $build >/dev/null
	if ! tests/host/host.py list | grep -q "^$host "; then
		tests/host/host.py boot $host --user alice --bind "$PWD/$build:/srv/capsul-build:ro" --bind "$images:/srv/capsul-images:ro"
	elif ! tests/host/host.py run $host -- true 2>/dev/null; then
		tests/host/host.py start $host
	fi
	# Remove first: a program that runs cannot be written to.
	tests/host/host.py run $host -- cp -rT --remove-destination /srv/capsul-build/stage /
	image_folder=/srv/capsul-images
	run_there=in_host
	way_in="$PWD/tests/host/host.py enter $host --user alice    (then: capsulctl ssh $vm)"
	way_out="$PWD/tests/host/host.py destroy $host"
}

# ---- anywhere

# Shows the command, as one would type it there.
run() {
	local word line='$'
	for word in "$@"; do
		[[ $word =~ ^[[:alnum:]_@%+=:,./-]+$ ]] || word="'$word'"
		line+=" $word"
	done
	echo "$line"
	$run_there "$@"
}

has_ssh_key() {
	# shellcheck disable=SC2016  # the shell there expands it
	$run_there sh -c 'for kind in ed25519 ed25519_sk ecdsa ecdsa_sk rsa; do [ ! -e ~/.ssh/id_$kind.pub ] || exit 0; done; exit 1'
}

make_ssh_key() {
	# shellcheck disable=SC2016
	run sh -c 'mkdir -p -m 700 ~/.ssh && ssh-keygen -q -t ed25519 -N "" -f ~/.ssh/id_ed25519'
}

import_image() {
	run capsulctl image import debian-12 "$image_folder/debian-12.qcow2" --if-not-exists \
		--kernel "$image_folder/debian-12.vmlinuz" --initrd "$image_folder/debian-12.initrd" \
		--cmdline "$(cat "$images/debian-12.cmdline")"
}

start_vm() {
	run capsulctl launch $vm --image debian-12 --memory 1G --cpus 2 --if-not-exists
	run capsulctl start $vm
	# An emulated guest, where there is no KVM, takes a minute or two.
	run capsulctl vm wait $vm --for cloud-init --timeout 15m
}

case ${1:-} in
'') ;;
-h | --help) usage && exit ;;
*) usage >&2 && exit 2 ;;
esac

# root's home is no place for what another user's capsul reads.
images=${XDG_CACHE_HOME:-$HOME/.cache}/capsul/images
[ "$(id -u)" -ne 0 ] || images=/var/cache/capsul/images

groups=(build run image)
if has_systemd; then
	choose_user
else
	groups+=(host)
fi
say "packages"
tests/install-deps.sh "${groups[@]}"
say "building capsul"
build_capsul
say "the Debian image"
examples/build-debian-image.sh "$images"
if has_systemd; then
	say "installing capsul in /usr/local, for $user"
	install_on_machine
else
	say "systemd does not run here: capsul gets a private host named $host, with a user alice"
	install_in_host
fi
run systemctl --user daemon-reload
run systemctl --user enable --now capsuld.socket
# A new version of it, after an upgrade; VMs run on.
$run_there systemctl --user try-restart capsuld.service

say "the VM"
has_ssh_key || make_ssh_key
import_image
start_vm

say "done"
echo "to enter:     $way_in"
echo "to take down: $way_out"
echo
run capsulctl ssh $vm -- 'hostname; head -1 /etc/os-release; uptime'
