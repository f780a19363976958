#!/bin/sh
# Makes sure that the named Debian packages are there, asking apt only for those whose program or library is missing.
set -eu

is_there() {
    case $1 in
    python3-venv) "${PYTHON:-python3}" -c 'import ensurepip' 2> /dev/null ;;
    postgresql) command -v initdb > /dev/null || ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 ;;
    systemd) command -v systemd-analyze > /dev/null ;;
    prometheus) command -v promtool > /dev/null ;;
    e2fsprogs) PATH="$PATH:/usr/sbin" command -v mkfs.ext4 > /dev/null ;;
    faketime) ls /usr/lib/*/faketime/libfaketime.so.1 > /dev/null 2>&1 ;;
    iproute2) PATH="$PATH:/usr/sbin" command -v ip > /dev/null ;;
    nftables) PATH="$PATH:/usr/sbin" command -v nft > /dev/null ;;
    mosquitto-clients) command -v mosquitto_sub > /dev/null ;;
    lib*) "${PYTHON:-python3}" -c "import ctypes; ctypes.CDLL('${1%1}.so.1')" 2> /dev/null ;;
    *) PATH="$PATH:/usr/sbin" command -v "$1" > /dev/null ;;
    esac
}

missing=
for package in "$@"; do
    is_there "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

# Debian starts the servers it installs, on a port that others may want. One that comes here only for the tests, which
# start their own, is not started (policy-rc.d is Debian's way to say so) and stays off at the next boot.
install='
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap "rm -f $policy" EXIT
        printf "#!/bin/sh\nexit 101\n" > $policy
        chmod 755 $policy
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq install --no-install-recommends "$@" > /dev/null
    for server in mosquitto postgresql prometheus; do
        case " $* " in *" $server "*) update-rc.d $server disable ;; esac
    done'

echo "Asking apt for:$missing …"
# shellcheck disable=SC2086  # one word a package
if [ "$(id -u)" = 0 ]; then
    sh -euc "$install" sh $missing
else
    sudo sh -euc "$install" sh $missing
fi || {
    echo "Domino needs these Debian packages:$missing. Have an administrator run:" >&2
    echo "    apt-get install --no-install-recommends$missing" >&2
    exit 1
}
