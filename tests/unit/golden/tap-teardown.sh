#!/bin/sh
# Takes down the interfaces of the VM web, written by capsul. To run it by hand, again and again, does no harm.
helper='/usr/libexec/capsul/capsul-net'
failed=0
"$helper" 'tap-del' 'cap-web-2' || failed=$((failed ? failed : $?))
"$helper" 'tap-del' 'cap-web-0' || failed=$((failed ? failed : $?))
"$helper" 'tap-del' 'cap-web-1' || failed=$((failed ? failed : $?))
exit "$failed"
# capsul sha256=55478ddbc4221a6b650ff954ebaabf6d1c5e5cc8dfea76ad5d4c0d0033521eb8
