#!/bin/sh
# One capsuld for a whole host, run by a user of its own, for the members of the group `capsul`. As root, once capsul is
# installed; to run it again does no harm. Afterwards: `usermod --append --groups capsul alice`, and alice logs in anew.
set -eu

if [ "$(id -u)" -ne 0 ]; then
	echo "$0: makes a user and a folder in /run: run it as root" >&2
	exit 1
fi
home=/var/lib/capsul

if ! getent passwd capsul >/dev/null; then
	useradd --system --user-group --home-dir $home --shell /usr/sbin/nologin --comment 'capsul virtual machines' capsul
fi
if getent group kvm >/dev/null; then
	usermod --append --groups kvm capsul
fi

cat >/etc/tmpfiles.d/capsul.conf <<-TMPFILES
	d $home 0700 capsul capsul
	d /run/capsul 0750 capsul capsul
TMPFILES
systemd-tmpfiles --create /etc/tmpfiles.d/capsul.conf

config=$home/.config/capsul/capsuld.toml
if [ ! -e $config ]; then
	runuser --user capsul -- mkdir -p $home/.config/capsul
	printf '[server]\ngroup = "capsul"\n' | runuser --user capsul -- tee $config >/dev/null
fi

# With linger its services start with the host and outlive every login.
loginctl enable-linger capsul
uid=$(id -u capsul)
waited=0
until [ -S "/run/user/$uid/systemd/private" ]; do
	if [ $waited -ge 30 ]; then
		echo "$0: the user manager of capsul does not start: systemctl status user@$uid" >&2
		exit 1
	fi
	sleep 1
	waited=$((waited + 1))
done
runuser --user capsul -- env XDG_RUNTIME_DIR="/run/user/$uid" \
	systemctl --user enable --now capsuld.socket capsuld-host.socket
echo "capsul serves the members of the group capsul at /run/capsul/capsuld.sock"
echo "for nat and bridge networks, once: $(dirname "$0")/host-setup.sh --user capsul"
