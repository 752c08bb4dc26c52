#!/bin/sh
# Takes down the network lan, written by capsul. To run it by hand, again and again, does no harm.
helper='/usr/libexec/capsul/capsul-net'
failed=0
"$helper" 'bridge-del' 'cap-lan' || failed=$((failed ? failed : $?))
exit "$failed"
# capsul sha256=d0a2b68694d78f9d20ed4874c94ec276c2a3d5152c99554e97678dcf8d824b66
