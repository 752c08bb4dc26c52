#!/bin/sh
# Takes down the network lab, written by capsul. To run it by hand, again and again, does no harm.
helper='/usr/libexec/capsul/capsul-net'
failed=0
"$helper" 'tap-del' 'cap-lab-vpn' || failed=$((failed ? failed : $?))
"$helper" 'tap-del' 'cap-lab-dns' || failed=$((failed ? failed : $?))
"$helper" 'bridge-del' 'cap-lab' || failed=$((failed ? failed : $?))
exit "$failed"
# capsul sha256=b6a9b18b1298d0f7990a60786372ca83bcfbd739d35c13680e30b931ea9f7e58
