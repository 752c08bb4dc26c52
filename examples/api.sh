#!/bin/bash
# A walk through capsuld's API with nothing but curl and jq: what capsulctl does, spelled out. It makes an image and a VM
# (which it does not start), looks at them and removes them; anything that is not as it should be ends it with an error.
set -euo pipefail

if [ "${1:-}" = --help ] || [ $# -gt 2 ]; then
	echo "usage: ${0##*/} [DISK [KERNEL]]    DISK: a qcow2 or raw disk (default: an empty one of 64 MiB)" >&2
	exit 2
fi

socket=${CAPSUL_SOCKET:-${XDG_RUNTIME_DIR:?}/capsul/capsuld.sock}
image=api-example-image
vm=api-example

# The host part of the URL means nothing on a Unix socket. --fail-with-body: an error's body tells what was wrong.
call() {
	curl --silent --show-error --fail-with-body --unix-socket "$socket" "${@:2}" "http://capsul$1"
}

post() {
	call "$1" --header 'Content-Type: application/json' --data-binary "$2"
}

# expect WHAT IS SHOULD-BE
expect() {
	if [ "$2" != "$3" ]; then
		echo "$1 is '$2', not '$3'" >&2
		exit 1
	fi
	echo "ok: $1 is $2"
}

# Long work answers at once with an operation; its /follow is one JSON object a line, until it is done or failed.
finish() {
	local operation last
	operation=$(jq -er .id)
	last=$(call "/v1/operations/$operation/follow" --no-buffer | tail -n 1)
	if [ "$(jq -r .state <<<"$last")" != "done" ]; then
		jq . <<<"$last" >&2
		return 1
	fi
	jq -c .result <<<"$last"
}

# After an error something may be left: what was made here, and nothing else.
made_image=
made_vm=
clean_up() {
	if [ -n "$made_vm" ]; then
		{ call "/v1/vms/$vm" -X DELETE | finish; } >/dev/null 2>&1 || true
	fi
	if [ -n "$made_image" ]; then
		{ call "/v1/images/$image" -X DELETE | finish; } >/dev/null 2>&1 || true
	fi
	rm -rf "$work"
}
work=$(mktemp -d)
trap clean_up EXIT

# ---- who is there

expect "the API's version" "$(call /v1 | jq -r .api)" v1
# The id of the newest event: below we ask for what came after it.
since=$(call /v1/events | jq -s 'map(.id) | max // 0')

# ---- an image: send the files, then make an image of them

disk=${1:-}
if [ -z "$disk" ]; then
	disk=$work/disk.raw
	truncate --size 64M "$disk"
fi
# -T streams the file. With ?sha256=…, the daemon refuses and forgets anything else.
sha256=$(sha256sum <"$disk" | cut -d ' ' -f 1)
upload=$(call "/v1/uploads?sha256=$sha256" -X POST -T "$disk")
expect "the digest of the upload" "$(jq -r .digest <<<"$upload")" "sha256:$sha256"
request=$(jq -n --arg name $image --argjson disk "$upload" '{name: $name, disk: $disk.id}')
if [ $# -eq 2 ]; then
	kernel=$(call /v1/uploads -X POST -T "$2")
	request=$(jq --argjson kernel "$kernel" '. + {kernel: $kernel.id, cmdline: "console=ttyS0"}' <<<"$request")
fi
imported=$(post /v1/images "$request" | finish)
made_image=yes
expect "the image's name" "$(jq -r .name <<<"$imported")" $image
expect "its place in the list" "$(call /v1/images | jq --arg name $image 'map(.name) | index($name) != null')" true

# ---- a VM

request='{"name": "'$vm'", "image": "'$image'", "memory": "128M", "cpus": 2, "start": false, "labels": {"made-by": "api"}}'
created=$(post /v1/vms "$request" | finish)
made_vm=yes
expect "the new VM's state" "$(jq -r .state <<<"$created")" stopped
shown=$(call /v1/vms/$vm)
expect "its memory" "$(jq -r .spec.memory <<<"$shown")" 128M
expect "its unit" "$(jq -r .unit <<<"$shown")" capsul-vm-$vm.service
expect "what the label selects" "$(call '/v1/vms?label=made-by=api' | jq -r '.[].name')" $vm
expect "what another selects" "$(call '/v1/vms?label=made-by=hand' | jq length)" 0

# ---- an error: application/problem+json (RFC 9457) with a code for programs, and a hint for people

curl --silent --unix-socket "$socket" --write-out '%{content_type}' --output "$work/problem" \
	http://capsul/v1/vms/no-such-vm >"$work/type"
expect "the type of an error" "$(cut -d ';' -f 1 "$work/type")" application/problem+json
expect "its code" "$(jq -r .code "$work/problem")" not_found
expect "its status" "$(jq -r .status "$work/problem")" 404
curl --silent --unix-socket "$socket" --header 'Content-Type: application/json' --output "$work/problem" \
	--data-binary '{"name": "x", "image": "y", "colour": "red"}' http://capsul/v1/vms
expect "the answer to an unknown key" "$(jq -r .code "$work/problem")" invalid

# ---- away with it

expect "what was deleted" "$(call /v1/vms/$vm -X DELETE | finish | jq -r .name)" $vm
made_vm=
expect "the VMs with the label" "$(call '/v1/vms?label=made-by=api' | jq length)" 0
expect "the image that was removed" "$(call /v1/images/$image -X DELETE | finish | jq -r .name)" $image

# ---- what happened meanwhile (add &follow=true to go on listening)

call "/v1/events?since=$since" | jq -c .
expect "what the events tell" "$(call "/v1/events?since=$since" | jq -r 'select(.target | startswith("api-")).type' | paste -sd ' ')" \
	"image.imported vm.created vm.deleted image.removed"
