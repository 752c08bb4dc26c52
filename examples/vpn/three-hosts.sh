#!/bin/bash
# The example of capsulctl-network(1): three hosts on one Ethernet segment, each joining in another way, with a guest on
# each that finds the others by address and by name. See --help.
set -euo pipefail

network=${NETWORK:-mesh}
subnet=${SUBNET:-10.90.0.0/16}
subnet6=${SUBNET6:-fd90:1::/64}
ssh_command=${SSH:-ssh}
third=code
image=
undo=

usage() {
	cat <<-USAGE
		usage: ${0##*/} [OPTION...] SSH-URL SSH-URL SSH-URL

		Makes the vpn network "$network" on the first of three hosts, such as ssh://alice@host-a.example.org, has the second
		join it by ssh and the third by a code of the second, and waits until each reaches the other two.

		  --files         the third joins by files that are carried from and to the first
		  --image IMAGE   then starts a VM on each host, of an image of this name that has ping, and has them ping each other
		  --undo          deletes the VMs and the network again

		All three have a capsuld, tinc, dnsmasq-base, and a policy that allows the subnets; for that, on each of them:

		  sudo /usr/share/capsul/host-setup.sh --subnet $subnet --subnet6 $subnet6

		This machine gets into all of them by ssh, and the second into the first. Environment:

		  NETWORK     the network's name
		  SUBNET      its IPv4 subnet (default: 10.90.0.0/16)
		  SUBNET6     its IPv6 subnet (default: fd90:1::/64)
		  ADDRESSES   where the hosts reach each other, three words (default: the hosts of the URLs)
		  SSH         runs instead of ssh, with an URL and a command line for a shell there
	USAGE
}

say() {
	printf '\n== %s\n' "$*"
}

fail() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# on URL WORD...: runs that there; ssh has one command line for the shell of that host.
on() {
	local words
	printf -v words '%q ' "${@:2}"
	"$ssh_command" "$1" "$words"
}

# The host of ssh://USER@HOST:PORT.
host_of() {
	local host=${1#ssh://}
	host=${host#*@}
	case $host in
		\[*) echo "${host%%]*}]" ;;
		*) echo "${host%%:*}" ;;
	esac
}

# ---------------------------------------------------------------------------------------------------------------- hosts

create_on_first() {
	say "the first makes the network"
	on "$a" capsulctl network create "$network" --type vpn --subnet "$subnet" --subnet6 "$subnet6" \
		--address "${addresses[0]}"
}

join_by_ssh() {
	say "the second joins by ssh"
	on "$b" capsulctl network join "$network" --from "$a" --address "${addresses[1]}"
}

# A person would be asked for it: capsulctl network join -.
join_by_code() {
	say "the third joins by a code, which any host of the network gives"
	on "$b" capsulctl network invite "$network" --expires 10m |
		on "$c" capsulctl network join - --address "${addresses[2]}"
}

# What a person would carry on a stick. None of it is a secret.
join_by_files() {
	say "the third joins by files"
	on "$a" capsulctl network export "$network" --for third |
		on "$c" capsulctl network join --file - --node third --address "${addresses[2]}"
	on "$c" capsulctl network export "$network" | on "$a" capsulctl network peer add "$network" -
}

reached_from() {
	on "$1" capsulctl network peer list "$network" -o csv --no-headers --columns reachable | grep -c '^yes$' || true
}

await_each_other() {
	local host tries
	for host in "$a" "$b" "$c"; do
		for tries in {1..60}; do
			[ "$(reached_from "$host")" != 2 ] || break
			[ "$tries" != 60 ] || fail "$host does not reach the other two: capsulctl network peer list $network"
			sleep 2
		done
		say "$host"
		on "$host" capsulctl network peer list "$network"
	done
}

# --------------------------------------------------------------------------------------------------------------- guests

# The names of VMs: one on each host, in the order of the hosts.
vms=("$network-1" "$network-2" "$network-3")

start_guests() {
	local i
	for i in 0 1 2; do
		say "${urls[i]} starts ${vms[i]}"
		on "${urls[i]}" capsulctl vm create "${vms[i]}" --image "$image" --network "$network" --no-ssh-key --wait agent
	done
}

# Each pings the others, by name and by the addresses that their hosts know of them.
ping_each_other() {
	local from to address
	for from in 0 1 2; do
		for to in 0 1 2; do
			[ "$from" != "$to" ] || continue
			for address in "${vms[to]}.$network.capsul" $(on "${urls[to]}" capsulctl vm ip "${vms[to]}" -q | head -n 2); do
				on "${urls[from]}" capsulctl vm exec -n "${vms[from]}" -- ping -q -c 3 -W 5 "$address" >/dev/null ||
					fail "${vms[from]} does not reach $address"
				echo "ok: ${vms[from]} reaches ${vms[to]} at $address"
			done
		done
	done
}

# A host that is down is no reason to leave the others as they are.
delete_all() {
	local i failed=
	for i in 0 1 2; do
		on "${urls[i]}" capsulctl vm delete "${vms[i]}" --yes --ignore-missing || failed=yes
		on "${urls[i]}" capsulctl network delete "$network" --yes --ignore-missing || failed=yes
	done
	[ -z "$failed" ] || fail "not all of it could be deleted: see above"
}

# ----------------------------------------------------------------------------------------------------------------------

while [ $# -gt 0 ]; do
	case $1 in
		--files) third=files ;;
		--image)
			[ $# -gt 1 ] || fail "--image needs a name"
			image=$2
			shift
			;;
		--undo) undo=yes ;;
		-h | --help)
			usage
			exit
			;;
		-*) fail "there is no option $1; --help tells which" ;;
		*) break ;;
	esac
	shift
done
if [ $# -ne 3 ]; then
	usage >&2
	exit 2
fi
urls=("$@")
a=$1 b=$2 c=$3
read -r -a addresses <<<"${ADDRESSES:-$(host_of "$a") $(host_of "$b") $(host_of "$c")}"
[ ${#addresses[@]} -eq 3 ] || fail "ADDRESSES: has ${#addresses[@]} words, not 3"

if [ -n "$undo" ]; then
	delete_all
	exit
fi
create_on_first
join_by_ssh
"join_by_$third"
await_each_other
if [ -n "$image" ]; then
	start_guests
	ping_each_other
fi
say "done; --undo deletes it all again"
