/**
 * What each shell is told: to ask `xl completion --words`, which answers with a line for each candidate, text and description with a tab between, and
 * `:files` when files will do. So there is one place that knows xl's command lines, and the shells agree.
 */
const bash = `# bash completion for xl: source <(xl completion bash)
_xl_complete() {
  local current=\${COMP_WORDS[COMP_CWORD]} line
  COMPREPLY=()
  [[ $current == = ]] && current=
  while IFS= read -r line; do
    if [[ $line == :files ]]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$current")
    else
      COMPREPLY+=("\${line%%$'\\t'*}")
    fi
  done < <("\${COMP_WORDS[0]}" completion --words="$COMP_CWORD" -- "\${COMP_WORDS[@]:1}" 2>/dev/null)
}
complete -F _xl_complete xl
`;

const zsh = `#compdef xl
# zsh completion for xl: source <(xl completion zsh), after compinit
_xl_complete() {
  local line
  local -a found
  local files=0
  while IFS= read -r line; do
    if [[ $line == :files ]]; then
      files=1
    else
      # _describe wants text:description, with colons of the text escaped.
      local text=\${line%%$'\\t'*}
      found+=("\${text//:/\\\\:}:\${line#*$'\\t'}")
    fi
  done < <("\${words[1]}" completion --words="$((CURRENT - 1))" -- "\${(@)words[2,-1]}" 2>/dev/null)
  (( $#found )) && _describe -t xl xl found
  if (( files )); then
    [[ $PREFIX == --*=* ]] && compset -P '*='
    _files
  fi
  return 0
}
compdef _xl_complete xl
`;

const fish = `# fish completion for xl: xl completion fish | source
function __xl_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l last (math (count $words) - 1)
    for line in ($words[1] completion --words=$last -- $words[2..-1] 2>/dev/null)
        if test "$line" = :files
            set -l option (string match -r -- '^--[^=]*=' $words[-1])
            for path in (__fish_complete_path (string replace -r -- '^--[^=]*=' '' $words[-1]))
                echo "$option$path"
            end
        else
            echo $line
        end
    end
end
complete -c xl -f -a '(__xl_complete)'
`;

export const shells = { bash, zsh, fish } as const;
export type Shell = keyof typeof shells;

export function isShell(name: string): name is Shell {
  return Object.hasOwn(shells, name);
}
