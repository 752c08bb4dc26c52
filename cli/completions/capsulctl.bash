# bash completion for capsulctl(1)
# shellcheck shell=bash

_capsulctl() {
    local word rest
    COMPREPLY=()
    while IFS=$'\t' read -r word rest; do
        if [[ $word == :files ]]; then
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]#=}")
            return
        fi
        COMPREPLY+=("$word")
    done < <(capsulctl __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}

complete -F _capsulctl capsulctl
