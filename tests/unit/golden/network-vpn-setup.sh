#!/bin/sh
# Sets up the network lab, written by capsul. To run it by hand, again and again, does no harm.
helper='/usr/libexec/capsul/capsul-net'
set -eu
"$helper" 'bridge-add' 'cap-lab'
"$helper" 'addr-add' 'cap-lab' '10.90.0.1/20'
"$helper" 'addr-add' 'cap-lab' 'fd90::a5a:1/64'
"$helper" 'egress' 'cap-lab' 'list' '10.90.0.1/32,tcp,11654' '10.90.0.1/32,udp,11654'
"$helper" 'trunk-add' 'cap-lab-vpn' 'cap-lab' '--isolated'
"$helper" 'trunk-add' 'cap-lab-dns' 'cap-lab' '--isolated'
# capsul sha256=79c92f0b7e4187621efdaf8cc77b8c2699c905aa45cc2c2541338ca047793c49
