PS1= PS2=
unset MAILCHECK HISTFILE
__wardian_restore() { return $1; }
__wardian_end() {
  __wardian_status=$?
  [ -n "$__wardian_pipe" ] || __wardian_last=$__wardian_status
  printf '%s\0' done "$1" "$__wardian_last" "$__wardian_last" "$PWD" "$-" "" >&@CONTROL@
  trap >&@CONTROL@
  printf '\0' >&@CONTROL@
  set +xv
  __wardian_pipe= PS1=
}
__wardian_list() {
  __wardian_number=$1
  shift
  printf '%s\0' list "$__wardian_number" >&@CONTROL@
  "$@" >&@CONTROL@
  printf '\0' >&@CONTROL@
}
__wardian_check() { sh -n -c "$1" 2>&1; }
__wardian_files() {
  for __wardian_file in "$1"*/; do [ -d "$__wardian_file" ] && printf '%s\n' "${__wardian_file%/}"; done
  printf '\n'
  for __wardian_file in "$1"*; do [ -e "$__wardian_file" ] && printf '%s\n' "$__wardian_file"; done
}
__wardian_commands() {
  (
    IFS=:
    for __wardian_folder in $PATH; do
      for __wardian_file in "$__wardian_folder/$1"*; do
        [ -x "$__wardian_file" ] && printf '%s\n' "${__wardian_file##*/}"
      done
    done
  )
}
__wardian_names() { set | sed -n "s/^\($1[A-Za-z0-9_]*\)=.*/\1/p"; }
__wardian_about() { type "$1" >/dev/null 2>&1 && type "$1"; }
__wardian_ask() {
  local OPTIND=1 OPTARG __wardian_option __wardian_prompt= __wardian_hidden=0
  while getopts :rsd:n:p:t:u: __wardian_option; do
    case $__wardian_option in
      p) __wardian_prompt=$OPTARG ;;
      s) __wardian_hidden=1 ;;
      u) return ;;
    esac
  done
  [ /dev/fd/0 -ef /dev/fd/@STDIN@ ] || return
  printf '%s\0' input "$__wardian_prompt" "$__wardian_hidden" >&@CONTROL@
}
read() {
  case " $* " in *' -'*p*) __wardian_ask "$@" ;; esac
  command read "$@"
}
display() {
  for __wardian_file in "${@:--}"; do
    printf '\033]@NONCE@;<%s\007' "${__wardian_file##*.}"
    command cat -- "$__wardian_file"
    printf '\033]@NONCE@;>\007'
  done
}
__wardian_pipe=
exec 2>&@ERROR@ @ERROR@>&-
printf '%s\0' ready sh "" >&@CONTROL@
