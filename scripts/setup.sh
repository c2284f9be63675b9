#!/usr/bin/env bash
# Installs what is missing on Debian 12 or 13: Debian packages (asks first when a person is at the terminal), a virtual
# environment with the locked Python packages, and the generated schemas. Safe to repeat; quick when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 2; }

# package                what it is for
PACKAGES="
python3                  the language
python3-venv             the virtual environment
qemu-system-x86          runs VMs
qemu-utils               qemu-img: disk images
ovmf                     UEFI firmware of VMs
iproute2                 networks of VMs
nftables                 address translation for VMs
skopeo                   images from registries and archives
busybox-static           the conversion appliance and the tiny test guest
lvm2                     the conversion appliance: guests on LVM
btrfs-progs              the conversion appliance: guests on btrfs
cpio                     initramfs archives
kmod                     module indexes of the appliance
virt-v2v                 the converter for guests that ours does not know
libguestfs-tools         what virt-v2v runs in
linux-image-amd64        the kernel of virt-v2v's appliance
mmdebstrap               builds the legacy guest of the demo and the tests
e2fsprogs                file systems of the test guests
xfsprogs                 file systems of the test guests
fdisk                    partitions of the test guests
grub-pc-bin              the boot loader of the test guests
grub2-common             the boot loader of the test guests
openssh-client           isthmus ssh
iputils-ping             the demo pings the imported guest
npm                      fetches KubeVirt's API schemas
"

missing=()
while read -r package purpose; do
    [ -n "$package" ] || continue
    if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then
        if [ "$package" = npm ] && command -v npm >/dev/null; then continue; fi
        [ ${#missing[@]} -gt 0 ] || say "These Debian packages are missing:"
        printf '      %-22s %s\n' "$package" "$purpose"
        missing+=("$package")
    fi
done <<<"$PACKAGES"

if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || fail "this is no Debian: install the packages above by hand, then run this again"
    sudo=""
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail "run 'apt-get install ${missing[*]}' as root, then run this again"
        sudo=sudo
    fi
    if [ -t 0 ] && [ -z "${CI:-}" ]; then
        read -rp "Install them with apt-get now? [Y/n] " answer
        case "$answer" in [nN]*) fail "nothing was installed" ;; esac
    fi
    say "Installing ${#missing[@]} Debian packages (a few minutes the first time)"
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

python=""
for candidate in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$candidate; break; fi
done
[ -n "$python" ] || fail "Python 3.11 or newer is needed"

if [ ! -x .venv/bin/python ]; then
    say "Making the virtual environment .venv"
    "$python" -m venv .venv
fi
stamp=.venv/locked
wanted=$(sha256sum requirements.lock pyproject.toml | sha256sum | cut -d' ' -f1)
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    say "Installing the locked Python packages"
    .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
    printf '%s' "$wanted" >"$stamp"
fi

.venv/bin/python -m isthmus.kinds.generate
say "Set up."
