#!/bin/sh
# Makes sure that the named Debian packages are there, asking apt only for those whose program is missing.
set -eu

is_there() {
    case $1 in
    python3-venv) "${PYTHON:-python3}" -c 'import ensurepip' 2> /dev/null ;;
    *) PATH="$PATH:/usr/sbin" command -v "$1" > /dev/null ;;
    esac
}

missing=
for package in "$@"; do
    is_there "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo > /dev/null; then
    as_root=sudo
else
    as_root=none
fi
if [ "$as_root" = none ] || ! command -v apt-get > /dev/null; then
    echo "Missing here:$missing. As root: apt-get install --no-install-recommends$missing" >&2
    exit 1
fi

# A broker that Debian installs starts as a service, on the port that Domino's own wants. The tests start theirs, so
# one that was brought here for them stays off: policy-rc.d is Debian's way to say so while packages are installed.
policy=/usr/sbin/policy-rc.d
echo "Asking apt for:$missing …"
$as_root sh -eu -c '
    policy=$1; shift
    if [ ! -e "$policy" ]; then
        trap "rm -f $policy" EXIT
        printf "#!/bin/sh\nexit 101\n" > "$policy"
        chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq install --no-install-recommends "$@" > /dev/null
    case " $* " in *" mosquitto "*) update-rc.d mosquitto disable ;; esac
' sh "$policy" $missing
