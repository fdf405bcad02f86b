# SPDX-License-Identifier: LGPL-2.1-or-later
# Bash completion of dps-tag.  Commands and options are asked of the program, which knows them.

_dps_tag() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command= word
	local commands roles="esp home linux-generic root root-verity root-verity-sig same srv swap
		tmp user-home usr usr-verity usr-verity-sig var xbootldr"

	# "--root=/mnt" is three words, as "=" breaks them
	if [ "$cur" = = ]; then
		cur=
	elif [ "$prev" = = ]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	fi

	commands=$(dps-tag --help 2>/dev/null |
		sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
	for word in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
		if [[ " ${commands//$'\n'/ } " == *" $word "* ]]; then
			command=$word
			break
		fi
	done

	COMPREPLY=()
	case $prev in
	-a | --arch)
		mapfile -t COMPREPLY < <(compgen -W "$(dps-tag types --verbose --color=never \
			2>/dev/null | awk '$3 == "root" { print $4 }')" -- "$cur")
		return ;;
	--color) mapfile -t COMPREPLY < <(compgen -W "auto always never" -- "$cur") ; return ;;
	--lock) mapfile -t COMPREPLY < <(compgen -W "yes nonblock no" -- "$cur") ; return ;;
	--sector-size) mapfile -t COMPREPLY < <(compgen -W "512 4096" -- "$cur") ; return ;;
	--btrfs-default) mapfile -t COMPREPLY < <(compgen -W "auto keep" -- "$cur") ; return ;;
	-r | --root | --esp) mapfile -t COMPREPLY < <(compgen -d -- "$cur") ; return ;;
	--policy) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ; return ;;
	-b | --backup) mapfile -t COMPREPLY < <(compgen -W none -f -- "$cur") ; return ;;
	esac

	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(dps-tag ${command:+"$command"} --help \
			2>/dev/null | sed -n 's/^  \(-[a-zA-Z],\|   \) \(--[a-z-]*\).*/\2/p')" -- "$cur")
	elif [ -z "$command" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur")
	elif [ "$command" != types ]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		if [ "$command" = apply ] || [ "$command" = plan ]; then
			local names
			mapfile -t names < <(compgen -S = -W "$roles" -- "$cur")
			COMPREPLY+=("${names[@]}")
		fi
	fi
	[[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
	return 0
}

complete -o filenames -F _dps_tag dps-tag
