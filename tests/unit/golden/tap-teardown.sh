#!/bin/sh
# Takes down the interfaces of the VM web, written by capsul. To run it by hand, again and again, does no harm.
helper='/usr/libexec/capsul/capsul-net'
failed=0
"$helper" 'tap-del' 'cap-web-0' || failed=$((failed ? failed : $?))
"$helper" 'tap-del' 'cap-web-1' || failed=$((failed ? failed : $?))
exit "$failed"
# capsul sha256=c30c1e3d6b3c102dd99c369a545ca8c9b25afe6ae937a3371d8606bb540fe821
