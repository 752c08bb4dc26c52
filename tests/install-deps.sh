#!/bin/bash
# Installs, from Debian 12's own packages, what capsul is built, run and tested with. The only list of them.
set -euo pipefail

packages_of() {
	case $1 in
	build)
		echo g++ cmake ninja-build ccache pkg-config scdoc libboost1.81-dev nlohmann-json3-dev libcli11-dev \
			libsystemd-dev libtomlplusplus-dev libfmt-dev libsmartcols-dev libarchive-dev libzstd-dev libssl-dev \
			libyaml-dev libnl-3-dev libseccomp-dev libcurl4-openssl-dev
		;;
	run) echo qemu-system-x86 qemu-utils openssh-client nftables libcap2-bin dnsmasq-base tinc gpgv ca-certificates ;;
	publish) echo guestfs-tools ;;
	image) echo mmdebstrap e2fsprogs fdisk uidmap debian-archive-keyring ;;
	host)
		echo systemd-container systemd-sysv libpam-systemd dbus-user-session iproute2 util-linux bsdutils mount \
			passwd sudo procps python3
		;;
	test)
		# Debian's plain clang (14) cannot read libstdc++ 12's <ranges> and coroutines.
		echo libgtest-dev libgmock-dev clang-format clang-tidy-19 clang-19 libclang-rt-19-dev shellcheck mandoc python3-pytest python3-pytest-xdist xorriso curl jq \
			iputils-ping openssh-server iperf3 bzip2 xz-utils zstd gnupg
		;;
	bench) echo iperf3 ;;
	*) return 1 ;;
	esac
}

groups=(build run image host test)

usage() {
	cat <<-USAGE
		usage: ${0##*/} [--list] [GROUP]...

		Installs what is missing; does nothing, and asks nothing of apt, when all is there.
		Groups: ${groups[*]} (default: all of these), publish, bench
		  --list   only print the packages
	USAGE
}

fail() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# dpkg-query fails when there is one package that it has never heard of, and tells of the others all the same.
missing_of() {
	local installed
	installed=$({ dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true; } |
		sed -n 's/^installed //p')
	printf '%s\n' "$@" | grep --invert-match --line-regexp --fixed-strings --regexp="$installed" || true
}

# No service of a package's is started, now or at the next boot: on a machine that only builds and tests, nobody waits for
# a server of ssh. Debian's switch for that is a file; if there is none, there is one for as long as apt runs. Where systemd
# runs, what a package brings beside a server may need to be started: so there, the servers alone are kept down.
servers=(ssh tinc)

keep_services_down() {
	local policy=/usr/sbin/policy-rc.d kept='*'
	[ ! -d /run/systemd/system ] || kept=$(printf '%s|' "${servers[@]/%/*}")
	if [ -e $policy ]; then
		return
	fi
	trap 'as_root rm -f '$policy EXIT
	printf '#!/bin/sh\ncase %s in %s) exit 101 ;; esac\n' "\$1" "${kept%|}" | as_root sh -c "cat >$policy && chmod 0755 $policy"
}

# Of those that have been installed just now: a server that was here before is somebody's.
disable_new_servers() {
	local server
	for server in "${servers[@]}"; do
		case " $* " in
		*" $server "* | *" open$server-server "*) as_root systemctl --quiet disable "$server.service" ;;
		esac
	done
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

apt() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get --quiet -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300 "$@"
}

chosen=()
for argument in "$@"; do
	case $argument in
	-h | --help) usage && exit ;;
	--list) list=yes ;;
	*)
		packages_of "$argument" >/dev/null || fail "unknown group: $argument (see --help)"
		chosen+=("$argument")
		;;
	esac
done
[ ${#chosen[@]} -gt 0 ] || chosen=("${groups[@]}")

wanted=()
for group in "${chosen[@]}"; do
	read -ra more <<<"$(packages_of "$group")"
	wanted+=("${more[@]}")
done
if [ -n "${list:-}" ]; then
	printf '%s\n' "${wanted[@]}"
	exit
fi

mapfile -t missing < <(missing_of "${wanted[@]}")
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null && ! { [ -t 0 ] && command -v sudo >/dev/null; }; then
	fail "packages are missing; run as root: apt-get install --no-install-recommends ${missing[*]}"
fi
echo "installing ${missing[*]}" >&2
keep_services_down
apt update
apt install --yes --no-install-recommends "${missing[@]}"
disable_new_servers "${missing[@]}"
