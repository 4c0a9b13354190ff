#!/usr/bin/env bash
# haproxy from Debian's package, for tests that start several servers behind one
# address. The tests write its configuration and run it themselves.
#
#   haproxy.sh start    install what is missing, print one line: HAPROXY_PATH=...
#   haproxy.sh env      print that line without installing
#   haproxy.sh status   installed or not (exit status 0 or 1)
#   haproxy.sh stop     nothing to end: it leaves no process behind

# shellcheck disable=SC2034 # used by lib.sh
SERVICE=haproxy
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PROGRAM=/usr/sbin/haproxy

print_env() { echo "HAPROXY_PATH=$PROGRAM"; }

case ${1:-start} in
  start)
    install_packages haproxy
    [ -x $PROGRAM ] || die "the package has no $PROGRAM"
    print_env
    ;;
  env) print_env ;;
  status) [ -x $PROGRAM ] ;;
  stop) ;;
  *) usage ;;
esac
