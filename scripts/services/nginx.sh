#!/usr/bin/env bash
# nginx with its image filter from Debian's packages, for benchmarks that run it beside the product. The benchmarks
# write its configuration and run it themselves.
#
#   nginx.sh start    install what is missing, print one line: NGINX_PATH=... NGINX_MODULES=...
#   nginx.sh env      print that line without installing
#   nginx.sh status   installed or not (exit status 0 or 1)
#   nginx.sh stop     nothing to end: it leaves no process behind

# shellcheck disable=SC2034 # used by lib.sh
SERVICE=nginx
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PROGRAM=/usr/sbin/nginx
MODULES=/usr/lib/nginx/modules

print_env() { echo "NGINX_PATH=$PROGRAM NGINX_MODULES=$MODULES"; }

case ${1:-start} in
  start)
    install_packages nginx libnginx-mod-http-image-filter
    [ -x $PROGRAM ] || die "the package has no $PROGRAM"
    [ -f $MODULES/ngx_http_image_filter_module.so ] || die "the package has no image filter in $MODULES"
    print_env
    ;;
  env) print_env ;;
  status) [ -x $PROGRAM ] && [ -f $MODULES/ngx_http_image_filter_module.so ] ;;
  stop) ;;
  *) usage ;;
esac
