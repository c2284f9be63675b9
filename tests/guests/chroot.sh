# chroot.sh TREE SCRIPT: run a script in a chroot with /proc, /sys, /dev, /tmp of its own. Called in a private mount
# and process namespace, which takes all of it away again.
mount --make-rprivate /
mount -t proc proc "$1/proc"
mount -t tmpfs -o mode=755 dev "$1/dev"
for node in null zero full random urandom; do
	touch "$1/dev/$node"
	mount --bind "/dev/$node" "$1/dev/$node"
done
ln -s /proc/self/fd "$1/dev/fd"
mkdir -p "$1/dev/disk/by-uuid"
exec chroot "$1" sh -e "$2"
