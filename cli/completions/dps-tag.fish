# SPDX-License-Identifier: LGPL-2.1-or-later
# Fish completion of dps-tag.  Commands and options are asked of the program, which knows them.

function __dps_tag_commands
    dps-tag --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*  \(.*\)/\1\t\2/p'
end

function __dps_tag_command
    set -l commands (__dps_tag_commands | string split -f1 \t)
    for word in (commandline -opc)[2..]
        if contains -- $word $commands
            echo $word
            return 0
        end
    end
    return 1
end

function __dps_tag_options
    dps-tag (__dps_tag_command) --help 2>/dev/null |
        sed -n 's/^  \(-[a-zA-Z],\|   \) \(--[a-z-]*\)[^ ]*  *\(.*\)/\2\t\3/p'
end

function __dps_tag_archs
    dps-tag types --verbose --color=never 2>/dev/null | awk '$3 == "root" { print $4 }'
end

function __dps_tag_is
    set -l command (__dps_tag_command); and contains -- $command $argv
end

function __dps_tag_has
    contains -- --$argv[1] (__dps_tag_options | string split -f1 \t)
end

# Files are offered where a command takes some.
complete -c dps-tag -f
complete -c dps-tag -n 'not __dps_tag_command >/dev/null' -a '(__dps_tag_commands)'
complete -c dps-tag -n 'string match -q -- "-*" (commandline -ct)' -a '(__dps_tag_options)'
complete -c dps-tag -n '__dps_tag_is apply plan check show undo' -F
complete -c dps-tag -n '__dps_tag_is apply plan' -a 'esp= home= linux-generic= root= root-verity= root-verity-sig= same= srv= swap= tmp= user-home= usr= usr-verity= usr-verity-sig= var= xbootldr='
complete -c dps-tag -n '__dps_tag_has arch' -s a -l arch -x -a '(__dps_tag_archs)'
complete -c dps-tag -n '__dps_tag_has color' -l color -x -a 'auto always never'
complete -c dps-tag -n '__dps_tag_has lock' -l lock -x -a 'yes nonblock no'
complete -c dps-tag -n '__dps_tag_has sector-size' -l sector-size -x -a '512 4096'
complete -c dps-tag -n '__dps_tag_has btrfs-default' -l btrfs-default -x -a 'auto keep'
complete -c dps-tag -n '__dps_tag_has root' -s r -l root -x -a '(__fish_complete_directories)'
complete -c dps-tag -n '__dps_tag_has esp' -l esp -x -a '(__fish_complete_directories)'
complete -c dps-tag -n '__dps_tag_has policy' -l policy -r
complete -c dps-tag -n '__dps_tag_has backup' -s b -l backup -r -a none
