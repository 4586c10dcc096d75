#!/bin/sh
# Runs an area of bench/kvm where KVM is usable: on this machine, else in the lab (docs/lab.md), where the time is counted in
# instructions so that a busy host does not disturb the figures. The block area takes wall-clock time there, since its load keeps
# the lab's emulator from counting reliably.
#
#   bench/kvm/run.sh AREA [ARGUMENT...]
set -eu
area=$1
shift
cd "$(dirname "$0")/../.."
go build -trimpath -o bin/bench-kvm ./bench/kvm
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/bench-vsock-guest ./bench/kvm/guest
[ "$area" = memory ] && file=boot.json || file=$area.json
mkdir -p bench
if grep -qwE 'vmx|svm' /proc/cpuinfo && [ -w /dev/kvm ]; then
	disk=
	[ "$area" = block ] && disk="-disk $(go run ./test/lab/cmd/lab tools-disk)"
	# shellcheck disable=SC2086 # an option and its value, or nothing
	exec bin/bench-kvm -area "$area" -bin bin -out "bench/$file" $disk "$@"
fi
options='-tools -cache -mem 4G -silence 3m'
case $area in
block) options="$options -tools-drive"; set -- -disk /dev/vdb "$@" ;;
*) options="$options -icount" ;;
esac
[ -s "bench/$file" ] || echo "[]" >"bench/$file"
# shellcheck disable=SC2086 # a list of options
exec go run ./test/lab/cmd/lab run $options -file bin:/lab/bin -file "bench/$file:/lab/out/$file" -fetch "/lab/out/$file:bench/$file" -- \
	bench-kvm -area "$area" -bin /lab/bin -out "/lab/out/$file" "$@"
