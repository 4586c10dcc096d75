#!/bin/sh
# Builds a kernel of voidbox from Debian's linux-source package and the fragments beside this script, and installs it
# into the cache. The result is keyed by everything that went into it, so a second run only looks. Nothing outside the
# cache is written, save that root installs missing build tools.
#
#   build.sh [--key] [guest|lab]
#
#   guest      the kernel of VMs, for core/image (the default)
#   lab        the kernel of the emulated machine in which VMs are tested, for test/lab: the guest's, and KVM
#   --key      print the cache key and stop; else build, unless this very kernel is in the cache
#
# Layout of the cache (core/image/kernel.go and test/lab/kernel.go read it); the guest kernel's directory is "own":
#   kernels/{own,lab}/<key>/{vmlinux,bzImage,release,config}
#   kernels/{own,lab}/current -> <key>
set -eu

only_key=
if [ "${1:-}" = --key ]; then
	only_key=yes
	shift
fi
source_package=linux-source-6.1
here=$(cd "$(dirname "$0")" && pwd)
cache=${VOIDBOX_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/voidbox}
case ${1:-guest} in
guest) own=$cache/kernels/own fragments=x86_64.config ;;
lab) own=$cache/kernels/lab fragments="x86_64.config lab-x86_64.config" ;;
*) echo "usage: $0 [--key] [guest|lab]" >&2; exit 2 ;;
esac

say() { printf 'kernel: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

[ "$(uname -m)" = x86_64 ] || die "only x86_64 can be built here, this machine is $(uname -m)"
command -v apt-get >/dev/null || die "apt-get is missing: the kernel source comes from Debian's $source_package package"

# Package lists of our own serve where the system's are empty or out of date, and need no root.
apt_state=$cache/apt
own_lists() {
	mkdir -p "$apt_state/lists/partial" "$apt_state/archives/partial"
	set -- -o Dir::State="$apt_state" -o Dir::State::lists=lists -o Dir::Cache="$apt_state" "$@"
	apt-get -q "$@"
}

source_version() {
	apt-cache "$@" show --no-all-versions "$source_package" 2>/dev/null | sed -n 's/^Version: //p'
}

version=$(source_version)
if [ -z "$version" ]; then
	say "the system's package lists do not know $source_package: fetching lists of our own"
	own_lists update >&2
	version=$(source_version -o Dir::State="$apt_state" -o Dir::State::lists=lists -o Dir::Cache="$apt_state")
fi
[ -n "$version" ] || die "no package $source_package in Debian's lists; see /etc/apt/sources.list"

# shellcheck disable=SC2086 # a list of files, here and below
key=$({ cat "$0"; cd "$here"; cat $fragments; echo "$source_package $version"; } | sha256sum | cut -c1-32)
if [ -n "$only_key" ]; then
	echo "$key"
	exit
fi

mkdir -p "$own"

# make_current only swaps a link, so that a reader sees the old kernel or the new one.
make_current() {
	ln -sfn "$key" "$own/.current.$$"
	mv -T "$own/.current.$$" "$own/current"
}

# Two builds of one kernel at once: the second waits, then finds the work done. The lock dies with its holder.
exec 9>"$own/$key.lock"
flock -n 9 || { say "another build of this kernel is running: waiting for it"; flock 9; }

if [ -s "$own/$key/vmlinux" ]; then
	make_current
	say "already built: $own/$key ($(cat "$own/$key/release"))"
	exit
fi

missing=
need() { # need COMMAND PACKAGE
	command -v "$1" >/dev/null || missing="$missing $2"
}
need gcc gcc
need make make
need flex flex
need bison bison
need bc bc
need lz4 lz4
need xz xz-utils
need perl perl
need strip binutils
echo '#include <libelf.h>' | gcc -E - >/dev/null 2>&1 || missing="$missing libelf-dev"
if [ -n "$missing" ]; then
	[ "$(id -u)" = 0 ] || die "build tools are missing; install them with: sudo apt-get install -y$missing"
	say "installing$missing"
	# shellcheck disable=SC2086 # a list of package names
	{ DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing ||
		{ apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing; }; } >&2
fi

# The lock of this key is ours, so a build directory that bears its name was left by a dead one.
work=$own/.build-$key
rm -rf "$work"
mkdir "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

say "fetching $source_package $version"
(cd "$work" && { apt-get -q -o APT::Sandbox::User=root download "$source_package=$version" ||
	{ own_lists update && own_lists -o APT::Sandbox::User=root download "$source_package=$version"; }; }) >&2 ||
	die "cannot fetch $source_package $version from Debian's mirror; is the network up?"
dpkg-deb -x "$work/$source_package"_*.deb "$work/package"
mkdir "$work/linux"
tar -xJf "$work/package/usr/src/$source_package.tar.xz" -C "$work/linux" --strip-components=1
rm -rf "$work/package" "$work/$source_package"_*.deb
cd "$work/linux"

# The same input gives the same kernel: no date, user or machine name of the builder in it.
KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970'
KBUILD_BUILD_USER=voidbox
KBUILD_BUILD_HOST=voidbox
KBUILD_BUILD_VERSION=1
export KBUILD_BUILD_TIMESTAMP KBUILD_BUILD_USER KBUILD_BUILD_HOST KBUILD_BUILD_VERSION

say "configuring"
make -s tinyconfig >/dev/null
# One fragment out of all: the last line about a symbol counts.
(cd "$here" && cat $fragments) | sed -nE 's/^(# )?(CONFIG_[A-Z0-9_]+)(=| is not set).*/\2 &/p' |
	tac | sort -s -u -k1,1 | cut -d' ' -f2- >"$work/fragment"
KCONFIG_CONFIG=.config ./scripts/kconfig/merge_config.sh -m .config "$work/fragment" >/dev/null
make -s olddefconfig >/dev/null 2>&1
dropped=$(while read -r line; do
	case $line in
	'#'*) symbol=${line#\# }; symbol=${symbol%% *}; ! grep -q "^$symbol=" .config || echo "  $line" ;;
	*) grep -qxF -- "$line" .config || echo "  $line" ;;
	esac
done <"$work/fragment")
[ -z "$dropped" ] || die "Kconfig did not take these lines of $fragments (a dependency is missing):
$dropped"

say "building (about 7 minutes on 2 cores)"
start=$(date +%s)
if ! nice make -s -j"${VOIDBOX_KERNEL_JOBS:-2}" vmlinux bzImage >"$own/$key.log" 2>&1; then
	tail -n 30 "$own/$key.log" >&2
	die "the build failed; its whole output: $own/$key.log"
fi
rm -f "$own/$key.log"

out=$work/out
mkdir "$out"
strip -s -o "$out/vmlinux" vmlinux
cp arch/x86/boot/bzImage "$out/bzImage"
cp .config "$out/config"
make -s kernelrelease >"$out/release"
sync "$out"/* "$out"
mv -T "$out" "$own/$key"
make_current
say "built in $(($(date +%s) - start)) s: $own/$key ($(cat "$own/$key/release"))"
