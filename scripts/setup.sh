#!/usr/bin/env bash
# Installs what is missing on Debian 12 or 13 and says why: Debian packages (asks first when a person is at the
# terminal), a virtual environment with the locked Python packages, the generated schemas. Needs no compiler. Safe to
# repeat, and done in a second when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/progress.sh
bin=.venv/bin
export PATH="$PWD/$bin:$PATH:/usr/sbin:/sbin" PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
logs=build/setup

# package                what it is for
PACKAGES="
python3                  the language
python3-venv             the virtual environment
qemu-system-x86          VMs
qemu-utils               VMs: disk images (qemu-img)
ovmf                     VMs: UEFI firmware
swtpm                    VMs: TPMs
iproute2                 VMs: networks
nftables                 VMs: address translation
skopeo                   images from registries and archives
zstd                     images with zstd layers
openssh-client           isthmus ssh
virt-v2v                 imports: the converter for guests that ours does not know
nbdkit                   imports: what virt-v2v reads disks with
linux-image-amd64        imports: the kernel of virt-v2v's appliance
busybox-static           tests: the shell of the tiny guests
cpio                     tests: reads our initramfs archives
libarchive-tools         tests: reads our ISO images
mmdebstrap               tests, demo: builds the legacy guest
e2fsprogs                tests, demo: file systems of guests
fdisk                    tests, demo: partitions of guests
grub-common              tests, demo: boot loaders of guests
grub-pc-bin              tests, demo: boot loaders of guests
iputils-ping             demo: pings the imported guest
libguestfs-tools         tests: disks of the conversion matrix
systemd                  tests: isthmus up --systemd
libguestfs-xfs           tests: disks of the conversion matrix on XFS
docker-registry          tests: a registry to pull from
apache2-utils            tests: its passwords
"
# The appliance is made of packages that apt downloads and nobody installs: apt must know them.
KNOWN_TO_APT=linux-image-cloud-amd64

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 2; }

find_missing() {
    local package purpose
    missing=()
    while read -r package purpose; do
        [ -n "$package" ] || continue
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q 'ok installed' && continue
        [ ${#missing[@]} -gt 0 ] || say "These Debian packages are missing:"
        printf '      %-22s %s\n' "$package" "$purpose"
        missing+=("$package")
    done <<<"$PACKAGES"
}

# ask QUESTION: yes without a question when nobody is there to answer.
ask() {
    local answer
    [ -t 0 ] && [ -z "${CI:-}" ] || return 0
    read -rp "$1 [Y/n] " answer
    [[ $answer != [nN]* ]]
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif [ -t 0 ]; then sudo "$@"; else sudo -n "$@"; fi
}

install_packages() {
    find_missing
    if [ ${#missing[@]} = 0 ] && apt-cache show "$KNOWN_TO_APT" >/dev/null 2>&1; then return; fi
    local install="apt-get update && apt-get install --no-install-recommends ${missing[*]}"
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || fail "neither root nor sudo: run as root: $install"
    ask "Let apt-get install them now?" || fail "nothing was installed; to do it by hand: $install"
    say "Reading apt's lists of packages"
    quietly "$logs/apt-update.log" as_root apt-get update
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Installing ${#missing[@]} Debian packages and what they depend on (one to four minutes)"
    # shellcheck disable=SC2016  # the inner shell expands it
    as_root env DEBIAN_FRONTEND=noninteractive sh -c \
        'log=$1; shift; exec apt-get install -y --no-install-recommends -o APT::Status-Fd=3 "$@" 3>&1 >"$log" 2>&1' \
        apt "$logs/apt-install.log" "${missing[@]}" | apt_progress || { tail -n 20 "$logs/apt-install.log" >&2; fail "apt-get failed"; }
}

make_environment() {
    if [ -x $bin/python ] && $bin/python -c 'import pip' 2>/dev/null; then return; fi
    local candidate python=""
    for candidate in python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
    [ -n "$python" ] || fail "Python 3.11 or newer, with venv, is needed"
    say "Making the virtual environment .venv of $("$python" --version)"
    "$python" -m venv --clear .venv
}

install_locked() {
    local stamp=.venv/locked wanted
    wanted=$(sha256sum requirements.lock pyproject.toml | sha256sum | cut -d' ' -f1)
    [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || return 0
    say "Installing the Python packages of requirements.lock (half a minute)"
    $bin/python -m pip install --no-deps --only-binary :all: --require-hashes -r requirements.lock 2>&1 |
        tee "$logs/pip.log" | pip_progress "$(grep -c '^[a-z].*==' requirements.lock)" ||
        { tail -n 20 "$logs/pip.log" >&2; fail "pip failed"; }
    quietly "$logs/pip-editable.log" $bin/python -m pip install --no-deps --no-build-isolation -e .
    $bin/python -m compileall -q -j 0 .venv/lib || true # for whoever told Python (and so pip) to write no bytecode
    printf '%s' "$wanted" >"$stamp"
}

generate_kinds() {
    local made
    made=$($bin/python -m isthmus.kinds.generate)
    say "Schemas of Kubernetes, KubeVirt and CDI: ${made%% in *}"
    $bin/python -m compileall -q src || true # a start takes half as long; not where the directory may not be written
}

mkdir -p $logs
install_packages
make_environment
install_locked
generate_kinds
say "Set up. Next: make demo (the story), make check (before a commit), isthmus up"
