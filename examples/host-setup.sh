#!/bin/sh
# The one-time root part of bridge and nat networks: see --help. To run it again does no harm.
set -eu

user=${SUDO_USER:-capsul}
prefix=
subnet=10.80.0.0/16
subnet6=fd80:ca95::/48
bridge=
uplink=
guest_ips=
dry_run=

usage() {
	cat <<-USAGE
		usage: host-setup.sh [--user USER] [--prefix PREFIX] [--subnet CIDR] [--subnet6 CIDR]
		                     [--bridge NAME [--uplink INTERFACE] [--guest-ips CIDR]...] [--dry-run]

		Lets USER (default: who called sudo, else "capsul") make networks for VMs, as root, once capsul is installed:
		the group and capability of capsul-net, USER's lines in /etc/capsul/net.policy, forwarding, the packet filter
		(capsul-nft.service), and linger.

		  --prefix PREFIX      how the names of USER's interfaces begin: cap, letters or digits, a hyphen
		                       (default: cap-, or the first free of capa-, capb- ...)
		  --subnet, --subnet6  where USER's nat networks get their subnets (default: $subnet, $subnet6)
		  --bridge NAME        lets USER plug VMs into this bridge; makes it if it is not there
		  --uplink INTERFACE   the network card that becomes a port of a new bridge; it keeps its addresses by DHCP
		                       on the bridge. Without: a bridge without a port
		  --guest-ips CIDR     the addresses that guests on the bridge may have; may be given again. 0.0.0.0/0: any, also
	                       what the bridge's network gives them by DHCP
		  --dry-run            print what would be done, and do nothing

		For example:
		  sudo examples/host-setup.sh
		  sudo examples/host-setup.sh --bridge br0 --uplink eth0 --guest-ips 203.0.113.16/28
	USAGE
}

fail() {
	echo "host-setup.sh: $*" >&2
	exit 1
}

# Says what is done, and does it unless this is a dry run.
run() {
	printf '+ %s\n' "$*"
	[ -n "$dry_run" ] || "$@"
}

# A file of this content, from standard input.
write() {
	content=$(cat)
	if [ -f "$1" ] && [ "$content" = "$(cat "$1")" ]; then
		return
	fi
	printf '+ write %s:\n%s\n' "$1" "$content"
	if [ -z "$dry_run" ]; then
		mkdir -p "${1%/*}"
		printf '%s\n' "$content" >"$1.new"
		chmod 0644 "$1.new"
		mv "$1.new" "$1"
	fi
}

while [ $# -gt 0 ]; do
	case $1 in
	-h | --help)
		usage
		exit
		;;
	--dry-run)
		dry_run=yes
		shift
		continue
		;;
	--user | --prefix | --subnet | --subnet6 | --bridge | --uplink | --guest-ips)
		[ $# -gt 1 ] || fail "$1 needs a value (see --help)"
		;;
	*) fail "unknown argument: $1 (see --help)" ;;
	esac
	case $1 in
	--user) user=$2 ;;
	--prefix) prefix=$2 ;;
	--subnet) subnet=$2 ;;
	--subnet6) subnet6=$2 ;;
	--bridge) bridge=$2 ;;
	--uplink) uplink=$2 ;;
	--guest-ips) guest_ips="$guest_ips $2" ;;
	esac
	shift 2
done
[ -n "$bridge" ] || [ -z "$uplink$guest_ips" ] || fail "--uplink and --guest-ips need --bridge"
[ -n "$dry_run" ] || [ "$(id -u)" -eq 0 ] || fail "it changes the host: run it with sudo, or see --dry-run"
uid=$(id -u "$user" 2>/dev/null) || fail "there is no user $user (--user chooses another)"
[ "$uid" -ne 0 ] || fail "capsul's daemon does not run as root: choose another with --user"

helper=
for folder in /usr/local/libexec /usr/libexec; do
	if [ -e $folder/capsul/capsul-net ]; then
		helper=$folder/capsul/capsul-net
		break
	fi
done
[ -n "$helper" ] || fail "capsul-net is not in /usr/libexec/capsul or /usr/local/libexec/capsul: install capsul first"

# The helper: for its group alone, with one capability.
getent group capsul-net >/dev/null || run groupadd --system capsul-net
case " $(id -nG "$user") " in
*" capsul-net "*) joined= ;;
*)
	joined=yes
	run usermod --append --groups capsul-net "$user"
	;;
esac
[ "$(stat -c %U:%G:%a $helper)" = root:capsul-net:750 ] || {
	run chown root:capsul-net $helper
	run chmod 0750 $helper
}
[ -n "$(getcap $helper)" ] || run setcap cap_net_admin=ep $helper

# The policy: lines of other users stay as they are.
policy=/etc/capsul/net.policy
lines_of_others() {
	[ ! -f $policy ] || awk -v uid="$uid" '$1 != uid' $policy
}
if [ -z "$prefix" ] && [ -f $policy ]; then
	prefix=$(awk -v uid="$uid" '$1 == uid && $2 == "prefix" { print $3 }' $policy)
fi
for letter in '' a b c d e f g h i j k l m n o p q r s t u v w x y z; do
	[ -z "$prefix" ] || break
	lines_of_others | grep -q "prefix *cap$letter-" || prefix=cap$letter-
done
{
	lines_of_others
	cat <<-POLICY
		$uid prefix $prefix
		$uid bridge own 64
		$uid tap own 1000
		$uid subnet own $subnet
		$uid subnet own $subnet6
		$uid nat own
	POLICY
	if [ -n "$bridge" ]; then
		echo "$uid tap $bridge 1000"
		for ips in $guest_ips; do
			echo "$uid ip $bridge $ips"
		done
	elif [ -f $policy ]; then
		awk -v uid="$uid" '$1 == uid && $3 != "own" && ($2 == "tap" || $2 == "ip")' $policy
	fi
} | write $policy

# Forwarding, for guests behind nat. A host that forwards IPv6 takes no router advertisements unless told to.
{
	echo '# Guests of capsul reach the outside through this host.'
	echo 'net.ipv4.ip_forward = 1'
	echo 'net.ipv6.conf.all.forwarding = 1'
	for device in /proc/sys/net/ipv6/conf/*; do
		name=${device##*/}
		case $name in
		all | default | lo | cap*) ;;
		*) [ "$(cat "$device/accept_ra")" = 0 ] || echo "net.ipv6.conf.$name.accept_ra = 2" ;;
		esac
	done
} | write /etc/sysctl.d/60-capsul.conf
run sysctl --quiet --load=/etc/sysctl.d/60-capsul.conf

# The packet filter.
run systemctl daemon-reload
run systemctl enable --now capsul-nft.service

# The bridge.
with_networkd() {
	systemctl --quiet is-active systemd-networkd.service
}

networkd_bridge() {
	write "/etc/systemd/network/20-capsul-$bridge.netdev" <<-NETDEV
		[NetDev]
		Name=$bridge
		Kind=bridge
	NETDEV
	write "/etc/systemd/network/20-capsul-$bridge.network" <<-NETWORK
		[Match]
		Name=$bridge
		[Network]
		DHCP=$([ -n "$uplink" ] && echo yes || echo no)
		ConfigureWithoutCarrier=yes
		[Link]
		RequiredForOnline=no
	NETWORK
	[ -z "$uplink" ] || write "/etc/systemd/network/20-capsul-$bridge-port.network" <<-PORT
		[Match]
		Name=$uplink
		[Network]
		Bridge=$bridge
	PORT
	run networkctl reload
	[ -z "$uplink" ] || run networkctl reconfigure "$uplink"
}

ifupdown_bridge() {
	write "/etc/network/interfaces.d/capsul-$bridge" <<-INTERFACES
		auto $bridge
		iface $bridge inet $([ -n "$uplink" ] && echo dhcp || echo manual)
		    pre-up ip link add $bridge type bridge 2>/dev/null || true
		    pre-up ip link set $bridge up
		$([ -z "$uplink" ] || printf '    pre-up ip link set %s master %s up' "$uplink" "$bridge")
		    post-down ip link delete $bridge
	INTERFACES
	run ifup "$bridge"
}

if [ -n "$bridge" ] && [ ! -d "/sys/class/net/$bridge/bridge" ]; then
	[ ! -e "/sys/class/net/$bridge" ] || fail "$bridge is there and is not a bridge"
	if with_networkd; then
		networkd_bridge
	elif command -v ifup >/dev/null; then
		ifupdown_bridge
	else
		fail "neither systemd-networkd nor ifupdown runs here: make the bridge $bridge yourself, then run this again"
	fi
fi

[ -e "/var/lib/systemd/linger/$user" ] || run loginctl enable-linger "$user"
if [ -n "$joined" ] && systemctl --quiet is-active "user@$uid.service"; then
	echo "The user manager of $user runs since before $user joined the group capsul-net. To let it make networks,"
	echo "once, when no VM of $user runs:  systemctl restart user@$uid.service"
fi
