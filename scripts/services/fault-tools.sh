#!/usr/bin/env bash
# strace, mkfs.ext4, prlimit and libfaketime from Debian packages, for tests that
# break the machine under a server: failing system calls, small disks, power cuts,
# few file descriptors, wrong clocks.
#
#   fault-tools.sh start    install what is missing, print one line:
#                           STRACE_PATH=... MKFS_EXT4_PATH=... PRLIMIT_PATH=... FAKETIME_LIBRARY=...
#   fault-tools.sh env      print that line without installing
#   fault-tools.sh status   installed or not (exit status 0 or 1)
#   fault-tools.sh stop     nothing to end: it leaves no process behind

# shellcheck disable=SC2034 # used by lib.sh
SERVICE=fault-tools
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

library() { dpkg -L libfaketime 2>/dev/null | grep '/libfaketimeMT\.so' | head -n 1; }

print_env() {
  echo "STRACE_PATH=/usr/bin/strace MKFS_EXT4_PATH=/usr/sbin/mkfs.ext4 PRLIMIT_PATH=/usr/bin/prlimit FAKETIME_LIBRARY=$(library)"
}

installed() {
  [ -x /usr/bin/strace ] && [ -x /usr/sbin/mkfs.ext4 ] && [ -x /usr/bin/prlimit ] && [ -n "$(library)" ]
}

case ${1:-start} in
  start)
    install_packages strace e2fsprogs util-linux libfaketime
    installed || die "the packages do not have all programs"
    print_env
    ;;
  env) print_env ;;
  status) installed ;;
  stop) ;;
  *) usage ;;
esac
