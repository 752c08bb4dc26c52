#!/bin/sh
# Sets up the network lan, written by capsul. To run it by hand, again and again, does no harm.
helper='/usr/libexec/capsul/capsul-net'
set -eu
"$helper" 'bridge-add' 'cap-lan'
"$helper" 'addr-add' 'cap-lan' '10.80.0.1/24'
"$helper" 'addr-add' 'cap-lan' 'fd80::1/64'
"$helper" 'egress' 'cap-lan' 'full'
# capsul sha256=93ae04077961d5524ecd5fa0f0af59c36607a4b85db3185665848aec5a6ffc6e
