#!/bin/sh
# The one-time root part of bridge, nat and vpn networks: see --help. To run it again does no harm.
set -eu
# Debian gives ordinary users no sbin.
PATH=$PATH:/usr/sbin:/sbin

user=${SUDO_USER:-capsul}
prefix=
subnets=
subnets6=
bridge=
uplink=
guest_ips=
dry_run=

usage() {
	cat <<-USAGE
		usage: host-setup.sh [--user USER] [--prefix PREFIX] [--subnet CIDR]... [--subnet6 CIDR]...
		                     [--bridge NAME [--uplink INTERFACE] [--guest-ips CIDR]...] [--dry-run]

		Lets USER (default: who called sudo, else "capsul") make networks for VMs, as root, once capsul is installed:
		the group and capability of capsul-net, USER's lines in /etc/capsul/net.policy, forwarding, the packet filter
		(capsul-nft.service), and linger. Lines that USER has already stay, but for those that --prefix and --guest-ips give anew.

		  --prefix PREFIX      how the names of USER's interfaces begin: cap, letters or digits, a hyphen
		                       (default: cap-, or the first free of capa-, capb- ...)
		  --subnet, --subnet6  where USER's nat and vpn networks get their subnets, beside those that USER has; may be given
		                       again. A VPN's has to be allowed on each of its hosts. (A new user's default: 10.80.0.0/16,
		                       fd80:ca95::/48)
		  --bridge NAME        lets USER plug VMs into this bridge; makes it if it is not there
		  --uplink INTERFACE   the network card that becomes a port of a new bridge, which gets the card's MAC address and
		                       asks for its addresses by DHCP. Without: a bridge without a port
		  --guest-ips CIDR     the addresses that guests on the bridge may have; may be given again. 0.0.0.0/0: any, also
		                       what the bridge's network gives them by DHCP
		  --dry-run            print what would be done, and do nothing

		For example:
		  sudo $0
		  sudo $0 --bridge br0 --uplink eth0 --guest-ips 203.0.113.16/28
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
	--subnet) subnets="$subnets $2" ;;
	--subnet6) subnets6="$subnets6 $2" ;;
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

# Where capsul is installed: where this script is, if that was installed too.
installed=
for root in "${0%/share/capsul/host-setup.sh}" /usr/local /usr; do
	if [ -e "$root/libexec/capsul/capsul-net" ]; then
		installed=$root
		break
	fi
done
[ -n "$installed" ] || fail "capsul-net is not in /usr/libexec/capsul or /usr/local/libexec/capsul: install capsul first"
helper=$installed/libexec/capsul/capsul-net

# The policy, as it is to be. Lines of other users and comments stay, and lines of this user that no option is about.
policy=/etc/capsul/net.policy
present_policy() {
	[ ! -f $policy ] || cat $policy
}

has_lines() {
	present_policy | awk -v uid="$uid" '$1 == uid { found = 1 } END { exit !found }'
}

# The first prefix that is not the beginning of another user's, nor begins with one.
free_prefix() {
	present_policy | awk -v uid="$uid" '
		$1 != uid && $2 == "prefix" { taken[$3] }
		function is_free(name, other) {
			for (other in taken)
				if (index(name, other) == 1 || index(other, name) == 1)
					return 0
			return 1
		}
		END {
			for (i = 0; i <= 26; i++) {
				name = "cap" substr("abcdefghijklmnopqrstuvwxyz", i, i > 0) "-"
				if (is_free(name)) {
					print name
					exit
				}
			}
		}'
}

wanted_lines() {
	[ -z "$prefix" ] || echo "prefix $prefix"
	has_lines || printf '%s\n' 'bridge own 64' 'tap own 1000'
	for subnet in $subnets $subnets6; do
		echo "subnet own $subnet"
	done
	has_lines || echo 'nat own'
	[ -z "$bridge" ] || echo "tap $bridge 1000"
	for ips in $guest_ips; do
		echo "ip $bridge $ips"
	done
}

new_policy() {
	present_policy | awk -v uid="$uid" -v wanted="$(wanted_lines)" '
		# What of which there is one, or which an option gives as a whole. Subnets are only ever added.
		function subject(kind, what, value) {
			return kind == "subnet" ? kind " " value : kind == "prefix" ? kind : kind " " what
		}
		BEGIN {
			count = split(wanted, lines, "\n")
			for (i = 1; i <= count; i++) {
				split(lines[i], words, " ")
				is_wanted[lines[i]]
				given[subject(words[1], words[2], words[3])]
			}
		}
		$1 == uid {
			line = $2 " " $3 (NF > 3 ? " " $4 : "")
			if (line in is_wanted)
				have[line]
			else if ($2 == "tap")
				have["tap " $3 " 1000"] # a number that the administrator has changed
			else if (subject($2, $3, $4) in given)
				next
		}
		{ print }
		END {
			for (i = 1; i <= count; i++)
				if (!(lines[i] in have)) {
					print uid " " lines[i]
					have[lines[i]]
				}
		}'
}

# One bad line and nothing in the file counts, for anybody: so it is looked at before anything is changed.
check_policy() {
	if [ -s "$1" ] && [ -r "$1" ] && [ -x "$helper" ]; then
		"$helper" check-policy "$1" 2>&1 >/dev/null | sed 's/^capsul-net: //'
	fi
}

complaint=$(check_policy $policy)
[ -z "$complaint" ] || fail "mend $policy first: $complaint"
if ! has_lines; then
	prefix=${prefix:-$(free_prefix)}
	[ -n "$prefix" ] || fail "every prefix from cap- to capz- is taken: choose one with --prefix"
	subnets=${subnets:-10.80.0.0/16}
	subnets6=${subnets6:-fd80:ca95::/48}
fi
draft=$(mktemp)
trap 'rm -f "$draft"' EXIT
new_policy >"$draft"
complaint=$(check_policy "$draft")
[ -z "$complaint" ] || fail "$policy would not be right, and stays as it is: $complaint
$(cat "$draft")"

# The bridge: one that is there stays as it is. A bridge in place of a card has its MAC address, and so gets the same address by DHCP.
mac=
if [ -n "$uplink" ]; then
	[ -e "/sys/class/net/$uplink/address" ] || fail "there is no interface $uplink"
	mac=$(cat "/sys/class/net/$uplink/address")
fi

networkd_bridge() {
	write "/etc/systemd/network/20-capsul-$bridge.netdev" <<-NETDEV
		[NetDev]
		Name=$bridge
		Kind=bridge
		${mac:+MACAddress=$mac}
	NETDEV
	write "/etc/systemd/network/20-capsul-$bridge.network" <<-NETWORK
		[Match]
		Name=$bridge
		[Network]
		DHCP=$([ -n "$uplink" ] && echo yes || echo no)
		${uplink:+IPv6AcceptRA=yes}
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

bridge_lines() {
	cat <<-INTERFACES
		    pre-up ip link add $bridge ${mac:+address $mac }type bridge 2>/dev/null || true
		    pre-up ip link set $bridge up
		${uplink:+    pre-up ip link set $uplink master $bridge up}
		    post-down ip link delete $bridge
	INTERFACES
}

# The stanzas of the uplink but those that say `manual`.
stanzas_of_uplink() {
	cat /etc/network/interfaces /etc/network/interfaces.d/* 2>/dev/null | awk -v card="$uplink" '
		/^[ \t]*(iface|auto|allow-|mapping|source|no-)/ { inside = $1 == "iface" && $2 == card && $4 != "manual" }
		inside'
}

refuse_configured_uplink() {
	stanzas=$(stanzas_of_uplink)
	[ -n "$stanzas" ] || return 0
	fail "$uplink has addresses of its own in /etc/network/interfaces: as a port, it would cut the host off.
Nothing was changed. Put this there, in place of the \`iface $uplink\` stanzas:

auto $uplink
iface $uplink inet manual
auto $bridge
$(echo "$stanzas" | sed "s/^\([ \t]*iface[ \t][ \t]*\)$uplink\b/\1$bridge/" | awk -v extra="$(bridge_lines)" '
		{ print }
		/^[ \t]*iface/ && !done++ { print extra }')

then reboot (or, at the console: ifdown $uplink before the change, ifup $uplink $bridge after it), and run this again
without --uplink."
}

ifupdown_bridge() {
	write "/etc/network/interfaces.d/capsul-$bridge" <<-INTERFACES
		auto $bridge
		iface $bridge inet $([ -n "$uplink" ] && echo dhcp || echo manual)
		$(bridge_lines)
	INTERFACES
	run ifup "$bridge"
}

made_by=
if [ -n "$bridge" ] && [ ! -d "/sys/class/net/$bridge/bridge" ]; then
	[ ! -e "/sys/class/net/$bridge" ] || fail "$bridge is there and is not a bridge"
	if systemctl --quiet is-active systemd-networkd.service; then
		made_by=networkd
	elif command -v ifup >/dev/null; then
		made_by=ifupdown
		[ -z "$uplink" ] || refuse_configured_uplink
	else
		fail "neither systemd-networkd nor ifupdown runs here: make the bridge $bridge yourself, then run this again"
	fi
fi

# The helper: for its group alone, with one capability.
getent group capsul-net >/dev/null || run groupadd --system capsul-net
case " $(id -nG "$user") " in
*" capsul-net "*) joined= ;;
*)
	joined=yes
	run usermod --append --groups capsul-net "$user"
	;;
esac
capability=$(getcap "$helper")
[ "$(stat -c %U:%G:%a "$helper")" = root:capsul-net:750 ] || {
	run chown root:capsul-net "$helper"
	run chmod 0750 "$helper"
	capability= # chown takes it away
}
[ "${capability##* }" = cap_net_admin=ep ] || run setcap cap_net_admin=ep "$helper"

write $policy <"$draft"

# The packet filter, before anything is forwarded. One that is loaded is loaded again: it may be that of an older capsul.
run systemctl daemon-reload
if systemctl --quiet is-active capsul-nft.service; then
	systemctl --quiet is-enabled capsul-nft.service || run systemctl enable capsul-nft.service
	run systemctl reload capsul-nft.service
else
	run systemctl enable --now capsul-nft.service
fi

# NetworkManager reads nothing in /usr/local.
leave_alone=$installed/lib/NetworkManager/conf.d/70-capsul.conf
if [ "$installed" != /usr ] && [ -f "$leave_alone" ] && [ -d /etc/NetworkManager ]; then
	write /etc/NetworkManager/conf.d/70-capsul.conf <"$leave_alone"
	! systemctl --quiet is-active NetworkManager.service || run systemctl reload NetworkManager.service
fi

# Forwarding, for guests behind nat. A host that forwards IPv6 takes no router advertisements unless told to: those
# interfaces that take them now go on doing so, and so does a bridge in place of one. The minus: it need not be there.
sysctls=/etc/sysctl.d/60-capsul.conf
takes_advertisements() {
	case $(cat "$1/accept_ra"):$(cat "$1/forwarding") in
	2:* | 1:0) ;;
	*) return 1 ;;
	esac
}

accept_advertisements() {
	[ ! -f $sysctls ] || grep accept_ra $sysctls || true
	for device in /proc/sys/net/ipv6/conf/*; do
		name=${device##*/}
		case $name in
		all | default | lo | cap*) continue ;;
		esac
		if takes_advertisements "$device"; then
			echo "-net/ipv6/conf/$name/accept_ra = 2"
			[ "$name" != "$uplink" ] || echo "-net/ipv6/conf/$bridge/accept_ra = 2"
		fi
	done
}

{
	echo '# Guests of capsul reach the outside through this host.'
	accept_advertisements | sort -u
	echo 'net/ipv4/ip_forward = 1'
	echo 'net/ipv6/conf/all/forwarding = 1'
} | write $sysctls
run sysctl --quiet --ignore --load=$sysctls

if [ "$made_by" = networkd ]; then
	networkd_bridge
elif [ "$made_by" = ifupdown ]; then
	ifupdown_bridge
fi

[ -e "/var/lib/systemd/linger/$user" ] || run loginctl enable-linger "$user"
if [ -n "$joined" ] && systemctl --quiet is-active "user@$uid.service"; then
	echo "The user manager of $user runs since before $user joined the group capsul-net. To let it make networks,"
	echo "once, when no VM of $user runs:  systemctl restart user@$uid.service"
fi
