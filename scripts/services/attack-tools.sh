#!/usr/bin/env bash
# strace, and ip for network namespaces, from Debian packages.
#
#   attack-tools.sh start   (or no verb) install what is missing, print one line
#                           STRACE_PATH=...
#   attack-tools.sh env     print that line without installing
#   attack-tools.sh status  installed or not (exit status 0 or 1)
#   attack-tools.sh stop    nothing to end: it leaves no process behind
#
# Whether this machine lets them trace and make namespaces is for the tests to find out.

# shellcheck disable=SC2034 # used by lib.sh
SERVICE=attack-tools
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PACKAGES=(strace iproute2)

print_env() { echo "STRACE_PATH=$(command -v strace)"; }

case ${1:-start} in
  start) install_packages "${PACKAGES[@]}"; print_env ;;
  env) print_env ;;
  status)
    for p in "${PACKAGES[@]}"; do have_package "$p" || { echo missing; exit 1; }; done
    echo installed
    ;;
  stop) ;;
  *) usage ;;
esac
