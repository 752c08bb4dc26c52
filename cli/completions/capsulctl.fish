# fish completion for capsulctl(1)

function __capsulctl_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in (capsulctl __complete -- $words[2..-1] 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end

complete -c capsulctl -f -a '(__capsulctl_complete)'
