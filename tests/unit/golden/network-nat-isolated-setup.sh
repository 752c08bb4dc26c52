#!/bin/sh
# Sets up the network lan, written by capsul. To run it by hand, again and again, does no harm.
helper='/usr/libexec/capsul/capsul-net'
set -eu
"$helper" 'bridge-add' 'cap-lan'
"$helper" 'addr-add' 'cap-lan' '10.80.0.1/24'
"$helper" 'addr-add' 'cap-lan' 'fd80::1/64'
"$helper" 'egress' 'cap-lan' '--isolated' 'list' '192.0.2.0/24' '2001:db8::/32,udp,8000-8099'
# capsul sha256=1c4b226e056bc24cd03a0d6ad8d4aad73a422949a7376f88f70727b84838ab9c
