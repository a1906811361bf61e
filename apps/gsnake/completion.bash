# Completes the words of `gsnake`: its commands, a command's options, files. All are asked of the program's own --help.
_gsnake() {
  local word=${COMP_WORDS[COMP_CWORD]} command= i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    [[ ${COMP_WORDS[i]} == -* ]] || { command=${COMP_WORDS[i]}; break; }
  done
  if [[ -z $command && $word != -* ]]; then
    COMPREPLY=($(compgen -W "$(gsnake --help 2>/dev/null | sed -n '/^Subcommands:/,$s/^  \([a-z][a-z-]*\).*/\1/p')" -- "$word"))
  elif [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$(gsnake $command --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]*')" -- "$word"))
  else
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}
complete -o filenames -F _gsnake gsnake
