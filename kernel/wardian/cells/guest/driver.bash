PS1= PS2=
unset MAILCHECK HISTFILE
set +o history +H
__wardian_restore() { return $1; }
__wardian_end() {
  local __wardian_status=$?
  [[ -n $__wardian_pipe ]] || __wardian_last=$__wardian_status __wardian_pipe=($__wardian_status)
  builtin printf '%s\0' done "$1" "$__wardian_last" "${__wardian_pipe[*]}" "$PWD" "$-" "$__wardian_word" >&@CONTROL@
  builtin trap -p INT >&@CONTROL@
  builtin printf '\0' >&@CONTROL@
  set +xv
  __wardian_pipe= PS1=
}
__wardian_list() {
  local __wardian_number=$1
  shift
  builtin printf '%s\0' list "$__wardian_number" >&@CONTROL@
  "$@" >&@CONTROL@
  builtin printf '\0' >&@CONTROL@
}
__wardian_check() { "$BASH" -O extglob -n -c "$1" 2>&1; }
__wardian_files() { compgen -d -- "$1"; builtin printf '\n'; compgen -f -- "$1"; }
__wardian_about() {
  builtin type -- "$1" && builtin printf '\n'
  builtin help -- "$1" || MANPAGER=cat man -- "$1"
}
__wardian_ask() {
  local OPTIND=1 OPTARG __wardian_option __wardian_prompt= __wardian_hidden=0
  while getopts :ersa:d:i:n:N:p:t:u: __wardian_option; do
    case $__wardian_option in
      p) __wardian_prompt=$OPTARG ;;
      s) __wardian_hidden=1 ;;
      u) return ;;
    esac
  done
  [[ /dev/fd/0 -ef /dev/fd/@STDIN@ ]] || return
  builtin read -t 0 && return
  builtin printf '%s\0' input "$__wardian_prompt" "$__wardian_hidden" >&@CONTROL@
}
read() {
  case " $* " in *' -'*p*) __wardian_ask "$@" ;; esac
  builtin read "$@"
}
exit() {
  local __wardian_status=$?
  builtin printf '%s\0' place "$PWD" >&@CONTROL@
  builtin exit "${@:-$__wardian_status}"
}
display() {
  local __wardian_file
  for __wardian_file in "${@:--}"; do
    builtin printf '\033]@NONCE@;<%s\007' "${__wardian_file##*.}"
    command cat -- "$__wardian_file"
    builtin printf '\033]@NONCE@;>\007'
  done
}
__wardian_pipe=
readonly -f __wardian_restore __wardian_end __wardian_list
exec 2>&@ERROR@ @ERROR@>&-
builtin printf '%s\0' ready bash "$BASH_VERSION" >&@CONTROL@
