#!/bin/sh
# Sets up the network lab, written by capsul. To run it by hand, again and again, does no harm.
helper='/usr/libexec/capsul/capsul-net'
set -eu
"$helper" 'bridge-add' 'cap-lab'
"$helper" 'addr-add' 'cap-lab' '10.90.0.1/20'
"$helper" 'addr-add' 'cap-lab' 'fd90::a5a:1/64'
"$helper" 'egress' 'cap-lab' 'list' '10.90.0.1/32,tcp,11654'
"$helper" 'trunk-add' 'cap-lab-vpn' 'cap-lab' '--isolated'
"$helper" 'trunk-add' 'cap-lab-dns' 'cap-lab' '--isolated'
# capsul sha256=6f75cd97592cd269881ffee5a9e4a9ff407c255c9a5770f3b9f99b15ace8d337
