#!/bin/sh
# Sets up the interfaces of the VM web, written by capsul. To run it by hand, again and again, does no harm.
helper='/usr/libexec/capsul/capsul-net'
set -eu
"$helper" 'tap-del' 'cap-web-2'
"$helper" 'tap-add' 'cap-web-0' 'cap-lan' '02:00:00:00:00:01' '--isolated' '--ip' '10.80.0.2' '--ip' 'fd80::2'
"$helper" 'tap-add' 'cap-web-1' 'br0' '02:00:00:00:00:02' '--any-ip'
# capsul sha256=fda685d81b8e5d9e0f7de4af663e9de7c71e84f7c692c50d1da2385b0f1913f5
