#!/bin/sh
# Waits for the bridge of the network public, written by capsul.
set -eu
bridge='br0'
waited=0
until [ -d "/sys/class/net/$bridge/bridge" ]; do
	if [ "$waited" -ge 30 ]; then
		echo "bridge $bridge does not exist" >&2
		exit 4 # as capsul-net has it for what the host lacks
	fi
	sleep 1
	waited=$((waited + 1))
done
# capsul sha256=47130b9f94caad944a078d2c1da06d4222642997a89c3d190425beca6a2a161b
