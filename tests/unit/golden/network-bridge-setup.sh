#!/bin/sh
# Waits for the bridge of the network public, written by capsul.
set -eu
bridge='br0'
waited=0
until [ -d "/sys/class/net/$bridge/bridge" ]; do
	if [ "$waited" -ge 30 ]; then
		echo "bridge $bridge does not exist" >&2
		exit 1
	fi
	sleep 1
	waited=$((waited + 1))
done
# capsul sha256=4a9f271f186fb88b8b3db4e5c663bd7ffbb691893756a24c7c8c756b6d4e8983
